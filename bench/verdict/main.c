
/*
 * Detection and false rollbacks of the shipped verdict, beside what is
 * commonly used, against the information limit.
 *
 *     sim              all of it, some minutes
 *     sim --short      few runs, bounds wide enough for that, seconds
 *     sim --total      only total failures where requests are few
 *     --jobs n         processes, 2 unless said
 *
 * A goal is met, missed, or missed by no more than the sampling error.  Exits
 * with 1 when one is missed.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sim.h"


#define RATES_MAX   3
#define RUNS_MAX    2000
#define ALPHA       0.01
#define HORIZON     (48 * SIM_HOUR)
#define LATE        (24 * SIM_HOUR)
#define DAY         (24 * SIM_HOUR)
#define SOON        (6 * SIM_HOUR)

#define ABSOLUTE    "{\"rules\":[{\"metric\":\"error_rate\",\"max\":0.05}]}"
#define RELATIVE    "{\"rules\":[{\"metric\":\"error_rate\","                 \
                    "\"max_increase\":0.02}]}"
#define UNLESS      "{\"unless_baseline\":true,\"rules\":[{"                   \
                    "\"metric\":\"error_rate\",\"max\":0.05}]}"
#define COST        "{\"rules\":[{\"metric\":\"cost_usd\","                   \
                    "\"max_ratio\":1.1}]}"


typedef sim_result_t  run_t[RATES_MAX][SIM_METHODS];


typedef struct {
    unsigned  tripped;
    unsigned  early;
    double    mean;                         /* requests */
    double    error;                        /* standard error of the mean */
    double    median;
    double    p95;
    double    time;                         /* median, s; below 0: never */
    double    time95;
} summary_t;


static run_t     *runs;                     /* shared by the jobs */
static unsigned   jobs = 2;
static unsigned   reduced;                  /* --short */
static unsigned   missed;


/* Results depend on the seeds only, not on the number of jobs. */

static void
run_all(const sim_world_t *w, const double *rates, unsigned n, unsigned count)
{
    int       status;
    unsigned  i, job;

    for (job = 0; job < jobs; job++) {
        (void) fflush(stdout);

        switch (fork()) {

        case -1:
            perror("fork");
            exit(1);

        case 0:
            for (i = job; i < count; i += jobs) {
                sim_run(w, rates, n, 1000003 * (uint64_t) n + i, runs[i]);
            }

            _exit(0);
        }
    }

    for (job = 0; job < jobs; job++) {
        if (wait(&status) == -1 || status != 0) {
            (void) fprintf(stderr, "a simulation failed\n");
            exit(1);
        }
    }
}


static int
compare(const void *a, const void *b)
{
    double  x, y;

    x = *(const double *) a;
    y = *(const double *) b;

    return (x > y) - (x < y);
}


static void
summarize(summary_t *s, unsigned rate, sim_method_e method, unsigned count)
{
    double               requests[RUNS_MAX], times[RUNS_MAX], sum, squares;
    unsigned             i, n;
    const sim_result_t  *r;

    memset(s, 0, sizeof(summary_t));

    for (i = 0, n = 0, sum = 0, squares = 0; i < count; i++) {
        r = &runs[i][rate][method];

        if (r->early) {
            s->early++;
            continue;
        }

        times[n] = r->time >= 0 ? r->time : 1e18;
        requests[n++] = r->time >= 0 ? r->requests : 1e18;
        s->tripped += r->time >= 0;
        sum += r->time >= 0 ? r->requests : 0;
        squares += r->time >= 0 ? r->requests * r->requests : 0;
    }

    s->time = -1;

    if (s->tripped == 0) {
        return;
    }

    qsort(requests, n, sizeof(double), compare);
    qsort(times, n, sizeof(double), compare);

    s->mean = sum / s->tripped;
    s->error = sqrt(fmax(squares / s->tripped - s->mean * s->mean, 0)
                    / s->tripped);
    s->median = requests[n / 2];
    s->p95 = requests[n * 95 / 100];
    s->time = times[n / 2] < 1e17 ? times[n / 2] : -1;
    s->time95 = times[n * 95 / 100] < 1e17 ? times[n * 95 / 100] : -1;
}


