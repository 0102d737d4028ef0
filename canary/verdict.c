
#include <math.h>
#include <string.h>
#include "verdict.h"


#define CANARY_USUAL_MEMORY   600           /* s, of the baseline's mean */

/* A quantile of fewer observations is none. */
#define CANARY_QUANTILE_MIN   20

/* A larger number of requests in a tick is an error of the reader. */
#define CANARY_COUNT_MAX      1e12

#define CANARY_COST_CAP_MIN   1e-9          /* USD */
#define CANARY_COST_CAP_MAX   1e9


/* A rule in one tick. */

typedef struct {
    const canary_rule_t        *rule;
    canary_rule_state_t        *state;
    canary_verdict_state_t     *verdict;
    const canary_guardrails_t  *guardrails;
    canary_claim_t              claim;
    canary_sample_t             sample[CANARY_ARMS];
    double                      mean;       /* baseline, below 0: unknown */
    double                      dt;
    unsigned                    tests;      /* that share alpha */
} canary_hearing_t;


static void canary_verdict_clean(canary_tally_t *clean,
    const canary_tally_t *t);
static void canary_clean_users(canary_by_user_t *u);
static double canary_clean_sum(double x, double max);
static uint64_t canary_clean_count(uint64_t n);
static double canary_clean_dt(double dt, double horizon);
static int canary_verdict_hear(canary_hearing_t *h,
    const canary_tally_t *candidate, const canary_tally_t *baseline);
static void canary_verdict_claim(canary_hearing_t *h);
static void canary_verdict_cap(canary_hearing_t *h,
    const canary_tally_t *candidate, const canary_tally_t *baseline);
static int canary_verdict_spend(canary_hearing_t *h,
    const canary_tally_t *candidate);
static void canary_verdict_bet(canary_hearing_t *h);
static void canary_verdict_edges(canary_hearing_t *h);
static unsigned canary_verdict_usual_edge(const canary_hearing_t *h);
static double canary_verdict_above(const double *histogram, double bucket);
static void canary_verdict_sample(const canary_hearing_t *h,
    canary_arm_e arm, const canary_tally_t *t, canary_sample_t *sample);
static void canary_verdict_share(canary_sample_t *sample, double n,
    double events);
static void canary_verdict_cost(canary_sample_t *sample,
    const canary_tally_t *t, double cap);
static void canary_verdict_mean(canary_hearing_t *h);
static void canary_verdict_learn(canary_hearing_t *h);
static void canary_verdict_follow(canary_hearing_t *h, canary_arm_e arm,
    const canary_tally_t *t);
static void canary_verdict_remember(canary_verdict_t *v,
    const canary_tally_t *baseline, double dt);
static double *canary_verdict_histogram(canary_verdict_state_t *state,
    canary_metric_e metric);
static double canary_metric_tail(canary_metric_e metric);
static double canary_rule_evidence(const canary_rule_t *rule,
    const canary_rule_state_t *state);
static int canary_rule_rising(const canary_rule_t *rule,
    const canary_rule_state_t *state);
static unsigned canary_guardrails_tests(const canary_guardrails_t *g);


void
canary_verdict_tick(canary_verdict_t *v, const canary_tally_t *candidate,
    const canary_tally_t *baseline, double dt, canary_ruling_t *ruling)
{
    int               over;
    uint32_t          i;
    canary_tally_t    arm[CANARY_ARMS];
    canary_hearing_t  h;

    memset(ruling, 0, sizeof(canary_ruling_t));
    ruling->action = v->guardrails.action;

    canary_verdict_clean(&arm[CANARY_ARM_CANDIDATE], candidate);
    canary_verdict_clean(&arm[CANARY_ARM_BASELINE], baseline);

    h.verdict = &v->state;
    h.guardrails = &v->guardrails;
    h.dt = canary_clean_dt(dt, v->guardrails.horizon);
    h.tests = canary_guardrails_tests(&v->guardrails);

    v->state.age += h.dt;

    for (i = 0; i < v->guardrails.n; i++) {
        h.rule = &v->guardrails.rules[i];
        h.state = &v->state.rule[i];

        over = canary_verdict_hear(&h, &arm[CANARY_ARM_CANDIDATE],
                                   &arm[CANARY_ARM_BASELINE]);

        ruling->over |= (uint32_t) (over != 0) << i;

        if (over && !ruling->trip) {
            ruling->trip = 1;
            canary_verdict_standing(v, i, &ruling->standing);
            canary_verdict_sentence(ruling->sentence, v, &ruling->standing);
        }

        /* of what is over its limit there is no more to be known */

        if (!over && canary_rule_rising(h.rule, h.state)) {
            ruling->rising = 1;
        }
    }

    canary_verdict_remember(v, &arm[CANARY_ARM_BASELINE], h.dt);
}


