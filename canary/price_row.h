
/*
 * A row of LiteLLM's price map: a model, and what its tokens cost.
 */


#ifndef CANARY_PRICE_ROW_H
#define CANARY_PRICE_ROW_H


#include <jansson.h>
#include <stdint.h>
#include "str.h"


/*
 * USD for one token; the dearest model there is takes 0.0006.  Rates beyond
 * are mistakes, as when a price for a million tokens was put in.
 */

#define CANARY_RATE_MAX    0.01

#define CANARY_RATE_NONE   (-1.0)

/* More sets of rates than any model has. */

#define CANARY_BANDS_MAX   16


typedef enum {
    CANARY_RATE_INPUT = 0,
    CANARY_RATE_OUTPUT,
    CANARY_RATE_REASONING,
    CANARY_RATE_CACHE_READ,
    CANARY_RATE_CACHE_WRITE,
    CANARY_RATE_CACHE_WRITE_1H
} canary_rate_e;


#define CANARY_RATES  6


/* The rates of one service tier for inputs above a number of tokens. */

typedef struct {
    uint64_t       above;
    uint32_t       tier;
    double         rate[CANARY_RATES];
} canary_band_t;


/* The texts are those of the JSON. */

typedef struct {
    canary_str_t   name;
    canary_str_t   provider;                /* data NULL: it names none */
    uint32_t       bands;
    canary_band_t  band[CANARY_BANDS_MAX];
} canary_price_row_t;


/*
 * Returns 0 and a row, which may have no rates and then is no price; or -1
 * and an error when one of its rates is none.
 */

int canary_price_row(canary_price_row_t *row, const char *name, json_t *json,
    canary_error_t *err);


#endif /* CANARY_PRICE_ROW_H */
