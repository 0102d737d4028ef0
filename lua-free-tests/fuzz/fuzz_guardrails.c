
/* JSON of guardrails; what is valid then judges for a while. */

#include <math.h>
#include <string.h>
#include "fuzz.h"
#include "json.h"
#include "verdict.h"


static void
judge(const canary_guardrails_t *g)
{
    char              text[CANARY_VERDICT_TEXT_MAX];
    unsigned          i;
    canary_str_t      s, flag;
    canary_ruling_t   ruling;
    canary_verdict_t  restored, v;

    flag.data = "support";
    flag.len = 7;

    canary_verdict_init(&v, flag, 1, g);

    for (i = 0; i < 40; i++) {
        canary_tally_t  b = { 0 }, c = { 0 };

        c.requests = i % 3;
        c.errors_status = i % 2;
        c.denied = i % 2;
        c.latency_ms[i] = i % 3;
        b.requests = 30;
        b.latency_ms[40] = 30;
        b.first_byte_ms[30] = 30;
        canary_tally_cost(&c, i, canary_guardrails_cost_cap(g, &b));
        canary_tally_cost(&b, 1, canary_guardrails_cost_cap(g, &b));

        canary_verdict_tick(&v, &c, &b, i, &ruling);

        fuzz_check(!ruling.trip || ruling.sentence[0] != '\0');
        fuzz_check(isfinite(ruling.standing.e_value));
    }

    s.data = text;
    s.len = canary_verdict_save(&v, text, sizeof(text));
    fuzz_check(s.len > 0);

    canary_verdict_init(&restored, flag, 1, g);
    fuzz_check(canary_verdict_restore(&restored, s) == 1);
    fuzz_check(memcmp(&restored.state, &v.state, sizeof(v.state)) == 0);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t              i;
    canary_str_t          json;
    canary_error_t        err;
    canary_guardrails_t   g;
    const canary_rule_t  *r;

    json.data = (const char *) data;
    json.len = size;
    memset(&g, 0, sizeof(g));

    if (canary_guardrails_parse(&g, json, &err) != 0) {
        fuzz_check(strncmp(err.text, "guardrails", 10) == 0);
        fuzz_check(canary_str_is_text((canary_str_t) { strlen(err.text),
                                                       err.text }));
        fuzz_check(g.horizon == 0);
        return 0;
    }

    fuzz_check(g.n <= CANARY_RULES_MAX);
    fuzz_check(g.alpha > 0 && g.alpha <= 0.2 && g.horizon >= 3600);

    for (i = 0; i < g.n; i++) {
        r = &g.rules[i];
        fuzz_check(r->metric < CANARY_METRICS && r->kind < CANARY_LIMITS);
        fuzz_check(r->limit > 0 && r->limit <= CANARY_LATENCY_MAX);
        fuzz_check((r->per > 0) == (r->metric == CANARY_METRIC_SPEND_USD));
    }

    judge(&g);

    return 0;
}
