
#include "support.h"
#include "trip.h"


typedef struct {
    canary_str_t  text;
    int           rc;
    uint64_t      epoch;
} epoch_case_t;


#define E(literal, rc, epoch)  { { sizeof(literal) - 1, literal }, rc, epoch }


static const epoch_case_t  epochs[] = {
    E("0", 0, 0), E("1", 0, 1), E("42", 0, 42),
    E("999999999999999", 0, CANARY_EPOCH_MAX),

    E("", -1, 0), E("00", -1, 0), E("01", -1, 0), E("-1", -1, 0),
    E("+1", -1, 0), E(" 1", -1, 0), E("1 ", -1, 0), E("1\0", -1, 0),
    E("1.0", -1, 0), E("1e3", -1, 0), E("0x1", -1, 0), E("nan", -1, 0),
    E("1000000000000000", -1, 0), E("18446744073709551616", -1, 0),
    E("\xd9\xa5", -1, 0), E("1a", -1, 0), E("/", -1, 0), E(":", -1, 0)
};


static void
epochs_are_plain_digits(void **state)
{
    int                  rc;
    size_t               i;
    uint64_t             epoch;
    const epoch_case_t  *e;

    (void) state;

    for (i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
        e = &epochs[i];
        epoch = 77;
        rc = canary_epoch_parse(e->text, &epoch);

        if (rc != e->rc || epoch != (rc == 0 ? e->epoch : 77)) {
            fail_msg("epoch \"%.*s\" gave %d", (int) e->text.len, e->text.data,
                     rc);
        }
    }
}


typedef struct {
    const char  *json;
    const char  *error;                 /* NULL: valid */
    uint64_t     epoch;
    uint32_t     percent;
} trip_case_t;


static const trip_case_t  trips[] = {
    { "{\"epoch\":3}", NULL, 3, 0 },
    { "{\"epoch\":0}", NULL, 0, 0 },
    { "{\"epoch\":999999999999999}", NULL, CANARY_EPOCH_MAX, 0 },
    { "{\"epoch\":3,\"percent\":0.5}", NULL, 3, 500 },
    { "{\"epoch\":3,\"percent\":100}", NULL, 3, 100000 },
    { "{\"epoch\":3,\"flag\":\"support\"}", NULL, 3, 0 },
    { "{\"flag\":\"support\",\"epoch\":3,\"percent\":5,"
      "\"by\":\"agent-canaryd\",\"reason\":\"error_rate 0.09 > 0.05\","
      "\"evidence\":{\"n\":1.5},\"at\":\"2026-07-14T02:00:00Z\"}",
      NULL, 3, 5000 },

    { "", "trip \"\": expected a JSON object: "
          "'[' or '{' expected near end of file", 0, 0 },
    { "5", "trip \"5\": expected a JSON object: "
           "'[' or '{' expected near '5'", 0, 0 },
    { "[3]", "trip \"[3]\": expected a JSON object", 0, 0 },
    { "{}", "trip epoch \"\": expected 0 to 999999999999999: it is missing",
      0, 0 },
    { "{\"percent\":0}",
      "trip epoch \"\": expected 0 to 999999999999999: it is missing", 0, 0 },
    { "{\"epoch\":\"3\"}",
      "trip epoch \"\"3\"\": expected 0 to 999999999999999", 0, 0 },
    { "{\"epoch\":3.0}",
      "trip epoch \"3.0\": expected 0 to 999999999999999", 0, 0 },
    { "{\"epoch\":-1}",
      "trip epoch \"-1\": expected 0 to 999999999999999", 0, 0 },
    { "{\"epoch\":1000000000000000}",
      "trip epoch \"1000000000000000\": expected 0 to 999999999999999", 0, 0 },
    { "{\"epoch\":true}",
      "trip epoch \"true\": expected 0 to 999999999999999", 0, 0 },
    { "{\"epoch\":null}",
      "trip epoch \"null\": expected 0 to 999999999999999", 0, 0 },
    { "{\"epoch\":99999999999999999999}",
      "trip \"{\"epoch\":99999999999999999999}\": expected a JSON object: "
      "too big integer near '99999999999999999999'", 0, 0 },
    { "{\"epoch\":3,\"epoch\":4}",
      "trip \"{\"epoch\":3,\"epoch\":4}\": expected a JSON object: "
      "duplicate object key near '\"epoch\"'", 0, 0 },
    { "{\"epoch\":3,\"percent\":101}",
      "trip percent \"101\": expected 0 to 100 with at most 3 decimals", 0,
      0 },
    { "{\"epoch\":3,\"percent\":\"5\"}",
      "trip percent \"\"5\"\": expected 0 to 100 with at most 3 decimals", 0,
      0 },
    { "{\"epoch\":3,\"percent\":null}",
      "trip percent \"null\": expected 0 to 100 with at most 3 decimals", 0,
      0 },
    { "{\"epoch\":3,\"percent\":1.2345}",
      "trip percent \"1.2345\": expected 0 to 100 with at most 3 decimals", 0,
      0 },
    { "{\"epoch\":3,\"flag\":\"checkout\"}",
      "trip flag \"checkout\": expected the name of the flag", 0, 0 },
    { "{\"epoch\":3,\"flag\":\"\"}",
      "trip flag \"\": expected the name of the flag", 0, 0 },
    { "{\"epoch\":3,\"flag\":5}",
      "trip flag \"5\": expected the name of the flag", 0, 0 },
    { "{\"epoch\":3,\"flag\":null}",
      "trip flag \"null\": expected the name of the flag", 0, 0 },
    { "{\"epoch\":3} x",
      "trip \"{\"epoch\":3} x\": expected a JSON object: "
      "end of file expected near 'x'", 0, 0 }
};


