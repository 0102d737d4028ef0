
#include "decide.h"


static uint32_t canary_decide_percent(const canary_flag_t *flag,
    const canary_request_t *request);
static void canary_decide_tripped(canary_decision_t *d,
    const canary_flag_t *flag, const canary_trip_t *trip,
    const canary_request_t *request, canary_str_t key);
static canary_arm_e canary_split(const canary_decision_t *d);


const canary_str_t  canary_reason_names[CANARY_REASONS] = {
    canary_str("default"),
    canary_str("targeting_key_missing"),
    canary_str("disabled"),
    canary_str("tripped"),
    canary_str("override"),
    canary_str("targeting_match"),
    canary_str("split"),
    canary_str("stale")
};


void
canary_decide(canary_decision_t *d, const canary_flag_t *flag,
    const canary_trip_t *trip, const canary_request_t *request)
{
    canary_str_t  key;

    d->arm = CANARY_ARM_BASELINE;
    d->reason = CANARY_REASON_DEFAULT;
    d->bucket = CANARY_BUCKETS;
    d->percent = 0;

    if (flag == NULL) {
        return;
    }

    key = canary_str_trim(request->key);

    if (key.len == 0) {
        d->reason = CANARY_REASON_KEY_MISSING;
        return;
    }

    d->hash = canary_hash(flag->seed, key);
    d->bucket = canary_bucket(d->hash);

    if (!flag->enabled) {
        d->reason = CANARY_REASON_DISABLED;
        return;
    }

    d->percent = canary_decide_percent(flag, request);

    if (trip && trip->epoch >= flag->epoch) {
        canary_decide_tripped(d, flag, trip, request, key);
        return;
    }

    if (request->override != CANARY_ARM_NONE) {
        d->reason = CANARY_REASON_OVERRIDE;
        d->arm = request->override;
        return;
    }

    if (flag->deny && canary_set_find(flag->deny, key)) {
        d->reason = CANARY_REASON_TARGETING_MATCH;
        return;
    }

    if (flag->allow && canary_set_find(flag->allow, key)) {
        d->reason = CANARY_REASON_TARGETING_MATCH;
        d->arm = CANARY_ARM_CANDIDATE;
        return;
    }

    d->reason = request->stale == CANARY_STALE_NO ? CANARY_REASON_SPLIT
                                                  : CANARY_REASON_STALE;
    d->arm = canary_split(d);
}


/* The percent that divides the users whom nothing else puts on a side. */

static uint32_t
canary_decide_percent(const canary_flag_t *flag,
    const canary_request_t *request)
{
    const uint32_t  *percent;

    if (request->stale == CANARY_STALE_BASELINE) {
        return 0;
    }

    if (flag->tenants == NULL) {
        return flag->percent;
    }

    percent = canary_set_find(flag->tenants, canary_str_trim(request->tenant));

    return percent ? *percent : flag->percent;
}


/* Whatever puts a user on the baseline still counts; nothing else does. */

static void
canary_decide_tripped(canary_decision_t *d, const canary_flag_t *flag,
    const canary_trip_t *trip, const canary_request_t *request,
    canary_str_t key)
{
    d->reason = CANARY_REASON_TRIPPED;

    if (d->percent > trip->percent) {
        d->percent = trip->percent;
    }

    if (request->override == CANARY_ARM_BASELINE
        || canary_set_find(flag->deny, key))
    {
        return;
    }

    d->arm = canary_split(d);
}


static canary_arm_e
canary_split(const canary_decision_t *d)
{
    return d->bucket < d->percent ? CANARY_ARM_CANDIDATE : CANARY_ARM_BASELINE;
}
