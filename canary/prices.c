
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "json.h"
#include "price_row.h"
#include "prices.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


/* Of the longest provider that is put before a name. */
#define CANARY_PROVIDER_MAX  16


typedef struct {
    uint32_t             start;             /* of the name, in names */
    uint32_t             len;               /* 0: free */
    uint32_t             hash;
    uint32_t             provider;          /* its hash */
    uint32_t             band;              /* the first, in bands */
    uint32_t             bands;
} canary_price_t;


/* One allocation: this, the bands, the slots, the bytes of the names. */

struct canary_prices_s {
    size_t               size;
    size_t               count;
    size_t               rejected;
    size_t               mask;              /* slots - 1 */
    size_t               names_len;
    size_t               bands_len;
    char                *names;
    canary_price_t      *slots;
    canary_error_t       reason;
    canary_band_t        bands[];
};


static canary_prices_t *canary_prices_create(json_t *root,
    canary_str_t json, canary_error_t *err);
static canary_prices_t *canary_prices_alloc(size_t count, size_t bands,
    size_t names_len);
static void canary_prices_add(canary_prices_t *prices,
    const canary_price_row_t *row);
static size_t canary_prices_search(const canary_prices_t *prices,
    canary_str_t name, uint32_t hash);
static const canary_price_t *canary_prices_find(const canary_prices_t *prices,
    const canary_usage_t *usage);
static const canary_price_t *canary_prices_get(const canary_prices_t *prices,
    canary_str_t name);
static const canary_price_t *canary_prices_get_of(
    const canary_prices_t *prices, canary_api_e api, canary_str_t name);
static const canary_price_t *canary_prices_get_split(
    const canary_prices_t *prices, canary_str_t name);
static canary_str_t canary_prices_stable(canary_str_t name);
static canary_str_t canary_prices_tuned(canary_str_t name);
static canary_priced_e canary_prices_sum(const canary_prices_t *prices,
    const canary_price_t *price, const canary_usage_t *usage, double *usd);
static double canary_prices_rate(const canary_prices_t *prices,
    const canary_price_t *price, const canary_usage_t *usage,
    canary_rate_e rate);
static double canary_prices_band_rate(const canary_prices_t *prices,
    const canary_price_t *price, uint64_t above, unsigned tier,
    canary_rate_e rate);
static uint32_t canary_prices_hash(canary_str_t s);


static const char  canary_prices_expected[] =
    "expected a JSON object of models and their prices";


const canary_str_t  canary_priced_names[CANARY_PRICED_REASONS] = {
    canary_str("priced"),
    canary_str("no_usage"),
    canary_str("malformed_usage"),
    canary_str("no_model"),
    canary_str("unknown_model"),
    canary_str("no_rate")
};


canary_prices_t *
canary_prices_parse(canary_str_t json, canary_error_t *err)
{
    json_t           *root;
    canary_prices_t  *prices;

    /* LiteLLM's file had models twice for months, and Python takes the last */

    root = canary_json_load_foreign("prices", json, canary_prices_expected,
                                    err);

    if (root == NULL) {
        return NULL;
    }

    if (json_is_object(root)) {
        prices = canary_prices_create(root, json, err);

    } else {
        canary_error(err, "prices", json, canary_prices_expected);
        prices = NULL;
    }

    json_decref(root);

    return prices;
}


/* The first round counts, the second one fills. */

static canary_prices_t *
canary_prices_create(json_t *root, canary_str_t json, canary_error_t *err)
{
    size_t               bands, count, names_len, rejected;
    json_t              *value;
    const char          *name;
    canary_error_t       ignored, reason;
    canary_prices_t     *prices;
    canary_price_row_t   row;

    bands = 0;
    count = 0;
    names_len = 0;
    rejected = 0;
    reason.text[0] = '\0';

    json_object_foreach(root, name, value) {

        if (canary_price_row(&row, name, value,
                              rejected ? &ignored : &reason) != 0)
        {
            rejected++;
            continue;
        }

        if (row.bands > 0) {
            count++;
            bands += row.bands;
            names_len += row.name.len;
        }
    }

    if (count == 0) {
        canary_error(err, "prices", json, rejected
                     ? reason.text : "expected a model with a price");
        return NULL;
    }

    prices = canary_prices_alloc(count, bands, names_len);

    if (prices == NULL) {
        canary_error(err, "prices", json, "out of memory");
        return NULL;
    }

    prices->rejected = rejected;
    prices->reason = reason;

    json_object_foreach(root, name, value) {
        if (canary_price_row(&row, name, value, &ignored) == 0
            && row.bands > 0)
        {
            canary_prices_add(prices, &row);
        }
    }

    return prices;
}


static canary_prices_t *
canary_prices_alloc(size_t count, size_t bands, size_t names_len)
{
    size_t            size, slots;
    canary_prices_t  *prices;

    /* at least half of the slots stay free, so that a search ends soon */

    for (slots = 2; slots < 2 * count; slots *= 2) { /* void */ }

    size = sizeof(canary_prices_t) + bands * sizeof(canary_band_t)
           + slots * sizeof(canary_price_t) + names_len;

    prices = calloc(1, size);

    if (prices == NULL) {
        return NULL;
    }

    prices->size = size;
    prices->mask = slots - 1;
    prices->slots = (canary_price_t *) &prices->bands[bands];
    prices->names = (char *) &prices->slots[slots];

    return prices;
}


