
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include "guardrails.h"
#include "json.h"
#include "support.h"


static void
dump_guardrails(buffer_t *out, const canary_guardrails_t *g)
{
    char                  line[160];
    uint32_t              i;
    const canary_rule_t  *r;

    (void) snprintf(line, sizeof(line),
                    "alpha %g\nhorizon %u\naction %s\ncost cap %g\n",
                    g->alpha, g->horizon, canary_action_names[g->action].data,
                    g->cost_cap);
    buffer_add_text(out, line);

    for (i = 0; i < g->n; i++) {
        r = &g->rules[i];

        (void) snprintf(line, sizeof(line),
                        "%s %s %.10g, per %u, min events %u%s\n",
                        canary_metric_names[r->metric].data,
                        canary_limit_names[r->kind].data, r->limit, r->per,
                        r->min_events,
                        r->unless_baseline ? ", unless baseline" : "");
        buffer_add_text(out, line);
    }
}


static void
outcome_of(buffer_t *out, canary_str_t json)
{
    int                  rc;
    canary_error_t       err;
    canary_guardrails_t  g;

    memset(&g, 0x5a, sizeof(g));
    rc = canary_guardrails_parse(&g, json, &err);

    if (rc == 0) {
        dump_guardrails(out, &g);
        return;
    }

    assert_int_equal(g.n, 0x5a5a5a5a);
    buffer_add_text(out, err.text);
    buffer_add_text(out, "\n");
}


static void
read_case(const char *path, const char *name, const char *file, buffer_t *b)
{
    char  full[512];

    (void) snprintf(full, sizeof(full), "%s/%s/%s", path, name, file);

    if (read_file(full, b) != 0) {
        fail_msg("no %s", full);
    }
}


static void
suite(const char *path, const char *file, unsigned min)
{
    DIR            *dir;
    buffer_t        expected, input, out;
    unsigned        cases, failed;
    struct dirent  *entry;

    dir = opendir(path);
    assert_non_null(dir);

    cases = 0;
    failed = 0;

    while ((entry = readdir(dir)) != NULL) {

        if (entry->d_name[0] == '.') {
            continue;
        }

        expected = (buffer_t) { 0 };
        input = (buffer_t) { 0 };
        out = (buffer_t) { 0 };

        read_case(path, entry->d_name, "input", &input);
        read_case(path, entry->d_name, file, &expected);

        outcome_of(&out, buffer_str(&input));

        if (!canary_str_eq(buffer_str(&out), buffer_str(&expected))) {
            print_error("%s/%s gave\n%.*s", path, entry->d_name,
                        (int) out.len, out.data);
            failed++;
        }

        buffer_free(&expected);
        buffer_free(&input);
        buffer_free(&out);
        cases++;
    }

    (void) closedir(dir);

    printf("%s: %u cases\n", path, cases);

    assert_in_range(cases, min, 1000);
    assert_int_equal(failed, 0);
}


static void
valid_guardrails(void **state)
{
    (void) state;
    suite("suites/guardrails/valid", "output", 12);
}


static void
invalid_guardrails(void **state)
{
    (void) state;
    suite("suites/guardrails/invalid", "error", 50);
}


/* A flag is valid when its guardrails are. */

static void
a_flag_carries_the_error(void **state)
{
    buffer_t        record;
    canary_flag_t   flag;
    canary_error_t  err;

    (void) state;

    record = (buffer_t) { 0 };
    record_of(&record, "percent=5",
              "guardrails={\"rules\":[{\"metric\":\"error_rate\","
              "\"max\":5}]}");

    assert_int_equal(canary_flag_parse(&flag, S("support"),
                                       buffer_str(&record), NULL, &err), -1);
    assert_string_equal(err.text, "guardrails rule 1 max \"5\": expected a "
                                  "share above 0 and up to 0.99, like 0.05");
    buffer_free(&record);
}


static void
parsing_twice_gives_the_default(void **state)
{
    canary_error_t       err;
    canary_guardrails_t  a, b;

    (void) state;

    canary_guardrails_default(&a);
    assert_int_equal(canary_guardrails_parse(&b, S("{}"), &err), 0);
    assert_memory_equal(&a, &b, sizeof(a));

    assert_int_equal(a.n, 2);
    assert_true(a.rules[0].limit == 0.05);
    assert_true(a.rules[1].limit == 1.5);
}


static void
the_cost_cap_follows_what_is_usual(void **state)
{
    canary_error_t       err;
    canary_tally_t       t = { 0 };
    canary_guardrails_t  g;

    (void) state;

    canary_guardrails_default(&g);
    assert_true(canary_guardrails_cost_cap(&g, &t) == 100);

    t.cost_known = 99;
    t.cost_usd = 9.9;
    assert_true(canary_guardrails_cost_cap(&g, &t) == 100);

    t.cost_known = 100;
    t.cost_usd = 10;
    assert_true(fabs(canary_guardrails_cost_cap(&g, &t) - 2) < 1e-12);

    t.cost_usd = NAN;
    assert_true(canary_guardrails_cost_cap(&g, &t) == 100);
    t.cost_usd = 10;

    assert_int_equal(canary_guardrails_parse(&g, S("{\"rules\":[{\"metric\":"
                     "\"cost_usd\",\"max\":0.25}]}"), &err), 0);
    assert_true(canary_guardrails_cost_cap(&g, &t) == 5);

    assert_int_equal(canary_guardrails_parse(&g, S("{\"cost_cap_usd\":0.5}"),
                                             &err), 0);
    assert_true(canary_guardrails_cost_cap(&g, &t) == 0.5);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(valid_guardrails),
        cmocka_unit_test(invalid_guardrails),
        cmocka_unit_test(a_flag_carries_the_error),
        cmocka_unit_test(parsing_twice_gives_the_default),
        cmocka_unit_test(the_cost_cap_follows_what_is_usual)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
