
#include <stddef.h>
#include <stdlib.h>
#include "log.h"
#include "rules.h"


static void canaryd_rules_verdict(canaryd_flag_t *f,
    const canary_guardrails_t *g);
static void canaryd_rules_inherit(canary_verdict_t *v,
    const canary_verdict_t *from);
static canary_verdict_t *canaryd_rules_fit(canary_verdict_t *v);


/* Owners change them seldom: the text is compared, not its meaning. */

void
canaryd_rules_read(canaryd_flag_t *f, canary_str_t json)
{
    char                 *copy;
    canary_error_t        err;
    canary_guardrails_t   g;

    if (f->guardrails && canary_str_eq(canaryd_str(f->guardrails), json)) {
        return;
    }

    canary_guardrails_default(&g);
    f->guardrails_bad = 0;

    if (json.len && canary_guardrails_parse(&g, json, &err) != 0) {
        canaryd_log(CANARYD_LOG_ERROR, f->name, "%s; judging by the %s",
                    err.text, f->verdict ? "ones before" : "default");
        f->guardrails_bad = 1;
    }

    copy = malloc(json.len + 1);

    if (copy == NULL) {
        return;
    }

    canaryd_copy(copy, json.len + 1, json);
    free(f->guardrails);
    f->guardrails = copy;

    if (f->verdict == NULL || !f->guardrails_bad) {
        canaryd_rules_verdict(f, &g);
    }
}


/*
 * A verdict under these guardrails.  It takes over what is known, from before
 * or from the state file, as far as that was found under the same ones.
 */

static void
canaryd_rules_verdict(canaryd_flag_t *f, const canary_guardrails_t *g)
{
    canary_verdict_t  *v;

    v = malloc(sizeof(canary_verdict_t));

    if (v == NULL) {
        return;
    }

    canary_verdict_init(v, canaryd_str(f->name), f->epoch, g);

    if (f->verdict) {
        canaryd_rules_inherit(v, f->verdict);
        canaryd_log(CANARYD_LOG_INFO, f->name, "new guardrails");

    } else if (f->saved) {
        if (canary_verdict_restore(v, canaryd_str(f->saved)) < 0) {
            canaryd_log(CANARYD_LOG_WARN, f->name, "the kept evidence is of "
                        "other guardrails or damaged: starting anew");
        }

        free(f->saved);
        f->saved = NULL;
    }

    free(f->verdict);
    f->verdict = canaryd_rules_fit(v);
}


static void
canaryd_rules_inherit(canary_verdict_t *v, const canary_verdict_t *from)
{
    char    *text;
    size_t   len, size;

    size = CANARY_VERDICT_TEXT_MAX;
    text = malloc(size);

    if (text == NULL) {
        return;
    }

    len = canary_verdict_save(from, text, size);
    (void) canary_verdict_restore(v, (canary_str_t) { len, text });

    free(text);
}


/*
 * Two rules are usual where sixteen fit: only those there are stay in memory.
 * From here on the others are not touched, for that takes a new verdict.
 */

static canary_verdict_t *
canaryd_rules_fit(canary_verdict_t *v)
{
    void  *fit;

    fit = realloc(v, offsetof(canary_verdict_t, state.rule)
                     + v->guardrails.n * sizeof(canary_rule_state_t));

    if (fit == NULL) {
        return v;
    }

    return fit;
}
