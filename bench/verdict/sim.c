
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sim.h"


#define SIM_POISSON    1024
#define SIM_COSTS      16384
#define SIM_HURRY      1.0                  /* s, as the sidecar's */
#define SIM_SLOTS      16                   /* of a second */
#define SIM_PENDING    (16 * SIM_SLOTS)
#define SIM_CLUMP      64                   /* errors, at most */
#define SIM_MINUTES    60
#define SIM_Z_1        2.3263               /* one-sided, 1 % */
#define SIM_SIGMA      1.5                  /* of lognormal costs */
#define SIM_CAP        20.0                 /* times the mean cost, 1 USD */


/* Inversion by a table; the normal distribution above a mean of 500. */

typedef struct {
    double    mean;
    unsigned  n;
    double    below[SIM_POISSON];
} sim_poisson_t;


/* The requests of one arm: errors, or costs, and what is still to come. */

typedef struct {
    double         requests;                /* per second */
    double         level;                   /* error rate, or cost factor */
    double         burst;                   /* mean errors of a clump */
    sim_poisson_t  good;
    sim_poisson_t  bad;                     /* or clumps of them */
    double         of[3];                   /* what the tables are for */
    unsigned       pending[SIM_PENDING];
    unsigned       squares[SIM_PENDING];    /* of users, by those */
} sim_arm_t;


typedef struct {
    double    n[CANARY_ARMS];               /* since the start */
    double    s[CANARY_ARMS];
    double    ss[CANARY_ARMS];
    double    ring_n[60];
    double    ring_s[60];
    double    ring_b[60];
    double    window[3];                    /* the sums of the rings */
    double    minute[3];                    /* n, s; baseline s */
    unsigned  failed;
    unsigned  minutes;
    double    rate[SIM_MINUTES];
    double    usual[SIM_MINUTES];
} sim_others_t;


typedef struct {
    const sim_world_t  *world;
    uint64_t            random[4];
    sim_arm_t           arm[CANARY_ARMS];
    canary_verdict_t    verdict;
    canary_tally_t      tally[CANARY_ARMS]; /* not judged yet */
    double              waited;             /* s of them */
    double              hurry;              /* s, ticks are short until then */
    sim_others_t        others;
    double              now;
    double              start;              /* of what is reported */
    double              requests;           /* since then */
    unsigned            left;
    sim_result_t        result[SIM_METHODS];
} sim_t;


static double  sim_costs[SIM_COSTS];        /* of a factor of 1, uncapped */
static double  sim_cost_moments[5];         /* of the capped ones, by power */


static uint64_t
sim_rotate(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}


/* xoshiro256++ of Blackman and Vigna, 2019 */

static uint64_t
sim_random(sim_t *sim)
{
    uint64_t  *s, r, t;

    s = sim->random;
    r = sim_rotate(s[0] + s[3], 23) + s[0];
    t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = sim_rotate(s[3], 45);

    return r;
}


static void
sim_seed(sim_t *sim, uint64_t seed)
{
    int       i;
    uint64_t  x;

    for (i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15;
        x = seed;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        x = (x ^ x >> 27) * 0x94d049bb133111eb;
        sim->random[i] = x ^ x >> 31;
    }
}


static double
sim_uniform(sim_t *sim)
{
    return ((double) (sim_random(sim) >> 11) + 0.5) * 0x1p-53;
}


static double
sim_normal(sim_t *sim)
{
    double  r;

    r = sqrt(-2 * log(sim_uniform(sim)));

    return r * cos(6.283185307179586 * sim_uniform(sim));
}


static void
sim_poisson_set(sim_poisson_t *p, double mean)
{
    double    term;
    unsigned  i;

    p->mean = mean;
    p->n = 0;

    if (mean > 500) {
        return;
    }

    term = exp(-mean);
    p->below[0] = term;

    for (i = 1; i < SIM_POISSON - 1 && p->below[i - 1] < 1 - 1e-15; i++) {
        term *= mean / i;
        p->below[i] = p->below[i - 1] + term;
    }

    p->below[i] = 2;
    p->n = i + 1;
}