static void
canary_verdict_clean(canary_tally_t *clean, const canary_tally_t *t)
{
    unsigned  i;
    uint64_t  errors;

    *clean = *t;

    /* the sum of the causes is kept in the first one */

    errors = canary_clean_count(t->errors_status)
             + canary_clean_count(t->errors_connect)
             + canary_clean_count(t->errors_timeout)
             + canary_clean_count(t->errors_deadline)
             + canary_clean_count(t->errors_stream)
             + canary_clean_count(t->errors_in_band);

    clean->errors_status = canary_clean_count(errors);
    clean->requests = canary_clean_count(t->requests);
    clean->denied = canary_clean_count(t->denied);
    clean->escalated = canary_clean_count(t->escalated);
    clean->cost_known = canary_clean_count(t->cost_known);

    for (i = 0; i < CANARY_EVENTS; i++) {
        canary_clean_users(&clean->by_user[i]);
    }

    clean->cost_usd = canary_clean_sum(t->cost_usd, CANARY_TALLY_SUM_MAX);
    clean->cost_cap_usd = canary_clean_sum(t->cost_cap_usd,
                                           CANARY_COST_CAP_MAX);

    if (clean->cost_cap_usd < CANARY_COST_CAP_MIN) {
        clean->cost_cap_usd = 0;
    }

    clean->cost_capped_usd = canary_clean_sum(t->cost_capped_usd,
                                              CANARY_TALLY_SUM_MAX);
    clean->cost_capped_usd2 = canary_clean_sum(t->cost_capped_usd2, 1e26);
}


static void
canary_clean_users(canary_by_user_t *u)
{
    u->events = canary_clean_count(u->events);
    u->squares = canary_clean_count(u->squares);
}


static double
canary_clean_sum(double x, double max)
{
    return x > 0 ? fmin(x, max) : 0;
}


static uint64_t
canary_clean_count(uint64_t n)
{
    return n > (uint64_t) CANARY_COUNT_MAX ? (uint64_t) CANARY_COUNT_MAX : n;
}


static double
canary_clean_dt(double dt, double horizon)
{
    return dt > 0 ? fmin(dt, horizon) : 0;
}


/* Returns non-zero when the rule trips. */

static int
canary_verdict_hear(canary_hearing_t *h, const canary_tally_t *candidate,
    const canary_tally_t *baseline)
{
    if (h->rule->metric == CANARY_METRIC_SPEND_USD) {
        return canary_verdict_spend(h, candidate);
    }

    canary_verdict_edges(h);
    canary_verdict_cap(h, candidate, baseline);
    canary_verdict_claim(h);

    canary_verdict_sample(h, CANARY_ARM_CANDIDATE, candidate,
                          &h->sample[CANARY_ARM_CANDIDATE]);
    canary_verdict_sample(h, CANARY_ARM_BASELINE, baseline,
                          &h->sample[CANARY_ARM_BASELINE]);

    canary_verdict_mean(h);
    canary_verdict_bet(h);
    canary_verdict_learn(h);
    canary_verdict_follow(h, CANARY_ARM_CANDIDATE, candidate);
    canary_verdict_follow(h, CANARY_ARM_BASELINE, baseline);

    return h->state->events >= h->rule->min_events
           && canary_rule_evidence(h->rule, h->state)
              >= h->tests / h->guardrails->alpha;
}