/* error: what the sample may be off by. */

static const char *
goal(double value, double bound, double error)
{
    if (value <= bound) {
        return "ok";
    }

    if (value <= bound + error) {
        return "within error";
    }

    missed++;

    return "MISSED";
}


/* Of n runs, as many as chance allows one time in a thousand. */

static double
allowed(unsigned n, double p)
{
    double    below, term;
    unsigned  k;

    if (p == 0) {
        return 0;
    }

    term = pow(1 - p, n);

    for (k = 0, below = term; below < 0.999 && k < n; k++) {
        term *= (n - k) / (k + 1.0) * p / (1 - p);
        below += term;
    }

    return k;
}


static const char *
time_text(double seconds)
{
    static char      text[8][16];
    static unsigned  next;

    char  *p;

    p = text[next++ % 8];

    if (seconds < 0) {
        (void) snprintf(p, 16, "-");

    } else if (seconds < 120) {
        (void) snprintf(p, 16, "%.*f s", seconds < 20 ? 1 : 0, seconds);

    } else if (seconds < 7200) {
        (void) snprintf(p, 16, "%.0f min", seconds / 60);

    } else {
        (void) snprintf(p, 16, "%.1f h", seconds / 3600);
    }

    return p;
}


/* Kullback and Leibler's divergence of two error rates, in nats. */

static double
divergence(double p, double q)
{
    return (p > 0 ? p * log(p / q) : 0)
           + (p < 1 ? (1 - p) * log((1 - p) / (1 - q)) : 0);
}


/* The same when the baseline has to be learned, with a margin. */

static double
divergence_relative(double p, double base, double split, double margin)
{
    double  d, least, t;

    for (least = 1e9, t = 1e-4; t < 0.999 - margin; t += 5e-5) {
        d = divergence(p, t + margin) + split * divergence(base, t);
        least = d < least ? d : least;
    }

    return least;
}


/*
 * Requests that any rule needs: Wald 1945 from the start; Lorden 1971 and
 * Lai 1998 for a change at an unknown time.
 */

static double
limit_of(double nats, double rate, double before)
{
    double    m;
    unsigned  i;

    if (before == 0) {
        return log(1 / ALPHA) / nats;
    }

    for (i = 0, m = 1; i < 200; i++) {
        m = 0.5 * m
            + 0.5 * fmax(1e-9, log(fmax(1.0001, rate * HORIZON / (ALPHA * m)))
                               / nats);
    }

    return m;
}


static void
print_others(unsigned rate, unsigned count)
{
    unsigned   m;
    summary_t  s;

    for (m = SIM_THRESHOLD; m < SIM_METHODS; m++) {
        summarize(&s, rate, (sim_method_e) m, count);

        if (s.early * 20 > count * 19) {
            printf(" | falsely before");

        } else if (s.early > 0) {
            printf(" | %s (%u %% before)", time_text(s.time),
                   100 * s.early / count);

        } else {
            printf(" | %s", time_text(s.time));
        }
    }
}


/* What has a goal in a row, and whether it is met. */

static void
breach_goal(const sim_world_t *w, const summary_t *s, double rate,
    double limit, unsigned count)
{
    double  bound, error;

    if (s->tripped + s->early < count) {
        printf(" | all roll back | %s",
               goal(count - s->tripped - s->early, 0, 0));

    } else if (rate < 0.5 && w->candidate <= 5
               && w->baseline > w->candidate)
    {
        bound = w->before > 0 ? 1.5 : 1.8;
        error = (reduced ? 4 : 2) * s->error / limit;
        printf(" | mean <= %g x | %s", bound,
               goal(s->mean / limit, bound, error));

    } else if (rate == 1 && w->candidate <= 5) {
        bound = w->before > 0 ? 12 : 6;
        printf(" | median <= %g | %s", bound, goal(s->median, bound, 0));

    } else if (rate == 1) {
        printf(" | time <= 2 s | %s", goal(s->time, 2, 0));

    } else {
        printf(" | | ");
    }
}


