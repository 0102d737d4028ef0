
#include <stdio.h>
#include <time.h>
#include "set.h"
#include "support.h"


typedef struct {
    const char    *why;
    canary_str_t   json;
} set_case_t;


#define J(why, literal)  { why, { sizeof(literal) - 1, literal } }


static canary_set_t *
list(canary_str_t json)
{
    canary_set_t    *set;
    canary_error_t   err;

    set = canary_set_parse_list("allow", json, NULL, &err);

    if (set == NULL) {
        fail_msg("%s", err.text);
    }

    return set;
}


static void
a_list_holds_its_keys_and_no_other(void **state)
{
    canary_set_t  *set;

    (void) state;

    set = list(S(" [\"alice\", \"J\\u00fcrgen\", \"a\\\"b\", \"x y\"] "));

    assert_int_equal(canary_set_count(set), 4);
    assert_int_equal(*canary_set_find(set, S("alice")), 1);
    assert_non_null(canary_set_find(set, S("J\xc3\xbcrgen")));
    assert_non_null(canary_set_find(set, S("a\"b")));
    assert_non_null(canary_set_find(set, S("x y")));

    assert_null(canary_set_find(set, S("")));
    assert_null(canary_set_find(set, S("Alice")));
    assert_null(canary_set_find(set, S("alic")));
    assert_null(canary_set_find(set, S("alice\0")));
    assert_null(canary_set_find(set, S("alice ")));

    canary_set_release(set);
}


static void
no_set_and_an_empty_one_hold_nothing(void **state)
{
    canary_set_t  *set;

    (void) state;

    assert_null(canary_set_find(NULL, S("alice")));
    assert_int_equal(canary_set_count(NULL), 0);
    canary_set_release(NULL);

    set = list(S("[]"));

    assert_int_equal(canary_set_count(set), 0);
    assert_null(canary_set_find(set, S("alice")));
    assert_null(canary_set_find(set, S("")));

    canary_set_release(set);
}


static void
tenants_have_percents(void **state)
{
    canary_set_t    *set;
    canary_error_t   err;

    (void) state;

    set = canary_set_parse_percents("tenants",
                S("{\"acme\":0, \"b\":100, \"c\":0.001, \"d\":99.999,"
                  " \"e\":12.340, \"f\":0.1}"), NULL, &err);
    assert_non_null(set);

    assert_int_equal(*canary_set_find(set, S("acme")), 0);
    assert_int_equal(*canary_set_find(set, S("b")), 100000);
    assert_int_equal(*canary_set_find(set, S("c")), 1);
    assert_int_equal(*canary_set_find(set, S("d")), 99999);
    assert_int_equal(*canary_set_find(set, S("e")), 12340);
    assert_int_equal(*canary_set_find(set, S("f")), 100);
    assert_null(canary_set_find(set, S("g")));

    canary_set_release(set);
}


static void
every_percent_can_be_a_json_number(void **state)
{
    char             json[64], text[CANARY_PERCENT_LEN];
    uint32_t         i;
    canary_set_t    *set;
    canary_error_t   err;

    (void) state;

    for (i = 0; i <= CANARY_BUCKETS; i += 1 + random_below(5)) {
        (void) canary_percent_format(text, i);
        (void) snprintf(json, sizeof(json), "{\"t\":%s}", text);

        set = canary_set_parse_percents("tenants", text_str(json), NULL, &err);
        assert_non_null(set);
        assert_int_equal(*canary_set_find(set, S("t")), i);
        canary_set_release(set);

        (void) snprintf(json, sizeof(json), "{\"t\":%u.%03u4}", i / 1000,
                        i % 1000);

        assert_null(canary_set_parse_percents("tenants", text_str(json), NULL,
                                              &err));
    }
}