/* A plain budget: the sum of the last "per", in steps of a twentieth. */

static int
canary_verdict_spend(canary_hearing_t *h, const canary_tally_t *candidate)
{
    double                step, sum;
    unsigned              i, turns;
    canary_rule_state_t  *s;

    s = h->state;
    step = (double) h->rule->per / CANARY_BUDGET_SLOTS;
    s->slot_age += h->dt;

    for (turns = 0; s->slot_age >= step && turns < CANARY_BUDGET_SLOTS;
         turns++)
    {
        s->slot_at = fmod(s->slot_at + 1, CANARY_BUDGET_SLOTS);
        s->slot[(unsigned) s->slot_at] = 0;
        s->slot_age -= step;
    }

    if (turns == CANARY_BUDGET_SLOTS) {
        s->slot_age = 0;
    }

    s->slot[(unsigned) s->slot_at] += candidate->cost_usd;
    s->total[CANARY_ARM_CANDIDATE].n += (double) candidate->cost_known;
    s->total[CANARY_ARM_CANDIDATE].s += candidate->cost_usd;

    for (i = 0, sum = 0; i < CANARY_BUDGET_SLOTS; i++) {
        sum += s->slot[i];
    }

    s->events = sum;

    return sum > h->rule->limit;
}


/* The claim of the rule; that of "worse" differs in the limit only. */

static void
canary_verdict_claim(canary_hearing_t *h)
{
    canary_claim_t  *c;

    c = &h->claim;

    c->ratio = h->rule->kind == CANARY_LIMIT_MAX ? 0 : 1;
    c->increase = h->rule->kind == CANARY_LIMIT_RATIO ? 0 : h->rule->limit;
    c->cap = h->state->cap;
    c->horizon = h->guardrails->horizon;
    c->effect = canary_clump_effect(&h->state->clump);

    if (h->rule->kind == CANARY_LIMIT_RATIO) {
        c->ratio = h->rule->limit;
    }

    if (canary_metric_tail(h->rule->metric) > 0) {

        /* the limit is where the edges are */

        c->increase = h->rule->kind == CANARY_LIMIT_MAX
                      ? canary_metric_tail(h->rule->metric) : 0;
        c->ratio = h->rule->kind == CANARY_LIMIT_MAX ? 0 : 1;
    }
}


/* The largest cap that a cost in the open block may have been held to. */

static void
canary_verdict_cap(canary_hearing_t *h, const canary_tally_t *candidate,
    const canary_tally_t *baseline)
{
    double  cap;

    if (h->rule->metric != CANARY_METRIC_COST_USD) {
        h->state->cap = 1;
        return;
    }

    cap = fmax(candidate->cost_cap_usd, baseline->cost_cap_usd);

    if (cap == 0 || h->state->limit.open.age > 0) {
        cap = fmax(cap, h->state->cap);
    }

    h->state->cap = cap > 0 ? cap : CANARY_COST_CAP_FIRST;
}


static void
canary_verdict_bet(canary_hearing_t *h)
{
    canary_claim_t          worse;
    const canary_sample_t  *c, *b;

    c = &h->sample[CANARY_ARM_CANDIDATE];
    b = &h->sample[CANARY_ARM_BASELINE];

    if (h->claim.ratio > 0 && h->mean < 0) {
        canary_bet_drop(&h->state->limit);
        return;
    }

    (void) canary_bet_feed(&h->state->limit, &h->claim, c, b,
                           fmax(h->mean, 0), h->dt);

    if (!h->rule->unless_baseline || h->mean < 0) {
        return;
    }

    worse = h->claim;
    worse.ratio = 1;
    worse.increase = 0;

    (void) canary_bet_feed(&h->state->worse, &worse, c, b, h->mean, h->dt);
}


/*
 * A latency rule counts what is slower than an edge of the histogram.  Of a
 * relative one, the baseline's edge is where its quantile was when the block
 * opened, and the candidate's lies above it by the limit.
 */

