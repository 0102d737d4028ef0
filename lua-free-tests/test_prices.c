
#include <math.h>
#include <stdio.h>
#include "prices.h"
#include "support.h"


/* In the form of LiteLLM's file, with made-up prices: easy to add up. */

static const char  map[] =
    "{\"sample_spec\":{\"input_cost_per_token\":0.0001,"
        "\"output_cost_per_token\":0.0001,\"max_tokens\":\"a number\"},"
    "\"last_updated\":\"2026-01-01\","
    "\"plain\":{\"litellm_provider\":\"openai\",\"mode\":\"chat\","
        "\"input_cost_per_token\":2e-06,\"output_cost_per_token\":8e-06,"
        "\"input_cost_per_token_batches\":1e-06},"
    "\"cached\":{\"litellm_provider\":\"anthropic\","
        "\"input_cost_per_token\":4e-06,\"output_cost_per_token\":2e-05,"
        "\"cache_read_input_token_cost\":4e-07,"
        "\"cache_creation_input_token_cost\":5e-06,"
        "\"cache_creation_input_token_cost_above_1hr\":8e-06},"
    "\"half\":{\"input_cost_per_token\":4e-06,"
        "\"output_cost_per_token\":2e-05,"
        "\"cache_creation_input_token_cost\":5e-06},"
    "\"thinker\":{\"input_cost_per_token\":1e-06,"
        "\"output_cost_per_token\":2e-06,"
        "\"output_cost_per_reasoning_token\":3e-06},"
    "\"long\":{\"input_cost_per_token\":1e-06,"
        "\"input_cost_per_token_above_128k_tokens\":2e-06,"
        "\"input_cost_per_token_above_200000_tokens\":4e-06,"
        "\"output_cost_per_token\":1e-05,"
        "\"output_cost_per_token_above_200000_tokens\":3e-05,"
        "\"cache_read_input_token_cost\":1e-07,"
        "\"cache_read_input_token_cost_above_200000_tokens\":4e-07,"
        "\"input_cost_per_token_priority\":5e-06,"
        "\"input_cost_per_token_above_200000_tokens_priority\":6e-06,"
        "\"output_cost_per_token_flex\":5e-06},"
    "\"steps\":{\"tiered_pricing\":["
        "{\"range\":[0,1000.0],\"input_cost_per_token\":1e-06,"
            "\"output_cost_per_token\":2e-06},"
        "{\"range\":[1000.0,2000.0],\"input_cost_per_token\":3e-06,"
            "\"output_cost_per_token\":4e-06},"
        "{\"max_results_range\":[0,25],\"input_cost_per_query\":0.005}]},"
    "\"free\":{\"input_cost_per_token\":0,\"output_cost_per_token\":0.0},"
    "\"input-only\":{\"input_cost_per_token\":1e-06,"
        "\"output_cost_per_token\":null},"
    "\"output-only\":{\"output_cost_per_token\":1e-06},"
    "\"picture\":{\"mode\":\"image_generation\","
        "\"input_cost_per_image\":0.04},"
    "\"ft:plain\":{\"input_cost_per_token\":3e-06,"
        "\"output_cost_per_token\":9e-06},"
    "\"gemini/flash\":{\"litellm_provider\":\"gemini\","
        "\"input_cost_per_token\":1e-07,\"output_cost_per_token\":1e-07},"
    "\"per-million\":{\"input_cost_per_token\":0.055,"
        "\"output_cost_per_token\":0.2}"
    "}";


static canary_prices_t *
parse(const char *json)
{
    canary_error_t    err;
    canary_prices_t  *prices;

    prices = canary_prices_parse(text_str(json), &err);

    if (prices == NULL) {
        fail_msg("%s", err.text);
    }

    return prices;
}


