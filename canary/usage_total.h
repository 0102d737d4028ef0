
/*
 * What the counts of an answer add up to, by the rule of each API.
 */


#ifndef CANARY_USAGE_TOTAL_H
#define CANARY_USAGE_TOTAL_H


#include "usage.h"


/* The counts, by the names that the APIs have for them. */

typedef enum {
    CANARY_COUNT_PROMPT = 0,
    CANARY_COUNT_COMPLETION,
    CANARY_COUNT_INPUT,
    CANARY_COUNT_OUTPUT,
    CANARY_COUNT_TOTAL,
    CANARY_COUNT_DETAIL_READ,
    CANARY_COUNT_DETAIL_WRITE,
    CANARY_COUNT_REASONING,
    CANARY_COUNT_CACHE_HIT,
    CANARY_COUNT_CACHE_READ,
    CANARY_COUNT_CACHE_WRITE,
    CANARY_COUNT_WRITE_5M,
    CANARY_COUNT_WRITE_1H,
    CANARY_COUNT_GEMINI_PROMPT,
    CANARY_COUNT_GEMINI_TOOL,
    CANARY_COUNT_GEMINI_CANDIDATES,
    CANARY_COUNT_GEMINI_THOUGHTS,
    CANARY_COUNT_GEMINI_TOTAL,
    CANARY_COUNT_GEMINI_CACHED,
    CANARY_COUNT_BEDROCK_INPUT,
    CANARY_COUNT_BEDROCK_OUTPUT,
    CANARY_COUNT_BEDROCK_READ,
    CANARY_COUNT_BEDROCK_WRITE
} canary_count_e;


#define canary_bit(name)        ((uint32_t) 1 << CANARY_COUNT_ ## name)
#define canary_count(c, name)   ((c)->count[CANARY_COUNT_ ## name])
#define canary_has(c, name)     ((c)->present & canary_bit(name))


/* Sets the tokens of *usage; they hold if it returns _COMPLETE. */

canary_usage_state_e canary_usage_total(canary_usage_t *usage,
    const canary_usage_counts_t *c);


#endif /* CANARY_USAGE_TOTAL_H */
