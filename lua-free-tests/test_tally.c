
#include <math.h>
#include "support.h"
#include "tally.h"


/* Values of every kind, up to max. */

static void
random_tally(canary_tally_t *t, uint32_t max)
{
    char                        *value;
    size_t                       i;
    double                       sum;
    uint64_t                     count;
    const canary_tally_field_t  *field;

    for (field = canary_tally_fields; field->n; field++) {
        for (i = 0; i < field->n; i++) {
            value = (char *) t + field->offset + i * 8;
            count = random_below(max);
            sum = (double) count / 8;

            if (field->type == CANARY_TALLY_COUNT) {
                memcpy(value, &count, 8);

            } else {
                memcpy(value, &sum, 8);
            }
        }
    }
}


static void
fields_cover_the_struct_once(void **state)
{
    char                         seen[sizeof(canary_tally_t)] = { 0 };
    size_t                       i;
    const canary_tally_field_t  *field;

    (void) state;

    for (field = canary_tally_fields; field->n; field++) {
        assert_ptr_equal(canary_tally_field(field->name), field);

        for (i = 0; i < field->n * 8; i++) {
            assert_int_equal(seen[field->offset + i], 0);
            seen[field->offset + i] = 1;
        }
    }

    assert_null(memchr(seen, 0, sizeof(seen)));
    assert_null(canary_tally_field(S("")));
    assert_null(canary_tally_field(S("request")));
}


/* Every duration up to far beyond the last edge, against the definition. */

static void
buckets_end_at_their_edges(void **state)
{
    unsigned  bucket;
    uint64_t  ms;

    (void) state;

    bucket = 0;

    for (ms = 0; ms <= CANARY_LATENCY_MAX + 2; ms++) {
        while (bucket < CANARY_LATENCY_EDGES
               && (double) ms > pow(2, bucket / 4.0) * (1 + 1e-12))
        {
            bucket++;
        }

        if (canary_tally_bucket(ms) != bucket) {
            fail_msg("%lu ms is in bucket %u, not %u", (unsigned long) ms,
                     canary_tally_bucket(ms), bucket);
        }
    }

    assert_int_equal(bucket, CANARY_LATENCY_EDGES);
    assert_int_equal(canary_tally_bucket(UINT64_MAX), CANARY_LATENCY_EDGES);
}


static void
edges_are_found_from_both_sides(void **state)
{
    unsigned  i;

    (void) state;

    for (i = 0; i < CANARY_LATENCY_EDGES; i++) {
        assert_true(fabs(canary_tally_edge(i) / pow(2, i / 4.0) - 1) < 1e-12);
        assert_int_equal(canary_tally_edge_at(canary_tally_edge(i)), i);
        assert_int_equal(canary_tally_edge_at(canary_tally_edge(i) * 1.001),
                         i + 1);
        assert_int_equal(canary_tally_edge_at(canary_tally_edge(i) * 0.999),
                         i);
    }

    assert_true(canary_tally_edge(89) == CANARY_LATENCY_MAX);
    assert_true(canary_tally_edge(UINT32_MAX) == CANARY_LATENCY_MAX);
    assert_int_equal(canary_tally_edge_at(1e308), CANARY_LATENCY_EDGES);
    assert_int_equal(canary_tally_edge_at(NAN), CANARY_LATENCY_EDGES);
    assert_int_equal(canary_tally_edge_at(-1), 0);
}


static void
differences_add_up(void **state)
{
    unsigned        i;
    canary_tally_t  diff, now, step, sum, zero = { 0 };

    (void) state;

    for (i = 0; i < 200; i++) {
        canary_tally_t  before = { 0 };

        random_tally(&before, 1000);
        random_tally(&step, 1000);
        step.cost_cap_usd = before.cost_cap_usd;

        now = before;
        canary_tally_add(&now, &step);

        assert_int_equal(canary_tally_diff(&diff, &now, 7, &before, 7), 0);
        assert_memory_equal(&diff, &step, sizeof(diff));

        sum = before;
        canary_tally_add(&sum, &diff);
        assert_memory_equal(&sum, &now, sizeof(now));

        assert_int_equal(canary_tally_diff(&diff, &now, 8, &before, 7), 1);
        assert_memory_equal(&diff, &zero, sizeof(diff));
    }
}


/* Whichever counter is lower, nothing becomes negative. */

