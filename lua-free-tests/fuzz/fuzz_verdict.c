
/* The text of a saved verdict, as a sidecar finds it on its disk. */

#include <string.h>
#include "fuzz.h"
#include "json.h"
#include "verdict.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                  rc;
    char                 again[CANARY_VERDICT_TEXT_MAX];
    canary_str_t         text, flag;
    canary_tally_t       t = { 0 };
    canary_ruling_t      ruling;
    canary_verdict_t     v;
    canary_guardrails_t  g;

    text.data = (const char *) data;
    text.len = size;
    flag.data = "support";
    flag.len = 7;

    canary_guardrails_default(&g);
    canary_verdict_init(&v, flag, 3, &g);

    rc = canary_verdict_restore(&v, text);

    if (rc == 1) {
        fuzz_check(canary_verdict_save(&v, again, sizeof(again)) == size);
        fuzz_check(memcmp(again, data, size) == 0);
    }

    t.requests = 5;
    t.cost_known = 5;
    canary_verdict_tick(&v, &t, &t, 0.25, &ruling);

    fuzz_check(canary_bet_evidence(&v.state.rule[0].limit) >= 0);
    fuzz_check(canary_verdict_save(&v, again, sizeof(again)) > 0);

    return 0;
}