static const set_case_t  bad_lists[] = {
    J("empty", ""),
    J("blank", " "),
    J("object", "{}"),
    J("text", "alice"),
    J("string", "\"alice\""),
    J("null", "null"),
    J("cut", "[\"alice\""),
    J("comma at the end", "[\"alice\",]"),
    J("two", "[] []"),
    J("NUL after", "[]\0"),
    J("number", "[1]"),
    J("null in it", "[null]"),
    J("list in it", "[[\"a\"]]"),
    J("duplicate", "[\"a\",\"b\",\"a\"]"),
    J("duplicate by escape", "[\"a\",\"\\u0061\"]"),
    J("empty key", "[\"\"]"),
    J("SP before", "[\" a\"]"),
    J("SP after", "[\"a \"]"),
    J("HTAB before", "[\"\\ta\"]"),
    J("HTAB after", "[\"a\\t\"]"),
    J("NUL escape", "[\"a\\u0000\"]"),
    J("lone surrogate", "[\"\\ud800\"]"),
    J("not UTF-8", "[\"\xff\"]"),
    J("control byte", "[\"a\nb\"]"),
    J("BOM", "\xef\xbb\xbf[\"a\"]")
};


static void
bad_lists_are_refused(void **state)
{
    size_t           i;
    canary_set_t    *set;
    canary_error_t   err;

    (void) state;

    for (i = 0; i < sizeof(bad_lists) / sizeof(bad_lists[0]); i++) {
        err.text[0] = '\0';
        set = canary_set_parse_list("allow", bad_lists[i].json, NULL, &err);

        if (set || strncmp(err.text, "allow \"", 7) != 0) {
            fail_msg("%s", bad_lists[i].why);
        }
    }
}


static const set_case_t  bad_percents[] = {
    J("empty", ""),
    J("list", "[]"),
    J("string", "{\"a\":\"5\"}"),
    J("null", "{\"a\":null}"),
    J("true", "{\"a\":true}"),
    J("object", "{\"a\":{}}"),
    J("negative", "{\"a\":-1}"),
    J("101", "{\"a\":101}"),
    J("100.001", "{\"a\":100.001}"),
    J("4 decimals", "{\"a\":1.2345}"),
    J("a bit above 0", "{\"a\":0.0001}"),
    J("1e308", "{\"a\":1e308}"),
    J("1e400", "{\"a\":1e400}"),
    J("huge", "{\"a\":99999999999999999999}"),
    J("nan", "{\"a\":nan}"),
    J("05", "{\"a\":05}"),
    J(".5", "{\"a\":.5}"),
    J("duplicate", "{\"a\":5,\"a\":5}"),
    J("empty key", "{\"\":5}"),
    J("padded key", "{\" a\":5}"),
    J("NUL in a key", "{\"a\\u0000\":5}")
};


static void
bad_tenants_are_refused(void **state)
{
    size_t           i;
    canary_set_t    *set;
    canary_error_t   err;

    (void) state;

    for (i = 0; i < sizeof(bad_percents) / sizeof(bad_percents[0]); i++) {
        err.text[0] = '\0';
        set = canary_set_parse_percents("tenants", bad_percents[i].json, NULL,
                                        &err);

        if (set || strncmp(err.text, "tenants \"", 9) != 0) {
            fail_msg("%s", bad_percents[i].why);
        }
    }
}


static void
an_unchanged_list_is_lent(void **state)
{
    canary_set_t    *first, *second, *third;
    canary_error_t   err;

    (void) state;

    first = list(S("[\"alice\"]"));
    second = canary_set_parse_list("allow", S("[\"alice\"]"), first, &err);
    third = canary_set_parse_list("allow", S("[\"alicf\"]"), first, &err);

    assert_ptr_equal(first, second);
    assert_non_null(third);
    assert_ptr_not_equal(first, third);

    canary_set_release(first);
    assert_non_null(canary_set_find(second, S("alice")));

    canary_set_release(second);
    canary_set_release(third);
}


