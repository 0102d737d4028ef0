
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lift.h"
#include "log.h"
#include "trips.h"
#include "verdict_record.h"


static void canaryd_trip_id(char *id, const canaryd_flag_t *f);


void
canaryd_trip_redis(canaryd_t *d, canaryd_flag_t *f, canary_str_t json,
    uint64_t now)
{
    canary_trip_t   trip;
    canary_error_t  err;

    if (json.data == NULL
        || canary_trip_parse(&trip, canaryd_str(f->name), json, &err) != 0
        || trip.epoch < f->epoch)
    {
        canaryd_latch_lost(&f->latch, CANARYD_AT_REDIS);
        return;
    }

    canaryd_trip_learn(d, f, CANARYD_AT_REDIS, &trip, json, now);
}


void
canaryd_trip_learn(canaryd_t *d, canaryd_flag_t *f, canaryd_at_e at,
    const canary_trip_t *trip, canary_str_t record, uint64_t now)
{
    char            minimal[CANARYD_ID_MAX + CANARY_FLAG_NAME_MAX];
    char            percent[CANARY_PERCENT_LEN];
    canary_trip_t   inside;
    canary_error_t  err;

    /* what is handed on has to say the same as what is in force */

    if (record.len == 0
        || canary_trip_parse(&inside, canaryd_str(f->name), record, &err) != 0
        || canary_trip_beats(trip, &inside)
        || canary_trip_beats(&inside, trip))
    {
        record.len = canary_percent_format(percent, trip->percent);
        record.len = (size_t) snprintf(minimal, sizeof(minimal),
                         "{\"flag\":\"%s\",\"epoch\":%" PRIu64
                         ",\"percent\":%.*s}", f->name, trip->epoch,
                         (int) record.len, percent);
        record.data = minimal;
    }

    if (canaryd_latch_learn(&f->latch, at, trip, record)) {

        canaryd_log(CANARYD_LOG_WARN, f->name, "tripped at epoch %" PRIu64
                    ", learned from %s", trip->epoch,
                    at == CANARYD_AT_NGINX ? "nginx" : "Redis");
        canaryd_trip_lift(d, f);

        if (trip->percent > 0 && f->verdict) {
            canary_verdict_renew(f->verdict, f->epoch);
        }

        canaryd_trip_event(d, f, 0, now);
    }

    if (at == CANARYD_AT_REDIS && (f->latch.at & 1U << CANARYD_AT_REDIS)) {
        canaryd_trip_event(d, f, 0, now);
    }
}


/*
 * The event of the latch, which waits until Redis shows it.  Any sidecar
 * takes care of any other's: the record is all it takes.
 */

void
canaryd_trip_event(canaryd_t *d, canaryd_flag_t *f, int own, uint64_t now)
{
    int               told;
    char              id[CANARYD_ID_MAX];
    canary_str_t      record;
    canaryd_event_t  *event;

    record = canaryd_str(f->latch.record);

    if (f->latch.audited || !canaryd_record_is_own_kind(record)) {
        return;
    }

    canaryd_trip_id(id, f);
    told = strcmp(id, f->told) == 0;

    if (told && !f->latch.lost) {
        f->latch.audited = 1;               /* before a restart */
        return;
    }

    event = canaryd_events_add(&d->events, id, f->name, "trip",
                               f->latch.trip.epoch, record, now);

    if (event == NULL) {
        return;
    }

    if (told) {
        event->hook = CANARYD_HOOK_DONE;    /* only Redis has forgotten */
    }

    if (own) {
        event->own = 1;
    }

    if (f->latch.at & 1U << CANARYD_AT_REDIS) {
        f->latch.audited = 1;               /* it is seen to from now on */

        if (event->audit == CANARYD_AUDIT_WAITS) {
            event->audit = CANARYD_AUDIT_DUE;
            d->urgent = 1;
            (void) pthread_cond_signal(&d->redis);
        }
    }
}


static void
canaryd_trip_id(char *id, const canaryd_flag_t *f)
{
    char  percent[CANARY_PERCENT_LEN];

    (void) snprintf(id, CANARYD_ID_MAX, "%s:%" PRIu64 ":%.*s", f->name,
                    f->latch.trip.epoch,
                    (int) canary_percent_format(percent,
                                                f->latch.trip.percent),
                    percent);
}


/* The line that everybody shows, and where it is to be typed. */

void
canaryd_trip_lift(const canaryd_t *d, const canaryd_flag_t *f)
{
    canaryd_text_t  line;

    line = (canaryd_text_t) { 0 };
    canaryd_lift(&line, d, f->name, f->latch.trip.epoch);

    if (!line.failed) {
        canaryd_log(CANARYD_LOG_ALERT, f->name, "to lift it: %s", line.data);
    }

    canaryd_text_reset(&line);

    if (canaryd_lift_here(&line, d, f->name, f->latch.trip.epoch)
        && !line.failed)
    {
        canaryd_log(CANARYD_LOG_ALERT, f->name, "to lift it from here: %s",
                    line.data);
    }

    canaryd_text_free(&line);
}


/* A trip that was lifted or overtaken before Redis saw it was one as well. */

void
canaryd_trip_overtaken(canaryd_t *d)
{
    canaryd_flag_t   *f;
    canaryd_event_t  *event;

    for (event = d->events.first; event; event = event->next) {

        if (event->audit != CANARYD_AUDIT_WAITS) {
            continue;
        }

        f = canaryd_flag_find(d, event->flag);

        if (f == NULL || !f->latch.set
            || strcmp(f->latch.record, event->record) != 0)
        {
            event->audit = CANARYD_AUDIT_DUE;
        }
    }
}


/* What everybody knows of is forgotten, but for the last trip of a flag. */

void
canaryd_trip_sweep(canaryd_t *d)
{
    int               hook;
    char              id[CANARYD_ID_MAX];
    canaryd_flag_t   *f;
    canaryd_event_t  *event;

    hook = d->options.webhook.url[0] != '\0';

    for (event = d->events.first; event; event = event->next) {
        f = canaryd_flag_find(d, event->flag);

        if (f == NULL || !f->latch.set || !canaryd_event_done(event, hook)) {
            continue;
        }

        canaryd_trip_id(id, f);

        if (strcmp(id, event->id) == 0) {
            memcpy(f->told, id, sizeof(f->told));
            d->save_now = 1;
        }
    }

    canaryd_events_sweep(&d->events, hook);
}
