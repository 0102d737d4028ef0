
/* The first line is the name of a model, what follows a file of prices. */

#include <math.h>
#include <string.h>
#include "fuzz.h"
#include "price_row.h"
#include "prices.h"


static void
check_cost(const canary_prices_t *prices, canary_usage_t *usage)
{
    double    usd;
    unsigned  tier;

    for (tier = 0; tier < CANARY_TIERS; tier++) {
        usage->tier = (canary_tier_e) tier;
        usd = -1;

        if (canary_prices_cost(prices, usage, &usd) == CANARY_PRICED) {
            fuzz_check(isfinite(usd) && usd >= 0);
            fuzz_check(usd <= (double) (usage->input + usage->output)
                              * CANARY_RATE_MAX);

        } else {
            fuzz_check(usd < 0);
        }
    }
}


static void
check(const canary_prices_t *prices, canary_str_t model)
{
    unsigned        api;
    canary_usage_t  usage;

    memset(&usage, 0, sizeof(usage));

    usage.state = CANARY_USAGE_COMPLETE;
    usage.model_len = model.len;
    memcpy(usage.model, model.data, model.len);

    for (api = 0; api < CANARY_APIS; api++) {
        usage.api = (canary_api_e) api;

        usage.input = 1000;
        usage.output = 100;
        usage.cache_read = 0;
        usage.reasoning = 0;
        check_cost(prices, &usage);

        usage.input = CANARY_USAGE_COUNT_MAX;
        usage.output = CANARY_USAGE_COUNT_MAX;
        usage.cache_read = 5;
        usage.cache_write = 6;
        usage.cache_write_1h = 7;
        usage.reasoning = 8;
        check_cost(prices, &usage);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t    *lf;
    canary_str_t      json, model;
    canary_error_t    err;
    canary_prices_t  *prices;

    lf = size ? memchr(data, '\n', size) : NULL;

    if (lf == NULL || lf - data > CANARY_USAGE_MODEL_MAX) {
        return 0;
    }

    model.data = (const char *) data;
    model.len = (size_t) (lf - data);
    json.data = (const char *) lf + 1;
    json.len = size - model.len - 1;

    err.text[0] = '\0';
    prices = canary_prices_parse(json, &err);

    if (prices == NULL) {
        fuzz_check(err.text[0] != '\0');
        return 0;
    }

    fuzz_check(canary_prices_count(prices) > 0);
    fuzz_check(canary_prices_rejected(prices) == 0
               || canary_prices_reason(prices)[0] != '\0');

    check(prices, model);
    canary_prices_free(prices);

    return 0;
}
