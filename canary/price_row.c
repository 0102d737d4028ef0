
#include <string.h>
#include "price_row.h"
#include "usage.h"


/* What a field of a row is. */

typedef struct {
    uint64_t             above;
    unsigned             tier;
    unsigned             rate;
} canary_price_field_t;


typedef struct {
    canary_str_t         name;
    canary_rate_e        rate;
} canary_rate_name_t;


static int canary_price_row_set(canary_price_row_t *row,
    const canary_price_field_t *field, const json_t *value,
    canary_error_t *err);
static canary_band_t *canary_price_row_band(canary_price_row_t *row,
    uint64_t above, unsigned tier);
static int canary_price_row_steps(canary_price_row_t *row,
    const json_t *steps, canary_error_t *err);
static int canary_price_row_step(canary_price_row_t *row, json_t *step,
    canary_error_t *err);
static int canary_price_field(canary_price_field_t *field,
    const char *name);
static const char *canary_price_field_above(canary_price_field_t *field,
    const char *p);
static const char *canary_price_field_after(const char *p,
    canary_str_t prefix);


/* The longer name of two that begin alike comes first. */

static const canary_rate_name_t  canary_rate_names[] = {
    { canary_str("input_cost_per_token"), CANARY_RATE_INPUT },
    { canary_str("output_cost_per_token"), CANARY_RATE_OUTPUT },
    { canary_str("output_cost_per_reasoning_token"), CANARY_RATE_REASONING },
    { canary_str("cache_read_input_token_cost"), CANARY_RATE_CACHE_READ },
    { canary_str("cache_creation_input_token_cost_above_1hr"),
      CANARY_RATE_CACHE_WRITE_1H },
    { canary_str("cache_creation_input_token_cost"),
      CANARY_RATE_CACHE_WRITE },
    { canary_str(""), CANARY_RATE_INPUT }
};


int
canary_price_row(canary_price_row_t *row, const char *name, json_t *json,
    canary_error_t *err)
{
    json_t                *value;
    const char            *key;
    canary_price_field_t   field;

    row->name.data = name;
    row->name.len = strlen(name);
    row->provider.len = 0;
    row->provider.data = NULL;
    row->bands = 0;

    /* the first row of the real file describes the others */

    if (!json_is_object(json)
        || row->name.len == 0
        || strcmp(name, "sample_spec") == 0)
    {
        return 0;
    }

    value = json_object_get(json, "litellm_provider");

    row->provider.data = json_string_value(value);
    row->provider.len = json_string_length(value);

    json_object_foreach(json, key, value) {
        if (canary_price_field(&field, key)
            && canary_price_row_set(row, &field, value, err) != 0)
        {
            return -1;
        }
    }

    return canary_price_row_steps(row, json_object_get(json, "tiered_pricing"),
                               err);
}


static int
canary_price_row_set(canary_price_row_t *row, const canary_price_field_t *field,
    const json_t *value, canary_error_t *err)
{
    double          rate;
    canary_band_t  *band;

    if (json_is_null(value)) {
        return 0;
    }

    rate = json_is_number(value) ? json_number_value(value)
                                 : CANARY_RATE_NONE;

    if (!(rate >= 0 && rate < CANARY_RATE_MAX)) {
        canary_error(err, "model", row->name,
                     "expected rates from 0 to less than 0.01 USD per token");
        return -1;
    }

    band = canary_price_row_band(row, field->above, field->tier);

    if (band == NULL) {
        canary_error(err, "model", row->name,
                     "expected at most 16 sets of rates");
        return -1;
    }

    band->rate[field->rate] = rate;

    return 0;
}


/* The band at hand, or a new one; NULL when there are too many. */

static canary_band_t *
canary_price_row_band(canary_price_row_t *row, uint64_t above, unsigned tier)
{
    unsigned        i;
    canary_band_t  *band;

    for (i = 0; i < row->bands; i++) {
        band = &row->band[i];

        if (band->above == above && band->tier == tier) {
            return band;
        }
    }

    if (row->bands == CANARY_BANDS_MAX) {
        return NULL;
    }

    band = &row->band[row->bands++];

    band->above = above;
    band->tier = tier;

    for (i = 0; i < CANARY_RATES; i++) {
        band->rate[i] = CANARY_RATE_NONE;
    }

    return band;
}


/* The other way to say that long inputs have rates of their own. */

static int
canary_price_row_steps(canary_price_row_t *row, const json_t *steps,
    canary_error_t *err)
{
    size_t   i;
    json_t  *step;

    json_array_foreach(steps, i, step) {
        if (canary_price_row_step(row, step, err) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
canary_price_row_step(canary_price_row_t *row, json_t *step,
    canary_error_t *err)
{
    double                 start;
    json_t                *range, *value;
    const char            *key;
    canary_price_field_t   field;

    range = json_object_get(step, "range");

    /* there are other tiers: of results of a search, for one */

    if (range == NULL) {
        return 0;
    }

    value = json_array_get(range, 0);
    start = json_is_number(value) ? json_number_value(value) : -1;

    if (!(start >= 0 && start <= (double) CANARY_USAGE_COUNT_MAX)) {
        canary_error(err, "model", row->name,
                     "expected tiers of prices with a range of tokens");
        return -1;
    }

    json_object_foreach(step, key, value) {

        if (!canary_price_field(&field, key) || field.above > 0) {
            continue;
        }

        field.above = (uint64_t) start;

        if (canary_price_row_set(row, &field, value, err) != 0) {
            return -1;
        }
    }

    return 0;
}


/*
 * A rate, and in any order what it is for: _above_<n>[k]_tokens, _priority,
 * _flex.  Zero for all other fields, as those for batches.
 */

static int
canary_price_field(canary_price_field_t *field, const char *name)
{
    const char                 *next, *p;
    const canary_rate_name_t   *rate;

    static const canary_str_t   priority = canary_str("_priority");
    static const canary_str_t   flex = canary_str("_flex");

    field->above = 0;
    field->tier = CANARY_TIER_STANDARD;
    p = NULL;

    for (rate = canary_rate_names; rate->name.len > 0; rate++) {
        p = canary_price_field_after(name, rate->name);

        if (p) {
            break;
        }
    }

    if (p == NULL) {
        return 0;
    }

    field->rate = rate->rate;

    while (*p != '\0') {

        if ((next = canary_price_field_after(p, priority)) != NULL) {
            field->tier = CANARY_TIER_PRIORITY;

        } else if ((next = canary_price_field_after(p, flex)) != NULL) {
            field->tier = CANARY_TIER_FLEX;

        } else if ((next = canary_price_field_above(field, p)) == NULL) {
            return 0;
        }

        p = next;
    }

    return 1;
}


static const char *
canary_price_field_above(canary_price_field_t *field, const char *p)
{
    uint64_t                   n;

    static const canary_str_t  above = canary_str("_above_");
    static const canary_str_t  tokens = canary_str("_tokens");

    p = canary_price_field_after(p, above);

    if (p == NULL) {
        return NULL;
    }

    for (n = 0; *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (uint64_t) (*p - '0');

        if (n > CANARY_USAGE_COUNT_MAX) {
            return NULL;
        }
    }

    if (*p == 'k') {
        n *= 1000;
        p++;
    }

    field->above = n;

    return n > 0 ? canary_price_field_after(p, tokens) : NULL;
}


/* What follows the prefix, or NULL. */

static const char *
canary_price_field_after(const char *p, canary_str_t prefix)
{
    return strncmp(p, prefix.data, prefix.len) == 0 ? p + prefix.len : NULL;
}