static void
trips_are_checked(void **state)
{
    int                 rc;
    size_t              i;
    canary_trip_t       trip;
    canary_error_t      err;
    const trip_case_t  *t;

    (void) state;

    for (i = 0; i < sizeof(trips) / sizeof(trips[0]); i++) {
        t = &trips[i];
        trip.epoch = 77;
        trip.percent = 78;
        err.text[0] = '\0';

        rc = canary_trip_parse(&trip, S("support"), text_str(t->json), &err);

        if (t->error == NULL) {
            if (rc != 0 || trip.epoch != t->epoch
                || trip.percent != t->percent)
            {
                fail_msg("%s: %d %s", t->json, rc, err.text);
            }

            continue;
        }

        assert_string_equal(err.text, t->error);
        assert_int_equal(rc, -1);
        assert_int_equal(trip.epoch, 77);
        assert_int_equal(trip.percent, 78);
    }
}


static void
a_long_or_deep_trip_is_refused(void **state)
{
    buffer_t        b;
    unsigned        i;
    canary_trip_t   trip;
    canary_error_t  err;

    (void) state;

    b = (buffer_t) { 0 };
    buffer_add_text(&b, "{\"epoch\":3,\"reason\":\"");

    while (b.len < CANARY_TRIP_MAX - 2) {
        buffer_add_text(&b, "a");
    }

    buffer_add_text(&b, "\"}");
    assert_int_equal(canary_trip_parse(&trip, S("f"), buffer_str(&b), &err),
                     0);

    buffer_add_text(&b, " ");
    assert_int_equal(canary_trip_parse(&trip, S("f"), buffer_str(&b), &err),
                     -1);
    buffer_free(&b);

    buffer_add_text(&b, "{\"epoch\":3,\"evidence\":");

    for (i = 0; i < 20000; i++) {
        buffer_add_text(&b, "[");
    }

    assert_int_equal(canary_trip_parse(&trip, S("f"), buffer_str(&b), &err),
                     -1);
    assert_non_null(strstr(err.text, "nested too deeply"));
    buffer_free(&b);
}


static canary_trip_t
join(canary_trip_t a, canary_trip_t b)
{
    return canary_trip_beats(&a, &b) ? a : b;
}


static int
same(canary_trip_t a, canary_trip_t b)
{
    return a.epoch == b.epoch && a.percent == b.percent;
}


/* Commutative, associative, idempotent: the order of arrival is nothing. */

static void
trips_join_in_any_order(void **state)
{
    unsigned       i, n;
    canary_trip_t  t[3];

    (void) state;

    for (n = 0; n < 100000; n++) {
        for (i = 0; i < 3; i++) {
            t[i].epoch = random_below(4);
            t[i].percent = random_below(4);
        }

        assert_false(canary_trip_beats(&t[0], &t[0]));
        assert_false(canary_trip_beats(&t[0], &t[1])
                     && canary_trip_beats(&t[1], &t[0]));
        assert_true(same(join(t[0], t[1]), join(t[1], t[0])));
        assert_true(same(join(join(t[0], t[1]), t[2]),
                         join(t[0], join(t[1], t[2]))));
    }
}


static void
a_higher_epoch_wins_and_then_the_lower_percent(void **state)
{
    canary_trip_t  high = { 4, 5000 };
    canary_trip_t  low = { 3, 0 };
    canary_trip_t  lower = { 4, 1000 };

    (void) state;

    assert_true(canary_trip_beats(&high, &low));
    assert_false(canary_trip_beats(&low, &high));
    assert_true(canary_trip_beats(&lower, &high));
    assert_false(canary_trip_beats(&high, &lower));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(epochs_are_plain_digits),
        cmocka_unit_test(trips_are_checked),
        cmocka_unit_test(a_long_or_deep_trip_is_refused),
        cmocka_unit_test(trips_join_in_any_order),
        cmocka_unit_test(a_higher_epoch_wins_and_then_the_lower_percent)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
