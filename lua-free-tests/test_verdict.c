
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include "support.h"
#include "verdict.h"


#define ERRORS    "{\"rules\":[{\"metric\":\"error_rate\",\"max\":0.05}]}"
#define RELATIVE  "{\"rules\":[{\"metric\":\"error_rate\","                   \
                  "\"max_increase\":0.02}]}"
#define COST      "{\"rules\":[{\"metric\":\"cost_usd\",\"max_ratio\":1.1}]}"

#define EVERY                                                                 \
    "{\"rules\":[{\"metric\":\"error_rate\",\"max\":0.05,"                    \
    "\"unless_baseline\":true},"                                              \
    "{\"metric\":\"error_rate\",\"max_increase\":0.02},"                      \
    "{\"metric\":\"denied_rate\",\"max_ratio\":1.5},"                         \
    "{\"metric\":\"escalated_rate\",\"max\":0.1},"                            \
    "{\"metric\":\"cost_usd\",\"max_ratio\":1.1},"                            \
    "{\"metric\":\"cost_usd\",\"max\":0.25},"                                 \
    "{\"metric\":\"cost_usd\",\"max_increase\":0.1},"                         \
    "{\"metric\":\"latency_p95_ms\",\"max_ratio\":1.2},"                      \
    "{\"metric\":\"latency_p50_ms\",\"max\":2000},"                           \
    "{\"metric\":\"first_byte_p99_ms\",\"max_increase\":500},"                \
    "{\"metric\":\"spend_usd\",\"max\":50,\"per\":\"1h\"}]}"


/*
 * The reference: the published core of the method, written apart from
 * canary/, with the notation of the papers.
 */

#define K  10

struct arm { double n, s, ss; };

struct test {
    double r, delta, cap, alpha, horizon, deff, min_events;
    double M[K], A[K];
    double eb_n, eb_s, b, age, events, paid_until;
    struct arm C, B;
};


static double
lb(struct arm a, double base, double slope)
{
    double  h;

    if (a.ss <= 0) {
        return a.n * log(base);
    }

    h = a.s * a.s / a.ss;

    return (a.n - h) * log(base) + h * log(base + slope * a.ss / a.s);
}


/* 3/8 of the capital evenly, 1/8 with a density of 1 / (10 s + t) */

static double
paid(double t, double horizon)
{
    return 0.375 * t / horizon
           + 0.125 * log(1 + t / 10) / log(1 + horizon / 10);
}


static int
reference_tick(struct test *t, struct arm c, struct arm b, double dt,
    double alpha_adv)
{
    int         j;
    double      a = 0, c0, d, e, L, m = 0, st, u, w, x;
    struct arm  B, C, Z;

    d = exp(-dt / 600);

    if (t->age == 0) {
        t->b = (t->eb_s + 0.5 * t->cap * (t->cap == 1))
               / (t->eb_n + (t->cap == 1));
    }

    t->C.n += c.n; t->C.s += c.s; t->C.ss += c.ss;
    t->B.n += b.n; t->B.s += b.s; t->B.ss += b.ss;
    t->eb_n = t->eb_n * d + b.n;
    t->eb_s = t->eb_s * d + b.s;
    t->age += dt;
    t->events += c.s / t->cap;
    C = t->C;
    B = t->B;

    if (C.n == 0
        || (t->r > 0
            && (B.n == 0
                || (B.n < C.n && C.n + B.n < 16 && t->age < 10))))
    {
        return 0;
    }

    c0 = t->r * t->b + t->delta;
    w = paid(t->paid_until + t->age, t->horizon)
        - paid(t->paid_until, t->horizon);
    t->paid_until += t->age;
    x = C.s / C.n;
    u = t->cap - t->b;
    Z = (struct arm) { B.n, B.n * t->cap - B.s,
                       B.n * t->cap * t->cap - 2 * t->cap * B.s + B.ss };

    for (j = 0; j < K; j++) {
        st = fmin(0.98, C.n * ldexp(0.98, -j));
        e = t->r > 0 ? t->r * st / (c0 * B.n) : 0;

        if (t->r > 0 && e * u > 0.9) {
            st *= 0.9 / (e * u);
            e = 0.9 / u;
        }

        L = log1p(st * (x / c0 - 1)) + (t->r > 0 ? lb(Z, 1 - e * u, e) : 0);
        t->M[j] = fmin((t->M[j] + w) * exp(L / t->deff), 1e100);
        m += t->M[j] / K;

        st = fmin(0.98, C.n * ldexp(0.98, -j)) / (t->cap - c0);
        e = t->r > 0 ? t->r * st / B.n : 0;

        if (t->r > 0 && e * t->b > 0.9) {
            st *= 0.9 / (e * t->b);
            e = 0.9 / t->b;
        }

        L = log1p(-st * (x - c0)) + (t->r > 0 ? lb(B, 1 - e * t->b, e) : 0);
        t->A[j] = fmin(t->A[j] * exp(L / t->deff), 1e100);
        a += t->A[j] / K;
    }

    t->C = t->B = (struct arm) { 0, 0, 0 };
    t->age = 0;

    return (m >= 1 / t->alpha && t->events >= t->min_events)
           | (a >= 1 / alpha_adv) << 1;
}