static unsigned
sim_poisson(sim_t *sim, const sim_poisson_t *p)
{
    double    u;
    unsigned  i;

    if (p->n == 0) {
        u = p->mean + sqrt(p->mean) * sim_normal(sim) + 0.5;
        return u < 0 ? 0 : (unsigned) u;
    }

    u = sim_uniform(sim);
    i = p->mean > 20 ? (unsigned) (p->mean - 4 * sqrt(p->mean)) : 0;

    if (i > 0 && p->below[i] >= u) {
        i = 0;
    }

    while (p->below[i] < u) {
        i++;
    }

    return i;
}


/*
 * A clump is of one user.  Its errors come anywhere within the spread: those
 * that are there already make the k-th one add 2k - 1 to the square.
 */

static void
sim_clump(sim_t *sim, sim_arm_t *a)
{
    unsigned  i, k, m, other, slot[SIM_CLUMP];

    m = 1 + (unsigned) (log(sim_uniform(sim)) / log(1 - 1 / a->burst));
    m = m < SIM_CLUMP ? m : SIM_CLUMP;

    for (i = 0; i < m; i++) {
        slot[i] = (unsigned) ((sim->now + sim_uniform(sim)
                                          * sim->world->spread) * SIM_SLOTS);
    }

    for (i = 0; i < m; i++) {
        for (k = 1, other = 0; other < m; other++) {
            k += slot[other] < slot[i]
                 || (slot[other] == slot[i] && other < i);
        }

        a->pending[slot[i] % SIM_PENDING]++;
        a->squares[slot[i] % SIM_PENDING] += 2 * k - 1;
    }
}


/* Errors of one arm in a tick: alone, or in clumps. */

static canary_by_user_t
sim_errors(sim_t *sim, sim_arm_t *a, double dt)
{
    unsigned          at, clumps, due, i;
    canary_by_user_t  errors;

    clumps = sim_poisson(sim, &a->bad);

    if (a->burst <= 1) {
        return (canary_by_user_t) { clumps, clumps };
    }

    while (clumps--) {
        sim_clump(sim, a);
    }

    at = (unsigned) (sim->now * SIM_SLOTS);
    due = (unsigned) (dt * SIM_SLOTS);
    errors = (canary_by_user_t) { 0, 0 };

    for (i = 0; i < due; i++) {
        errors.events += a->pending[(at + i) % SIM_PENDING];
        errors.squares += a->squares[(at + i) % SIM_PENDING];
        a->pending[(at + i) % SIM_PENDING] = 0;
        a->squares[(at + i) % SIM_PENDING] = 0;
    }

    return errors;
}


static void
sim_arm_set(const sim_t *sim, sim_arm_t *a, double level, double dt)
{
    if (a->of[0] == a->requests && a->of[1] == level && a->of[2] == dt) {
        return;
    }

    a->of[0] = a->requests;
    a->of[1] = level;
    a->of[2] = dt;

    if (sim->world->cost) {
        sim_poisson_set(&a->good, a->requests * dt);
        return;
    }

    sim_poisson_set(&a->good, a->requests * (1 - level) * dt);
    sim_poisson_set(&a->bad, a->requests * level * dt / a->burst);
}


static void
sim_arm_errors(sim_t *sim, sim_arm_t *a, canary_tally_t *t, double dt,
    canary_sample_t *x)
{
    canary_by_user_t  errors;

    errors = sim_errors(sim, a, dt);

    x->s = (double) errors.events;
    x->n = x->s + sim_poisson(sim, &a->good);
    x->ss = x->s;

    t->requests += (uint64_t) x->n;
    t->errors_status += errors.events;
    t->by_user[CANARY_EVENT_ERROR].events += errors.events;
    t->by_user[CANARY_EVENT_ERROR].squares += errors.squares;
}


static void
sim_arm_costs(sim_t *sim, sim_arm_t *a, canary_sample_t *x)
{
    double    c, cost, g, h, v;
    unsigned  i, n;

    n = sim_poisson(sim, &a->good);
    x->n = n;

    if (n <= 200) {
        for (i = 0, x->s = 0, x->ss = 0; i < n; i++) {
            cost = a->level * sim_costs[sim_random(sim) % SIM_COSTS];
            cost = cost < SIM_CAP ? cost : SIM_CAP;
            x->s += cost;
            x->ss += cost * cost;
        }

        return;
    }

    /* many: their sum is normal, and so is that of the squares */

    v = sim_cost_moments[2] - sim_cost_moments[1] * sim_cost_moments[1];
    c = sim_cost_moments[3] - sim_cost_moments[1] * sim_cost_moments[2];
    h = sim_cost_moments[4] - sim_cost_moments[2] * sim_cost_moments[2];
    g = sim_normal(sim);

    x->s = n * sim_cost_moments[1] + sqrt(n * v) * g;
    x->ss = n * sim_cost_moments[2]
            + sqrt(n) * (c / sqrt(v) * g
                         + sqrt(h - c * c / v) * sim_normal(sim));
}


