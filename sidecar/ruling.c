
#include <inttypes.h>
#include <stdio.h>
#include "log.h"
#include "ruling.h"
#include "trips.h"
#include "verdict_record.h"


/* The bit of a rule, of which 1 is the first, in flag->notified. */
#define canaryd_notice(rule)  ((uint32_t) 1 << (rule) % 32)


static uint32_t canaryd_stage_before(const canary_ladder_t *ladder,
    uint32_t percent);
static void canaryd_ruling_trip(canaryd_t *d, canaryd_flag_t *f,
    const canary_ruling_t *ruling, uint32_t percent, uint64_t now);
static void canaryd_ruling_notices(canaryd_t *d, canaryd_flag_t *f,
    const canary_ruling_t *ruling, uint64_t now);
static void canaryd_ruling_notify(canaryd_t *d, canaryd_flag_t *f,
    const canary_ruling_t *ruling, uint64_t now);


void
canaryd_ruling_apply(canaryd_t *d, canaryd_flag_t *f,
    const canary_ruling_t *ruling, uint64_t now)
{
    uint32_t  percent;

    if (!canaryd_ruling_target(f, ruling->action, &percent)) {
        return;
    }

    if (ruling->action == CANARY_ACTION_NOTIFY) {
        canaryd_ruling_notices(d, f, ruling, now);
        return;
    }

    canaryd_ruling_trip(d, f, ruling, percent, now);
}


int
canaryd_ruling_target(const canaryd_flag_t *f, canary_action_e action,
    uint32_t *percent)
{
    uint32_t  now;

    now = f->percent;

    if (canaryd_flag_latched(f) && f->latch.trip.percent < now) {
        now = f->latch.trip.percent;
    }

    *percent = action == CANARY_ACTION_STEP_BACK
               ? canaryd_stage_before(&f->stages, now) : 0;

    if (!f->enabled) {
        return 0;
    }

    return now > 0 || (f->targets && !canaryd_flag_latched(f));
}


static uint32_t
canaryd_stage_before(const canary_ladder_t *ladder, uint32_t percent)
{
    uint32_t  i, before;

    for (i = 0, before = 0; i < ladder->n; i++) {
        if (ladder->stage[i] < percent) {
            before = ladder->stage[i];
        }
    }

    return before;
}


static void
canaryd_ruling_trip(canaryd_t *d, canaryd_flag_t *f,
    const canary_ruling_t *ruling, uint32_t percent, uint64_t now)
{
    char            text[CANARY_PERCENT_LEN];
    canary_trip_t   trip;
    canaryd_text_t  record;

    /* of two trips that hold the one of the higher epoch is kept */

    trip.epoch = canaryd_flag_latched(f) ? f->latch.trip.epoch : f->epoch;
    trip.percent = percent;

    record = (canaryd_text_t) { 0 };
    canaryd_verdict_record(&record, d, f, ruling, &trip);

    if (record.failed
        || !canaryd_latch_learn(&f->latch, CANARYD_AT_OWN, &trip,
                                canaryd_text_str(&record)))
    {
        canaryd_text_free(&record);
        return;                             /* the next tick tries again */
    }

    canaryd_text_free(&record);

    /* neither waits for the other */

    d->urgent = 1;
    (void) pthread_cond_signal(&d->poster);
    (void) pthread_cond_signal(&d->redis);

    canaryd_trip_event(d, f, 1, now);

    f->trips++;
    d->trips++;
    d->save_now = 1;

    canaryd_log(CANARYD_LOG_ALERT, f->name, "TRIPPED to %.*s %% at epoch %"
                PRIu64 ": %s",
                (int) canary_percent_format(text, percent), text, trip.epoch,
                ruling->sentence);
    canaryd_trip_lift(d, f);

    if (percent > 0) {

        /* what is left is judged by what it does from now on */

        canary_verdict_renew(f->verdict, f->epoch);
    }
}


/* A rule that was told of stays over its limit, and others may follow it. */

static void
canaryd_ruling_notices(canaryd_t *d, canaryd_flag_t *f,
    const canary_ruling_t *ruling, uint64_t now)
{
    uint32_t         i;
    canary_ruling_t  one;

    for (i = 0; i < f->verdict->guardrails.n; i++) {

        if ((ruling->over >> i & 1) == 0
            || (f->notified & canaryd_notice(i + 1)))
        {
            continue;
        }

        one = *ruling;
        canary_verdict_standing(f->verdict, i, &one.standing);
        canary_verdict_sentence(one.sentence, f->verdict, &one.standing);

        canaryd_ruling_notify(d, f, &one, now);
    }
}


static void
canaryd_ruling_notify(canaryd_t *d, canaryd_flag_t *f,
    const canary_ruling_t *ruling, uint64_t now)
{
    char              id[CANARYD_ID_MAX];
    canary_trip_t     trip;
    canaryd_text_t    record;
    canaryd_event_t  *event;

    record = (canaryd_text_t) { 0 };
    trip.epoch = f->epoch;
    trip.percent = f->percent;
    canaryd_verdict_record(&record, d, f, ruling, &trip);

    (void) snprintf(id, sizeof(id), "%s:%" PRIu64 ":notify:%u", f->name,
                    f->epoch, (unsigned) ruling->standing.rule);

    event = record.failed ? NULL
            : canaryd_events_add(&d->events, id, f->name, "notify", f->epoch,
                                 canaryd_text_str(&record), now);

    canaryd_text_free(&record);

    if (event == NULL) {
        return;
    }

    event->own = 1;
    event->audit = CANARYD_AUDIT_DUE;
    f->notified |= canaryd_notice(ruling->standing.rule);
    d->notices++;
    d->save_now = 1;

    canaryd_log(CANARYD_LOG_ALERT, f->name, "NOTICE at epoch %" PRIu64
                ": %s", f->epoch, ruling->sentence);

    d->urgent = 1;
    (void) pthread_cond_signal(&d->redis);
}
