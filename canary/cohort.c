
#include "cohort.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


/* At most, on either side of the dot. */
#define CANARY_DIGITS  3


static int canary_digits(canary_str_t text, uint32_t *n);


const canary_ladder_t  canary_ladder_default = {
    5,
    {
        1 * CANARY_PERCENT,
        5 * CANARY_PERCENT,
        25 * CANARY_PERCENT,
        50 * CANARY_PERCENT,
        CANARY_BUCKETS
    }
};


uint64_t
canary_seed(canary_str_t salt)
{
    return XXH3_64bits(salt.data, salt.len);
}


uint64_t
canary_hash(uint64_t seed, canary_str_t key)
{
    return XXH3_64bits_withSeed(key.data, key.len, seed);
}


uint32_t
canary_cohort(const canary_ladder_t *ladder, uint32_t bucket)
{
    uint32_t  i;

    for (i = 0; i < ladder->n; i++) {
        if (bucket < ladder->stage[i]) {
            return ladder->stage[i];
        }
    }

    return CANARY_BUCKETS;
}


int
canary_percent_parse(canary_str_t text, uint32_t *percent)
{
    size_t        i;
    uint32_t      n, thousandths;
    canary_str_t  whole, fraction;

    whole.data = text.data;

    for (whole.len = 0; whole.len < text.len; whole.len++) {
        if (text.data[whole.len] == '.') {
            break;
        }
    }

    if (canary_digits(whole, &n) != 0
        || (whole.len > 1 && whole.data[0] == '0'))
    {
        return -1;
    }

    n *= CANARY_PERCENT;

    if (whole.len < text.len) {
        fraction.data = whole.data + whole.len + 1;
        fraction.len = text.len - whole.len - 1;

        if (canary_digits(fraction, &thousandths) != 0) {
            return -1;
        }

        for (i = fraction.len; i < CANARY_DIGITS; i++) {
            thousandths *= 10;
        }

        n += thousandths;
    }

    if (n > CANARY_BUCKETS) {
        return -1;
    }

    *percent = n;

    return 0;
}


static int
canary_digits(canary_str_t text, uint32_t *n)
{
    size_t  i;

    if (text.len == 0 || text.len > CANARY_DIGITS) {
        return -1;
    }

    *n = 0;

    for (i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }

        *n = *n * 10 + (uint32_t) (text.data[i] - '0');
    }

    return 0;
}


size_t
canary_percent_format(char out[CANARY_PERCENT_LEN], uint32_t percent)
{
    size_t    len;
    uint32_t  digit, unit;

    len = 0;

    for (unit = CANARY_BUCKETS; unit > 0; unit /= 10) {

        if (unit < CANARY_PERCENT && percent == 0) {
            break;
        }

        if (unit == CANARY_PERCENT / 10) {
            out[len++] = '.';
        }

        digit = percent / unit;
        percent %= unit;

        if (digit > 0 || len > 0 || unit <= CANARY_PERCENT) {
            out[len++] = (char) ('0' + digit);
        }
    }

    out[len] = '\0';

    return len;
}


int
canary_ladder_parse(canary_str_t text, canary_ladder_t *ladder)
{
    size_t           i, start;
    uint32_t         stage, last;
    canary_str_t     item;
    canary_ladder_t  parsed;

    parsed = (canary_ladder_t) { 0 };
    start = 0;
    last = 0;

    for (i = 0; i <= text.len; i++) {

        if (i < text.len && text.data[i] != ',') {
            continue;
        }

        item.data = text.data + start;
        item.len = i - start;

        if (canary_percent_parse(item, &stage) != 0
            || stage <= last
            || parsed.n == CANARY_LADDER_MAX)
        {
            return -1;
        }

        parsed.stage[parsed.n++] = stage;
        last = stage;
        start = i + 1;
    }

    if (last != CANARY_BUCKETS) {
        return -1;
    }

    *ladder = parsed;

    return 0;
}