static canary_usage_t
usage_of(const char *model, uint64_t input, uint64_t output)
{
    canary_usage_t  usage;

    memset(&usage, 0, sizeof(usage));

    usage.state = CANARY_USAGE_COMPLETE;
    usage.api = CANARY_API_CHAT;
    usage.input = input;
    usage.output = output;
    usage.model_len = strlen(model);
    memcpy(usage.model, model, usage.model_len);

    return usage;
}


static void
assert_cost(const canary_prices_t *prices, const canary_usage_t *usage,
    double expected)
{
    double           usd;
    canary_priced_e  priced;

    usd = -1;
    priced = canary_prices_cost(prices, usage, &usd);

    if (priced != CANARY_PRICED || fabs(usd - expected) > 1e-9 * expected) {
        fail_msg("%s: %s, %.12g instead of %.12g", usage->model,
                 canary_priced_names[priced].data, usd, expected);
    }
}


static void
assert_unpriced(const canary_prices_t *prices, const canary_usage_t *usage,
    canary_priced_e expected)
{
    double           usd;
    canary_priced_e  priced;

    usd = -1;
    priced = canary_prices_cost(prices, usage, &usd);

    if (priced != expected || usd >= 0) {
        fail_msg("%s: %s instead of %s", usage->model,
                 canary_priced_names[priced].data,
                 canary_priced_names[expected].data);
    }
}


static void
rows_without_a_price_are_left_out(void **state)
{
    canary_prices_t  *prices;

    (void) state;

    prices = parse(map);

    assert_int_equal(canary_prices_count(prices), 11);
    assert_int_equal(canary_prices_rejected(prices), 1);
    assert_string_equal(canary_prices_reason(prices),
                        "model \"per-million\": expected rates from 0 to "
                        "less than 0.01 USD per token");
    assert_true(canary_prices_size(prices) < 8192);

    canary_prices_free(prices);
    canary_prices_free(NULL);
}


static void
input_and_output_are_added_up(void **state)
{
    canary_usage_t    usage;
    canary_prices_t  *prices;

    (void) state;

    prices = parse(map);

    usage = usage_of("plain", 1000, 100);
    assert_cost(prices, &usage, 0.002 + 0.0008);

    usage = usage_of("plain", 0, 0);
    assert_cost(prices, &usage, 0);

    usage = usage_of("free", 1000, 100);
    assert_cost(prices, &usage, 0);

    /* the largest counts there are */

    usage = usage_of("plain", CANARY_USAGE_COUNT_MAX, CANARY_USAGE_COUNT_MAX);
    assert_cost(prices, &usage, 1e7);

    canary_prices_free(prices);
}


static void
cached_tokens_are_never_free(void **state)
{
    canary_usage_t    usage;
    canary_prices_t  *prices;

    (void) state;

    prices = parse(map);

    usage = usage_of("cached", 1000, 0);
    usage.cache_read = 500;
    usage.cache_write = 200;
    usage.cache_write_1h = 100;
    assert_cost(prices, &usage,
                200 * 4e-06 + 500 * 4e-07 + 200 * 5e-06 + 100 * 8e-06);

    /* no rate for reading, nor for an hour */

    memcpy(usage.model, "half", 5);
    usage.model_len = 4;
    assert_cost(prices, &usage, 200 * 4e-06 + 500 * 4e-06 + 300 * 5e-06);

    /* none at all */

    memcpy(usage.model, "plain", 6);
    usage.model_len = 5;
    assert_cost(prices, &usage, 1000 * 2e-06);

    canary_prices_free(prices);
}


static void
reasoning_has_its_rate_or_that_of_output(void **state)
{
    canary_usage_t    usage;
    canary_prices_t  *prices;

    (void) state;

    prices = parse(map);

    usage = usage_of("thinker", 10, 100);
    usage.reasoning = 60;
    assert_cost(prices, &usage, 10 * 1e-06 + 40 * 2e-06 + 60 * 3e-06);

    usage = usage_of("plain", 10, 100);
    usage.reasoning = 60;
    assert_cost(prices, &usage, 10 * 2e-06 + 100 * 8e-06);

    canary_prices_free(prices);
}