static void
canary_verdict_edges(canary_hearing_t *h)
{
    double    *edge, limit;
    unsigned   usual;

    if (canary_metric_tail(h->rule->metric) == 0) {
        return;
    }

    edge = h->state->edge;

    if (h->rule->kind == CANARY_LIMIT_MAX) {
        edge[CANARY_ARM_CANDIDATE] = canary_tally_edge_at(h->rule->limit);
        edge[CANARY_ARM_BASELINE] = edge[CANARY_ARM_CANDIDATE];
        return;
    }

    if (h->state->limit.open.age > 0) {
        return;
    }

    usual = canary_verdict_usual_edge(h);
    limit = canary_tally_edge(usual);

    if (h->rule->kind == CANARY_LIMIT_RATIO) {
        limit *= h->rule->limit;

    } else {
        limit += h->rule->limit;
    }

    edge[CANARY_ARM_BASELINE] = usual;

    /* 1e-9: an edge times 1 is that edge */

    edge[CANARY_ARM_CANDIDATE] = canary_tally_edge_at(limit * (1 - 1e-9));
}


/* Stays where it is while that is near the quantile. */

static unsigned
canary_verdict_usual_edge(const canary_hearing_t *h)
{
    double         tail, target;
    unsigned       bucket;
    const double  *usual;

    usual = canary_verdict_histogram(h->verdict, h->rule->metric);
    bucket = (unsigned) h->state->edge[CANARY_ARM_BASELINE];

    target = canary_metric_tail(h->rule->metric)
             * canary_verdict_above(usual, -1);
    tail = canary_verdict_above(usual, bucket);

    if (tail > target / 2 && tail < target * 3 / 2) {
        return bucket;
    }

    for (bucket = 0; bucket < CANARY_LATENCY_EDGES - 1; bucket++) {
        if (canary_verdict_above(usual, bucket) <= target) {
            break;
        }
    }

    return bucket;
}


/* What lies above the upper edge of a bucket; of bucket -1: all. */

static double
canary_verdict_above(const double *histogram, double bucket)
{
    int     i;
    double  sum;

    sum = 0;

    for (i = (int) bucket + 1; i < CANARY_LATENCY_BUCKETS; i++) {
        sum += histogram[i];
    }

    return sum;
}


static void
canary_verdict_sample(const canary_hearing_t *h, canary_arm_e arm,
    const canary_tally_t *t, canary_sample_t *sample)
{
    double           n;
    const uint64_t  *histogram;

    n = (double) t->requests;

    switch (h->rule->metric) {

    case CANARY_METRIC_ERROR_RATE:
        canary_verdict_share(sample, n, (double) t->errors_status);
        return;

    case CANARY_METRIC_DENIED_RATE:
        canary_verdict_share(sample, n, (double) t->denied);
        return;

    case CANARY_METRIC_ESCALATED_RATE:
        canary_verdict_share(sample, n, (double) t->escalated);
        return;

    case CANARY_METRIC_COST_USD:
        canary_verdict_cost(sample, t, h->claim.cap);
        return;

    case CANARY_METRIC_FIRST_BYTE_P50_MS:
    case CANARY_METRIC_FIRST_BYTE_P95_MS:
    case CANARY_METRIC_FIRST_BYTE_P99_MS:
        histogram = t->first_byte_ms;
        break;

    default:
        histogram = t->latency_ms;
        break;
    }

    canary_verdict_share(sample, (double) canary_tally_total(histogram),
                         (double) canary_tally_above(histogram,
                                              (unsigned) h->state->edge[arm]));
}


/* An event whose request is not counted yet brings it along. */

static void
canary_verdict_share(canary_sample_t *sample, double n, double events)
{
    sample->s = fmin(events, CANARY_COUNT_MAX);
    sample->ss = sample->s;
    sample->n = fmin(fmax(n, events), CANARY_COUNT_MAX);
}


static void
canary_verdict_cost(canary_sample_t *sample, const canary_tally_t *t,
    double cap)
{
    sample->n = (double) t->cost_known;

    if (sample->n == 0) {
        sample->s = 0;
        sample->ss = 0;
        return;
    }

    sample->s = fmin(t->cost_capped_usd, sample->n * cap);
    sample->ss = fmin(fmax(t->cost_capped_usd2,
                           sample->s * sample->s / sample->n),
                      sample->s * cap);
}