static void
sim_arm_tick(sim_t *sim, sim_arm_t *a, canary_tally_t *t, double level,
    double dt, canary_sample_t *x)
{
    sim_arm_set(sim, a, level, dt);

    if (!sim->world->cost) {
        sim_arm_errors(sim, a, t, dt, x);
        return;
    }

    sim_arm_costs(sim, a, x);

    t->requests += (uint64_t) x->n;
    t->cost_known += (uint64_t) x->n;
    t->cost_usd += x->s;
    t->cost_capped_usd += x->s;
    t->cost_capped_usd2 += x->ss;
    t->cost_cap_usd = SIM_CAP;
}


static void
sim_costs_set(void)
{
    double    low, high, mid, u;
    unsigned  i, k;

    if (sim_costs[0] > 0) {
        return;
    }

    for (i = 0; i < SIM_COSTS; i++) {
        u = (i + 0.5) / SIM_COSTS;

        for (low = -9, high = 9, k = 0; k < 60; k++) {
            mid = (low + high) / 2;

            if (0.5 * erfc(-mid / sqrt(2)) < u) {
                low = mid;

            } else {
                high = mid;
            }
        }

        sim_costs[i] = exp(SIM_SIGMA * low - SIM_SIGMA * SIM_SIGMA / 2);

        for (k = 0; k < 5; k++) {
            sim_cost_moments[k] += pow(fmin(sim_costs[i], SIM_CAP), k)
                                   / SIM_COSTS;
        }
    }
}


static void
sim_tripped(sim_t *sim, sim_method_e m)
{
    sim_result_t  *r;

    r = &sim->result[m];

    if (r->time >= 0 || r->early) {
        return;
    }

    r->early = sim->start > 0 && sim->now <= sim->start;
    r->time = sim->now - sim->start;
    r->requests = sim->requests;
    sim->left--;
}


static int
sim_compare(const void *a, const void *b)
{
    double  x, y;

    x = *(const double *) a;
    y = *(const double *) b;

    return (x > y) - (x < y);
}


/* z of Mann and Whitney's U, with ties and continuity corrected. */

static double
sim_mann_whitney(const sim_others_t *o, unsigned n)
{
    double    all[2 * SIM_MINUTES], rank, ties, t, u, v, x[SIM_MINUTES];
    unsigned  i, j, k;

    memcpy(x, o->rate, n * sizeof(double));
    memcpy(all, o->rate, n * sizeof(double));
    memcpy(all + n, o->usual, n * sizeof(double));
    qsort(all, 2 * n, sizeof(double), sim_compare);
    qsort(x, n, sizeof(double), sim_compare);

    rank = 0;
    ties = 0;

    for (i = 0, k = 0; i < 2 * n; i = j) {
        for (j = i; j < 2 * n && all[j] == all[i]; j++) { /* void */ }

        t = j - i;
        ties += t * t * t - t;

        for ( /* void */ ; k < n && x[k] == all[i]; k++) {
            rank += (i + 1 + j) / 2.0;
        }
    }

    u = rank - n * (n + 1.0) / 2;
    v = n * (double) n / 12 * (2 * n + 1 - ties / (2.0 * n * (2 * n - 1)));

    return v > 0 ? (u - n * (double) n / 2 - 0.5) / sqrt(v) : 0;
}


/* The limit of the common methods: a rate, or a ratio of costs. */

static double
sim_common_limit(const sim_t *sim, double baseline_mean)
{
    return sim->world->cost ? sim->world->limit_rate * baseline_mean
                            : sim->world->limit_rate;
}