static void
a_lower_counter_restarts(void **state)
{
    char                        *value;
    size_t                       i;
    canary_tally_t               before, diff, now, zero = { 0 };
    const canary_tally_field_t  *field;

    (void) state;

    for (field = canary_tally_fields; field->n; field++) {
        for (i = 0; i < field->n; i++) {
            random_tally(&before, 1000);
            canary_tally_add(&before, &before);
            now = before;
            value = (char *) &before + field->offset + i * 8;

            if (field->type == CANARY_TALLY_COUNT) {
                (*(uint64_t *) (void *) value)++;

            } else {
                *(double *) (void *) value += 0.125;
            }

            assert_int_equal(canary_tally_diff(&diff, &now, 1, &before, 1),
                             field->type != CANARY_TALLY_CAP);

            if (field->type != CANARY_TALLY_CAP) {
                assert_memory_equal(&diff, &zero, sizeof(diff));
            }
        }
    }
}


static void
sums_that_are_no_numbers_restart(void **state)
{
    size_t          i;
    canary_tally_t  before, diff, now, zero = { 0 };

    static const double  bad[] = { NAN, INFINITY, -INFINITY, -1, 1e308 };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        random_tally(&before, 10);
        now = before;
        now.cost_usd = bad[i];
        assert_int_equal(canary_tally_diff(&diff, &now, 1, &before, 1), 1);
        assert_memory_equal(&diff, &zero, sizeof(diff));

        now.cost_usd = before.cost_usd;
        now.cost_cap_usd = bad[i];
        assert_int_equal(canary_tally_diff(&diff, &now, 1, &before, 1), 1);

        canary_tally_cost(&before, bad[i], 20);
        assert_true(before.cost_usd < 1e6);
    }
}


static void
pooling_commutes(void **state)
{
    unsigned        i, k;
    canary_tally_t  a, b, t[5];

    (void) state;

    for (i = 0; i < 100; i++) {
        memset(&a, 0, sizeof(a));
        memset(&b, 0, sizeof(b));

        for (k = 0; k < 5; k++) {
            random_tally(&t[k], 1 << 20);
            canary_tally_add(&a, &t[k]);
        }

        for (k = 5; k > 0; k--) {
            canary_tally_add(&b, &t[(k + i) % 5]);
        }

        assert_memory_equal(&a, &b, sizeof(a));
    }

    a.requests = UINT64_MAX - 1;
    canary_tally_add(&a, &a);
    assert_true(a.requests == UINT64_MAX);
}


static void
text_is_read_back(void **state)
{
    char                         text[CANARY_TALLY_TEXT_MAX];
    unsigned                     i;
    canary_str_t                 s;
    canary_tally_t               read, t;
    const canary_tally_field_t  *field;

    (void) state;

    for (i = 0; i < 100; i++) {
        random_tally(&t, i < 50 ? 10 : UINT32_MAX);
        t.requests = i ? random_u64() : UINT64_MAX;
        t.cost_usd = (double) (random_u64() >> 11) * 0x1p-40;
        memset(&read, 0, sizeof(read));

        for (field = canary_tally_fields; field->n; field++) {
            s.data = text;
            s.len = canary_tally_format(text, field, &t);
            assert_in_range(s.len, 1, sizeof(text));
            assert_int_equal(canary_tally_parse(&read, field, s), 0);
        }

        assert_memory_equal(&read, &t, sizeof(t));
    }

    for (i = 0; i < CANARY_LATENCY_BUCKETS; i++) {
        t.latency_ms[i] = UINT64_MAX;
    }

    assert_int_equal(canary_tally_format(text,
                                         canary_tally_field(S("latency_ms")),
                                         &t), sizeof(text) - 1);
}


/* Zeros at the end are not written, and may be there. */