static void
long_inputs_have_rates_of_their_own(void **state)
{
    canary_usage_t    usage;
    canary_prices_t  *prices;

    (void) state;

    prices = parse(map);

    usage = usage_of("long", 128000, 10);
    assert_cost(prices, &usage, 128000 * 1e-06 + 10 * 1e-05);

    usage = usage_of("long", 128001, 10);
    assert_cost(prices, &usage, 128001 * 2e-06 + 10 * 1e-05);

    usage = usage_of("long", 200001, 10);
    usage.cache_read = 1;
    assert_cost(prices, &usage, 200000 * 4e-06 + 4e-07 + 10 * 3e-05);

    usage = usage_of("steps", 1000, 1);
    assert_cost(prices, &usage, 1000 * 1e-06 + 2e-06);

    usage = usage_of("steps", 1001, 1);
    assert_cost(prices, &usage, 1001 * 3e-06 + 4e-06);

    usage = usage_of("steps", 5000, 1);
    assert_cost(prices, &usage, 5000 * 3e-06 + 4e-06);

    canary_prices_free(prices);
}


static void
service_tiers_have_rates_of_their_own(void **state)
{
    canary_usage_t    usage;
    canary_prices_t  *prices;

    (void) state;

    prices = parse(map);

    usage = usage_of("long", 1000, 10);
    usage.tier = CANARY_TIER_PRIORITY;
    assert_cost(prices, &usage, 1000 * 5e-06 + 10 * 1e-05);

    usage.tier = CANARY_TIER_FLEX;
    assert_cost(prices, &usage, 1000 * 1e-06 + 10 * 5e-06);

    usage = usage_of("long", 300000, 10);
    usage.tier = CANARY_TIER_PRIORITY;
    assert_cost(prices, &usage, 300000 * 6e-06 + 10 * 3e-05);

    canary_prices_free(prices);
}


static void
what_is_not_known_has_no_price(void **state)
{
    canary_usage_t    usage;
    canary_prices_t  *prices;

    (void) state;

    prices = parse(map);

    usage = usage_of("unknown", 10, 10);
    assert_unpriced(prices, &usage, CANARY_UNPRICED_UNKNOWN);

    usage = usage_of("sample_spec", 10, 10);
    assert_unpriced(prices, &usage, CANARY_UNPRICED_UNKNOWN);

    usage = usage_of("per-million", 10, 10);
    assert_unpriced(prices, &usage, CANARY_UNPRICED_UNKNOWN);

    usage = usage_of("picture", 10, 10);
    assert_unpriced(prices, &usage, CANARY_UNPRICED_UNKNOWN);

    usage = usage_of("Plain", 10, 10);
    assert_unpriced(prices, &usage, CANARY_UNPRICED_UNKNOWN);

    usage = usage_of("", 10, 10);
    assert_unpriced(prices, &usage, CANARY_UNPRICED_MODEL);

    usage = usage_of("plain", 10, 10);
    usage.model_cut = 1;
    assert_unpriced(prices, &usage, CANARY_UNPRICED_UNKNOWN);

    usage = usage_of("plain", 10, 10);
    usage.state = CANARY_USAGE_ABSENT;
    assert_unpriced(prices, &usage, CANARY_UNPRICED_USAGE);

    usage.state = CANARY_USAGE_PARTIAL;
    assert_unpriced(prices, &usage, CANARY_UNPRICED_USAGE);

    usage.state = CANARY_USAGE_MALFORMED;
    assert_unpriced(prices, &usage, CANARY_UNPRICED_MALFORMED);

    usage = usage_of("input-only", 10, 10);
    assert_unpriced(prices, &usage, CANARY_UNPRICED_RATE);

    usage = usage_of("input-only", 10, 0);
    assert_cost(prices, &usage, 10 * 1e-06);

    usage = usage_of("output-only", 1, 10);
    assert_unpriced(prices, &usage, CANARY_UNPRICED_RATE);

    usage = usage_of("output-only", 1, 10);
    usage.cache_read = 1;
    assert_unpriced(prices, &usage, CANARY_UNPRICED_RATE);

    canary_prices_free(prices);
}


