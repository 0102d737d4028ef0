
/*
 * Which bucket a key falls into, and what a bucket means.
 *
 * These numbers are a public contract: the same key has the same bucket on
 * every node, CPU and version of this software.
 *
 *     seed   = XXH3_64bits(salt)
 *     hash   = XXH3_64bits_withSeed(key, seed)
 *     bucket = floor(hash * 100000 / 2^64)                      0 .. 99999
 *
 * A percent is kept as its number of buckets: 0.001 % is 1, 100 % is 100000.
 * A key is a candidate iff bucket < percent, so that a higher percent only
 * ever adds keys and a lower one only removes some.
 */


#ifndef CANARY_COHORT_H
#define CANARY_COHORT_H


#include <stdint.h>
#include "str.h"


#define CANARY_BUCKETS          100000
#define CANARY_PERCENT          1000        /* buckets of one percent */
#define CANARY_LADDER_MAX       16

/* "100.000" and the terminating zero */
#define CANARY_PERCENT_LEN      8


typedef struct {
    uint32_t  n;
    uint32_t  stage[CANARY_LADDER_MAX];     /* buckets, ascending; the last
                                               one is CANARY_BUCKETS */
} canary_ladder_t;


extern const canary_ladder_t  canary_ladder_default;    /* 1 5 25 50 100 % */


uint64_t canary_seed(canary_str_t salt);
uint64_t canary_hash(uint64_t seed, canary_str_t key);

/*
 * The stage at which a bucket becomes a candidate: the smallest stage s of
 * the ladder with bucket < s, in buckets.
 */

uint32_t canary_cohort(const canary_ladder_t *ladder, uint32_t bucket);

/*
 * Strict: digits, optionally a dot and 1 to 3 digits, 0 to 100; no sign,
 * exponent, blank, leading zero ("05") or anything else.  Returns 0, or -1
 * and leaves *percent alone.
 */

int canary_percent_parse(canary_str_t text, uint32_t *percent);

/* The shortest text that parses to percent, e.g. "0.5".  Returns its length. */

size_t canary_percent_format(char out[CANARY_PERCENT_LEN], uint32_t percent);

/* "1,5,25,50,100": ascending, unique, above 0, the last one 100. */

int canary_ladder_parse(canary_str_t text, canary_ladder_t *ladder);


/* The upper 64 of the 128 bits of hash * CANARY_BUCKETS. */

static inline uint32_t
canary_bucket(uint64_t hash)
{
    uint64_t  high, low;

    high = (hash >> 32) * CANARY_BUCKETS;
    low = (hash & 0xffffffff) * CANARY_BUCKETS;

    return (uint32_t) ((high + (low >> 32)) >> 32);
}


#endif /* CANARY_COHORT_H */