static void
verdict_of(canary_verdict_t *v, const char *json)
{
    canary_error_t       err;
    canary_guardrails_t  g;

    if (canary_guardrails_parse(&g, text_str(json), &err) != 0) {
        fail_msg("%s", err.text);
    }

    canary_verdict_init(v, S("support"), 3, &g);
}


/* The design effect is 1: it was seen for long and never was anything. */

static void
trust(canary_verdict_t *v)
{
    uint32_t  i;

    for (i = 0; i < v->guardrails.n; i++) {
        v->state.rule[i].clump.pairs = 1e9;
        v->state.rule[i].clump.expected = 1e90;
        v->state.rule[i].clump.found = 0;
    }
}


static unsigned
errors_among(unsigned n, double p)
{
    unsigned  errors;

    for (errors = 0; n > 0; n--) {
        errors += random_below(1000000) < p * 1000000;
    }

    return errors;
}


static int
agrees(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b)) + 1e-290;
}


static void
agree_with_reference(canary_verdict_t *v, struct test *t, unsigned max_c,
    unsigned max_b, int cost, double rate)
{
    int              i, j, rc;
    double           dt, y;
    unsigned         k;
    struct arm       arm[CANARY_ARMS];
    canary_ruling_t  ruling;

    for (j = 0; j < K; j++) {
        t->M[j] = 0.5;
        t->A[j] = 1;
    }

    t->alpha = 0.01;
    t->horizon = 172800;
    t->deff = 1;
    t->min_events = v->guardrails.rules[0].min_events;

    for (i = 0; i < 4000; i++) {
        canary_tally_t  tally[CANARY_ARMS] = { 0 };

        dt = 0.25 * (1 + random_below(8));

        for (k = 0; k < CANARY_ARMS; k++) {
            arm[k].n = random_below((k ? max_c : max_b) + 1);
            arm[k].s = errors_among((unsigned) arm[k].n,
                                    k && i > 3000 ? rate : 0.03);
            arm[k].ss = arm[k].s;

            if (cost) {
                arm[k].s = 0;
                arm[k].ss = 0;

                for (j = 0; j < (int) arm[k].n; j++) {
                    y = 0.01 * (1 + random_below(20))
                        * (k && i > 3000 ? rate : 1);
                    canary_tally_cost(&tally[k], y, t->cap);
                }

                arm[k].s = tally[k].cost_capped_usd;
                arm[k].ss = tally[k].cost_capped_usd2;
            }

            tally[k].cost_cap_usd = cost ? t->cap : 0;
            tally[k].requests = (uint64_t) arm[k].n;
            tally[k].errors_timeout = cost ? 0 : (uint64_t) arm[k].s;
        }

        trust(v);
        canary_verdict_tick(v, &tally[CANARY_ARM_CANDIDATE],
                            &tally[CANARY_ARM_BASELINE], dt, &ruling);

        /* without a mean there is no bet; the reference divides by zero */

        if (cost && t->eb_n == 0) {
            t->eb_n = v->state.rule[0].usual.n;
            t->eb_s = v->state.rule[0].usual.s;
            continue;
        }

        rc = reference_tick(t, arm[CANARY_ARM_CANDIDATE],
                            arm[CANARY_ARM_BASELINE], dt, 0.05);

        for (j = 0; j < K; j++) {
            if (!agrees(v->state.rule[0].limit.rollback[j], t->M[j])
                || !agrees(v->state.rule[0].limit.advance[j], t->A[j]))
            {
                fail_msg("tick %d, bet %d: M %.17g, not %.17g; "
                         "A %.17g, not %.17g", i, j,
                         v->state.rule[0].limit.rollback[j], t->M[j],
                         v->state.rule[0].limit.advance[j], t->A[j]);
            }
        }

        if (!cost && (rc & 1)) {
            assert_true(ruling.trip);
        }
    }

    assert_true(canary_bet_evidence(&v->state.rule[0].limit) > 100);
}


static void
bets_agree_with_the_reference(void **state)
{
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, ERRORS);
    agree_with_reference(&v, &(struct test) { .delta = 0.05, .cap = 1 },
                         3, 100, 0, 0.2);

    verdict_of(&v, RELATIVE);
    agree_with_reference(&v, &(struct test) { .r = 1, .delta = 0.02,
                                              .cap = 1 }, 2, 200, 0, 0.2);

    verdict_of(&v, RELATIVE);
    agree_with_reference(&v, &(struct test) { .r = 1, .delta = 0.02,
                                              .cap = 1 }, 4, 4, 0, 0.9);

    verdict_of(&v, COST);
    agree_with_reference(&v, &(struct test) { .r = 1.1, .cap = 2 }, 3, 30, 1,
                         2);
}


static void
tick(canary_verdict_t *v, unsigned n, unsigned errors, unsigned baseline,
    unsigned baseline_errors, canary_ruling_t *ruling)
{
    canary_tally_t  b = { 0 }, c = { 0 };

    c.requests = n;
    c.errors_status = errors;
    b.requests = baseline;
    b.errors_status = baseline_errors;

    canary_verdict_tick(v, &c, &b, 0.25, ruling);
}