static void
canary_prices_add(canary_prices_t *prices, const canary_price_row_t *row)
{
    uint32_t         hash;
    canary_price_t  *price;

    hash = canary_prices_hash(row->name);
    price = &prices->slots[canary_prices_search(prices, row->name, hash)];

    price->start = (uint32_t) prices->names_len;
    price->len = (uint32_t) row->name.len;
    price->hash = hash;
    price->provider = row->provider.data ? canary_prices_hash(row->provider)
                                         : 0;
    price->band = (uint32_t) prices->bands_len;
    price->bands = row->bands;

    (void) canary_put_str(prices->names + prices->names_len, row->name);

    memcpy(&prices->bands[prices->bands_len], row->band,
           row->bands * sizeof(canary_band_t));

    prices->names_len += row->name.len;
    prices->bands_len += row->bands;
    prices->count++;
}


void
canary_prices_free(canary_prices_t *prices)
{
    free(prices);
}


size_t
canary_prices_count(const canary_prices_t *prices)
{
    return prices->count;
}


size_t
canary_prices_size(const canary_prices_t *prices)
{
    return prices->size;
}


size_t
canary_prices_rejected(const canary_prices_t *prices)
{
    return prices->rejected;
}


const char *
canary_prices_reason(const canary_prices_t *prices)
{
    return prices->reason.text;
}


canary_priced_e
canary_prices_cost(const canary_prices_t *prices, const canary_usage_t *usage,
    double *usd)
{
    const canary_price_t  *price;

    if (usage->state == CANARY_USAGE_MALFORMED) {
        return CANARY_UNPRICED_MALFORMED;
    }

    if (usage->state != CANARY_USAGE_COMPLETE) {
        return CANARY_UNPRICED_USAGE;
    }

    if (usage->model_len == 0) {
        return CANARY_UNPRICED_MODEL;
    }

    price = usage->model_cut ? NULL : canary_prices_find(prices, usage);

    if (price == NULL) {
        return CANARY_UNPRICED_UNKNOWN;
    }

    return canary_prices_sum(prices, price, usage, usd);
}


/*
 * Cached input without a rate of its own costs what other input costs, an
 * hour in the cache at least what five minutes cost, and reasoning what
 * other output costs.
 */

static canary_priced_e
canary_prices_sum(const canary_prices_t *prices, const canary_price_t *price,
    const canary_usage_t *usage, double *usd)
{
    double     cost, rate[CANARY_RATES];
    uint64_t   tokens[CANARY_RATES];
    unsigned   i;

    static const canary_rate_e  instead[CANARY_RATES] = {
        CANARY_RATE_INPUT,
        CANARY_RATE_OUTPUT,
        CANARY_RATE_OUTPUT,
        CANARY_RATE_INPUT,
        CANARY_RATE_INPUT,
        CANARY_RATE_CACHE_WRITE
    };

    tokens[CANARY_RATE_INPUT] = usage->input - usage->cache_read
                                - usage->cache_write - usage->cache_write_1h;
    tokens[CANARY_RATE_OUTPUT] = usage->output - usage->reasoning;
    tokens[CANARY_RATE_REASONING] = usage->reasoning;
    tokens[CANARY_RATE_CACHE_READ] = usage->cache_read;
    tokens[CANARY_RATE_CACHE_WRITE] = usage->cache_write;
    tokens[CANARY_RATE_CACHE_WRITE_1H] = usage->cache_write_1h;

    cost = 0;

    for (i = 0; i < CANARY_RATES; i++) {
        rate[i] = canary_prices_rate(prices, price, usage,
                                     (canary_rate_e) i);

        if (rate[i] < 0) {
            rate[i] = rate[instead[i]];
        }

        if (tokens[i] == 0) {
            continue;
        }

        if (rate[i] < 0) {
            return CANARY_UNPRICED_RATE;
        }

        cost += (double) tokens[i] * rate[i];
    }

    *usd = cost;

    return CANARY_PRICED;
}


/*
 * The names that LiteLLM looks a model up by: as the answer has it; behind
 * its provider; without a provider before it, when the row is that one's; a
 * tuned model by what it was tuned from; a stable version of Gemini without
 * its number.
 */

static const canary_price_t *
canary_prices_find(const canary_prices_t *prices, const canary_usage_t *usage)
{
    canary_str_t           name;
    const canary_price_t  *price;

    name.data = usage->model;
    name.len = usage->model_len;

    price = canary_prices_get(prices, name);

    if (price == NULL) {
        price = canary_prices_get_of(prices, usage->api, name);
    }

    if (price == NULL) {
        price = canary_prices_get_split(prices, name);
    }

    if (price == NULL) {
        price = canary_prices_get(prices, canary_prices_tuned(name));
    }

    if (price == NULL && usage->api == CANARY_API_GEMINI) {
        name = canary_prices_stable(name);
        price = canary_prices_get(prices, name);

        if (price == NULL) {
            price = canary_prices_get_of(prices, usage->api, name);
        }
    }

    return price;
}