static void
models_are_found_by_the_names_they_have(void **state)
{
    unsigned          i;
    canary_usage_t    usage;
    canary_prices_t  *prices;

    static const struct {
        const char    *model;
        canary_api_e   api;
        double         cost;                /* 0: unknown */
    } models[] = {
        { "plain", CANARY_API_CHAT, 2e-05 },
        { "openai/plain", CANARY_API_CHAT, 2e-05 },
        { "openai/plain", CANARY_API_ANTHROPIC, 2e-05 },
        { "azure/plain", CANARY_API_CHAT, 0 },
        { "openai/cached", CANARY_API_CHAT, 0 },
        { "anthropic/cached", CANARY_API_CHAT, 4e-05 },
        { "openai/", CANARY_API_CHAT, 0 },
        { "/plain", CANARY_API_CHAT, 0 },
        { "/", CANARY_API_CHAT, 0 },
        { "a/openai/plain", CANARY_API_CHAT, 0 },
        { "thinker-2024-08-06", CANARY_API_CHAT, 0 },
        { "ft:plain:acme:suffix:id", CANARY_API_CHAT, 3e-05 },
        { "ft:plain:acme::id", CANARY_API_CHAT, 3e-05 },
        { "ft:unknown:acme::id", CANARY_API_CHAT, 0 },
        { "ft:", CANARY_API_CHAT, 0 },
        { "flash", CANARY_API_GEMINI, 1e-06 },
        { "gemini/flash", CANARY_API_CHAT, 1e-06 },
        { "flash-001", CANARY_API_GEMINI, 1e-06 },
        { "plain-001", CANARY_API_GEMINI, 2e-05 },
        { "plain-001", CANARY_API_CHAT, 0 },
        { "flash-", CANARY_API_GEMINI, 0 },
        { "-1", CANARY_API_GEMINI, 0 },
        { "1", CANARY_API_GEMINI, 0 },
        { "flash", CANARY_API_CHAT, 0 }
    };

    (void) state;

    prices = parse(map);

    for (i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        usage = usage_of(models[i].model, 10, 0);
        usage.api = models[i].api;

        if (models[i].cost > 0) {
            assert_cost(prices, &usage, models[i].cost);

        } else {
            assert_unpriced(prices, &usage, CANARY_UNPRICED_UNKNOWN);
        }
    }

    canary_prices_free(prices);
}


/* One wrong rate, and nothing else of the row is trusted. */

static void
wrong_rates_take_their_row_with_them(void **state)
{
    char              json[512];
    unsigned          i;
    canary_usage_t    usage;
    canary_prices_t  *prices;

    static const char *const  wrong[] = {
        "\"input_cost_per_token\":-1e-06",
        "\"input_cost_per_token\":-5",
        "\"input_cost_per_token\":0.01",
        "\"input_cost_per_token\":1e308",
        "\"input_cost_per_token\":\"1e-06\"",
        "\"input_cost_per_token\":true",
        "\"input_cost_per_token\":[1e-06]",
        "\"input_cost_per_token\":9223372036854775807",
        "\"cache_read_input_token_cost_above_200k_tokens_flex\":-1",
        "\"tiered_pricing\":[{\"range\":[\"0\",1],"
            "\"input_cost_per_token\":1e-06}]",
        "\"tiered_pricing\":[{\"range\":[-1,1],"
            "\"input_cost_per_token\":1e-06}]",
        "\"tiered_pricing\":[{\"range\":[],\"input_cost_per_token\":1e-06}]",
        "\"tiered_pricing\":[{\"range\":[0,1],\"input_cost_per_token\":1}]"
    };

    (void) state;

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        (void) snprintf(json, sizeof(json),
                        "{\"bad\":{\"output_cost_per_token\":1e-06,%s},"
                        "\"good\":{\"input_cost_per_token\":1e-06}}",
                        wrong[i]);

        prices = parse(json);

        assert_int_equal(canary_prices_rejected(prices), 1);
        assert_non_null(strstr(canary_prices_reason(prices), "\"bad\""));

        usage = usage_of("bad", 0, 1);
        assert_unpriced(prices, &usage, CANARY_UNPRICED_UNKNOWN);

        usage = usage_of("good", 1, 0);
        assert_cost(prices, &usage, 1e-06);

        canary_prices_free(prices);
    }
}


