
#include <stdio.h>
#include <string.h>
#include "guardrails.h"
#include "json.h"


#define CANARY_HORIZON_MIN     3600         /* s */
#define CANARY_PER_MIN         60
#define CANARY_SECONDS_MAX     31622400     /* 366 days */

#define CANARY_MIN_EVENTS_MAX  1000000
#define CANARY_COST_MAX        1e6          /* USD */

/* "guardrails rule 16 unless_baseline", or an owner's idea of a field */
#define CANARY_WHAT_MAX        72


typedef struct {
    canary_guardrails_t  *g;
    const json_t         *json;             /* guardrails, or one rule */
    uint32_t              n;                /* of the rule, 0: none */
    canary_error_t       *err;
} canary_guardrails_parser_t;


typedef int (*canary_guardrails_set_pt)(canary_guardrails_parser_t *p,
    const json_t *value);


typedef struct {
    const char                *name;
    canary_guardrails_set_pt   set;
} canary_guardrails_field_t;


/* What a limit may be, and how many bad events a verdict needs. */

typedef struct {
    double       above;
    double       up_to;
    const char  *expected;                  /* NULL: no such limit */
} canary_range_t;


typedef struct {
    uint32_t              min_events;
    const canary_range_t *range[CANARY_LIMITS];
} canary_metric_t;


static int canary_guardrails_read(canary_guardrails_parser_t *p);
static int canary_guardrails_fields(canary_guardrails_parser_t *p,
    const canary_guardrails_field_t *fields, const char *expected);