static const canary_price_t *
canary_prices_get(const canary_prices_t *prices, canary_str_t name)
{
    const canary_price_t  *price;

    price = &prices->slots[canary_prices_search(prices, name,
                                                canary_prices_hash(name))];

    return price->len > 0 ? price : NULL;
}


static const canary_price_t *
canary_prices_get_of(const canary_prices_t *prices, canary_api_e api,
    canary_str_t name)
{
    char                      *end;
    char                       text[CANARY_PROVIDER_MAX
                                    + CANARY_USAGE_MODEL_MAX];
    canary_str_t               full;

    static const canary_str_t  providers[CANARY_APIS] = {
        canary_str(""),
        canary_str("openai/"),
        canary_str("openai/"),
        canary_str("anthropic/"),
        canary_str("gemini/"),
        canary_str("bedrock/")
    };

    end = canary_put_str(text, providers[api]);
    end = canary_put_str(end, name);

    full.data = text;
    full.len = (size_t) (end - text);

    return canary_prices_get(prices, full);
}


static const canary_price_t *
canary_prices_get_split(const canary_prices_t *prices, canary_str_t name)
{
    const char            *slash;
    canary_str_t           model, provider;
    const canary_price_t  *price;

    slash = memchr(name.data, '/', name.len);

    if (slash == NULL) {
        return NULL;
    }

    provider.data = name.data;
    provider.len = (size_t) (slash - name.data);
    model.data = slash + 1;
    model.len = name.len - provider.len - 1;

    price = canary_prices_get(prices, model);

    return price && price->provider == canary_prices_hash(provider) ? price
                                                                    : NULL;
}


/* ft:<model>:<organization>:<suffix>:<id> */

static canary_str_t
canary_prices_tuned(canary_str_t name)
{
    const char                *colon;

    static const canary_str_t  tuned = canary_str("ft:");

    if (name.len > tuned.len && memcmp(name.data, tuned.data, tuned.len) == 0)
    {
        colon = memchr(name.data + tuned.len, ':', name.len - tuned.len);

        if (colon) {
            name.len = (size_t) (colon - name.data);
        }
    }

    return name;
}


/* <model>-<digits> */

static canary_str_t
canary_prices_stable(canary_str_t name)
{
    size_t  len;

    len = name.len;

    while (len > 0 && name.data[len - 1] >= '0' && name.data[len - 1] <= '9') {
        len--;
    }

    if (len > 1 && len < name.len && name.data[len - 1] == '-') {
        name.len = len - 1;
    }

    return name;
}


/*
 * Inputs above a number of tokens have all their tokens at the rates for
 * that; what has no such rate, or none of the tier, has the usual one.
 */

static double
canary_prices_rate(const canary_prices_t *prices, const canary_price_t *price,
    const canary_usage_t *usage, canary_rate_e rate)
{
    double                found;
    uint32_t              i;
    uint64_t              above;
    const canary_band_t  *band;

    above = 0;

    for (i = 0; i < price->bands; i++) {
        band = &prices->bands[price->band + i];

        if (band->above > above
            && band->above < usage->input
            && band->rate[CANARY_RATE_INPUT] >= 0)
        {
            above = band->above;
        }
    }

    found = canary_prices_band_rate(prices, price, above, usage->tier, rate);

    if (found < 0 && above > 0) {
        found = canary_prices_band_rate(prices, price, 0, usage->tier, rate);
    }

    return found;
}


static double
canary_prices_band_rate(const canary_prices_t *prices,
    const canary_price_t *price, uint64_t above, unsigned tier,
    canary_rate_e rate)
{
    double                usual;
    uint32_t              i;
    const canary_band_t  *band;

    usual = CANARY_RATE_NONE;

    for (i = 0; i < price->bands; i++) {
        band = &prices->bands[price->band + i];

        if (band->above != above || band->rate[rate] < 0) {
            continue;
        }

        if (band->tier == tier) {
            return band->rate[rate];
        }

        if (band->tier == CANARY_TIER_STANDARD) {
            usual = band->rate[rate];
        }
    }

    return usual;
}


/* Where the name is, or the free slot where it belongs. */

static size_t
canary_prices_search(const canary_prices_t *prices, canary_str_t name,
    uint32_t hash)
{
    size_t                 i;
    const canary_price_t  *price;

    for (i = hash & prices->mask; /* void */ ; i = (i + 1) & prices->mask) {
        price = &prices->slots[i];

        if (price->len == 0
            || (price->hash == hash
                && price->len == name.len
                && memcmp(prices->names + price->start, name.data, name.len)
                   == 0))
        {
            return i;
        }
    }
}


static uint32_t
canary_prices_hash(canary_str_t s)
{
    return (uint32_t) XXH3_64bits(s.data, s.len);
}