static void
json_of_ids(buffer_t *b, unsigned n)
{
    char      id[64];
    unsigned  i;

    buffer_add_text(b, "[");

    for (i = 0; i < n; i++) {
        (void) snprintf(id, sizeof(id),
                        "%s\"%08x-e29b-41d4-a716-4466%08x\"", i ? "," : "",
                        i * 2654435761U, i);
        buffer_add_text(b, id);
    }

    buffer_add_text(b, "]");
}


static double
seconds_of_lookups(const canary_set_t *set, unsigned ids)
{
    char           id[64];
    double         best, seconds;
    clock_t        start;
    unsigned       i, n, run;
    canary_str_t   key;

    best = 1e9;
    key.data = id;

    for (run = 0; run < 5; run++) {
        start = clock();

        for (n = 0; n < 20000; n++) {
            i = n % ids;
            key.len = (size_t) snprintf(id, sizeof(id),
                                        "%08x-e29b-41d4-a716-4466%08x",
                                        i * 2654435761U, i);
            assert_non_null(canary_set_find(set, key));
            id[0] = 'x';
            assert_null(canary_set_find(set, key));
        }

        seconds = (double) (clock() - start) / CLOCKS_PER_SEC;
        best = seconds < best ? seconds : best;
    }

    return best;
}


/*
 * The bound is far above what caches cost, and far below a search through
 * the list, which would be ten thousand times slower.
 */

static void
lookups_cost_the_same_in_a_list_of_100000(void **state)
{
    double         large, small;
    buffer_t       b;
    canary_set_t  *set;

    (void) state;

    b = (buffer_t) { 0 };
    json_of_ids(&b, 10);
    set = list(buffer_str(&b));
    small = seconds_of_lookups(set, 10);
    canary_set_release(set);
    buffer_free(&b);

    json_of_ids(&b, 100000);
    set = list(buffer_str(&b));
    assert_int_equal(canary_set_count(set), 100000);
    large = seconds_of_lookups(set, 100000);
    canary_set_release(set);
    buffer_free(&b);

    assert_true(large < 50 * small + 0.01);
}


/* Against a search through the list, with keys that nearly collide. */

static void
sets_agree_with_a_plain_search(void **state)
{
    char           key[4], keys[40][4];
    buffer_t       b;
    unsigned       found, i, j, n, round, tries;
    canary_set_t  *set;

    (void) state;

    for (round = 0; round < 2000; round++) {
        b = (buffer_t) { 0 };
        n = 0;
        tries = random_below(40);
        buffer_add_text(&b, "[");

        for (i = 0; i < tries; i++) {
            (void) snprintf(keys[n], sizeof(keys[n]), "%u",
                            random_below(100));

            for (j = 0; j < n && strcmp(keys[j], keys[n]) != 0; j++) {
                /* void */
            }

            if (j == n) {
                buffer_add_text(&b, n ? ",\"" : "\"");
                buffer_add_text(&b, keys[n]);
                buffer_add_text(&b, "\"");
                n++;
            }
        }

        buffer_add_text(&b, "]");
        set = list(buffer_str(&b));
        buffer_free(&b);

        assert_int_equal(canary_set_count(set), n);

        for (i = 0; i < 100; i++) {
            (void) snprintf(key, sizeof(key), "%u", i);

            for (found = 0, j = 0; j < n; j++) {
                found |= strcmp(keys[j], key) == 0;
            }

            assert_int_equal(canary_set_find(set, text_str(key)) != NULL,
                             found);
        }

        canary_set_release(set);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_list_holds_its_keys_and_no_other),
        cmocka_unit_test(no_set_and_an_empty_one_hold_nothing),
        cmocka_unit_test(tenants_have_percents),
        cmocka_unit_test(every_percent_can_be_a_json_number),
        cmocka_unit_test(bad_lists_are_refused),
        cmocka_unit_test(bad_tenants_are_refused),
        cmocka_unit_test(an_unchanged_list_is_lent),
        cmocka_unit_test(lookups_cost_the_same_in_a_list_of_100000),
        cmocka_unit_test(sets_agree_with_a_plain_search)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
