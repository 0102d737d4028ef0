
/*
 * The guardrails of a flag: what the candidate must not do, in the words of
 * its owner.
 */


#ifndef CANARY_GUARDRAILS_H
#define CANARY_GUARDRAILS_H


#include <stdint.h>
#include "str.h"
#include "tally.h"


#define CANARY_RULES_MAX        16

/* Costs are capped at this many times what is usual, see below. */

#define CANARY_COST_CAP_FACTOR  20

/* What is usual is not known before this many costs of the baseline. */

#define CANARY_COST_CAP_AFTER   100
#define CANARY_COST_CAP_FIRST   100.0       /* USD, until then */


typedef enum {
    CANARY_METRIC_ERROR_RATE = 0,
    CANARY_METRIC_COST_USD,
    CANARY_METRIC_LATENCY_P50_MS,
    CANARY_METRIC_LATENCY_P95_MS,
    CANARY_METRIC_LATENCY_P99_MS,
    CANARY_METRIC_FIRST_BYTE_P50_MS,
    CANARY_METRIC_FIRST_BYTE_P95_MS,
    CANARY_METRIC_FIRST_BYTE_P99_MS,
    CANARY_METRIC_DENIED_RATE,
    CANARY_METRIC_ESCALATED_RATE,
    CANARY_METRIC_SPEND_USD,
    CANARY_METRICS
} canary_metric_e;


typedef enum {
    CANARY_LIMIT_MAX = 0,                   /* of the candidate alone */
    CANARY_LIMIT_INCREASE,                  /* baseline + limit */
    CANARY_LIMIT_RATIO,                     /* baseline * limit */
    CANARY_LIMITS
} canary_limit_e;


typedef enum {
    CANARY_ACTION_ROLLBACK = 0,
    CANARY_ACTION_STEP_BACK,
    CANARY_ACTION_NOTIFY,
    CANARY_ACTIONS
} canary_action_e;


typedef struct {
    canary_metric_e  metric;
    canary_limit_e   kind;
    double           limit;                 /* a share of 1, USD, ms or ratio */
    uint32_t         per;                   /* s, of a budget */
    uint32_t         min_events;            /* none before that many */
    uint32_t         unless_baseline;       /* not when both arms suffer */
} canary_rule_t;


typedef struct {
    double           alpha;                 /* P(false rollback) in horizon */
    uint32_t         horizon;               /* s */
    canary_action_e  action;
    double           cost_cap;              /* USD, 0: from the traffic */
    uint32_t         n;
    canary_rule_t    rules[CANARY_RULES_MAX];
} canary_guardrails_t;


extern const canary_str_t  canary_metric_names[CANARY_METRICS];
extern const canary_str_t  canary_limit_names[CANARY_LIMITS];
extern const canary_str_t  canary_action_names[CANARY_ACTIONS];


/* What a flag without guardrails gets. */

void canary_guardrails_default(canary_guardrails_t *g);

/*
 * Parses the field "guardrails" of a flag.  What it leaves out is as in
 * canary_guardrails_default(), the rules included.  Returns 0; or -1, an
 * error that names the rule and the field, and leaves *g alone.
 */

int canary_guardrails_parse(canary_guardrails_t *g, canary_str_t json,
    canary_error_t *err);

/*
 * Where the cost of a request is capped, so that no single one decides: 20
 * times the baseline's mean or the limit of a rule in USD, whichever is
 * larger, unless the owner says "cost_cap_usd".  Never 0.
 */

double canary_guardrails_cost_cap(const canary_guardrails_t *g,
    const canary_tally_t *baseline);


#endif /* CANARY_GUARDRAILS_H */