/* What looks like a rate, and is for something else. */

static void
other_fields_are_no_rates(void **state)
{
    canary_usage_t    usage;
    canary_prices_t  *prices;

    (void) state;

    prices = parse("{\"m\":{\"input_cost_per_token\":1e-06,"
                   "\"output_cost_per_token\":null,"
                   "\"output_cost_per_token_batches\":5,"
                   "\"output_cost_per_token_above_k_tokens\":5,"
                   "\"output_cost_per_token_above_0k_tokens\":5,"
                   "\"output_cost_per_token_above_12\":5,"
                   "\"output_cost_per_token_above_12x_tokens\":5,"
                   "\"output_cost_per_token_above_9999999999999_tokens\":5,"
                   "\"output_cost_per_tokens\":5,"
                   "\"output_cost_per_image\":5,"
                   "\"litellm_provider\":5,"
                   "\"tiered_pricing\":5}}");

    assert_int_equal(canary_prices_rejected(prices), 0);

    usage = usage_of("m", 0, 1);
    assert_unpriced(prices, &usage, CANARY_UNPRICED_RATE);

    usage = usage_of("m", 1, 0);
    assert_cost(prices, &usage, 1e-06);

    canary_prices_free(prices);
}


static void
of_a_model_that_is_there_twice_the_last_counts(void **state)
{
    canary_usage_t    usage;
    canary_prices_t  *prices;

    (void) state;

    prices = parse("{\"m\":{\"input_cost_per_token\":1e-06},"
                   "\"n\":{\"input_cost_per_token\":1e-06,"
                   "\"input_cost_per_token\":3e-06},"
                   "\"m\":{\"input_cost_per_token\":2e-06}}");

    assert_int_equal(canary_prices_count(prices), 2);

    usage = usage_of("m", 1, 0);
    assert_cost(prices, &usage, 2e-06);

    usage = usage_of("n", 1, 0);
    assert_cost(prices, &usage, 3e-06);

    canary_prices_free(prices);
}


static void
files_that_are_none_are_refused(void **state)
{
    buffer_t          b;
    unsigned          i;
    canary_error_t    err;

    static const struct {
        const char  *json;
        const char  *reason;
    } files[] = {
        { "", "prices \"\": expected a JSON object" },
        { "[]", "prices \"[]\": expected a JSON object" },
        { "{}", "expected a model with a price" },
        { "{\"sample_spec\":{\"input_cost_per_token\":0}}",
          "expected a model with a price" },
        { "{\"m\":{\"input_cost_per_token\":-1}}", "expected rates" },
        { "{\"m\":{\"input_cost_per_token\":0}", "'}' expected" },
        { "{\"m\":{\"input_cost_per_token\":1e999}}", "overflow" }
    };

    (void) state;

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        assert_null(canary_prices_parse(text_str(files[i].json), &err));

        if (strstr(err.text, files[i].reason) == NULL) {
            fail_msg("%s: %s", files[i].json, err.text);
        }
    }

    b = (buffer_t) { 0 };
    buffer_add_text(&b, "{\"m\":{\"x\":");

    for (i = 0; i < 100; i++) {
        buffer_add_text(&b, "[");
    }

    assert_null(canary_prices_parse(buffer_str(&b), &err));
    assert_non_null(strstr(err.text, "nested too deeply"));

    while (b.len <= CANARY_RECORD_MAX) {
        buffer_add_text(&b, "                                              ");
    }

    assert_null(canary_prices_parse(buffer_str(&b), &err));
    assert_non_null(strstr(err.text, "too long"));

    buffer_free(&b);
}


