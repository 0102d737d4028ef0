
#include <stdio.h>
#include "status.h"
#include "support.h"
#include "text.h"


#define FLAG_HEAD  "{\"name\":\"support\",\"epoch\":3,\"percent\":25,"        \
                   "\"enabled\":true"


typedef struct {
    const char  *members;               /* of the flag, after its head */
    const char  *bad;                   /* NULL: it is fine */
} member_case_t;


static char *
status_of(const char *flags)
{
    canaryd_text_t  t = { 0 };

    canaryd_text_printf(&t, "{\"version\":\"0.1.0\",\"boot_id\":\"b0\","
                        "\"clock_ms\":77,\"redis\":{\"state\":\"ready\","
                        "\"fresh\":true,\"age_ms\":null},\"else\":[1,{}],"
                        "\"flags\":[%s]}", flags);

    return t.data;
}


static char *
arm_of(const char *replace, const char *value)
{
    const char                  *text;
    canaryd_text_t               t = { 0 };
    const canary_tally_field_t  *field;

    canaryd_text_put(&t, "{\"in_flight\":2");

    for (field = canary_tally_fields; field->n; field++) {
        text = field->n > 1 ? "\"0,3\"" : "7";

        if (replace && strcmp(replace, field->name.data) == 0) {
            text = value;
        }

        if (text) {
            canaryd_text_printf(&t, ",\"%s\":%s", field->name.data, text);
        }
    }

    canaryd_text_put(&t, "}");

    return t.data;
}


static int
parse(canaryd_status_t *s, const char *text)
{
    int             rc;
    canary_error_t  err;

    rc = canaryd_status_parse(s, canaryd_str(text), &err);

    if (rc != 0) {
        assert_true(err.text[0] != '\0');
        assert_int_equal(s->n, 0);
    }

    return rc;
}


static void
a_status_is_read(void **state)
{
    char              *arm, *text;
    canaryd_text_t     flag = { 0 };
    canaryd_status_t   s = { 0 };

    (void) state;

    arm = arm_of(NULL, NULL);

    canaryd_text_printf(&flag, FLAG_HEAD ",\"state\":\"ok\",\"tripped\":true,"
                        "\"trip\":{\"epoch\":3,\"percent\":5,\"record\":"
                        "{\"epoch\":3}},\"stages\":[1,5,25,50,100],"
                        "\"bundle\":{\"baseline\":\"v41\",\"candidate\":"
                        "\"v42\"},\"guardrails\":{\"alpha\":0.01},"
                        "\"arms\":{\"baseline\":%s,\"candidate\":%s},"
                        "\"tenants\":0,\"allow\":2,\"new\":[{}]}", arm, arm);

    text = status_of(flag.data);

    assert_int_equal(parse(&s, text), 0);
    assert_string_equal(s.boot, "b0");
    assert_int_equal(s.clock, 77);
    assert_int_equal(s.fresh, 1);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.bad, 0);
    assert_null(s.flag[0].bad);
    assert_int_equal(s.flag[0].known, 1);
    assert_int_equal(s.flag[0].epoch, 3);
    assert_int_equal(s.flag[0].percent, 25000);
    assert_int_equal(s.flag[0].trip.percent, 5000);
    assert_int_equal(s.flag[0].stages.n, 5);
    assert_int_equal(s.flag[0].targets, 1);
    assert_int_equal(s.flag[0].arm[1].requests, 7);
    assert_int_equal(s.flag[0].arm[1].latency_ms[1], 3);
    assert_int_equal(s.flag[0].arm[1].latency_ms[2], 0);
    assert_int_equal(s.flag[0].in_flight[0], 2);
    assert_true(canary_str_eq(s.flag[0].guardrails, S("{\"alpha\":0.01}")));
    assert_true(canary_str_eq(s.flag[0].record, S("{\"epoch\":3}")));

    free(text);
    free(arm);
    canaryd_text_free(&flag);
    canaryd_status_clear(&s);
}


static const member_case_t  members[] = {
    { "", NULL },
    { ",\"trip\":null,\"guardrails\":null", NULL },
    { ",\"epoch\":3", "epoch" },
    { ",\"state\":7", "state" },
    { ",\"state\":\"\\u0041\"", "state" },
    { ",\"tripped\":1", "tripped" },
    { ",\"trip\":{\"epoch\":1}", "trip" },
    { ",\"trip\":{\"epoch\":-1,\"percent\":0}", "trip" },
    { ",\"trip\":{\"epoch\":1,\"percent\":101}", "trip" },
    { ",\"trip\":[]", "trip" },
    { ",\"stages\":[5,1]", "stages" },
    { ",\"stages\":[\"5\"]", "stages" },
    { ",\"guardrails\":\"x\"", "guardrails" },
    { ",\"arms\":{}", "arms" },
    { ",\"arms\":null", "arms" },
    { ",\"allow\":-3", "allow" }
};


static void
a_wrong_member_is_no_data_of_the_flag(void **state)
{
    char              *text;
    size_t             i;
    canaryd_text_t     flag = { 0 };
    canaryd_status_t   s = { 0 };

    (void) state;

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        canaryd_text_reset(&flag);
        canaryd_text_printf(&flag, FLAG_HEAD "%s},{\"name\":\"other\"}",
                            members[i].members);
        text = status_of(flag.data);

        assert_int_equal(parse(&s, text), 0);
        assert_int_equal(s.n, 2);
        assert_null(s.flag[1].bad);

        if ((s.flag[0].bad == NULL) != (members[i].bad == NULL)
            || (s.flag[0].bad && strcmp(s.flag[0].bad, members[i].bad)))
        {
            fail_msg("%s: bad is %s", members[i].members,
                     s.flag[0].bad ? s.flag[0].bad : "NULL");
        }

        free(text);
    }

    canaryd_text_free(&flag);
    canaryd_status_clear(&s);
}