/* What the baseline's mean was before this tick. */

static void
canary_verdict_mean(canary_hearing_t *h)
{
    double         n;
    const double  *usual;

    if (h->rule->metric == CANARY_METRIC_COST_USD) {
        h->mean = h->state->usual.n > 0
                  ? h->state->usual.s / h->state->usual.n : -1;
        return;
    }

    if (canary_metric_tail(h->rule->metric) == 0) {
        h->mean = (h->state->usual.s + 0.5) / (h->state->usual.n + 1);
        return;
    }

    usual = canary_verdict_histogram(h->verdict, h->rule->metric);
    n = canary_verdict_above(usual, -1);

    if (n < CANARY_QUANTILE_MIN
        || h->state->edge[CANARY_ARM_CANDIDATE] >= CANARY_LATENCY_EDGES)
    {
        h->mean = -1;
        return;
    }

    h->mean = (canary_verdict_above(usual, h->state->edge[CANARY_ARM_BASELINE])
               + 0.5) / (n + 1);
}


/* Goes on knowing both arms, for the next ticks. */

static void
canary_verdict_learn(canary_hearing_t *h)
{
    double                  fade;
    canary_rule_state_t    *s;
    const canary_sample_t  *b, *c;

    s = h->state;
    c = &h->sample[CANARY_ARM_CANDIDATE];
    b = &h->sample[CANARY_ARM_BASELINE];

    fade = exp(-h->dt / CANARY_USUAL_MEMORY);

    s->usual.n = s->usual.n * fade + b->n;
    s->usual.s = s->usual.s * fade + b->s;

    canary_clump_feed(&s->clump, b, h->dt);

    s->total[CANARY_ARM_CANDIDATE].n += c->n;
    s->total[CANARY_ARM_CANDIDATE].s += c->s;
    s->total[CANARY_ARM_BASELINE].n += b->n;
    s->total[CANARY_ARM_BASELINE].s += b->s;

    s->events += h->rule->metric == CANARY_METRIC_COST_USD ? c->n : c->s;
}


/* No users are followed for costs and latencies. */

static void
canary_verdict_follow(canary_hearing_t *h, canary_arm_e arm,
    const canary_tally_t *t)
{
    canary_event_e           event;
    const canary_by_user_t  *u;

    switch (h->rule->metric) {

    case CANARY_METRIC_ERROR_RATE:
        event = CANARY_EVENT_ERROR;
        break;

    case CANARY_METRIC_DENIED_RATE:
        event = CANARY_EVENT_DENIED;
        break;

    case CANARY_METRIC_ESCALATED_RATE:
        event = CANARY_EVENT_ESCALATED;
        break;

    default:
        return;
    }

    u = &t->by_user[event];

    canary_clump_follow(&h->state->clump, arm, (double) u->events,
                        (double) u->squares);
}


static void
canary_verdict_remember(canary_verdict_t *v, const canary_tally_t *baseline,
    double dt)
{
    double                   fade;
    unsigned                 i;
    canary_verdict_state_t  *s;

    s = &v->state;
    fade = exp(-dt / CANARY_USUAL_MEMORY);

    for (i = 0; i < v->guardrails.n; i++) {
        if (canary_metric_tail(v->guardrails.rules[i].metric) > 0) {
            break;
        }
    }

    if (i == v->guardrails.n) {
        return;
    }

    for (i = 0; i < CANARY_LATENCY_BUCKETS; i++) {
        s->first_byte[i] = s->first_byte[i] * fade
                           + fmin((double) baseline->first_byte_ms[i],
                                  CANARY_COUNT_MAX);
        s->latency[i] = s->latency[i] * fade
                        + fmin((double) baseline->latency_ms[i],
                               CANARY_COUNT_MAX);
    }
}