/* rate: 0.5 for a row without a goal of its own. */

static void
breach_row(const char *what, const sim_world_t *w, unsigned i, double rate,
    double nats, unsigned count)
{
    double     limit;
    summary_t  s;

    summarize(&s, i, SIM_VERDICT, count);
    limit = limit_of(nats, w->candidate, w->before);

    printf("| %s | %g:%g | %u | %.0f | %.0f | %.2f | %.2f | %.0f | %.0f | %s",
           what, w->candidate, w->baseline, count, limit, s.mean,
           s.mean / limit, s.error / limit, s.median, s.p95,
           time_text(s.time));

    breach_goal(w, &s, w->burst > 1 ? 0.5 : rate, limit, count);

    if (w->others) {
        print_others(i, count);
    }

    printf(" |\n");
}


static void
head(const char *title, unsigned others)
{
    printf("\n%s\n\n| breach | req/s C:B | runs | limit | mean | of limit "
           "| +- | median | p95 | time | goal | %s |\n"
           "|---|---|---|---|---|---|---|---|---|---|---|---%s|\n", title,
           others ? " | threshold | window | z-test | Mann-Whitney" : "",
           others ? "|---|---|---|---" : "");
}


static void
breaches(double before, unsigned count)
{
    char        what[32];
    unsigned    i, k, n;
    sim_world_t w;

    static const double  rates[] = { 0.08, 0.2, 1 };
    static const double  speeds[] = { 0.5, 4, 5, 10, 50 };

    head(before > 0 ? "Errors 2 % -> x after 24 healthy hours, limit 5 %"
                    : "Errors x from the first request, limit 5 %", 1);

    for (k = 0; k < sizeof(speeds) / sizeof(speeds[0]); k++) {
        w = (sim_world_t) {
            .candidate = speeds[k], .baseline = 99 * speeds[k],
            .healthy = 0.02, .limit_rate = 0.05, .before = before,
            .after = before > 0 ? SOON : DAY, .others = 1,
            .guardrails = ABSOLUTE
        };

        /* more requests take longer, and have no goal for the mean */

        n = before > 0 && speeds[k] > 5 ? count / 2 : count;

        run_all(&w, rates, 3, n);

        for (i = 0; i < 3; i++) {
            (void) snprintf(what, sizeof(what), "%g %%", 100 * rates[i]);
            breach_row(what, &w, i, rates[i], divergence(rates[i], 0.05), n);
        }
    }
}


/* Everything fails: at once, or after a day, where requests are few. */

static void
total_failures(unsigned count)
{
    double        rate;
    unsigned      i, k, n;
    sim_world_t   w;

    static const char *const  names[] = {
        "at once, the baseline is not known", "at once, it is",
        "after 24 healthy hours"
    };

    static const double  speeds[] = { 0.1, 0.5, 1, 2, 4 };

    head("Everything fails, limit 5 %, by simulation", 0);

    for (i = 0; i < 3; i++) {
        n = i == 2 ? count / 5 : count;

        for (k = 0; k < sizeof(speeds) / sizeof(speeds[0]); k++) {
            w = (sim_world_t) {
                .candidate = speeds[k], .baseline = 99 * speeds[k],
                .healthy = 0.02, .limit_rate = 0.05,
                .before = i == 2 ? LATE : 0, .after = DAY, .cold = i == 0,
                .guardrails = ABSOLUTE
            };

            rate = 1;
            run_all(&w, &rate, 1, n);
            breach_row(names[i], &w, 0, rate, divergence(rate, 0.05), n);
        }
    }
}