static void
a_wrong_counter_is_no_data(void **state)
{
    char              *good, *arm, *text;
    size_t             i;
    canaryd_text_t     flag = { 0 };
    canaryd_status_t   s = { 0 };

    static const char  *wrong[][2] = {
        { "requests", "-1" }, { "requests", "\"1\"" }, { "requests", "1.5" },
        { "requests", "1e3" }, { "requests", "null" }, { "requests", NULL },
        { "requests", "18446744073709551616" },
        { "requests", "1000000000000001" },
        { "cost_usd", "-0.1" }, { "cost_usd", "1e308" },
        { "cost_usd", "\"nan\"" }, { "cost_usd", "1,\"requests\":7" },
        { "latency_ms", "[0,3]" }, { "latency_ms", "\"0,-3\"" },
        { "latency_ms", "\"0,,3\"" }, { "latency_ms", "\",\"" },
        { "latency_ms", "\"1 \"" }, { "latency_ms", NULL },
        { "latency_ms", "\"0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
          "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
          "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"
          "\"" }
    };

    (void) state;

    good = arm_of(NULL, NULL);

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        arm = arm_of(wrong[i][0], wrong[i][1]);
        canaryd_text_reset(&flag);
        canaryd_text_printf(&flag, FLAG_HEAD ",\"arms\":{\"baseline\":%s,"
                            "\"candidate\":%s}}", good, arm);
        text = status_of(flag.data);

        assert_int_equal(parse(&s, text), 0);

        if (s.flag[0].bad == NULL) {
            fail_msg("%s %s was taken", wrong[i][0],
                     wrong[i][1] ? wrong[i][1] : "missing");
        }

        free(text);
        free(arm);
    }

    free(good);
    canaryd_text_free(&flag);
    canaryd_status_clear(&s);
}


static void
twins_are_no_data(void **state)
{
    char              *text;
    canaryd_status_t   s = { 0 };

    (void) state;

    text = status_of(FLAG_HEAD "},{\"name\":\"x\"}," FLAG_HEAD "}");

    assert_int_equal(parse(&s, text), 0);
    assert_int_equal(s.bad, 2);
    assert_non_null(s.flag[0].bad);
    assert_null(s.flag[1].bad);
    assert_non_null(s.flag[2].bad);

    free(text);
    canaryd_status_clear(&s);
}


static void
what_is_cut_off_is_no_data(void **state)
{
    char              *text;
    size_t             len, full;
    canary_error_t     err;
    canaryd_status_t   s = { 0 };

    (void) state;

    text = status_of(FLAG_HEAD ",\"bundle\":{\"baseline\":\"\\u00e9\"}}");
    full = strlen(text);

    for (len = 0; len < full; len++) {
        assert_int_equal(canaryd_status_parse(&s,
                                              (canary_str_t) { len, text },
                                              &err), -1);
        assert_int_equal(s.n, 0);
    }

    assert_int_equal(parse(&s, text), 0);

    free(text);
    canaryd_status_clear(&s);
}


static void
other_json_is_no_data(void **state)
{
    size_t             i;
    canaryd_status_t   s = { 0 };

    static const char  *texts[] = {
        "", "null", "[]", "{}", "{\"boot_id\":\"b\"}", "{\"flags\":[]}",
        "{\"boot_id\":\"\",\"flags\":[]}",
        "{\"boot_id\":\"b\",\"flags\":{}}",
        "{\"boot_id\":\"b\",\"boot_id\":\"b\",\"flags\":[]}",
        "{\"boot_id\":\"b\",\"flags\":[]} x",
        "{\"boot_id\":\"b\",\"flags\":[}",
        "{\"boot_id\":\"b\",\"flags\":[],}",
        "{\"boot_id\":\"b\",\"flags\":[],\"clock_ms\":-1}",
        "{\"boot_id\":\"b\",\"flags\":[],\"x\":01}",
        "{\"boot_id\":\"b\",\"flags\":[],\"x\":nan}",
        "{\"boot_id\":\"b\",\"flags\":[],\"x\":\"\\x\"}",
        "{\"boot_id\":\"b\",\"flags\":[],\"x\":\"\n\"}",
        "{\"boot_id\":\"b\",\"flags\":[],\"x\":[1,]}",
        "{\"boot_id\":\"b\",\"flags\":[],\"x\":[1}",
        "{\"boot_id\":\"b\",\"flags\":[],\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[["
            "]]]]]]]]]]]]]]]]]]]]]]]]]]]}"
    };

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (parse(&s, texts[i]) == 0) {
            fail_msg("%s was taken", texts[i]);
        }
    }

    canaryd_status_clear(&s);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_status_is_read),
        cmocka_unit_test(a_wrong_member_is_no_data_of_the_flag),
        cmocka_unit_test(a_wrong_counter_is_no_data),
        cmocka_unit_test(twins_are_no_data),
        cmocka_unit_test(what_is_cut_off_is_no_data),
        cmocka_unit_test(other_json_is_no_data)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