static void
total_failure_trips_after_five(void **state)
{
    unsigned          n;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, ERRORS);

    for (n = 1; n <= 5; n++) {
        tick(&v, 1, 1, 99, 0, &ruling);
        assert_int_equal(ruling.trip, n == 5);
    }

    assert_int_equal(ruling.action, CANARY_ACTION_ROLLBACK);
    assert_int_equal(ruling.standing.rule, 1);
    assert_int_equal(ruling.standing.metric, CANARY_METRIC_ERROR_RATE);
    assert_true(fabs(ruling.standing.n - 5) < 0.01);
    assert_true(fabs(ruling.standing.value - 1) < 1e-6);
    assert_true(ruling.standing.limit == 0.05);
    assert_true(ruling.standing.e_value >= ruling.standing.e_limit);

    assert_string_equal(ruling.sentence,
        "error_rate: 5 of 5 requests to the candidate failed in the last 2 s "
        "(100 %, limit 5 %, baseline 0 %); a candidate within the limit would "
        "look this bad in less than 1 of 108 rollouts");
}


static void
a_late_failure_shows_its_own_window(void **state)
{
    unsigned          i, n;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, ERRORS);

    for (i = 0; i < 20000; i++) {
        tick(&v, 1, i % 100 == 99, 20, i % 5 == 0, &ruling);
        assert_false(ruling.trip);
    }

    for (n = 1; n < 20; n++) {
        tick(&v, 1, 1, 20, 0, &ruling);

        if (ruling.trip) {
            break;
        }
    }

    assert_in_range(n, 6, 8);
    assert_in_range((int) (ruling.standing.n + 0.5), n, n + 4);
    assert_in_range((int) (ruling.standing.events + 0.5), n, n + 1);
    assert_true(ruling.standing.seconds < 5);
}


static void
no_traffic_is_no_evidence(void **state)
{
    unsigned          i;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, EVERY);

    for (i = 0; i < 100000; i++) {
        tick(&v, 0, 0, i % 2 ? 50 : 0, 0, &ruling);
        assert_false(ruling.trip);
    }

    for (i = 0; i < 10; i++) {
        assert_true(canary_bet_evidence(&v.state.rule[i].limit) == 0.5);
        assert_true(canary_bet_proof(&v.state.rule[i].limit) == 1);
    }
}


static void
unless_baseline_waits_for_a_difference(void **state)
{
    unsigned          i;
    canary_ruling_t   ruling;
    canary_verdict_t  v, w;

    (void) state;

    verdict_of(&v, "{\"unless_baseline\":true,\"rules\":[{\"metric\":"
                   "\"error_rate\",\"max\":0.05}]}");
    verdict_of(&w, ERRORS);

    for (i = 0; i < 400; i++) {
        tick(&v, 2, i % 2, 100, 25, &ruling);
        assert_false(ruling.trip);
        tick(&w, 2, i % 2, 100, 25, &ruling);
        trust(&v);
        trust(&w);
    }

    assert_true(ruling.trip);

    for (i = 0; i < 100; i++) {
        tick(&v, 2, 2, 100, 25, &ruling);

        if (ruling.trip) {
            break;
        }
    }

    assert_in_range(i, 3, 99);
}


static void
a_budget_is_a_plain_sum(void **state)
{
    double            spent;
    unsigned          i;
    canary_tally_t    b = { 0 }, c = { 0 };
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, "{\"rules\":[{\"metric\":\"spend_usd\",\"max\":50,"
                   "\"per\":\"1h\"}]}");

    /* a dollar a minute for ever is within, two are not */

    c.cost_known = 1;
    c.cost_usd = 0.8;

    for (i = 0; i < 1000; i++) {
        canary_verdict_tick(&v, &c, &b, 60, &ruling);
        assert_false(ruling.trip);
    }

    c.cost_usd = 2;

    for (spent = 0, i = 0; i < 60 && !ruling.trip; i++) {
        canary_verdict_tick(&v, &c, &b, 60, &ruling);
        spent += 2;
    }

    assert_true(ruling.trip);
    assert_true(spent < 50);
    assert_non_null(strstr(ruling.sentence, "the candidate spent $50."));
    assert_non_null(strstr(ruling.sentence, "its budget is $50.00"));

    /* an hour without a cost: the budget is there again */

    c.cost_usd = 0;
    canary_verdict_tick(&v, &c, &b, 3600, &ruling);
    assert_false(ruling.trip);
}


/* What a manager reads: how many times, and what that is in money. */

