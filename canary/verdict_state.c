
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "verdict.h"


/*
 * "agent-canary-verdict 2 <digest> <epoch> <check> <doubles...>", all numbers
 * hexadecimal and of 16 digits: what is read back is what was written, bit
 * by bit and whatever the locale.  A run of n zeros is "z<n in hex>".
 */

#define CANARY_VERDICT_MAGIC  "agent-canary-verdict 2"

#define CANARY_HEX_LEN        16
#define CANARY_STATE_MAX      1e101         /* above the largest capital */

/* The doubles that are saved: those of the rules that there are. */

#define canary_state_doubles(n)                                               \
    ((offsetof(canary_verdict_state_t, rule)                                  \
      + (n) * sizeof(canary_rule_state_t)) / sizeof(double))

#define CANARY_RULE_TEXT_MAX  128


_Static_assert(sizeof(canary_rule_state_t) % sizeof(double) == 0
               && sizeof(canary_verdict_state_t) % sizeof(double) == 0,
               "the state is an array of doubles");


typedef struct {
    const char  *pos;
    const char  *end;
} canary_reader_t;


static uint64_t canary_verdict_digest(canary_str_t flag,
    const canary_guardrails_t *g);
static uint64_t canary_state_check(const canary_verdict_state_t *state,
    uint32_t n);
static int canary_state_write(char *text, size_t size, size_t *len,
    const canary_verdict_state_t *state, uint32_t n);
static void canary_state_put_hex(char *text, uint64_t n);
static int canary_state_read(canary_verdict_state_t *state, uint32_t n,
    canary_reader_t *r);
static int canary_state_zeros(canary_reader_t *r, size_t *zeros);
static int canary_state_hex(canary_reader_t *r, uint64_t *value);
static int canary_state_valid(const canary_verdict_state_t *state,
    uint32_t n);
static void canary_rule_renew(canary_rule_state_t *s);


void
canary_verdict_init(canary_verdict_t *v, canary_str_t flag, uint64_t epoch,
    const canary_guardrails_t *g)
{
    uint32_t  i;

    memset(v, 0, sizeof(canary_verdict_t));

    v->guardrails = *g;
    v->epoch = epoch;
    v->digest = canary_verdict_digest(flag, g);

    for (i = 0; i < g->n; i++) {
        canary_rule_renew(&v->state.rule[i]);
    }
}


void
canary_verdict_renew(canary_verdict_t *v, uint64_t epoch)
{
    uint32_t  i;

    v->epoch = epoch;
    v->state.age = 0;

    for (i = 0; i < v->guardrails.n; i++) {
        canary_rule_renew(&v->state.rule[i]);
    }
}


/* Forgets the candidate, the spent budget included: an owner wanted that. */

static void
canary_rule_renew(canary_rule_state_t *s)
{
    canary_bet_init(&s->limit);
    canary_bet_init(&s->worse);

    s->clump.events[CANARY_ARM_CANDIDATE] = 0;
    s->clump.squares[CANARY_ARM_CANDIDATE] = 0;

    memset(s->total, 0, sizeof(s->total));
    memset(s->slot, 0, sizeof(s->slot));

    s->events = 0;
    s->slot_at = 0;
    s->slot_age = 0;
}


void
canary_verdict_restart_proof(canary_verdict_t *v)
{
    uint32_t  i;

    for (i = 0; i < v->guardrails.n; i++) {
        canary_bet_restart_proof(&v->state.rule[i].limit);
    }
}


/* In words: no padding, and no change by another order of a struct. */

static uint64_t
canary_verdict_digest(canary_str_t flag, const canary_guardrails_t *g)
{
    int                   len;
    char                  text[CANARY_RULE_TEXT_MAX];
    uint32_t              i;
    uint64_t              digest;
    const canary_rule_t  *r;

    digest = XXH3_64bits(flag.data, flag.len);

    len = snprintf(text, sizeof(text), "%.17g %u %.17g", g->alpha,
                   (unsigned) g->horizon, g->cost_cap);
    digest = XXH3_64bits_withSeed(text, (size_t) len, digest);

    for (i = 0; i < g->n; i++) {
        r = &g->rules[i];
        len = snprintf(text, sizeof(text), "%u %u %.17g %u %u %u",
                       (unsigned) r->metric, (unsigned) r->kind, r->limit,
                       (unsigned) r->per, (unsigned) r->min_events,
                       (unsigned) r->unless_baseline);
        digest = XXH3_64bits_withSeed(text, (size_t) len, digest);
    }

    return digest;
}


size_t
canary_verdict_save(const canary_verdict_t *v, char *text, size_t size)
{
    int     n;
    size_t  len;

    n = snprintf(text, size, CANARY_VERDICT_MAGIC " %016" PRIx64 " %016" PRIx64
                 " %016" PRIx64, v->digest, v->epoch,
                 canary_state_check(&v->state, v->guardrails.n));

    if (n < 0 || (size_t) n >= size) {
        return 0;
    }

    len = (size_t) n;

    if (canary_state_write(text, size, &len, &v->state, v->guardrails.n)
        != 0)
    {
        return 0;
    }

    return len;
}


static uint64_t
canary_state_check(const canary_verdict_state_t *state, uint32_t n)
{
    return XXH3_64bits(state, canary_state_doubles(n) * sizeof(double));
}


