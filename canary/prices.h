
/*
 * What tokens cost: the price map of LiteLLM, as one immutable table.
 *
 * A price is either known or it is not: an unknown model, a usage that is
 * not whole, or a rate that is needed and missing never cost nothing.
 */


#ifndef CANARY_PRICES_H
#define CANARY_PRICES_H


#include "record.h"
#include "str.h"
#include "usage.h"


/* Bytes of JSON that are read; LiteLLM's own file has 1.6 million. */

#define CANARY_PRICES_MAX  CANARY_RECORD_MAX


typedef enum {
    CANARY_PRICED = 0,
    CANARY_UNPRICED_USAGE,                  /* none, or not whole */
    CANARY_UNPRICED_MALFORMED,              /* usage */
    CANARY_UNPRICED_MODEL,                  /* the answer names none */
    CANARY_UNPRICED_UNKNOWN,                /* model */
    CANARY_UNPRICED_RATE                    /* the model has none for it */
} canary_priced_e;


#define CANARY_PRICED_REASONS  6


typedef struct canary_prices_s  canary_prices_t;


/*
 * Returns the prices in the JSON, to be freed by the caller, or NULL and an
 * error.  A row with a rate that is none is left out as a whole: its model
 * is unknown then.
 */

canary_prices_t *canary_prices_parse(canary_str_t json, canary_error_t *err);

/* Accepts NULL. */

void canary_prices_free(canary_prices_t *prices);

/* The models that have a price, and the bytes they take. */

size_t canary_prices_count(const canary_prices_t *prices);
size_t canary_prices_size(const canary_prices_t *prices);

/* The rows that were left out, and what is wrong with the first of them. */

size_t canary_prices_rejected(const canary_prices_t *prices);
const char *canary_prices_reason(const canary_prices_t *prices);

/* Sets *usd if the answer could be priced, and otherwise leaves it alone. */

canary_priced_e canary_prices_cost(const canary_prices_t *prices,
    const canary_usage_t *usage, double *usd);


extern const canary_str_t  canary_priced_names[CANARY_PRICED_REASONS];


#endif /* CANARY_PRICES_H */