static void
a_dear_candidate_is_told_in_times(void **state)
{
    unsigned          i;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, COST);

    for (i = 0, ruling.trip = 0; i < 10000 && !ruling.trip; i++) {
        canary_tally_t  b = { 0 }, c = { 0 };

        b.requests = 2;
        c.requests = 1;
        b.cost_cap_usd = 0.006;
        c.cost_cap_usd = 0.006;
        canary_tally_cost(&b, 0.0002, 0.006);
        canary_tally_cost(&b, 0.0004, 0.006);
        canary_tally_cost(&c, 0.00048, 0.006);

        canary_verdict_tick(&v, &c, &b, 0.25, &ruling);
    }

    assert_true(ruling.trip);
    assert_non_null(strstr(ruling.sentence,
                           " requests to the candidate cost 1.6 times those "
                           "to the baseline in the last "));
    assert_non_null(strstr(ruling.sentence,
                           " (limit 1.1 times; $0.00048 each instead of "
                           "$0.0003); a candidate within the limit would "
                           "look this bad in less than 1 of "));

    /* where there is nothing to compare with, only the money is left */

    ruling.standing.baseline_value = 0;
    canary_verdict_sentence(ruling.sentence, &v, &ruling.standing);
    assert_non_null(strstr(ruling.sentence,
                           " requests cost the candidate $0.00048 each in "
                           "the last "));
}


static void
slow_answers_trip_by_the_edge(void **state)
{
    unsigned          i, late;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, "{\"rules\":[{\"metric\":\"latency_p95_ms\","
                   "\"max_ratio\":1.2}]}");

    for (i = 0, late = 0; i < 4000; i++) {
        canary_tally_t  b = { 0 }, c = { 0 };

        b.requests = 20;
        b.latency_ms[canary_tally_bucket(400)] = 19;
        b.latency_ms[canary_tally_bucket(1000)] = 1;
        c.requests = 1;

        /* as slow as the baseline for a while, then twice as slow */

        c.latency_ms[canary_tally_bucket(i < 2000 ? (i % 20 ? 400 : 1000)
                                         : 3000)] = 1;

        canary_verdict_tick(&v, &c, &b, 0.25, &ruling);

        if (i < 2000) {
            assert_false(ruling.trip);

        } else if (ruling.trip) {
            late = i - 2000;
            break;
        }
    }

    assert_in_range(late, 5, 40);
    assert_true(ruling.standing.edge_ms > 400
                && ruling.standing.edge_ms < 3000);
    assert_non_null(strstr(ruling.sentence, "answers of the candidate took "
                                            "longer than"));
}


/* Errors in clumps of four: seen, and told from single ones. */

static void
clumps_are_measured(void **state)
{
    double             effect;
    unsigned           i;
    canary_clump_t     single = { 0 }, clumped = { 0 }, shared = { 0 };
    canary_sample_t    x;

    (void) state;

    assert_true(canary_clump_effect(&single) == CANARY_CLUMP_UNKNOWN);

    for (i = 0; i < 14400; i++) {
        x.n = 50;
        x.s = errors_among(50, 0.02);
        x.ss = x.s;
        canary_clump_feed(&single, &x, 0.25);

        x.s = 4 * errors_among(50, 0.005);
        x.ss = x.s;
        canary_clump_feed(&clumped, &x, 0.25);

        /* two outages of two minutes are no clumps */

        x.s = errors_among(50, i % 7200 > 6720 ? 0.3 : 0.02);
        x.ss = x.s;
        canary_clump_feed(&shared, &x, 0.25);
    }

    assert_true(canary_clump_effect(&single) == 1);

    effect = canary_clump_effect(&clumped);
    assert_true(effect > 1.8 && effect < 7);

    effect = canary_clump_effect(&shared);
    printf("shared outages: %g\n", effect);
    assert_true(effect < 6);
}


/* Before that the users who are followed tell, the baseline's first. */

static void
users_tell_of_clumps_at_once(void **state)
{
    canary_clump_t  c = { 0 };

    (void) state;

    canary_clump_follow(&c, CANARY_ARM_CANDIDATE, 1, 1);
    assert_true(canary_clump_effect(&c) == 1.5);

    canary_clump_follow(&c, CANARY_ARM_CANDIDATE, 7, 7);
    assert_true(canary_clump_effect(&c) == 10 / 9.0);

    canary_clump_follow(&c, CANARY_ARM_CANDIDATE, 40, 1600);
    assert_true(canary_clump_effect(&c) == 8);

    canary_clump_follow(&c, CANARY_ARM_BASELINE, 9, 38);
    assert_true(canary_clump_effect(&c) == 4);

    /* where the baseline has no requests, one user is not believed for ever */

    memset(&c, 0, sizeof(c));
    canary_clump_follow(&c, CANARY_ARM_CANDIDATE, 40, 1600);
    canary_clump_feed(&c, &(canary_sample_t) { 0, 0, 0 }, 299);
    assert_true(canary_clump_effect(&c) == 8);
    canary_clump_feed(&c, &(canary_sample_t) { 0, 0, 0 }, 1);
    assert_true(canary_clump_effect(&c) == CANARY_CLUMP_UNKNOWN);

    /* squares are never less than what is squared */

    memset(&c, 0, sizeof(c));
    canary_clump_follow(&c, CANARY_ARM_BASELINE, 99, 0);
    assert_true(canary_clump_effect(&c) == 1.01);
}


/* The same total failure, of many users and of one who tries again. */