static void
too_many_bands_are_refused(void **state)
{
    char              field[96];
    buffer_t          b;
    unsigned          i;
    canary_error_t    err;
    canary_prices_t  *prices;

    (void) state;

    b = (buffer_t) { 0 };
    buffer_add_text(&b, "{\"m\":{\"input_cost_per_token\":1e-06");

    for (i = 1; i < 16; i++) {
        (void) snprintf(field, sizeof(field),
                        ",\"input_cost_per_token_above_%uk_tokens\":1e-06",
                        i);
        buffer_add_text(&b, field);
    }

    buffer_add_text(&b, "}}");

    prices = canary_prices_parse(buffer_str(&b), &err);
    assert_non_null(prices);
    canary_prices_free(prices);

    b.len -= 2;
    buffer_add_text(&b, ",\"input_cost_per_token_above_99_tokens\":1}}");
    assert_null(canary_prices_parse(buffer_str(&b), &err));

    b.len -= 4;
    buffer_add_text(&b, ":1e-06}}");
    assert_null(canary_prices_parse(buffer_str(&b), &err));
    assert_non_null(strstr(err.text, "at most 16 sets"));

    buffer_free(&b);
}


/* As many models as the real file has, each found, none confused. */

static void
three_thousand_models_are_found(void **state)
{
    char              text[128];
    buffer_t          b;
    unsigned          i;
    canary_error_t    err;
    canary_usage_t    usage;
    canary_prices_t  *prices;

    (void) state;

    b = (buffer_t) { 0 };
    buffer_add_text(&b, "{");

    for (i = 0; i < 3000; i++) {
        (void) snprintf(text, sizeof(text),
                        "%s\"provider/model-%u\":"
                        "{\"input_cost_per_token\":%u.5e-9}",
                        i ? "," : "", i, i);
        buffer_add_text(&b, text);
    }

    buffer_add_text(&b, "}");

    prices = canary_prices_parse(buffer_str(&b), &err);
    assert_non_null(prices);
    assert_int_equal(canary_prices_count(prices), 3000);

    for (i = 0; i < 3000; i++) {
        (void) snprintf(text, sizeof(text), "provider/model-%u", i);
        usage = usage_of(text, 2, 0);
        assert_cost(prices, &usage, (i + 0.5) * 2e-9);

        (void) snprintf(text, sizeof(text), "provider/model%u", i);
        usage = usage_of(text, 2, 0);
        assert_unpriced(prices, &usage, CANARY_UNPRICED_UNKNOWN);
    }

    canary_prices_free(prices);
    buffer_free(&b);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(rows_without_a_price_are_left_out),
        cmocka_unit_test(input_and_output_are_added_up),
        cmocka_unit_test(cached_tokens_are_never_free),
        cmocka_unit_test(reasoning_has_its_rate_or_that_of_output),
        cmocka_unit_test(long_inputs_have_rates_of_their_own),
        cmocka_unit_test(service_tiers_have_rates_of_their_own),
        cmocka_unit_test(what_is_not_known_has_no_price),
        cmocka_unit_test(models_are_found_by_the_names_they_have),
        cmocka_unit_test(wrong_rates_take_their_row_with_them),
        cmocka_unit_test(other_fields_are_no_rates),
        cmocka_unit_test(of_a_model_that_is_there_twice_the_last_counts),
        cmocka_unit_test(files_that_are_none_are_refused),
        cmocka_unit_test(too_many_bands_are_refused),
        cmocka_unit_test(three_thousand_models_are_found)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