static int
canary_state_write(char *text, size_t size, size_t *len,
    const canary_verdict_state_t *state, uint32_t n)
{
    size_t         i, zeros;
    uint64_t       bits;
    const double  *value;

    value = (const double *) (const void *) state;

    for (i = 0; i < canary_state_doubles(n); i += zeros ? zeros : 1) {

        if (size - *len < CANARY_HEX_LEN + 2) {
            return -1;
        }

        for (zeros = 0; i + zeros < canary_state_doubles(n); zeros++) {
            memcpy(&bits, &value[i + zeros], sizeof(bits));

            if (bits != 0) {
                break;
            }
        }

        if (zeros) {
            *len += (size_t) snprintf(text + *len, CANARY_HEX_LEN + 2,
                                      " z%zx", zeros);
            continue;
        }

        text[(*len)++] = ' ';
        canary_state_put_hex(text + *len, bits);
        *len += CANARY_HEX_LEN;
    }

    return 0;
}


/* Hundreds of numbers a second, in a sidecar of many flags: no printf(). */

static void
canary_state_put_hex(char *text, uint64_t n)
{
    int  i;

    for (i = CANARY_HEX_LEN - 1; i >= 0; i--) {
        text[i] = "0123456789abcdef"[n & 0xf];
        n >>= 4;
    }
}


int
canary_verdict_restore(canary_verdict_t *v, canary_str_t text)
{
    uint64_t                check, digest, epoch;
    canary_reader_t         r;
    canary_verdict_state_t  state;

    static const size_t  magic = sizeof(CANARY_VERDICT_MAGIC) - 1;

    if (text.len < magic
        || memcmp(text.data, CANARY_VERDICT_MAGIC, magic) != 0)
    {
        return -1;
    }

    r.pos = text.data + magic;
    r.end = text.data + text.len;

    if (canary_state_hex(&r, &digest) != 0
        || canary_state_hex(&r, &epoch) != 0
        || canary_state_hex(&r, &check) != 0
        || digest != v->digest)
    {
        return -1;
    }

    memset(&state, 0, sizeof(state));

    if (canary_state_read(&state, v->guardrails.n, &r) != 0
        || canary_state_check(&state, v->guardrails.n) != check
        || !canary_state_valid(&state, v->guardrails.n))
    {
        return -1;
    }

    v->state = state;

    if (epoch != v->epoch) {
        canary_verdict_renew(v, v->epoch);
        return 0;
    }

    return 1;
}


static int
canary_state_read(canary_verdict_state_t *state, uint32_t n,
    canary_reader_t *r)
{
    size_t     i, zeros;
    double    *value;
    uint64_t   bits;

    value = (double *) (void *) state;

    for (i = 0; i < canary_state_doubles(n); /* void */) {

        if (canary_state_zeros(r, &zeros) == 0) {
            if (zeros > canary_state_doubles(n) - i) {
                return -1;
            }

            i += zeros;
            continue;
        }

        if (canary_state_hex(r, &bits) != 0) {
            return -1;
        }

        memcpy(&value[i++], &bits, sizeof(bits));
    }

    return r->pos == r->end ? 0 : -1;
}


/* " z1f": at least one zero */

static int
canary_state_zeros(canary_reader_t *r, size_t *zeros)
{
    size_t       n;
    const char  *p;

    if (r->end - r->pos < 3 || r->pos[0] != ' ' || r->pos[1] != 'z') {
        return -1;
    }

    n = 0;

    for (p = r->pos + 2; p < r->end && *p != ' '; p++) {
        if (p - r->pos > 6 || !strchr("0123456789abcdef", *p) || *p == '\0') {
            return -1;
        }

        n = n * 16 + (size_t) (*p <= '9' ? *p - '0' : *p - 'a' + 10);
    }

    if (n == 0) {
        return -1;
    }

    r->pos = p;
    *zeros = n;

    return 0;
}


/* " 0123456789abcdef" */

static int
canary_state_hex(canary_reader_t *r, uint64_t *value)
{
    int       i;
    char      c;
    uint64_t  n;

    if (r->end - r->pos < CANARY_HEX_LEN + 1 || r->pos[0] != ' ') {
        return -1;
    }

    n = 0;

    for (i = 1; i <= CANARY_HEX_LEN; i++) {
        c = r->pos[i];

        if (c >= '0' && c <= '9') {
            n = n << 4 | (uint64_t) (c - '0');

        } else if (c >= 'a' && c <= 'f') {
            n = n << 4 | (uint64_t) (c - 'a' + 10);

        } else {
            return -1;
        }
    }

    r->pos += CANARY_HEX_LEN + 1;
    *value = n;

    return 0;
}


/* No number of a state is negative, or larger than a capital can be. */

static int
canary_state_valid(const canary_verdict_state_t *state, uint32_t n)
{
    size_t         i;
    const double  *value;

    value = (const double *) (const void *) state;

    for (i = 0; i < canary_state_doubles(n); i++) {
        if (!(value[i] >= 0 && value[i] <= CANARY_STATE_MAX)) {
            return 0;
        }
    }

    for (i = 0; i < n; i++) {
        if (state->rule[i].slot_at >= CANARY_BUDGET_SLOTS
            || state->rule[i].edge[CANARY_ARM_BASELINE]
               > CANARY_LATENCY_EDGES
            || state->rule[i].edge[CANARY_ARM_CANDIDATE]
               > CANARY_LATENCY_EDGES)
        {
            return 0;
        }
    }

    return 1;
}