static unsigned
requests_until_rolled_back(unsigned one_user)
{
    unsigned          i, k;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    verdict_of(&v, ERRORS);

    for (i = 0, k = 0; i < 200; i++) {
        canary_tally_t  b = { 0 }, c = { 0 };

        b.requests = 3;
        c.requests = 1;
        c.errors_status = i >= 100;

        if (i >= 100) {
            k = one_user ? k + 1 : 1;
            canary_tally_event(&c, CANARY_EVENT_ERROR, k);
        }

        canary_verdict_tick(&v, &c, &b, 0.125, &ruling);

        if (ruling.trip) {
            return i - 99;
        }
    }

    fail_msg("was not rolled back");
    return 0;
}


static void
a_user_who_tries_again_is_less_evidence(void **state)
{
    unsigned  many, one;

    (void) state;

    many = requests_until_rolled_back(0);
    one = requests_until_rolled_back(1);
    printf("%u requests of many users, %u of one\n", many, one);

    assert_in_range(many, 5, 10);
    assert_in_range(one, 2 * many, 60);
}


/* A candidate that is mended is not known by its clumps. */

static void
a_new_epoch_forgets_the_candidates_users(void **state)
{
    canary_tally_t    b = { 0 }, c = { 0 };
    canary_clump_t   *clump;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, ERRORS);
    clump = &v.state.rule[0].clump;

    b.requests = 100;
    b.by_user[CANARY_EVENT_ERROR] = (canary_by_user_t) { 2, 4 };
    c.requests = 100;
    c.by_user[CANARY_EVENT_ERROR] = (canary_by_user_t) { 5, 25 };
    c.by_user[CANARY_EVENT_DENIED] = (canary_by_user_t) { 9, 81 };
    canary_verdict_tick(&v, &c, &b, 0.25, &ruling);

    assert_true(clump->events[CANARY_ARM_CANDIDATE] == 5);
    assert_true(clump->squares[CANARY_ARM_CANDIDATE] == 25);
    assert_true(clump->events[CANARY_ARM_BASELINE] == 2);

    canary_verdict_renew(&v, 4);
    assert_true(clump->events[CANARY_ARM_CANDIDATE] == 0);
    assert_true(clump->squares[CANARY_ARM_CANDIDATE] == 0);
    assert_true(clump->events[CANARY_ARM_BASELINE] == 2);
    assert_true(clump->squares[CANARY_ARM_BASELINE] == 4);
}


static void
check_numbers(const canary_verdict_t *v)
{
    size_t         i;
    const double  *value;

    value = (const double *) (const void *) &v->state;

    for (i = 0; i < sizeof(v->state) / sizeof(double); i++) {
        if (!(value[i] >= 0 && value[i] <= 1e101)) {
            fail_msg("number %zu of the state is %g", i, value[i]);
        }
    }
}


static double
hostile_double(void)
{
    static const double  all[] = {
        NAN, INFINITY, -INFINITY, -1, 0, -0.0, 1e308, -1e308, 5e-324, 1e-9,
        1, 0.25, 1e13, 100
    };

    return all[random_below(sizeof(all) / sizeof(all[0]))];
}


static uint64_t
hostile_count(void)
{
    switch (random_below(6)) {

    case 0:
        return UINT64_MAX;

    case 1:
        return random_u64() >> random_below(64);

    case 2:
        return 1;

    default:
        return random_below(3) ? 0 : random_below(100);
    }
}


static void
hostile_tally(canary_tally_t *t)
{
    char                        *value;
    size_t                       i;
    double                       sum;
    uint64_t                     count;
    const canary_tally_field_t  *field;

    for (field = canary_tally_fields; field->n; field++) {
        for (i = 0; i < field->n; i++) {
            value = (char *) t + field->offset + i * 8;
            count = hostile_count();
            sum = hostile_double();

            if (field->type == CANARY_TALLY_COUNT) {
                memcpy(value, &count, 8);

            } else {
                memcpy(value, &sum, 8);
            }
        }
    }
}


static void
hostile_input_makes_no_nan(void **state)
{
    unsigned           i;
    canary_tally_t     b, c;
    canary_ruling_t    ruling;
    canary_standing_t  st;
    canary_verdict_t   v;

    (void) state;

    verdict_of(&v, EVERY);

    for (i = 0; i < 20000; i++) {
        hostile_tally(&b);
        hostile_tally(&c);

        canary_verdict_tick(&v, &c, &b,
                            random_below(2) ? 0.25 : hostile_double(),
                            &ruling);

        if (i % 100 == 0) {
            check_numbers(&v);
        }

        canary_verdict_standing(&v, i % v.guardrails.n, &st);
        assert_true(isfinite(st.value) && isfinite(st.limit)
                    && isfinite(st.e_value) && isfinite(st.baseline_value));

        if (ruling.trip) {
            assert_in_range(strlen(ruling.sentence), 10,
                            CANARY_SENTENCE_MAX - 1);
            assert_null(strstr(ruling.sentence, "nan"));
            assert_null(strstr(ruling.sentence, "inf"));
        }

        if (i % 1000 == 999) {
            verdict_of(&v, EVERY);
        }
    }
}


