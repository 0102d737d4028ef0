
/* The status of nginx as the sidecar reads it: any text at all. */

#include <string.h>
#include "fuzz.h"
#include "status.h"


static void
check_flag(const canaryd_status_flag_t *f)
{
    unsigned  i, arm;

    fuzz_check(memchr(f->name, '\0', sizeof(f->name)));
    fuzz_check(f->name[0] != '\0');

    if (f->bad) {
        return;
    }

    fuzz_check(f->percent <= CANARY_BUCKETS);
    fuzz_check(f->epoch <= CANARY_EPOCH_MAX);
    fuzz_check(f->trip.epoch <= CANARY_EPOCH_MAX);
    fuzz_check(f->stages.n <= CANARY_LADDER_MAX);

    for (i = 1; i < f->stages.n; i++) {
        fuzz_check(f->stages.stage[i] > f->stages.stage[i - 1]);
    }

    for (arm = 0; arm < CANARY_ARMS; arm++) {
        fuzz_check(f->arm[arm].requests <= CANARYD_COUNT_MAX);
        fuzz_check(f->arm[arm].cost_usd >= 0);
        fuzz_check(f->arm[arm].cost_usd <= CANARY_TALLY_SUM_MAX);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int               rc;
    unsigned          i, bad;
    canary_str_t      text;
    canary_error_t    err;
    canaryd_status_t  s = { 0 };

    text.data = (const char *) data;
    text.len = size;

    rc = canaryd_status_parse(&s, text, &err);

    if (rc != 0) {
        fuzz_check(s.n == 0);
        fuzz_check(canary_str_is_text((canary_str_t) { strlen(err.text),
                                                       err.text }));
    }

    for (i = 0, bad = 0; i < s.n; i++) {
        check_flag(&s.flag[i]);
        bad += s.flag[i].bad != NULL;
    }

    fuzz_check(rc != 0 || bad <= s.bad);

    canaryd_status_clear(&s);

    return 0;
}
