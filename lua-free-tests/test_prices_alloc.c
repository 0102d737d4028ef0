
/*
 * Every allocation of a load fails in turn, with all after it.  Not alone:
 * the names of fields are longer than jansson's first buffer, see
 * test_alloc.c.
 */

#include <jansson.h>
#include "prices.h"
#include "support.h"


static unsigned long  allocations;
static unsigned long  failing;              /* and all after it; 0: none */


void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);


static int
fails(void)
{
    allocations++;

    return failing && allocations >= failing;
}


void *
__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}


void *
__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}


void *
__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}


static int
alloc_setup(void **state)
{
    (void) state;

    json_set_alloc_funcs(__wrap_malloc, free);

    return 0;
}


static unsigned long
torture(canary_str_t json, size_t count)
{
    unsigned long     n;
    canary_error_t    err;
    canary_prices_t  *prices;

    for (n = 1; /* void */ ; n++) {
        allocations = 0;
        failing = n;
        err.text[0] = '\0';

        prices = canary_prices_parse(json, &err);

        failing = 0;

        if (allocations < n) {
            assert_non_null(prices);
            assert_int_equal(canary_prices_count(prices), count);
            canary_prices_free(prices);
            return n - 1;
        }

        /* never a table that lacks models */

        assert_null(prices);
        assert_true(err.text[0] != '\0');
    }
}


static void
a_load_survives_exhaustion(void **state)
{
    (void) state;

    assert_in_range(torture(S("{\"provider/a-model-with-a-long-name\":"
                              "{\"input_cost_per_token\":1e-06,"
                              "\"output_cost_per_token\":1e-06,"
                              "\"input_cost_per_token_above_200k_tokens\":"
                              "2e-06},"
                              "\"b\":{\"output_cost_per_token\":1e-06}}"),
                            2),
                    20, 2000);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_load_survives_exhaustion)
    };

    return cmocka_run_group_tests(tests, alloc_setup, NULL);
}