static void
use(canary_verdict_t *v, unsigned ticks)
{
    canary_ruling_t  ruling;

    while (ticks--) {
        canary_tally_t  b = { 0 }, c = { 0 };

        c.requests = random_below(3);
        c.errors_connect = c.requests && random_below(20) == 0;
        c.latency_ms[random_below(90)] = c.requests;
        c.first_byte_ms[random_below(90)] = c.requests;
        b.requests = random_below(30);
        b.errors_stream = b.requests && random_below(3) == 0;
        b.latency_ms[random_below(60)] = b.requests;
        b.first_byte_ms[random_below(60)] = b.requests;
        canary_tally_cost(&c, 0.01 * random_below(9), 2);
        canary_tally_cost(&b, 0.01 * random_below(9), 2);

        canary_verdict_tick(v, &c, &b, 0.25, &ruling);
    }
}


static void
saving_and_restoring_is_identity(void **state)
{
    char              text[CANARY_VERDICT_TEXT_MAX], again[sizeof(text)];
    unsigned          i;
    canary_str_t      s;
    canary_verdict_t  v, w;

    (void) state;

    for (i = 0; i < 30; i++) {
        verdict_of(&v, i % 2 ? EVERY : ERRORS);
        use(&v, i * 50);

        s.data = text;
        s.len = canary_verdict_save(&v, text, sizeof(text));
        assert_true(s.len > 0);

        verdict_of(&w, i % 2 ? EVERY : ERRORS);
        assert_int_equal(canary_verdict_restore(&w, s), 1);
        assert_memory_equal(&v, &w, sizeof(v));

        assert_int_equal(canary_verdict_save(&w, again, sizeof(again)),
                         s.len);
        assert_memory_equal(text, again, s.len);

        assert_int_equal(canary_verdict_save(&v, again, s.len / 2), 0);
    }
}


static void
the_text_of_16_rules_fits(void **state)
{
    char              text[CANARY_VERDICT_TEXT_MAX];
    size_t            i, rules;
    double           *value;
    canary_verdict_t  v, w;

    (void) state;

    verdict_of(&v, EVERY);
    rules = v.guardrails.n;
    v.guardrails.n = CANARY_RULES_MAX;
    value = (double *) (void *) &v.state;

    for (i = 0; i < sizeof(v.state) / sizeof(double); i++) {
        value[i] = 0.1;
    }

    i = canary_verdict_save(&v, text, sizeof(text));
    printf("%zu bytes for 16 rules, %zu in memory\n", i, sizeof(v));
    assert_in_range(i, 1, sizeof(text));
    v.guardrails.n = (uint32_t) rules;

    verdict_of(&w, EVERY);
}


static void
another_epoch_or_rule_is_not_taken_over(void **state)
{
    char              text[CANARY_VERDICT_TEXT_MAX];
    canary_str_t      s;
    canary_error_t    err;
    canary_verdict_t  v, w;
    canary_guardrails_t  g;

    (void) state;

    verdict_of(&v, ERRORS);
    use(&v, 3000);
    s.data = text;
    s.len = canary_verdict_save(&v, text, sizeof(text));

    assert_int_equal(canary_guardrails_parse(&g, S(ERRORS), &err), 0);

    /* the next epoch: the capital is new, the baseline is known */

    canary_verdict_init(&w, S("support"), 4, &g);
    assert_int_equal(canary_verdict_restore(&w, s), 0);
    assert_int_equal(w.epoch, 4);
    assert_true(canary_bet_evidence(&w.state.rule[0].limit) == 0.5);
    assert_true(w.state.rule[0].events == 0);
    assert_memory_equal(&w.state.rule[0].clump, &v.state.rule[0].clump,
                        sizeof(canary_clump_t));
    assert_memory_equal(&w.state.rule[0].usual, &v.state.rule[0].usual,
                        sizeof(canary_sample_t));

    /* another flag, another limit, one more rule */

    canary_verdict_init(&w, S("checkout"), 3, &g);
    assert_int_equal(canary_verdict_restore(&w, s), -1);

    g.rules[0].limit = 0.06;
    canary_verdict_init(&w, S("support"), 3, &g);
    assert_int_equal(canary_verdict_restore(&w, s), -1);
    assert_true(w.state.rule[0].usual.n == 0);

    verdict_of(&w, RELATIVE);
    assert_int_equal(canary_verdict_restore(&w, s), -1);
}


static void
a_damaged_text_is_refused(void **state)
{
    char              copy[CANARY_VERDICT_TEXT_MAX];
    char              text[CANARY_VERDICT_TEXT_MAX];
    unsigned          i;
    canary_str_t      s;
    canary_verdict_t  fresh, v, w;

    (void) state;

    verdict_of(&v, ERRORS);
    use(&v, 1000);
    s.data = copy;
    s.len = canary_verdict_save(&v, text, sizeof(text));

    verdict_of(&fresh, ERRORS);
    w = fresh;

    for (i = 0; i < s.len * 8; i += 7) {
        memcpy(copy, text, s.len);
        flip_bit(copy, i);

        if (canary_verdict_restore(&w, s) == 0) {

            /* the epoch is not part of the check */

            assert_in_range(i / 8, 39, 57);
            w = fresh;
        }

        assert_memory_equal(&w, &fresh, sizeof(w));
    }

    memcpy(copy, text, s.len);
    copy[s.len++] = ' ';
    assert_int_equal(canary_verdict_restore(&w, s), -1);
    s.len--;

    while (s.len > 0) {
        s.len--;
        assert_int_equal(canary_verdict_restore(&w, s), -1);
    }

    assert_memory_equal(&w, &fresh, sizeof(w));
}