static void
buckets_without_observations_are_left_out(void **state)
{
    char                         text[CANARY_TALLY_TEXT_MAX];
    size_t                       len;
    unsigned                     i;
    buffer_t                     all;
    canary_tally_t               t = { 0 }, read;
    const canary_tally_field_t  *field;

    (void) state;

    field = canary_tally_field(S("latency_ms"));

    len = canary_tally_format(text, field, &t);
    assert_true(canary_str_eq((canary_str_t) { len, text }, S("0")));

    t.latency_ms[2] = 70;
    len = canary_tally_format(text, field, &t);
    assert_true(canary_str_eq((canary_str_t) { len, text }, S("0,0,70")));

    memset(&read, 0xff, sizeof(read));
    assert_int_equal(canary_tally_parse(&read, field, S("0,0,70")), 0);
    assert_memory_equal(read.latency_ms, t.latency_ms, sizeof(t.latency_ms));

    all = (buffer_t) { 0 };
    buffer_add_text(&all, "0,0,70");

    for (i = 3; i < CANARY_LATENCY_BUCKETS; i++) {
        buffer_add_text(&all, ",0");
    }

    memset(&read, 0xff, sizeof(read));
    assert_int_equal(canary_tally_parse(&read, field, buffer_str(&all)), 0);
    assert_memory_equal(read.latency_ms, t.latency_ms, sizeof(t.latency_ms));
    buffer_free(&all);

    t.latency_ms[2] = 0;
    assert_int_equal(canary_tally_parse(&read, field, S("")), 0);
    assert_memory_equal(read.latency_ms, t.latency_ms, sizeof(t.latency_ms));
}


static void
other_text_is_refused(void **state)
{
    size_t                       i;
    buffer_t                     many;
    canary_tally_t               t, was;
    const canary_tally_field_t  *count, *histogram, *sum;

    static const char  *counts[] = {
        "", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "nan", "1,2", "1,",
        ",", "18446744073709551616", "99999999999999999999999999999999999"
    };

    static const char  *sums[] = {
        "", "-1", "+1", ".5", "nan", "inf", "0x1p3", "1e31", "1e308", "1e999",
        "1,2", "1 ", "1.2.3", "1e", "infinity",
        "0.0000000000000000000000000000000000000001"
    };

    (void) state;

    count = canary_tally_field(S("requests"));
    sum = canary_tally_field(S("cost_usd"));
    histogram = canary_tally_field(S("latency_ms"));

    random_tally(&t, 10);
    was = t;

    for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        assert_int_equal(canary_tally_parse(&t, count, text_str(counts[i])),
                         -1);

        if (strcmp(counts[i], "") != 0 && strcmp(counts[i], "1,2") != 0) {
            assert_int_equal(canary_tally_parse(&t, histogram,
                                                text_str(counts[i])), -1);
        }
    }

    for (i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        assert_int_equal(canary_tally_parse(&t, sum, text_str(sums[i])), -1);
    }

    many = (buffer_t) { 0 };

    for (i = 0; i <= CANARY_LATENCY_BUCKETS; i++) {
        buffer_add_text(&many, i ? ",0" : "0");
    }

    assert_int_equal(canary_tally_parse(&t, histogram, buffer_str(&many)), -1);
    assert_memory_equal(&t, &was, sizeof(t));
    assert_int_equal(canary_tally_parse(&t, sum, S("1e-3")), 0);

    buffer_free(&many);
}


static void
costs_are_capped_in_the_capped_sums(void **state)
{
    canary_tally_t  t = { 0 };

    (void) state;

    canary_tally_cost(&t, 0.5, 2);
    canary_tally_cost(&t, 10, 2);
    canary_tally_cost(&t, 0, 2);
    canary_tally_cost(&t, -1, 2);
    canary_tally_cost(&t, NAN, 2);
    canary_tally_cost(&t, 1, 0);

    assert_int_equal(t.cost_known, 3);
    assert_int_equal(t.cost_unpriced, 3);
    assert_true(t.cost_usd == 10.5);
    assert_true(t.cost_capped_usd == 2.5);
    assert_true(t.cost_capped_usd2 == 4.25);
}


/* Whoever reports them in millionths of a dollar is counted all the same. */

static void
absurd_costs_and_tokens_are_counted_on(void **state)
{
    char                         text[CANARY_TALLY_TEXT_MAX];
    unsigned                     i;
    canary_str_t                 s;
    canary_tally_t               before, diff, now = { 0 }, read = { 0 };
    const canary_tally_field_t  *field;

    (void) state;

    for (i = 0; i < 100000; i++) {
        before = now;

        canary_tally_cost(&now, 1e6, 2e7);
        canary_tally_tokens(&now, UINT64_MAX / 50000, UINT64_MAX);

        assert_int_equal(canary_tally_diff(&diff, &now, 1, &before, 1), 0);
        assert_int_equal(diff.cost_known, 1);
    }

    assert_true(now.tokens_input == UINT64_MAX);
    assert_true(now.tokens_output == UINT64_MAX);

    for (field = canary_tally_fields; field->n; field++) {
        s.data = text;
        s.len = canary_tally_format(text, field, &now);
        assert_int_equal(canary_tally_parse(&read, field, s), 0);
    }

    assert_true(read.cost_capped_usd2 == 1e17);
}