static void
sim_minute(sim_t *sim, double baseline_n)
{
    unsigned       n;
    sim_others_t  *o;

    o = &sim->others;

    if (o->minute[0] > 0) {
        if (o->minute[1] > o->minute[0]
                           * sim_common_limit(sim, o->minute[2] / baseline_n)
            && ++o->failed >= 5)
        {
            sim_tripped(sim, SIM_THRESHOLD);
        }

        o->rate[o->minutes % SIM_MINUTES] = o->minute[1] / o->minute[0];
        o->usual[o->minutes % SIM_MINUTES] = o->minute[2] / baseline_n;
        o->minutes++;

        n = o->minutes < SIM_MINUTES ? o->minutes : SIM_MINUTES;

        if (n >= 10 && sim->result[SIM_MANN_WHITNEY].time < 0
            && sim_mann_whitney(o, n) > SIM_Z_1)
        {
            sim_tripped(sim, SIM_MANN_WHITNEY);
        }
    }

    memset(o->minute, 0, sizeof(o->minute));
}


static void
sim_z(sim_t *sim)
{
    double               limit, m, n, v;
    const sim_others_t  *o;

    o = &sim->others;
    n = o->n[CANARY_ARM_CANDIDATE];

    if (n < 30 || sim->result[SIM_Z].time >= 0) {
        return;
    }

    m = o->s[CANARY_ARM_CANDIDATE] / n;
    limit = sim->world->limit_rate;

    if (!sim->world->cost) {
        v = limit * (1 - limit) / n;

    } else {
        v = (o->ss[CANARY_ARM_CANDIDATE] / n - m * m) / n;
        limit *= o->s[CANARY_ARM_BASELINE] / o->n[CANARY_ARM_BASELINE];
    }

    if (m - limit > SIM_Z_1 * sqrt(v)) {
        sim_tripped(sim, SIM_Z);
    }
}


/* One second of requests. */

static void
sim_others_second(sim_t *sim, const canary_sample_t *second)
{
    unsigned                at;
    sim_others_t           *o;
    const canary_sample_t  *b, *c;

    o = &sim->others;
    c = &second[CANARY_ARM_CANDIDATE];
    b = &second[CANARY_ARM_BASELINE];

    o->n[CANARY_ARM_CANDIDATE] += c->n;
    o->s[CANARY_ARM_CANDIDATE] += c->s;
    o->ss[CANARY_ARM_CANDIDATE] += c->ss;
    o->n[CANARY_ARM_BASELINE] += b->n;
    o->s[CANARY_ARM_BASELINE] += b->s;
    o->minute[0] += c->n;
    o->minute[1] += c->s;
    o->minute[2] += b->s;

    at = (unsigned) sim->now % 60;
    o->window[0] += c->n - o->ring_n[at];
    o->window[1] += c->s - o->ring_s[at];
    o->window[2] += b->s - o->ring_b[at];
    o->ring_n[at] = c->n;
    o->ring_s[at] = c->s;
    o->ring_b[at] = b->s;

    if (o->window[0] >= 50 && (!sim->world->cost || sim->now >= 60)
        && o->window[1] > o->window[0]
                          * sim_common_limit(sim, o->window[2]
                                             / (60 * sim->world->baseline)))
    {
        sim_tripped(sim, SIM_WINDOW);
    }

    sim_z(sim);

    if ((unsigned) sim->now % 60 == 0) {
        sim_minute(sim, 60 * sim->world->baseline);
    }
}


static double
sim_level(const sim_t *sim, const sim_arm_t *a)
{
    double  t;

    t = fmod(sim->now, 6 * SIM_HOUR);

    if (sim->world->outage > 0 && t >= 3 * SIM_HOUR
        && t < 3 * SIM_HOUR + 120)
    {
        return sim->world->outage;
    }

    return a->level;
}


/*
 * The verdict of a tick.  While the candidate has no request the tallies
 * wait, as after a poll that was missed.
 */

static void
sim_judge(sim_t *sim, double dt)
{
    canary_ruling_t  ruling;

    sim->waited += dt;

    if (sim->tally[CANARY_ARM_CANDIDATE].requests == 0 && sim->waited < 5) {
        return;
    }

    canary_verdict_tick(&sim->verdict, &sim->tally[CANARY_ARM_CANDIDATE],
                        &sim->tally[CANARY_ARM_BASELINE], sim->waited,
                        &ruling);

    if (ruling.trip) {
        sim_tripped(sim, SIM_VERDICT);
    }

    if (ruling.rising) {
        sim->hurry = sim->now + SIM_HURRY;
    }

    memset(sim->tally, 0, sizeof(sim->tally));
    sim->waited = 0;
}