/* Two halves of a run, with a save between, are the whole run. */

static void
a_restart_loses_nothing(void **state)
{
    char              text[CANARY_VERDICT_TEXT_MAX];
    unsigned          i;
    canary_str_t      s;
    canary_ruling_t   a, b;
    canary_verdict_t  v, w;

    (void) state;

    verdict_of(&v, RELATIVE);
    verdict_of(&w, RELATIVE);
    a.trip = 0;

    for (i = 0; i < 5000 && !a.trip; i++) {
        tick(&v, i % 3, i > 4000 && i % 2, 20, i % 4 == 0, &a);
        tick(&w, i % 3, i > 4000 && i % 2, 20, i % 4 == 0, &b);
        assert_memory_equal(&a, &b, sizeof(a));

        if (i % 10 == 0) {
            s.data = text;
            s.len = canary_verdict_save(&w, text, sizeof(text));
            verdict_of(&w, RELATIVE);
            assert_int_equal(canary_verdict_restore(&w, s), 1);
        }
    }

    assert_true(a.trip);
}


static void
proof_grows_and_starts_anew(void **state)
{
    unsigned           i;
    canary_ruling_t    ruling;
    canary_standing_t  st;
    canary_verdict_t   v;

    (void) state;

    verdict_of(&v, ERRORS);

    for (i = 0; i < 600; i++) {
        tick(&v, 1, 0, 20, i % 5 == 0, &ruling);
        assert_false(ruling.trip);
    }

    canary_verdict_standing(&v, 0, &st);
    assert_true(st.proof >= 20);
    assert_true(st.e_value < 1);

    canary_verdict_restart_proof(&v);
    canary_verdict_standing(&v, 0, &st);
    assert_true(st.proof == 1);
}


/* A trip is a rule whose evidence is there, and no other. */

static void
trips_are_what_the_standings_say(void **state)
{
    unsigned           i, k, trips;
    canary_ruling_t    ruling;
    canary_standing_t  st;
    canary_verdict_t   v;

    static const char  *const rules[] = {
        "{}", ERRORS,
        "{\"rules\":[{\"metric\":\"error_rate\",\"max\":0.05,"
        "\"min_events\":1},{\"metric\":\"error_rate\","
        "\"max_increase\":0.02,\"min_events\":12}]}"
    };

    (void) state;

    for (i = 0, trips = 0; i < 300; i++) {
        verdict_of(&v, rules[i % 3]);

        for (k = 0; k < 60; k++) {
            trust(&v);
            tick(&v, 1, random_below(3) == 0, 20, random_below(4) == 0,
                 &ruling);

            if (ruling.trip) {
                break;
            }
        }

        for (k = 0; k < v.guardrails.n; k++) {
            canary_verdict_standing(&v, k, &st);
            assert_int_equal(ruling.trip && ruling.standing.rule == k + 1,
                             st.e_value >= st.e_limit && st.enough
                             && (!ruling.trip
                                 || ruling.standing.rule >= k + 1));
            assert_int_equal(st.enough, v.state.rule[k].events
                                        >= v.guardrails.rules[k].min_events);
        }

        trips += ruling.trip;
    }

    assert_in_range(trips, 100, 300);
}


static void
a_few_bad_events_are_not_enough(void **state)
{
    unsigned           n;
    canary_ruling_t    ruling;
    canary_standing_t  st;
    canary_verdict_t   v;

    (void) state;

    verdict_of(&v, ERRORS);

    for (n = 1; n <= 5; n++) {
        trust(&v);
        tick(&v, 1, 1, 20, 0, &ruling);
        canary_verdict_standing(&v, 0, &st);

        assert_int_equal(st.e_value >= st.e_limit, n >= 3);
        assert_int_equal(ruling.trip, n == 5);
    }
}


/* An error that comes before its request counts as one of one. */

/* Readings come faster then: while all is well they must not. */

static void
rising_evidence_is_told(void **state)
{
    unsigned          i, rising;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, ERRORS);

    for (i = 0, rising = 0; i < 20000; i++) {
        tick(&v, 5, i % 20 == 19, 20, i % 5 == 0, &ruling);
        assert_false(ruling.trip);
        rising += i > 100 && ruling.rising;
    }

    assert_in_range(rising, 0, 1);

    for (i = 0; i < 3; i++) {
        tick(&v, 0, 0, 20, 0, &ruling);
        assert_false(ruling.rising);
    }

    for (i = 0; i < 3; i++) {
        tick(&v, 5, 5, 20, 0, &ruling);
    }

    assert_true(ruling.rising);
    assert_false(ruling.trip);
}


/* What nobody asks for any more, or what is known, needs no haste. */

