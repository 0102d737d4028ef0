
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tally.h"


/* Longer than any number that is read: 1.2345678901234567e-300 */
#define CANARY_TALLY_NUMBER_MAX  31

#define CANARY_TALLY_DIGITS_MAX  20         /* of 64 bits */


static char *canary_tally_put(char *text, uint64_t count);
static const char *canary_tally_take_count(char *value, const char *p,
    const char *end);
static const char *canary_tally_take_sum(char *value, const char *p,
    const char *end);
static uint64_t canary_tally_more(uint64_t count, uint64_t n);
static int canary_tally_behind(const canary_tally_t *now,
    const canary_tally_t *before);
static uint64_t canary_tally_count(const char *value);
static double canary_tally_sum(const char *value);
static void canary_tally_set_count(char *value, uint64_t count);
static void canary_tally_set_sum(char *value, double sum);


#define canary_tally_one(name, type)                                          \
    { canary_str(#name), type, offsetof(canary_tally_t, name), 1 }

#define canary_tally_counts(name, n)                                          \
    { canary_str(#name), CANARY_TALLY_COUNT,                                  \
      offsetof(canary_tally_t, name), n }


const canary_tally_field_t  canary_tally_fields[] = {
    canary_tally_one(requests, CANARY_TALLY_COUNT),
    canary_tally_one(errors_status, CANARY_TALLY_COUNT),
    canary_tally_one(errors_connect, CANARY_TALLY_COUNT),
    canary_tally_one(errors_timeout, CANARY_TALLY_COUNT),
    canary_tally_one(errors_deadline, CANARY_TALLY_COUNT),
    canary_tally_one(errors_stream, CANARY_TALLY_COUNT),
    canary_tally_one(errors_in_band, CANARY_TALLY_COUNT),
    canary_tally_one(denied, CANARY_TALLY_COUNT),
    canary_tally_one(escalated, CANARY_TALLY_COUNT),
    canary_tally_counts(by_user, (size_t) 2 * CANARY_EVENTS),
    canary_tally_one(client_aborts, CANARY_TALLY_COUNT),
    canary_tally_one(keyless, CANARY_TALLY_COUNT),
    canary_tally_one(overrides, CANARY_TALLY_COUNT),
    canary_tally_one(cost_known, CANARY_TALLY_COUNT),
    canary_tally_one(cost_unpriced, CANARY_TALLY_COUNT),
    canary_tally_one(cost_usd, CANARY_TALLY_SUM),
    canary_tally_one(cost_capped_usd, CANARY_TALLY_SUM),
    canary_tally_one(cost_capped_usd2, CANARY_TALLY_SUM),
    canary_tally_one(cost_cap_usd, CANARY_TALLY_CAP),
    canary_tally_one(tokens_input, CANARY_TALLY_COUNT),
    canary_tally_one(tokens_output, CANARY_TALLY_COUNT),
    canary_tally_counts(first_byte_ms, CANARY_LATENCY_BUCKETS),
    canary_tally_counts(latency_ms, CANARY_LATENCY_BUCKETS),
    { canary_str(""), CANARY_TALLY_COUNT, 0, 0 }
};


/* 2^(i/4): within an octave, and the octaves are powers of two */

static const double  canary_tally_quarters[4] = {
    1, 1.189207115002721, 1.4142135623730951, 1.681792830507429
};


const canary_tally_field_t *
canary_tally_field(canary_str_t name)
{
    const canary_tally_field_t  *field;

    for (field = canary_tally_fields; field->n; field++) {
        if (canary_str_eq(field->name, name)) {
            return field;
        }
    }

    return NULL;
}


/* This runs many times a second for each histogram, without printf(). */

size_t
canary_tally_format(char *text, const canary_tally_field_t *field,
    const canary_tally_t *t)
{
    int          len;
    char        *p;
    size_t       i, n;
    const char  *value;

    value = (const char *) t + field->offset;

    if (field->type != CANARY_TALLY_COUNT) {
        len = snprintf(text, CANARY_TALLY_NUMBER_MAX + 1, "%.17g",
                       canary_tally_sum(value));

        return (size_t) len;
    }

    for (n = field->n; n > 1; n--) {
        if (canary_tally_count(value + (n - 1) * sizeof(uint64_t)) != 0) {
            break;
        }
    }

    p = text;

    for (i = 0; i < n; i++) {
        if (i > 0) {
            *p++ = ',';
        }

        p = canary_tally_put(p, canary_tally_count(value));
        value += sizeof(uint64_t);
    }

    return (size_t) (p - text);
}


static char *
canary_tally_put(char *text, uint64_t count)
{
    char    digits[CANARY_TALLY_DIGITS_MAX];
    size_t  n;

    n = sizeof(digits);

    do {
        digits[--n] = (char) ('0' + count % 10);
        count /= 10;
    } while (count);

    memcpy(text, digits + n, sizeof(digits) - n);

    return text + sizeof(digits) - n;
}


int
canary_tally_parse(canary_tally_t *t, const canary_tally_field_t *field,
    canary_str_t text)
{
    char         values[CANARY_LATENCY_BUCKETS * sizeof(uint64_t)];
    size_t       i;
    const char  *end, *p;

    p = text.data;
    end = text.data + text.len;

    for (i = 0; i < field->n && !(p == end && field->n > 1); i++) {

        if (i > 0 && *p++ != ',') {
            return -1;
        }

        /* as most buckets of a histogram are */

        if (end - p > 1 && p[0] == '0' && p[1] == ',') {
            memset(values + i * sizeof(uint64_t), 0, sizeof(uint64_t));
            p++;
            continue;
        }

        p = field->type == CANARY_TALLY_COUNT
            ? canary_tally_take_count(values + i * sizeof(uint64_t), p, end)
            : canary_tally_take_sum(values + i * sizeof(uint64_t), p, end);

        if (p == NULL) {
            return -1;
        }
    }

    if (p != end) {
        return -1;
    }

    memset(values + i * sizeof(uint64_t), 0, (field->n - i) * sizeof(uint64_t));
    memcpy((char *) t + field->offset, values, field->n * sizeof(uint64_t));

    return 0;
}


/* Both return what follows the number, or NULL when there is none. */

static const char *
canary_tally_take_count(char *value, const char *p, const char *end)
{
    uint64_t     count, digit;
    const char  *first;

    count = 0;

    for (first = p; p < end; p++) {
        digit = (uint64_t) (unsigned char) *p - '0';

        if (digit > 9) {
            break;
        }

        if (count > UINT64_MAX / 10
            || (count == UINT64_MAX / 10 && digit > UINT64_MAX % 10))
        {
            return NULL;
        }

        count = count * 10 + digit;
    }

    if (p == first || p - first > CANARY_TALLY_NUMBER_MAX) {
        return NULL;
    }

    canary_tally_set_count(value, count);

    return p;
}


static const char *
canary_tally_take_sum(char *value, const char *p, const char *end)
{
    char     c, *rest, number[CANARY_TALLY_NUMBER_MAX + 1];
    size_t   len;
    double   sum;

    /* a number that begins with a digit, but not a hexadecimal one */

    for (len = 0; p + len < end && len < CANARY_TALLY_NUMBER_MAX; len++) {
        c = p[len];

        if (!(c >= '0' && c <= '9') && c != '.' && c != 'e' && c != '+'
            && c != '-')
        {
            break;
        }

        number[len] = c;
    }

    number[len] = '\0';

    if (number[0] < '0' || number[0] > '9') {
        return NULL;
    }

    sum = strtod(number, &rest);

    if (rest != number + len || !(sum >= 0 && sum <= CANARY_TALLY_SUM_MAX)) {
        return NULL;
    }

    canary_tally_set_sum(value, sum);

    return p + len;
}


uint64_t
canary_tally_errors(const canary_tally_t *t)
{
    return t->errors_status + t->errors_connect + t->errors_timeout
           + t->errors_deadline + t->errors_stream + t->errors_in_band;
}


/* The square of k is the sum of the first k odd numbers. */

void
canary_tally_event(canary_tally_t *t, canary_event_e event, unsigned count)
{
    if (count > 0) {
        t->by_user[event].events++;
        t->by_user[event].squares += 2 * (uint64_t) count - 1;
    }
}


void
canary_tally_pool(canary_tally_t *pooled, unsigned n)
{
    uint64_t           pairs;
    unsigned           i;
    canary_by_user_t  *u;

    for (i = 0; i < CANARY_EVENTS; i++) {
        u = &pooled->by_user[i];

        pairs = u->squares > u->events ? u->squares - u->events : 0;
        u->squares = pairs > (UINT64_MAX - u->events) / n
                     ? UINT64_MAX : u->events + pairs * n;
    }
}


void
canary_tally_cost(canary_tally_t *t, double usd, double cap)
{
    double  capped;

    if (!(usd >= 0 && usd <= CANARY_TALLY_COST_MAX && cap > 0)) {
        t->cost_unpriced++;
        return;
    }

    capped = usd < cap ? usd : cap;

    t->cost_known++;
    t->cost_usd += usd;
    t->cost_capped_usd += capped;
    t->cost_capped_usd2 += capped * capped;
    t->cost_cap_usd = cap;
}


void
canary_tally_tokens(canary_tally_t *t, uint64_t input, uint64_t output)
{
    t->tokens_input = canary_tally_more(t->tokens_input, input);
    t->tokens_output = canary_tally_more(t->tokens_output, output);
}


static uint64_t
canary_tally_more(uint64_t count, uint64_t n)
{
    return count > UINT64_MAX - n ? UINT64_MAX : count + n;
}


int
canary_tally_diff(canary_tally_t *diff, const canary_tally_t *now,
    uint64_t boot_now, const canary_tally_t *before, uint64_t boot_before)
{
    char                        *d;
    size_t                       i;
    const char                  *a, *b;
    const canary_tally_field_t  *field;

    memset(diff, 0, sizeof(canary_tally_t));

    if (boot_now != boot_before || canary_tally_behind(now, before)) {
        return 1;
    }

    for (field = canary_tally_fields; field->n; field++) {
        for (i = 0; i < field->n; i++) {
            d = (char *) diff + field->offset + i * sizeof(uint64_t);
            a = (const char *) now + field->offset + i * sizeof(uint64_t);
            b = (const char *) before + field->offset + i * sizeof(uint64_t);

            if (field->type == CANARY_TALLY_COUNT) {
                canary_tally_set_count(d, canary_tally_count(a)
                                          - canary_tally_count(b));

            } else if (field->type == CANARY_TALLY_SUM) {
                canary_tally_set_sum(d, canary_tally_sum(a)
                                        - canary_tally_sum(b));

            } else {
                canary_tally_set_sum(d,
                                     canary_tally_sum(a) > canary_tally_sum(b)
                                     ? canary_tally_sum(a)
                                     : canary_tally_sum(b));
            }
        }
    }

    return 0;
}


/* Non-zero when something that only grows is lower now, or is no number. */

static int
canary_tally_behind(const canary_tally_t *now, const canary_tally_t *before)
{
    size_t                       i;
    const char                  *a, *b;
    const canary_tally_field_t  *field;

    for (field = canary_tally_fields; field->n; field++) {
        for (i = 0; i < field->n; i++) {
            a = (const char *) now + field->offset + i * sizeof(uint64_t);
            b = (const char *) before + field->offset + i * sizeof(uint64_t);

            if (field->type == CANARY_TALLY_COUNT
                && canary_tally_count(a) < canary_tally_count(b))
            {
                return 1;
            }

            if (field->type != CANARY_TALLY_COUNT
                && !(canary_tally_sum(a) >= 0 && canary_tally_sum(b) >= 0
                     && canary_tally_sum(a) <= CANARY_TALLY_SUM_MAX))
            {
                return 1;
            }

            if (field->type == CANARY_TALLY_SUM
                && !(canary_tally_sum(a) >= canary_tally_sum(b)))
            {
                return 1;
            }
        }
    }

    return 0;
}


void
canary_tally_add(canary_tally_t *sum, const canary_tally_t *t)
{
    char                        *s;
    double                       x, y;
    size_t                       i;
    const char                  *v;
    const canary_tally_field_t  *field;

    for (field = canary_tally_fields; field->n; field++) {
        for (i = 0; i < field->n; i++) {
            s = (char *) sum + field->offset + i * sizeof(uint64_t);
            v = (const char *) t + field->offset + i * sizeof(uint64_t);

            if (field->type == CANARY_TALLY_COUNT) {
                canary_tally_set_count(s,
                                       canary_tally_more(canary_tally_count(s),
                                                    canary_tally_count(v)));
                continue;
            }

            x = canary_tally_sum(s);
            y = canary_tally_sum(v);

            if (field->type == CANARY_TALLY_SUM) {
                canary_tally_set_sum(s, x + y);

            } else {
                canary_tally_set_sum(s, x > y ? x : y);
            }
        }
    }
}


double
canary_tally_edge(unsigned bucket)
{
    if (bucket >= CANARY_LATENCY_EDGES) {
        bucket = CANARY_LATENCY_EDGES - 1;
    }

    return (double) (1UL << bucket / 4) * canary_tally_quarters[bucket % 4];
}


unsigned
canary_tally_edge_at(double ms)
{
    unsigned  bucket;

    for (bucket = 0; bucket < CANARY_LATENCY_EDGES; bucket++) {
        if (canary_tally_edge(bucket) >= ms) {
            return bucket;
        }
    }

    return CANARY_LATENCY_EDGES;
}


uint64_t
canary_tally_above(const uint64_t *histogram, unsigned bucket)
{
    uint64_t  n;

    n = 0;

    for (bucket++; bucket < CANARY_LATENCY_BUCKETS; bucket++) {
        n += histogram[bucket];
    }

    return n;
}


uint64_t
canary_tally_total(const uint64_t *histogram)
{
    return histogram[0] + canary_tally_above(histogram, 0);
}


double
canary_tally_quantile(const uint64_t *histogram, double q)
{
    double    below, rank, share, low, high;
    unsigned  i;

    rank = q * (double) canary_tally_total(histogram);
    below = 0;

    if (!(rank > 0)) {
        return 0;
    }

    for (i = 0; i < CANARY_LATENCY_EDGES - 1; i++) {
        if (histogram[i] > 0 && below + (double) histogram[i] >= rank) {
            break;
        }

        below += (double) histogram[i];
    }

    high = canary_tally_edge(i);

    if (i == 0 || histogram[i] == 0) {
        return high;
    }

    low = canary_tally_edge(i - 1);
    share = (rank - below) / (double) histogram[i];

    if (share > 1) {
        share = 1;
    }

    /* of the ratio's quarters, a straight line is within 2 % of the curve */

    return low + (high - low) * share;
}


/*
 * The fields are reached by their offsets.  Whoever shares a tally between
 * threads or processes copies it first.
 */

static uint64_t
canary_tally_count(const char *value)
{
    uint64_t  count;

    memcpy(&count, value, sizeof(uint64_t));

    return count;
}


static double
canary_tally_sum(const char *value)
{
    double  sum;

    memcpy(&sum, value, sizeof(double));

    return sum;
}


static void
canary_tally_set_count(char *value, uint64_t count)
{
    memcpy(value, &count, sizeof(uint64_t));
}


static void
canary_tally_set_sum(char *value, double sum)
{
    memcpy(value, &sum, sizeof(double));
}