/* Each user's k events make k squared; and what a pool makes of them. */

static void
events_of_a_user_are_squared(void **state)
{
    unsigned         i;
    canary_tally_t   t = { 0 };
    canary_by_user_t  *u;

    (void) state;

    for (i = 0; i <= 100; i++) {
        canary_tally_event(&t, CANARY_EVENT_DENIED, i);
    }

    u = t.by_user;

    assert_int_equal(u[CANARY_EVENT_DENIED].events, 100);
    assert_int_equal(u[CANARY_EVENT_DENIED].squares, 10000);
    assert_int_equal(u[CANARY_EVENT_ERROR].events, 0);
    assert_int_equal(u[CANARY_EVENT_ERROR].squares, 0);

    canary_tally_pool(&t, 1);
    assert_int_equal(u[CANARY_EVENT_DENIED].squares, 10000);

    /* three users of 4 errors each, of which two instances saw 2 and 2 */

    u[CANARY_EVENT_ERROR] = (canary_by_user_t) { 12, 3 * (4 + 4) };
    u[CANARY_EVENT_DENIED] = (canary_by_user_t) { 5, 5 };
    canary_tally_pool(&t, 2);
    assert_int_equal(u[CANARY_EVENT_ERROR].events, 12);
    assert_int_equal(u[CANARY_EVENT_ERROR].squares, 12 + 2 * 12);
    assert_int_equal(u[CANARY_EVENT_DENIED].squares, 5);

    /* numbers that cannot be */

    u[CANARY_EVENT_ERROR] = (canary_by_user_t) { 9, 3 };
    u[CANARY_EVENT_DENIED] = (canary_by_user_t) { 1, UINT64_MAX };
    canary_tally_pool(&t, 20);
    assert_int_equal(u[CANARY_EVENT_ERROR].squares, 9);
    assert_true(u[CANARY_EVENT_DENIED].squares == UINT64_MAX);
}


static void
quantiles_are_within_their_bucket(void **state)
{
    double    q, value;
    unsigned  bucket, i;
    uint64_t  h[CANARY_LATENCY_BUCKETS] = { 0 };

    (void) state;

    assert_true(canary_tally_quantile(h, 0.95) == 0);

    for (i = 1; i <= 1000; i++) {
        h[canary_tally_bucket(i)]++;
    }

    for (q = 0.01; q <= 1; q += 0.01) {
        value = canary_tally_quantile(h, q);
        bucket = canary_tally_edge_at(1000 * q);

        assert_true(value <= canary_tally_edge(bucket + 1));
        assert_true(value >= canary_tally_edge(bucket ? bucket - 1 : 0)
                    || bucket < 4);
        assert_true(q < 0.1 || fabs(value / (1000 * q) - 1) < 0.1);
    }

    assert_int_equal(canary_tally_total(h), 1000);
    assert_int_equal(canary_tally_above(h, canary_tally_edge_at(512)), 488);

    memset(h, 0, sizeof(h));
    h[CANARY_LATENCY_EDGES] = 5;
    assert_true(canary_tally_quantile(h, 0.5) == CANARY_LATENCY_MAX);
    assert_true(canary_tally_quantile(h, NAN) == 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(fields_cover_the_struct_once),
        cmocka_unit_test(buckets_end_at_their_edges),
        cmocka_unit_test(edges_are_found_from_both_sides),
        cmocka_unit_test(differences_add_up),
        cmocka_unit_test(a_lower_counter_restarts),
        cmocka_unit_test(sums_that_are_no_numbers_restart),
        cmocka_unit_test(pooling_commutes),
        cmocka_unit_test(text_is_read_back),
        cmocka_unit_test(buckets_without_observations_are_left_out),
        cmocka_unit_test(other_text_is_refused),
        cmocka_unit_test(costs_are_capped_in_the_capped_sums),
        cmocka_unit_test(absurd_costs_and_tokens_are_counted_on),
        cmocka_unit_test(events_of_a_user_are_squared),
        cmocka_unit_test(quantiles_are_within_their_bucket)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