static void
rising_evidence_is_old_one_day(void **state)
{
    unsigned          i;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, ERRORS);
    tick(&v, 3, 3, 20, 0, &ruling);
    assert_true(ruling.rising);

    for (i = 0; i < 4 * 60; i++) {
        tick(&v, 0, 0, 20, 0, &ruling);
    }

    assert_false(ruling.rising);

    tick(&v, 3, 3, 20, 0, &ruling);
    assert_true(ruling.rising);

    for (i = 0; i < 100; i++) {
        tick(&v, 5, 5, 20, 0, &ruling);
    }

    assert_true(ruling.trip);
    assert_false(ruling.rising);
}


/* Both arms fail, for as long as that takes. */

static void
evidence_of_an_outage_is_not_rising(void **state)
{
    unsigned          i;
    canary_ruling_t   ruling;
    canary_verdict_t  v;

    (void) state;

    verdict_of(&v, "{\"rules\":[{\"metric\":\"error_rate\",\"max\":0.05,"
                   "\"unless_baseline\":true}]}");

    for (i = 0; i < 400; i++) {
        tick(&v, 5, 5, 20, 20, &ruling);
        assert_false(ruling.trip);
    }

    assert_false(ruling.rising);
}


static void
an_error_brings_its_request(void **state)
{
    unsigned           n;
    canary_ruling_t    ruling;
    canary_verdict_t   v;

    (void) state;

    verdict_of(&v, ERRORS);

    for (n = 1; n <= 5; n++) {
        tick(&v, 0, 1, 20, 0, &ruling);
    }

    assert_true(ruling.trip);
    assert_true(fabs(ruling.standing.value - 1) < 1e-6);
}


/* Whatever a bet is fed, its capital stays a number. */

static void
no_capital_is_nan(void **state)
{
    int              i, j;
    canary_bet_t     bet;
    canary_claim_t   claim;
    canary_sample_t  b, c;

    (void) state;

    for (i = 0; i < 20000; i++) {
        canary_bet_init(&bet);

        claim.ratio = fabs(hostile_double());
        claim.increase = fabs(hostile_double());
        claim.cap = fabs(hostile_double());
        claim.horizon = 172800;
        claim.effect = 1 + random_below(2);
        b = (canary_sample_t) { 5, fabs(hostile_double()),
                                fabs(hostile_double()) };
        c = (canary_sample_t) { 3, fabs(hostile_double()), 0 };

        (void) canary_bet_feed(&bet, &claim, &c, &b, fabs(hostile_double()),
                               0.25);

        for (j = 0; j < CANARY_BETS; j++) {
            assert_true(bet.rollback[j] >= 0 && bet.rollback[j] <= 1e100);
            assert_true(bet.advance[j] >= 0 && bet.advance[j] <= 1e100);

            if (isnan(claim.cap)) {
                assert_true(bet.rollback[j] < 1);
            }
        }
    }
}


/* Two rules share alpha; a budget takes none of it. */

static void
alpha_is_shared(void **state)
{
    canary_standing_t  st;
    canary_verdict_t   v;

    (void) state;

    verdict_of(&v, EVERY);
    canary_verdict_standing(&v, 0, &st);
    assert_true(fabs(st.e_limit - 1000) < 1e-9);

    verdict_of(&v, "{}");
    canary_verdict_standing(&v, 0, &st);
    assert_true(fabs(st.e_limit - 200) < 1e-9);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(bets_agree_with_the_reference),
        cmocka_unit_test(total_failure_trips_after_five),
        cmocka_unit_test(a_late_failure_shows_its_own_window),
        cmocka_unit_test(no_traffic_is_no_evidence),
        cmocka_unit_test(unless_baseline_waits_for_a_difference),
        cmocka_unit_test(a_budget_is_a_plain_sum),
        cmocka_unit_test(a_dear_candidate_is_told_in_times),
        cmocka_unit_test(slow_answers_trip_by_the_edge),
        cmocka_unit_test(clumps_are_measured),
        cmocka_unit_test(users_tell_of_clumps_at_once),
        cmocka_unit_test(a_user_who_tries_again_is_less_evidence),
        cmocka_unit_test(a_new_epoch_forgets_the_candidates_users),
        cmocka_unit_test(hostile_input_makes_no_nan),
        cmocka_unit_test(saving_and_restoring_is_identity),
        cmocka_unit_test(the_text_of_16_rules_fits),
        cmocka_unit_test(another_epoch_or_rule_is_not_taken_over),
        cmocka_unit_test(a_damaged_text_is_refused),
        cmocka_unit_test(a_restart_loses_nothing),
        cmocka_unit_test(proof_grows_and_starts_anew),
        cmocka_unit_test(trips_are_what_the_standings_say),
        cmocka_unit_test(a_few_bad_events_are_not_enough),
        cmocka_unit_test(rising_evidence_is_told),
        cmocka_unit_test(rising_evidence_is_old_one_day),
        cmocka_unit_test(evidence_of_an_outage_is_not_rising),
        cmocka_unit_test(an_error_brings_its_request),
        cmocka_unit_test(no_capital_is_nan),
        cmocka_unit_test(alpha_is_shared)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
