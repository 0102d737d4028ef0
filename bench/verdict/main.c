
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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "limit.h"
#include "row.h"
#include "runs.h"


#define LATE        (24 * SIM_HOUR)
#define DAY         (24 * SIM_HOUR)
#define SOON        (6 * SIM_HOUR)

#define ABSOLUTE    "{\"rules\":[{\"metric\":\"error_rate\",\"max\":0.05}]}"
#define RELATIVE    "{\"rules\":[{\"metric\":\"error_rate\","                 \
                    "\"max_increase\":0.02}]}"
#define UNLESS      "{\"unless_baseline\":true,\"rules\":[{"                  \
                    "\"metric\":\"error_rate\",\"max\":0.05}]}"
#define COST        "{\"rules\":[{\"metric\":\"cost_usd\","                   \
                    "\"max_ratio\":1.1}]}"


static void
breaches(double before, unsigned count)
{
    char         what[32];
    unsigned     i, k, n;
    sim_world_t  w;

    static const double  rates[] = { 0.08, 0.2, 1 };
    static const double  speeds[] = { 0.5, 4, 5, 10, 50 };

    sim_row_head(before > 0
                 ? "Errors 2 % -> x after 24 healthy hours, limit 5 %"
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

        sim_runs(&w, rates, 3, n);

        for (i = 0; i < 3; i++) {
            (void) snprintf(what, sizeof(what), "%g %%", 100 * rates[i]);
            sim_row_breach(what, &w, i, rates[i],
                           sim_divergence(rates[i], 0.05), n);
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

    sim_row_head("Everything fails, limit 5 %, by simulation", 0);

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
            sim_runs(&w, &rate, 1, n);
            sim_row_breach(names[i], &w, 0, rate, sim_divergence(rate, 0.05),
                           n);
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

    sim_row_head(before > 0
                 ? "Limit baseline + 2 points, after 24 healthy hours"
                 : "Limit baseline + 2 points, from the first request", 0);

    for (k = 0; k < 3; k++) {
        w = (sim_world_t) {
            .candidate = speeds[k][0], .baseline = speeds[k][1],
            .healthy = 0.02, .before = before, .after = DAY,
            .guardrails = RELATIVE
        };

        sim_runs(&w, rates, 3, count);

        for (i = 0; i < 3; i++) {
            (void) snprintf(what, sizeof(what), "2 %% -> %g %%",
                            100 * rates[i]);
            sim_row_breach(what, &w, i, speeds[k][1] > 5 ? rates[i] : 0.5,
                           sim_divergence_relative(rates[i], 0.02,
                                                   w.baseline / w.candidate,
                                                   0.02),
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

    sim_row_head(before > 0
                 ? "Cost, limit 1.1 x baseline, after 24 healthy hours"
                 : "Cost, limit 1.1 x baseline, from the first request", 1);

    for (k = 0; k < 3; k++) {
        w = (sim_world_t) {
            .candidate = speeds[k], .baseline = 99 * speeds[k], .healthy = 1,
            .limit_rate = 1.1, .before = before,
            .after = before > 0 ? SOON : DAY, .cost = 1, .others = 1,
            .guardrails = COST
        };

        sim_runs(&w, factors, 2, count);

        for (i = 0; i < 2; i++) {
            (void) snprintf(what, sizeof(what), "%g x", factors[i]);
            sim_row_breach(what, &w, i, 0.5, nats[i], count);
        }
    }
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
        for (k = 0; k < (sim_reduced ? 2 : 3); k++) {
            w = (sim_world_t) {
                .candidate = speeds[k], .baseline = 99 * speeds[k],
                .healthy = rates[i], .limit_rate = 0.05, .after = SIM_HORIZON,
                .others = !sim_reduced, .guardrails = ABSOLUTE
            };

            (void) snprintf(what, sizeof(what), "%g %%", 100 * rates[i]);
            sim_row_false(what, &w,
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
                .outage = 0.3, .after = SIM_HORIZON,
                .guardrails = i ? UNLESS : RELATIVE
            };

            sim_row_false(names[i], &w, i ? count / 3 : count, 0);
        }
    }
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

            sim_runs(&w, &rate, 1, count);
            sim_row_young(&w, count);
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
            sim_row_false(what, &w, count, SIM_ALPHA);
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
        for (k = 0; k < (sim_reduced ? 2 : 3); k++) {
            w = (sim_world_t) {
                .candidate = speeds[k], .baseline = 99 * speeds[k],
                .healthy = 0.02, .limit_rate = 0.05, .burst = 4,
                .spread = spreads[i], .after = SIM_HORIZON,
                .others = !sim_reduced, .guardrails = ABSOLUTE
            };

            sim_row_false(names[i], &w, count, 0.01);
        }
    }

    clumps_young(sim_reduced ? 50 * count : 10 * count);

    sim_row_head("A breach where errors come in clumps (of 4 within 10 s)", 0);

    for (k = 0; k < 3; k++) {
        w = (sim_world_t) {
            .candidate = speeds[k], .baseline = 99 * speeds[k],
            .healthy = 0.02, .burst = 4, .spread = 10, .after = DAY,
            .guardrails = ABSOLUTE
        };

        sim_runs(&w, rates, 2, count);

        sim_row_breach("20 %", &w, 0, 0.2, sim_divergence(0.2, 0.05), count);
        sim_row_breach("100 %", &w, 1, 1, sim_divergence(1, 0.05), count);
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
            .limit_rate = 1.1, .after = SIM_HORIZON, .cost = 1, .others = 1,
            .guardrails = COST
        };

        sim_row_false("1 x", &w, count, 0.001);
    }
}


int
main(int argc, char **argv)
{
    int       i;
    unsigned  jobs, total;

    jobs = 2;
    total = 0;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--short") == 0) {
            sim_reduced = 1;

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

    if (sim_runs_init(jobs < 1 || jobs > 64 ? 1 : jobs) != 0) {
        return 1;
    }

    if (total) {
        total_failures(500);

        return sim_missed != 0;
    }

    breaches(0, sim_reduced ? 60 : 500);
    breaches(LATE, sim_reduced ? 4 : 100);
    breaches_relative(0, sim_reduced ? 40 : 400);
    breaches_relative(LATE, sim_reduced ? 4 : 100);
    breaches_cost(0, sim_reduced ? 20 : 300);

    if (!sim_reduced) {
        breaches_cost(LATE, 40);
        healthy_cost(40);
    }

    young(sim_reduced ? 30 : 400);
    false_rollbacks(sim_reduced ? 16 : 300);
    shared_outages(sim_reduced ? 4 : 300);
    clumps(sim_reduced ? 6 : 100);

    printf("\n%s\n", sim_missed ? "goals were missed" : "all goals are met");

    return sim_missed != 0;
}
