
#include <math.h>
#include <stdio.h>
#include "verdict.h"


#define CANARY_PART_MAX   96
#define CANARY_TIME_MAX   16
#define CANARY_ODDS_MAX   1000000.0
#define CANARY_TIMES_MAX  1000000.0


static void canary_sentence_what(char *text, const canary_standing_t *st,
    int times);
static void canary_sentence_limit(char *text, const canary_rule_t *rule,
    const canary_standing_t *st, int times);
static void canary_sentence_time(char *text, double seconds);
static const char *canary_sentence_did(canary_metric_e metric);


void
canary_verdict_sentence(char *text, const canary_verdict_t *v,
    const canary_standing_t *st)
{
    int                   times;
    char                  what[CANARY_PART_MAX], limit[CANARY_PART_MAX];
    char                  time[CANARY_TIME_MAX];
    const canary_rule_t  *rule;

    rule = &v->guardrails.rules[st->rule - 1];

    if (st->metric == CANARY_METRIC_SPEND_USD) {
        canary_sentence_time(time, rule->per);

        (void) snprintf(text, CANARY_SENTENCE_MAX,
                        "spend_usd: the candidate spent $%.2f within %s, "
                        "its budget is $%.2f", st->value, time, st->limit);
        return;
    }

    /* a ratio says more than two costs in fractions of a cent */

    times = st->metric == CANARY_METRIC_COST_USD
            && rule->kind == CANARY_LIMIT_RATIO
            && st->value < CANARY_TIMES_MAX * st->baseline_value;

    canary_sentence_time(time, st->seconds);
    canary_sentence_what(what, st, times);
    canary_sentence_limit(limit, rule, st, times);

    (void) snprintf(text, CANARY_SENTENCE_MAX,
                    "%s: %s in the last %s (%s); a candidate within the "
                    "limit would look this bad in less than 1 of %.0f "
                    "rollouts",
                    canary_metric_names[st->metric].data, what, time, limit,
                    floor(fmin(fmax(st->e_value, 1), CANARY_ODDS_MAX)));
}


static void
canary_sentence_what(char *text, const canary_standing_t *st, int times)
{
    if (times) {
        (void) snprintf(text, CANARY_PART_MAX,
                        "%.0f requests to the candidate cost %.3g times "
                        "those to the baseline",
                        st->n, st->value / st->baseline_value);

    } else if (st->metric == CANARY_METRIC_COST_USD) {
        (void) snprintf(text, CANARY_PART_MAX,
                        "%.0f requests cost the candidate $%.4g each",
                        st->n, st->value);

    } else if (st->edge_ms > 0) {
        (void) snprintf(text, CANARY_PART_MAX,
                        "%.0f of %.0f answers of the candidate took longer "
                        "than %.0f ms", st->events, st->n, st->edge_ms);

    } else {
        (void) snprintf(text, CANARY_PART_MAX,
                        "%.0f of %.0f requests to the candidate %s",
                        st->events, st->n, canary_sentence_did(st->metric));
    }
}


static void
canary_sentence_limit(char *text, const canary_rule_t *rule,
    const canary_standing_t *st, int times)
{
    if (times) {
        (void) snprintf(text, CANARY_PART_MAX,
                        "limit %.3g times; $%.4g each instead of $%.4g",
                        rule->limit, st->value, st->baseline_value);
        return;
    }

    if (st->metric == CANARY_METRIC_COST_USD) {
        (void) snprintf(text, CANARY_PART_MAX,
                        "limit $%.4g, baseline $%.4g", st->limit,
                        st->baseline_value);
        return;
    }

    (void) snprintf(text, CANARY_PART_MAX,
                    "%.3g %%, limit %.3g %%, baseline %.3g %%",
                    100 * st->value, 100 * st->limit,
                    100 * st->baseline_value);
}


static void
canary_sentence_time(char *text, double seconds)
{
    if (seconds < 120) {
        (void) snprintf(text, CANARY_TIME_MAX, "%.0f s", ceil(seconds));

    } else if (seconds < 7200) {
        (void) snprintf(text, CANARY_TIME_MAX, "%.0f min", seconds / 60);

    } else {
        (void) snprintf(text, CANARY_TIME_MAX, "%.0f h", seconds / 3600);
    }
}


static const char *
canary_sentence_did(canary_metric_e metric)
{
    switch (metric) {

    case CANARY_METRIC_DENIED_RATE:
        return "were denied";

    case CANARY_METRIC_ESCALATED_RATE:
        return "were escalated";

    default:
        return "failed";
    }
}