static void
breaches_relative(double before, unsigned count)
{
    char         what[32];
    unsigned     i, k;
    sim_world_t  w;

    static const double  rates[] = { 0.08, 0.2, 1 };
    static const double  speeds[][2] = { { 0.5, 49.5 }, { 5, 495 }, { 5, 5 } };

    head(before > 0 ? "Limit baseline + 2 points, after 24 healthy hours"
                    : "Limit baseline + 2 points, from the first request", 0);

    for (k = 0; k < 3; k++) {
        w = (sim_world_t) {
            .candidate = speeds[k][0], .baseline = speeds[k][1],
            .healthy = 0.02, .before = before, .after = DAY,
            .guardrails = RELATIVE
        };

        run_all(&w, rates, 3, count);

        for (i = 0; i < 3; i++) {
            (void) snprintf(what, sizeof(what), "2 %% -> %g %%",
                            100 * rates[i]);
            breach_row(what, &w, i, speeds[k][1] > 5 ? rates[i] : 0.5,
                       divergence_relative(rates[i], 0.02,
                                           w.baseline / w.candidate, 0.02),
                       count);
        }
    }
}


/*
 * The nats of a cost of 1.5 and 3 times the baseline's, capped at 20 times,
 * against 1.1: the maximum over f of E log(1 + f (X/c - 1)) (Honda and
 * Takemura 2010).
 */

static void
breaches_cost(double before, unsigned count)
{
    char         what[32];
    unsigned     i, k;
    sim_world_t  w;

    static const double  factors[] = { 1.5, 3 };
    static const double  nats[] = { 0.0120, 0.184 };
    static const double  speeds[] = { 0.5, 5, 50 };

    head(before > 0 ? "Cost, limit 1.1 x baseline, after 24 healthy hours"
                    : "Cost, limit 1.1 x baseline, from the first request",
         1);

    for (k = 0; k < 3; k++) {
        w = (sim_world_t) {
            .candidate = speeds[k], .baseline = 99 * speeds[k], .healthy = 1,
            .limit_rate = 1.1, .before = before,
            .after = before > 0 ? SOON : DAY, .cost = 1, .others = 1,
            .guardrails = COST
        };

        run_all(&w, factors, 2, count);

        for (i = 0; i < 2; i++) {
            (void) snprintf(what, sizeof(what), "%g x", factors[i]);
            breach_row(what, &w, i, 0.5, nats[i], count);
        }
    }
}


/* Rollbacks in so many runs, of which bound is the largest share. */

static void
false_goal(unsigned tripped, unsigned count, double bound)
{
    if (bound > 0) {
        printf(" | <= %g %%", 100 * bound);

    } else {
        printf(" | none");
    }

    printf(" | %s", goal(tripped, bound * count,
                         allowed(count, bound) - bound * count));
}


static void
false_row(const char *what, const sim_world_t *w, unsigned count,
    double bound)
{
    double     rate;
    unsigned   m;
    summary_t  s;

    rate = w->healthy;
    run_all(w, &rate, 1, count);

    printf("| %s | %g:%g | %u", what, w->candidate, w->baseline, count);

    for (m = 0; m < (w->others ? SIM_METHODS : 1); m++) {
        summarize(&s, 0, (sim_method_e) m, count);
        printf(" | %.1f %%", 100.0 * s.tripped / count);

        if (m == SIM_VERDICT) {
            false_goal(s.tripped, count, bound);
        }
    }

    printf(" |\n");
}


static void
false_rollbacks(unsigned count)
{
    char         what[32];
    unsigned     i, k;
    sim_world_t  w;

    static const double  rates[] = { 0.02, 0.045, 0.05 };
    static const double  bounds[] = { 0.001, 0.001, 0.01 };
    static const double  speeds[] = { 0.5, 5, 50 };

    printf("\nFalse rollbacks in 48 h: errors of both arms, limit 5 %%\n\n"
           "| errors | req/s C:B | runs | verdict | goal | | threshold | "
           "window | z-test | Mann-Whitney |\n"
           "|---|---|---|---|---|---|---|---|---|---|\n");

    for (i = 0; i < 3; i++) {
        for (k = 0; k < (reduced ? 2 : 3); k++) {
            w = (sim_world_t) {
                .candidate = speeds[k], .baseline = 99 * speeds[k],
                .healthy = rates[i], .limit_rate = 0.05, .after = HORIZON,
                .others = !reduced, .guardrails = ABSOLUTE
            };

            (void) snprintf(what, sizeof(what), "%g %%", 100 * rates[i]);
            false_row(what, &w,
                      rates[i] < 0.03 || speeds[k] > 5 ? count / 2 : count,
                      bounds[i]);
        }
    }
}