static double *
canary_verdict_histogram(canary_verdict_state_t *state,
    canary_metric_e metric)
{
    switch (metric) {

    case CANARY_METRIC_FIRST_BYTE_P50_MS:
    case CANARY_METRIC_FIRST_BYTE_P95_MS:
    case CANARY_METRIC_FIRST_BYTE_P99_MS:
        return state->first_byte;

    default:
        return state->latency;
    }
}


/* The share that may be slower than a quantile; 0: not a quantile. */

static double
canary_metric_tail(canary_metric_e metric)
{
    switch (metric) {

    case CANARY_METRIC_LATENCY_P50_MS:
    case CANARY_METRIC_FIRST_BYTE_P50_MS:
        return 0.5;

    case CANARY_METRIC_LATENCY_P95_MS:
    case CANARY_METRIC_FIRST_BYTE_P95_MS:
        return 0.05;

    case CANARY_METRIC_LATENCY_P99_MS:
    case CANARY_METRIC_FIRST_BYTE_P99_MS:
        return 0.01;

    default:
        return 0;
    }
}


/*
 * The lesser of two evidences is evidence against "one of both claims is
 * true", without a correction.
 */

static double
canary_rule_evidence(const canary_rule_t *rule,
    const canary_rule_state_t *state)
{
    double  e;

    e = canary_bet_evidence(&state->limit);

    return rule->unless_baseline ? fmin(e, canary_bet_evidence(&state->worse))
                                 : e;
}


/* Of two it is the lesser one that is waited for. */

static int
canary_rule_rising(const canary_rule_t *rule,
    const canary_rule_state_t *state)
{
    return canary_bet_rising(rule->unless_baseline
                             && canary_bet_evidence(&state->worse)
                                < canary_bet_evidence(&state->limit)
                             ? &state->worse : &state->limit);
}


/* Every rule but a budget shares in alpha. */

static unsigned
canary_guardrails_tests(const canary_guardrails_t *g)
{
    unsigned  i, n;

    for (i = 0, n = 0; i < g->n; i++) {
        n += g->rules[i].metric != CANARY_METRIC_SPEND_USD;
    }

    return n;
}


void
canary_verdict_standing(const canary_verdict_t *v, uint32_t rule,
    canary_standing_t *st)
{
    canary_seen_t               seen;
    const canary_rule_t        *r;
    const canary_rule_state_t  *s;

    r = &v->guardrails.rules[rule];
    s = &v->state.rule[rule];

    memset(st, 0, sizeof(canary_standing_t));

    st->rule = rule + 1;
    st->metric = r->metric;
    st->events = s->events;

    if (r->metric == CANARY_METRIC_SPEND_USD) {
        st->value = s->events;
        st->limit = r->limit;
        st->n = s->total[CANARY_ARM_CANDIDATE].n;
        st->seconds = fmin(v->state.age, r->per);
        st->enough = 1;
        return;
    }

    canary_bet_seen(&s->limit, &seen);

    st->n = seen.candidate.n;
    st->events = seen.candidate.s;
    st->value = st->n > 0 ? st->events / st->n : 0;
    st->baseline_n = seen.baseline.n;
    st->baseline_events = seen.baseline.s;
    st->baseline_value = seen.baseline.n > 0
                         ? seen.baseline.s / seen.baseline.n : 0;
    st->seconds = seen.age;
    st->e_value = canary_rule_evidence(r, s);
    st->e_limit = canary_guardrails_tests(&v->guardrails)
                  / v->guardrails.alpha;
    st->proof = canary_bet_proof(&s->limit);
    st->design_effect = canary_clump_effect(&s->clump);
    st->enough = s->events >= r->min_events;

    if (canary_metric_tail(r->metric) > 0) {
        st->edge_ms = canary_tally_edge(
                          (unsigned) s->edge[CANARY_ARM_CANDIDATE]);
        st->limit = r->kind == CANARY_LIMIT_MAX
                    ? canary_metric_tail(r->metric) : st->baseline_value;

    } else if (r->kind == CANARY_LIMIT_MAX) {
        st->limit = r->limit;

    } else if (r->kind == CANARY_LIMIT_INCREASE) {
        st->limit = st->baseline_value + r->limit;

    } else {
        st->limit = st->baseline_value * r->limit;
    }
}