static void
sim_second(sim_t *sim, unsigned ticks)
{
    double            dt, end;
    unsigned          arm;
    canary_sample_t   second[CANARY_ARMS], x;

    end = sim->now + 1;
    memset(second, 0, sizeof(second));

    while (sim->now < end) {
        dt = 1.0 / (sim->now < sim->hurry ? SIM_SLOTS : ticks);

        if (fmod(sim->now * ticks, 1) > 0) {
            dt = 1.0 / SIM_SLOTS;
        }

        for (arm = 0; arm < CANARY_ARMS; arm++) {
            sim_arm_tick(sim, &sim->arm[arm], &sim->tally[arm],
                         sim_level(sim, &sim->arm[arm]), dt, &x);

            second[arm].n += x.n;
            second[arm].s += x.s;
            second[arm].ss += x.ss;

            if (arm == CANARY_ARM_CANDIDATE) {
                sim->requests += x.n;
            }
        }

        sim->now += dt;
        sim_judge(sim, dt);
    }

    if (sim->world->others && sim->left > 0) {
        sim_others_second(sim, second);
    }
}


/* The baseline ran before the rollout: an hour of it, alone. */

static void
sim_warm(sim_t *sim)
{
    double           dt;
    canary_sample_t  x;

    dt = sim->world->burst > 1 ? 1 : 5;

    while (sim->now < SIM_HOUR) {
        sim_arm_tick(sim, &sim->arm[CANARY_ARM_BASELINE],
                     &sim->tally[CANARY_ARM_BASELINE],
                     sim->arm[CANARY_ARM_BASELINE].level, dt, &x);
        sim->now += dt;
        sim_judge(sim, dt);
    }

    canary_verdict_renew(&sim->verdict, 1);
    memset(sim->tally, 0, sizeof(sim->tally));
    sim->waited = 0;
    sim->hurry = 0;
    sim->now = 0;
}


static void
sim_init(sim_t *sim, const sim_world_t *w, uint64_t seed)
{
    canary_str_t         flag, json;
    canary_error_t       err;
    canary_guardrails_t  g;

    sim_costs_set();
    memset(sim, 0, sizeof(sim_t));
    sim->world = w;
    sim_seed(sim, seed);

    json.data = w->guardrails;
    json.len = strlen(w->guardrails);
    flag.data = "simulated";
    flag.len = 9;

    if (canary_guardrails_parse(&g, json, &err) != 0) {
        (void) fprintf(stderr, "%s\n", err.text);
        abort();
    }

    canary_verdict_init(&sim->verdict, flag, 0, &g);

    sim->arm[CANARY_ARM_BASELINE].requests = w->baseline;
    sim->arm[CANARY_ARM_BASELINE].level = w->healthy;
    sim->arm[CANARY_ARM_BASELINE].burst = fmax(w->burst, 1);
    sim->arm[CANARY_ARM_CANDIDATE].requests = w->candidate;
    sim->arm[CANARY_ARM_CANDIDATE].level = w->healthy;
    sim->arm[CANARY_ARM_CANDIDATE].burst = fmax(w->burst, 1);
}


static void
sim_watch(sim_t *sim)
{
    unsigned  m;

    for (m = 0; m < SIM_METHODS; m++) {
        sim->result[m] = (sim_result_t) { -1, 0, 0 };
    }

    sim->left = sim->world->others ? SIM_METHODS : 1;
    sim->requests = 0;
}


void
sim_run(const sim_world_t *w, const double *rates, unsigned n, uint64_t seed,
    sim_result_t result[][SIM_METHODS])
{
    sim_t     after, before;
    unsigned  i, ticks;

    sim_init(&before, w, seed);

    if (!w->cold) {
        sim_warm(&before);
    }

    sim_watch(&before);
    before.start = w->before;

    ticks = w->ticks ? w->ticks : 1;

    while (before.now < w->before) {
        sim_second(&before, ticks);
    }

    before.requests = 0;

    for (i = 0; i < n; i++) {
        after = before;
        after.arm[CANARY_ARM_CANDIDATE].level = rates[i];

        /* what a breach adds is no clump */

        if (rates[i] != w->healthy) {
            after.arm[CANARY_ARM_CANDIDATE].burst = 1;
        }

        while (after.left > 0 && after.now < w->before + w->after) {
            sim_second(&after, rates[i] == w->healthy ? ticks : 4);
        }

        memcpy(result[i], after.result, sizeof(after.result));
    }
}
