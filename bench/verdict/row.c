
#include <math.h>
#include <stdio.h>
#include "limit.h"
#include "row.h"
#include "runs.h"


unsigned  sim_reduced;
unsigned  sim_missed;


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

    sim_missed++;

    return "MISSED";
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


static void
print_others(unsigned rate, unsigned count)
{
    unsigned   m;
    sim_summary_t  s;

    for (m = SIM_THRESHOLD; m < SIM_METHODS; m++) {
        sim_summarize(&s, rate, (sim_method_e) m, count);

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
breach_goal(const sim_world_t *w, const sim_summary_t *s, double rate,
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
        error = (sim_reduced ? 4 : 2) * s->error / limit;
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


void
sim_row_breach(const char *what, const sim_world_t *w, unsigned i, double rate,
    double nats, unsigned count)
{
    double     limit;
    sim_summary_t  s;

    sim_summarize(&s, i, SIM_VERDICT, count);
    limit = sim_limit(nats, w->candidate, w->before);

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


void
sim_row_head(const char *title, unsigned others)
{
    printf("\n%s\n\n| breach | req/s C:B | runs | limit | mean | of limit "
           "| +- | median | p95 | time | goal | %s |\n"
           "|---|---|---|---|---|---|---|---|---|---|---|---%s|\n", title,
           others ? " | threshold | window | z-test | Mann-Whitney" : "",
           others ? "|---|---|---|---" : "");
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
                         sim_allowed(count, bound) - bound * count));
}


void
sim_row_false(const char *what, const sim_world_t *w, unsigned count,
    double bound)
{
    double     rate;
    unsigned   m;
    sim_summary_t  s;

    rate = w->healthy;
    sim_runs(w, &rate, 1, count);

    printf("| %s | %g:%g | %u", what, w->candidate, w->baseline, count);

    for (m = 0; m < (w->others ? SIM_METHODS : 1); m++) {
        sim_summarize(&s, 0, (sim_method_e) m, count);
        printf(" | %.1f %%", 100.0 * s.tripped / count);

        if (m == SIM_VERDICT) {
            false_goal(s.tripped, count, bound);
        }
    }

    printf(" |\n");
}


void
sim_row_young(const sim_world_t *w, unsigned count)
{
    sim_summary_t  s;

    sim_summarize(&s, 0, SIM_VERDICT, count);

    printf("| %g s | %g:%g | %u | %.0f | %.0f | %s | %s", w->before,
           w->candidate, w->baseline, count, s.median, s.p95,
           time_text(s.time), time_text(s.time95));

    if (s.tripped + s.early < count) {
        printf(" | all roll back | %s",
               goal(count - s.tripped - s.early, 0, 0));

    } else if (s.early > sim_allowed(count, SIM_ALPHA)) {
        printf(" | <= %g %% before | %s", 100 * SIM_ALPHA,
               goal(s.early, sim_allowed(count, SIM_ALPHA), 0));

    } else if (w->candidate > 5) {
        printf(" | time <= 2 s | %s", goal(s.time, 2, 0));

    } else {
        printf(" | | ");
    }

    printf(" |\n");
}