static void
shared_outages(unsigned count)
{
    unsigned     i, k;
    sim_world_t  w;

    static const char *const  names[] = {
        "baseline + 2 points", "5 % unless_baseline"
    };

    static const double  baselines[] = { 495, 5 };

    printf("\nShared outages: errors 2 %%, 30 %% in both arms for 2 min every "
           "6 h, 48 h\n\n"
           "| limit | req/s C:B | runs | verdict | goal | |\n"
           "|---|---|---|---|---|---|\n");

    for (i = 0; i < 2; i++) {
        for (k = 0; k < 2; k++) {
            w = (sim_world_t) {
                .candidate = 5, .baseline = baselines[k], .healthy = 0.02,
                .outage = 0.3, .after = HORIZON,
                .guardrails = i ? UNLESS : RELATIVE
            };

            false_row(names[i], &w, i ? count / 3 : count, 0);
        }
    }
}


static void
young_row(const sim_world_t *w, unsigned count)
{
    summary_t  s;

    summarize(&s, 0, SIM_VERDICT, count);

    printf("| %g s | %g:%g | %u | %.0f | %.0f | %s | %s", w->before,
           w->candidate, w->baseline, count, s.median, s.p95,
           time_text(s.time), time_text(s.time95));

    if (s.tripped + s.early < count) {
        printf(" | all roll back | %s",
               goal(count - s.tripped - s.early, 0, 0));

    } else if (s.early > allowed(count, ALPHA)) {
        printf(" | <= %g %% before | %s", 100 * ALPHA,
               goal(s.early, allowed(count, ALPHA), 0));

    } else if (w->candidate > 5) {
        printf(" | time <= 2 s | %s", goal(s.time, 2, 0));

    } else {
        printf(" | | ");
    }

    printf(" |\n");
}


/* A new flag, and a sidecar that knows nothing yet: the default rules. */

static void
young(unsigned count)
{
    unsigned     i, k;
    double       rate;
    sim_world_t  w;

    static const double  speeds[] = { 0.5, 4, 6, 10, 20, 50 };
    static const double  times[] = { 0, 20, 120 };

    printf("\nAll fails soon after the flag was made, default guardrails, "
           "nothing known before\n\n"
           "| healthy for | req/s C:B | runs | median | p95 | time | p95 | "
           "goal | |\n|---|---|---|---|---|---|---|---|---|\n");

    rate = 1;

    for (i = 0; i < 3; i++) {
        for (k = 0; k < 6; k++) {
            w = (sim_world_t) {
                .candidate = speeds[k], .baseline = 3 * speeds[k],
                .healthy = 0.01, .before = times[i], .after = SIM_HOUR,
                .cold = 1, .ticks = 4, .guardrails = "{}"
            };

            run_all(&w, &rate, 1, count);
            young_row(&w, count);
        }
    }
}


/* The design effect is not known yet: only the users who are followed tell. */

static void
clumps_young(unsigned count)
{
    char         what[32];
    unsigned     i, k;
    sim_world_t  w;

    static const double  speeds[] = { 0.5, 2, 5, 20 };
    static const double  baselines[] = { 49.5, 198, 5, 20 };
    static const double  spreads[] = { 1, 10 };

    printf("\nThe same clumps in the first ten minutes of a new flag, nothing "
           "known before\n\n"
           "| clumps | req/s C:B | runs | verdict | goal | |\n"
           "|---|---|---|---|---|---|\n");

    for (i = 0; i < 2; i++) {
        for (k = 0; k < 4; k++) {
            w = (sim_world_t) {
                .candidate = speeds[k], .baseline = baselines[k],
                .healthy = 0.02, .burst = 4, .spread = spreads[i],
                .after = 600, .cold = 1, .ticks = 4, .guardrails = ABSOLUTE
            };

            (void) snprintf(what, sizeof(what), "within %g s", spreads[i]);
            false_row(what, &w, count, ALPHA);
        }
    }
}


