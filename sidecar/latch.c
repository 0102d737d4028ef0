
#include <stdlib.h>
#include <string.h>
#include "latch.h"
#include "text.h"


int
canaryd_latch_learn(canaryd_latch_t *latch, canaryd_at_e at,
    const canary_trip_t *trip, canary_str_t record)
{
    char  *copy;

    if (latch->set && !canary_trip_beats(trip, &latch->trip)) {

        if (canary_trip_beats(&latch->trip, trip)) {
            canaryd_latch_lost(latch, at);

        } else {
            latch->at |= 1U << at;
        }

        return 0;
    }

    copy = canaryd_dup(record);

    if (copy == NULL) {
        return 0;
    }

    canaryd_latch_clear(latch);

    latch->set = 1;
    latch->at = 1U << at;
    latch->trip = *trip;
    latch->record = copy;

    return 1;
}


void
canaryd_latch_lost(canaryd_latch_t *latch, canaryd_at_e at)
{
    latch->at &= ~(1U << at);

    /* a Redis that lost it has lost the audit entry as well */

    if (at == CANARYD_AT_REDIS) {
        latch->lost = 1;
        latch->audited = 0;
    }
}


void
canaryd_latch_epoch(canaryd_latch_t *latch, uint64_t epoch)
{
    if (latch->set && latch->trip.epoch < epoch) {
        canaryd_latch_clear(latch);
    }
}


int
canaryd_latch_tell(canaryd_latch_t *latch, canaryd_at_e at, uint64_t now)
{
    if (!latch->set || (latch->at & 1U << at)
        || (latch->told[at] && now - latch->told[at] < CANARYD_ASSERT_GAP))
    {
        return 0;
    }

    latch->told[at] = now;

    return 1;
}


void
canaryd_latch_clear(canaryd_latch_t *latch)
{
    free(latch->record);
    memset(latch, 0, sizeof(canaryd_latch_t));
}