static int canary_guardrails_alpha(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_guardrails_horizon(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_guardrails_action(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_guardrails_cap(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_guardrails_unless(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_guardrails_rules(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_guardrails_rule(canary_guardrails_parser_t *p);
static int canary_rule_metric(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_rule_max(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_rule_max_increase(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_rule_max_ratio(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_rule_limit(canary_guardrails_parser_t *p,
    canary_limit_e kind, const json_t *value);
static int canary_rule_per(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_rule_min_events(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_rule_unless(canary_guardrails_parser_t *p,
    const json_t *value);
static int canary_guardrails_check(canary_guardrails_parser_t *p);
static int canary_guardrails_twice(canary_guardrails_parser_t *p);
static canary_rule_t *canary_guardrails_at(canary_guardrails_parser_t *p);
static int canary_guardrails_word(const json_t *value,
    const canary_str_t *words, unsigned n);
static int canary_guardrails_seconds(const json_t *value, uint32_t min,
    uint32_t *seconds);
static int canary_guardrails_error(canary_guardrails_parser_t *p,
    const char *field, const json_t *value, const char *expected);


const canary_str_t  canary_metric_names[CANARY_METRICS] = {
    canary_str("error_rate"),
    canary_str("cost_usd"),
    canary_str("latency_p50_ms"),
    canary_str("latency_p95_ms"),
    canary_str("latency_p99_ms"),
    canary_str("first_byte_p50_ms"),
    canary_str("first_byte_p95_ms"),
    canary_str("first_byte_p99_ms"),
    canary_str("denied_rate"),
    canary_str("escalated_rate"),
    canary_str("spend_usd")
};


const canary_str_t  canary_limit_names[CANARY_LIMITS] = {
    canary_str("max"),
    canary_str("max_increase"),
    canary_str("max_ratio")
};


const canary_str_t  canary_action_names[CANARY_ACTIONS] = {
    canary_str("rollback"),
    canary_str("step_back"),
    canary_str("notify")
};


static const canary_range_t  canary_range_rate = {
    0, 0.99, "expected a share above 0 and up to 0.99, like 0.05"
};

static const canary_range_t  canary_range_ratio = {
    0.999999, 10, "expected a ratio of 1 to 10, like 1.2"
};

static const canary_range_t  canary_range_usd = {
    0, CANARY_COST_MAX, "expected an amount above 0 and up to 1000000"
};

static const canary_range_t  canary_range_ms = {
    0, CANARY_LATENCY_MAX, "expected above 0 and up to 4194304 ms"
};


#define canary_metric_rate(n)                                                 \
    { n, { &canary_range_rate, &canary_range_rate, &canary_range_ratio } }

#define canary_metric_ms                                                      \
    { 5, { &canary_range_ms, &canary_range_ms, &canary_range_ratio } }


static const canary_metric_t  canary_metrics[CANARY_METRICS] = {
    canary_metric_rate(5),
    { 10, { &canary_range_usd, &canary_range_usd, &canary_range_ratio } },
    canary_metric_ms,
    canary_metric_ms,
    canary_metric_ms,
    canary_metric_ms,
    canary_metric_ms,
    canary_metric_ms,
    canary_metric_rate(2),
    canary_metric_rate(5),
    { 0, { &canary_range_usd, NULL, NULL } }
};


static const canary_guardrails_field_t  canary_guardrails_names[] = {
    { "alpha", canary_guardrails_alpha },
    { "horizon", canary_guardrails_horizon },
    { "action", canary_guardrails_action },
    { "cost_cap_usd", canary_guardrails_cap },
    { "rules", canary_guardrails_rules },
    { "unless_baseline", canary_guardrails_unless },
    { NULL, NULL }
};


/* In the order in which they are read: a limit depends on the metric. */

static const canary_guardrails_field_t  canary_rule_names[] = {
    { "metric", canary_rule_metric },
    { "max", canary_rule_max },
    { "max_increase", canary_rule_max_increase },
    { "max_ratio", canary_rule_max_ratio },
    { "per", canary_rule_per },
    { "min_events", canary_rule_min_events },
    { "unless_baseline", canary_rule_unless },
    { NULL, NULL }
};


void
canary_guardrails_default(canary_guardrails_t *g)
{
    memset(g, 0, sizeof(canary_guardrails_t));

    g->alpha = 0.01;
    g->horizon = 48 * 3600;
    g->action = CANARY_ACTION_ROLLBACK;
    g->n = 2;

    g->rules[0].metric = CANARY_METRIC_ERROR_RATE;
    g->rules[0].kind = CANARY_LIMIT_MAX;
    g->rules[0].limit = 0.05;
    g->rules[0].min_events = 5;

    g->rules[1].metric = CANARY_METRIC_COST_USD;
    g->rules[1].kind = CANARY_LIMIT_RATIO;
    g->rules[1].limit = 1.5;
    g->rules[1].min_events = 10;
}


int
canary_guardrails_parse(canary_guardrails_t *g, canary_str_t json,
    canary_error_t *err)
{
    int                         rc;
    json_t                     *root;
    canary_guardrails_t         parsed;
    canary_guardrails_parser_t  p;

    static const char  expected[] = "expected a JSON object";

    root = canary_json_load("guardrails", json, expected, err);

    if (root == NULL) {
        return -1;
    }

    canary_guardrails_default(&parsed);

    p.g = &parsed;
    p.json = root;
    p.n = 0;
    p.err = err;

    if (json_is_object(root)) {
        rc = canary_guardrails_read(&p);

    } else {
        canary_error(err, "guardrails", json, expected);
        rc = -1;
    }

    json_decref(root);

    if (rc == 0) {
        *g = parsed;
    }

    return rc;
}


static int
canary_guardrails_read(canary_guardrails_parser_t *p)
{
    if (canary_guardrails_fields(p, canary_guardrails_names,
                                 "expected alpha, horizon, action, "
                                 "cost_cap_usd, rules or unless_baseline")
        != 0)
    {
        return -1;
    }

    return canary_guardrails_check(p);
}


/* Reads an object: all that is in it has to be known. */

static int
canary_guardrails_fields(canary_guardrails_parser_t *p,
    const canary_guardrails_field_t *fields, const char *expected)
{
    void                             *i;
    json_t                           *json, *value;
    const canary_guardrails_field_t  *field;

    json = (json_t *) p->json;

    for (i = json_object_iter(json); i; i = json_object_iter_next(json, i)) {

        for (field = fields; field->name; field++) {
            if (strcmp(field->name, json_object_iter_key(i)) == 0) {
                break;
            }
        }

        if (field->name == NULL) {
            return canary_guardrails_error(p, json_object_iter_key(i),
                                           json_object_iter_value(i),
                                           expected);
        }
    }

    for (field = fields; field->name; field++) {
        value = json_object_get(json, field->name);

        if (value && field->set(p, value) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
canary_guardrails_alpha(canary_guardrails_parser_t *p, const json_t *value)
{
    double  alpha;

    alpha = json_number_value(value);

    if (!(alpha >= 0.000001 && alpha <= 0.2)) {
        return canary_guardrails_error(p, "alpha", value,
                                       "expected 0.000001 to 0.2");
    }

    p->g->alpha = alpha;

    return 0;
}


static int
canary_guardrails_horizon(canary_guardrails_parser_t *p, const json_t *value)
{
    if (canary_guardrails_seconds(value, CANARY_HORIZON_MIN, &p->g->horizon)
        != 0)
    {
        return canary_guardrails_error(p, "horizon", value,
                                       "expected a time of 1h to 366d, "
                                       "like \"48h\"");
    }

    return 0;
}


static int
canary_guardrails_action(canary_guardrails_parser_t *p, const json_t *value)
{
    int  action;

    action = canary_guardrails_word(value, canary_action_names,
                                    CANARY_ACTIONS);
    if (action < 0) {
        return canary_guardrails_error(p, "action", value,
                                       "expected rollback, step_back or "
                                       "notify");
    }

    p->g->action = (canary_action_e) action;

    return 0;
}


static int
canary_guardrails_cap(canary_guardrails_parser_t *p, const json_t *value)
{
    double  cap;

    cap = json_number_value(value);

    if (!(cap > 0 && cap <= CANARY_COST_MAX * CANARY_COST_CAP_FACTOR)) {
        return canary_guardrails_error(p, "cost_cap_usd", value,
                                       "expected an amount above 0 and up to "
                                       "20000000");
    }

    p->g->cost_cap = cap;

    return 0;
}


/* After the rules: those of an absolute limit that say nothing follow it. */

static int
canary_guardrails_unless(canary_guardrails_parser_t *p, const json_t *value)
{
    uint32_t       i;
    json_t        *rules;
    canary_rule_t *rule;

    if (!json_is_boolean(value)) {
        return canary_guardrails_error(p, "unless_baseline", value,
                                       "expected true or false");
    }

    rules = json_object_get(p->json, "rules");

    for (i = 0; i < p->g->n; i++) {
        rule = &p->g->rules[i];

        if (rule->kind == CANARY_LIMIT_MAX
            && rule->metric != CANARY_METRIC_SPEND_USD
            && json_object_get(json_array_get(rules, i), "unless_baseline")
               == NULL)
        {
            rule->unless_baseline = json_is_true(value);
        }
    }

    return 0;
}


static int
canary_guardrails_rules(canary_guardrails_parser_t *p, const json_t *value)
{
    int                         rc;
    uint32_t                    n;
    canary_guardrails_parser_t  rule;

    if (!json_is_array(value) || json_array_size(value) > CANARY_RULES_MAX) {
        return canary_guardrails_error(p, "rules", value,
                                       "expected an array of up to 16 rules");
    }

    n = (uint32_t) json_array_size(value);
    rule = *p;

    memset(p->g->rules, 0, sizeof(p->g->rules));
    p->g->n = n;

    for (rule.n = 1; rule.n <= n; rule.n++) {
        rule.json = json_array_get(value, rule.n - 1);

        rc = canary_guardrails_rule(&rule);

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


static int
canary_guardrails_rule(canary_guardrails_parser_t *p)
{
    static const char  expected[] = "expected one of max, max_increase and "
                                    "max_ratio";

    canary_rule_t  *rule;

    if (!json_is_object(p->json)) {
        return canary_guardrails_error(p, NULL, p->json, "expected an object");
    }

    if (json_object_get(p->json, "metric") == NULL) {
        return canary_rule_metric(p, NULL);
    }

    if (canary_guardrails_fields(p, canary_rule_names,
                                 "expected metric, max, max_increase, "
                                 "max_ratio, per, min_events or "
                                 "unless_baseline")
        != 0)
    {
        return -1;
    }

    rule = canary_guardrails_at(p);

    if (rule->limit == 0) {
        return canary_guardrails_error(p, NULL, p->json, expected);
    }

    if (rule->metric == CANARY_METRIC_SPEND_USD && rule->per == 0) {
        return canary_rule_per(p, NULL);
    }

    if (rule->min_events == 0) {
        rule->min_events = canary_metrics[rule->metric].min_events;
    }

    return canary_guardrails_twice(p);
}


static int
canary_rule_metric(canary_guardrails_parser_t *p, const json_t *value)
{
    int  metric;

    metric = canary_guardrails_word(value, canary_metric_names,
                                    CANARY_METRICS);
    if (metric < 0) {
        return canary_guardrails_error(p, "metric", value,
                                       "expected error_rate, cost_usd, "
                                       "latency_p50|p95|p99_ms, "
                                       "first_byte_p50|p95|p99_ms, "
                                       "denied_rate, escalated_rate or "
                                       "spend_usd");
    }

    canary_guardrails_at(p)->metric = (canary_metric_e) metric;

    return 0;
}


static int
canary_rule_max(canary_guardrails_parser_t *p, const json_t *value)
{
    return canary_rule_limit(p, CANARY_LIMIT_MAX, value);
}


static int
canary_rule_max_increase(canary_guardrails_parser_t *p, const json_t *value)
{
    return canary_rule_limit(p, CANARY_LIMIT_INCREASE, value);
}


static int
canary_rule_max_ratio(canary_guardrails_parser_t *p, const json_t *value)
{
    return canary_rule_limit(p, CANARY_LIMIT_RATIO, value);
}


static int
canary_rule_limit(canary_guardrails_parser_t *p, canary_limit_e kind,
    const json_t *value)
{
    const char            *name;
    double                 limit;
    canary_rule_t         *rule;
    const canary_range_t  *range;

    rule = canary_guardrails_at(p);
    name = canary_limit_names[kind].data;
    range = canary_metrics[rule->metric].range[kind];

    if (range == NULL) {
        return canary_guardrails_error(p, name, value,
                                       "expected max and per: a budget knows "
                                       "no baseline");
    }

    if (rule->limit != 0) {
        return canary_guardrails_error(p, name, value,
                                       "expected one of max, max_increase "
                                       "and max_ratio");
    }

    limit = json_number_value(value);

    if (!(limit > range->above && limit <= range->up_to)) {
        return canary_guardrails_error(p, name, value, range->expected);
    }

    rule->kind = kind;
    rule->limit = limit;

    return 0;
}


static int
canary_rule_per(canary_guardrails_parser_t *p, const json_t *value)
{
    canary_rule_t  *rule;

    rule = canary_guardrails_at(p);

    if (rule->metric != CANARY_METRIC_SPEND_USD) {
        return canary_guardrails_error(p, "per", value,
                                       "expected with spend_usd only");
    }

    if (canary_guardrails_seconds(value, CANARY_PER_MIN, &rule->per) != 0) {
        return canary_guardrails_error(p, "per", value,
                                       "expected a time of 1m to 366d, "
                                       "like \"1h\"");
    }

    return 0;
}


static int
canary_rule_min_events(canary_guardrails_parser_t *p, const json_t *value)
{
    json_int_t      n;
    canary_rule_t  *rule;

    rule = canary_guardrails_at(p);

    if (rule->metric == CANARY_METRIC_SPEND_USD) {
        return canary_guardrails_error(p, "min_events", value,
                                       "expected on other rules: a budget "
                                       "has none");
    }

    n = json_integer_value(value);

    if (n < 1 || n > CANARY_MIN_EVENTS_MAX) {
        return canary_guardrails_error(p, "min_events", value,
                                       "expected 1 to 1000000");
    }

    rule->min_events = (uint32_t) n;

    return 0;
}


static int
canary_rule_unless(canary_guardrails_parser_t *p, const json_t *value)
{
    canary_rule_t  *rule;

    rule = canary_guardrails_at(p);

    if (!json_is_boolean(value)) {
        return canary_guardrails_error(p, "unless_baseline", value,
                                       "expected true or false");
    }

    if (rule->kind != CANARY_LIMIT_MAX
        || rule->metric == CANARY_METRIC_SPEND_USD)
    {
        return canary_guardrails_error(p, "unless_baseline", value,
                                       "expected with max of a rate, cost or "
                                       "latency only");
    }

    rule->unless_baseline = json_is_true(value);

    return 0;
}


/* A limit that no capped cost reaches would never be exceeded. */

static int
canary_guardrails_check(canary_guardrails_parser_t *p)
{
    uint32_t              i;
    const canary_rule_t  *rule;

    for (i = 0; i < p->g->n && p->g->cost_cap > 0; i++) {
        rule = &p->g->rules[i];

        if (rule->metric == CANARY_METRIC_COST_USD
            && rule->kind != CANARY_LIMIT_RATIO
            && rule->limit >= p->g->cost_cap)
        {
            return canary_guardrails_error(p, "cost_cap_usd",
                                         json_object_get(p->json,
                                                         "cost_cap_usd"),
                                         "expected more than the limit of a "
                                         "cost_usd rule");
        }
    }

    return 0;
}


/* Every rule shares in alpha: one that is there twice only costs power. */

static int
canary_guardrails_twice(canary_guardrails_parser_t *p)
{
    uint32_t              i;
    const canary_rule_t  *rule, *before;

    rule = canary_guardrails_at(p);

    for (i = 0; i + 1 < p->n; i++) {
        before = &p->g->rules[i];

        if (before->metric == rule->metric && before->kind == rule->kind
            && before->per == rule->per)
        {
            return canary_guardrails_error(p, NULL, p->json,
                                           "expected once, there is a rule "
                                           "of this kind already");
        }
    }

    return 0;
}


static canary_rule_t *
canary_guardrails_at(canary_guardrails_parser_t *p)
{
    return &p->g->rules[p->n - 1];
}


/* The index of a word, or -1. */

static int
canary_guardrails_word(const json_t *value, const canary_str_t *words,
    unsigned n)
{
    unsigned      i;
    canary_str_t  word;

    word.data = json_string_value(value);
    word.len = json_string_length(value);

    for (i = 0; word.data && i < n; i++) {
        if (canary_str_eq(word, words[i])) {
            return (int) i;
        }
    }

    return -1;
}


/* "90s", "15m", "48h", "7d".  Returns 0, or -1 and leaves *seconds alone. */

static int
canary_guardrails_seconds(const json_t *value, uint32_t min,
    uint32_t *seconds)
{
    size_t       i, len;
    uint64_t     n;
    const char  *text, *unit;

    static const char      units[] = "smhd";
    static const uint32_t  lengths[] = { 1, 60, 3600, 86400 };

    text = json_string_value(value);
    len = json_string_length(value);

    if (text == NULL || len < 2 || len > 9 || text[0] == '0') {
        return -1;
    }

    n = 0;

    for (i = 0; i < len - 1; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }

        n = n * 10 + (uint64_t) (text[i] - '0');
    }

    unit = memchr(units, text[i], sizeof(units) - 1);

    if (unit == NULL) {
        return -1;
    }

    n *= lengths[unit - units];

    if (n < min || n > CANARY_SECONDS_MAX) {
        return -1;
    }

    *seconds = (uint32_t) n;

    return 0;
}


static int
canary_guardrails_error(canary_guardrails_parser_t *p, const char *field,
    const json_t *value, const char *expected)
{
    char         what[CANARY_WHAT_MAX];
    const char  *space;

    space = field ? " " : "";
    field = field ? field : "";

    if (p->n) {
        (void) snprintf(what, sizeof(what), "guardrails rule %u%s%s",
                        (unsigned) p->n, space, field);

    } else {
        (void) snprintf(what, sizeof(what), "guardrails%s%s", space, field);
    }

    canary_json_error(p->err, what, value, expected);

    return -1;
}


double
canary_guardrails_cost_cap(const canary_guardrails_t *g,
    const canary_tally_t *baseline)
{
    double                usual, mean;
    uint32_t              i;
    const canary_rule_t  *rule;

    if (g->cost_cap > 0) {
        return g->cost_cap;
    }

    usual = 0;

    for (i = 0; i < g->n; i++) {
        rule = &g->rules[i];

        if (rule->metric == CANARY_METRIC_COST_USD
            && rule->kind != CANARY_LIMIT_RATIO
            && rule->limit > usual)
        {
            usual = rule->limit;
        }
    }

    if (baseline->cost_known >= CANARY_COST_CAP_AFTER) {
        mean = baseline->cost_usd / (double) baseline->cost_known;

        if (mean > usual && mean < CANARY_COST_MAX) {
            usual = mean;
        }
    }

    return usual > 0 ? usual * CANARY_COST_CAP_FACTOR : CANARY_COST_CAP_FIRST;
}