static void
clumps(unsigned count)
{
    unsigned     i, k;
    sim_world_t  w;

    static const char *const  names[] = {
        "within one tick", "within 10 s"
    };

    static const double  speeds[] = { 0.5, 5, 50 };
    static const double  spreads[] = { 0, 10 };
    static const double  rates[] = { 0.2, 1 };

    printf("\nErrors in clumps of 4 on average (design effect 7), 48 h, "
           "errors of both arms 2 %%, limit 5 %%\n\n"
           "| clumps | req/s C:B | runs | verdict | goal | | threshold | "
           "window | z-test | Mann-Whitney |\n"
           "|---|---|---|---|---|---|---|---|---|---|\n");

    for (i = 0; i < 2; i++) {
        for (k = 0; k < (reduced ? 2 : 3); k++) {
            w = (sim_world_t) {
                .candidate = speeds[k], .baseline = 99 * speeds[k],
                .healthy = 0.02, .limit_rate = 0.05, .burst = 4,
                .spread = spreads[i], .after = HORIZON,
                .others = !reduced, .guardrails = ABSOLUTE
            };

            false_row(names[i], &w, count, 0.01);
        }
    }

    clumps_young(reduced ? 50 * count : 10 * count);

    head("A breach where errors come in clumps (of 4 within 10 s)", 0);

    for (k = 0; k < 3; k++) {
        w = (sim_world_t) {
            .candidate = speeds[k], .baseline = 99 * speeds[k],
            .healthy = 0.02, .burst = 4, .spread = 10, .after = DAY,
            .guardrails = ABSOLUTE
        };

        run_all(&w, rates, 2, count);

        breach_row("20 %", &w, 0, 0.2, divergence(0.2, 0.05), count);
        breach_row("100 %", &w, 1, 1, divergence(1, 0.05), count);
    }
}


static void
healthy_cost(unsigned count)
{
    unsigned     k;
    sim_world_t  w;

    static const double  speeds[] = { 0.5, 5 };

    printf("\nFalse rollbacks in 48 h: a candidate of the same cost, "
           "limit 1.1 x\n\n"
           "| cost | req/s C:B | runs | verdict | goal | | threshold | "
           "window | z-test | Mann-Whitney |\n"
           "|---|---|---|---|---|---|---|---|---|---|\n");

    for (k = 0; k < 2; k++) {
        w = (sim_world_t) {
            .candidate = speeds[k], .baseline = 99 * speeds[k], .healthy = 1,
            .limit_rate = 1.1, .after = HORIZON, .cost = 1, .others = 1,
            .guardrails = COST
        };

        false_row("1 x", &w, count, 0.001);
    }
}


int
main(int argc, char **argv)
{
    int       i;
    unsigned  total;

    total = 0;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--short") == 0) {
            reduced = 1;

        } else if (strcmp(argv[i], "--total") == 0) {
            total = 1;

        } else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc) {
            jobs = (unsigned) atoi(argv[++i]);

        } else {
            (void) fprintf(stderr, "usage: %s [--short | --total] "
                           "[--jobs n]\n", argv[0]);
            return 2;
        }
    }

    if (jobs < 1 || jobs > 64) {
        jobs = 1;
    }

    runs = mmap(NULL, RUNS_MAX * sizeof(run_t), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (runs == MAP_FAILED) {
        perror("mmap");
        return 1;
    }

    if (total) {
        total_failures(500);

        return missed != 0;
    }

    breaches(0, reduced ? 60 : 500);
    breaches(LATE, reduced ? 4 : 100);
    breaches_relative(0, reduced ? 40 : 400);
    breaches_relative(LATE, reduced ? 4 : 100);
    breaches_cost(0, reduced ? 20 : 300);

    if (!reduced) {
        breaches_cost(LATE, 40);
        healthy_cost(40);
    }

    young(reduced ? 30 : 400);
    false_rollbacks(reduced ? 16 : 300);
    shared_outages(reduced ? 4 : 300);
    clumps(reduced ? 6 : 100);

    printf("\n%s\n", missed ? "goals were missed" : "all goals are met");

    return missed != 0;
}
