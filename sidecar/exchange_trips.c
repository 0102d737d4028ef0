
/* Trips and audit entries, between this sidecar and Redis. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "exchange.h"
#include "judge.h"
#include "log.h"


#define CANARYD_KEY_MAX  256

/* How long an audit marker outlives its entry, in s. */
#define CANARYD_MARKER_TTL  7776000


/* A copy of what is worked on without the lock. */

typedef struct {
    char   name[CANARY_FLAG_NAME_MAX + 1];
    char  *record;                          /* NULL: it is only read */
} canaryd_trip_job_t;


typedef struct {
    char           id[CANARYD_ID_MAX];
    char           flag[CANARY_FLAG_NAME_MAX + 1];
    const char    *type;
    uint64_t       epoch;
    char          *record;
} canaryd_audit_job_t;


static canaryd_trip_job_t *canaryd_trips_list(canaryd_t *d, unsigned *n);
static void canaryd_trips_read(canaryd_exchange_t *e,
    const canaryd_trip_job_t *job, unsigned n, int all);
static void canaryd_trips_shown(canaryd_t *d, const canaryd_trip_job_t *job,
    canary_str_t record);
static unsigned canaryd_trips_want(canaryd_t *d, canaryd_trip_job_t *job,
    unsigned n);
static void canaryd_trips_set(canaryd_exchange_t *e,
    const canaryd_trip_job_t *job, unsigned n);
static int canaryd_audit_old(const canaryd_event_t *event,
    canaryd_attempt_e attempt);
static int canaryd_audit_next(canaryd_t *d, canaryd_audit_job_t *job,
    const char *after);
static canaryd_attempt_e canaryd_audit_attempt(canaryd_exchange_t *e,
    const canaryd_audit_job_t *job);
static canaryd_attempt_e canaryd_audit_marker(canaryd_exchange_t *e,
    const char *marker);
static canaryd_attempt_e canaryd_audit_exec(canaryd_exchange_t *e,
    const canaryd_audit_job_t *job, const char *marker);
static canaryd_attempt_e canaryd_audit_done(canaryd_exchange_t *e,
    const redisReply *exec, const char *marker);


void
canaryd_exchange_trips(canaryd_exchange_t *e)
{
    unsigned             i, n;
    canaryd_trip_job_t  *job;

    job = canaryd_trips_list(e->d, &n);

    if (job == NULL) {
        canaryd_exchange_taken(e, CANARYD_TASK_TRIPS_READ);
        canaryd_exchange_taken(e, CANARYD_TASK_TRIPS_SET);
        return;
    }

    /* first what is there: it may be stronger than what would be set */

    canaryd_trips_read(e, job, n, 1);

    if (canaryd_trips_want(e->d, job, n) == 0) {
        canaryd_exchange_taken(e, CANARYD_TASK_TRIPS_SET);
    }

    canaryd_trips_set(e, job, n);

    for (i = 0; i < n; i++) {
        free(job[i].record);
    }

    free(job);
}


/*
 * Trips of others come by way of the own nginx.  When that is cut off from
 * Redis, they are looked for, to be handed on to it.
 */

static canaryd_trip_job_t *
canaryd_trips_list(canaryd_t *d, unsigned *n)
{
    unsigned             i;
    canaryd_flag_t      *f;
    canaryd_trip_job_t  *job;

    *n = 0;
    job = NULL;

    (void) pthread_mutex_lock(&d->lock);

    for (i = 0; i < d->n; i++) {
        f = d->flag[i];

        if (!canaryd_flag_latched(f) && (d->nginx_fresh || !f->known)) {
            continue;
        }

        if (job == NULL) {
            job = calloc(d->n, sizeof(canaryd_trip_job_t));

            if (job == NULL) {
                break;
            }
        }

        memcpy(job[(*n)++].name, f->name, sizeof(job->name));
    }

    (void) pthread_mutex_unlock(&d->lock);

    return job;
}


/* all: of every job, else of those that were set just now. */

static void
canaryd_trips_read(canaryd_exchange_t *e, const canaryd_trip_job_t *job,
    unsigned n, int all)
{
    unsigned     i;
    redisReply  *reply;

    canaryd_link_step(&e->link, CANARYD_STEP_MAX);

    for (i = 0; i < n; i++) {
        if (all || job[i].record) {
            canaryd_link_put(&e->link, "GET %strip:%s",
                             e->d->options.prefix, job[i].name);
        }
    }

    for (i = 0; i < n; i++) {
        if (!all && job[i].record == NULL) {
            continue;
        }

        reply = canaryd_exchange_reply(e, CANARYD_TASK_TRIPS_READ, "GET trip",
                                       REDIS_REPLY_STRING);

        if (reply == NULL) {
            return;
        }

        if (reply->type != REDIS_REPLY_ERROR) {
            canaryd_exchange_taken(e, CANARYD_TASK_TRIPS_READ);
            canaryd_trips_shown(e->d, &job[i], canaryd_reply_str(reply));
        }

        freeReplyObject(reply);
    }
}


static void
canaryd_trips_shown(canaryd_t *d, const canaryd_trip_job_t *job,
    canary_str_t record)
{
    canaryd_flag_t  *f;

    (void) pthread_mutex_lock(&d->lock);

    f = canaryd_flag_find(d, job->name);

    if (f) {
        canaryd_judge_redis(d, f, record, canaryd_now());
    }

    (void) pthread_mutex_unlock(&d->lock);
}


/* Returns the number of those that Redis does not show. */

static unsigned
canaryd_trips_want(canaryd_t *d, canaryd_trip_job_t *job, unsigned n)
{
    unsigned         i, missing;
    canaryd_flag_t  *f;

    missing = 0;

    (void) pthread_mutex_lock(&d->lock);

    for (i = 0; i < n; i++) {
        f = canaryd_flag_find(d, job[i].name);

        if (f == NULL || !canaryd_flag_latched(f)
            || (f->latch.at & 1U << CANARYD_AT_REDIS))
        {
            continue;
        }

        missing++;

        if (canaryd_latch_tell(&f->latch, CANARYD_AT_REDIS, canaryd_now())) {
            job[i].record = canaryd_dup(canaryd_str(f->latch.record));
        }
    }

    (void) pthread_mutex_unlock(&d->lock);

    return missing;
}


static void
canaryd_trips_set(canaryd_exchange_t *e, const canaryd_trip_job_t *job,
    unsigned n)
{
    unsigned     i;
    redisReply  *reply;

    canaryd_link_step(&e->link, CANARYD_STEP_MAX);

    for (i = 0; i < n; i++) {
        if (job[i].record) {
            canaryd_link_put(&e->link, "SET %strip:%s %s",
                             e->d->options.prefix, job[i].name,
                             job[i].record);
        }
    }

    for (i = 0; i < n; i++) {
        if (job[i].record == NULL) {
            continue;
        }

        reply = canaryd_exchange_reply(e, CANARYD_TASK_TRIPS_SET, "SET trip",
                                       REDIS_REPLY_STATUS);

        if (reply == NULL) {
            return;
        }

        if (reply->type == REDIS_REPLY_STATUS) {
            canaryd_exchange_taken(e, CANARYD_TASK_TRIPS_SET);
        }

        freeReplyObject(reply);
    }

    canaryd_trips_read(e, job, n, 0);
}


void
canaryd_exchange_audit(canaryd_exchange_t *e)
{
    char                 last[CANARYD_ID_MAX];
    canaryd_event_t     *event;
    canaryd_attempt_e    attempt;
    canaryd_audit_job_t  job;

    /* what is not written has an error */

    last[0] = '\0';
    canaryd_exchange_taken(e, CANARYD_TASK_AUDIT);

    while (e->link.reader && canaryd_audit_next(e->d, &job, last)) {

        attempt = canaryd_audit_attempt(e, &job);

        (void) pthread_mutex_lock(&e->d->lock);

        event = canaryd_events_find(&e->d->events, job.id);

        if (event && canaryd_event_attempt(event, attempt)) {
            e->d->save_now = 1;

            if (event->audit == CANARYD_AUDIT_WON
                && !canaryd_audit_old(event, attempt))
            {
                e->d->audits++;
                canaryd_log(CANARYD_LOG_INFO, job.flag,
                            "the audit entry %s is written", job.id);
            }

            (void) pthread_cond_signal(&e->d->webhook);
        }

        (void) pthread_mutex_unlock(&e->d->lock);

        memcpy(last, job.id, sizeof(last));
        free(job.record);
    }
}


/* Redis has lost the trip alone: the entry is there. */

static int
canaryd_audit_old(const canaryd_event_t *event, canaryd_attempt_e attempt)
{
    return attempt == CANARYD_MARKER_OWN && event->hook == CANARYD_HOOK_DONE;
}


/* The next event that is due, in the order of the list; after "": first. */

static int
canaryd_audit_next(canaryd_t *d, canaryd_audit_job_t *job, const char *after)
{
    canaryd_event_t  *event;

    memset(job, 0, sizeof(canaryd_audit_job_t));

    (void) pthread_mutex_lock(&d->lock);

    event = d->events.first;

    if (after[0]) {
        event = canaryd_events_find(&d->events, after);
        event = event ? event->next : NULL;
    }

    while (event && event->audit != CANARYD_AUDIT_DUE) {
        event = event->next;
    }

    if (event) {
        memcpy(job->id, event->id, sizeof(job->id));
        memcpy(job->flag, event->flag, sizeof(job->flag));
        job->type = event->type;
        job->epoch = event->epoch;
        job->record = canaryd_dup(canaryd_str(event->record));
    }

    (void) pthread_mutex_unlock(&d->lock);

    return job->record != NULL;
}


static canaryd_attempt_e
canaryd_audit_attempt(canaryd_exchange_t *e, const canaryd_audit_job_t *job)
{
    char               marker[CANARYD_KEY_MAX];
    canaryd_attempt_e  attempt;

    (void) snprintf(marker, sizeof(marker), "%saudited:%s",
                    e->d->options.fleet, job->id);

    attempt = canaryd_audit_marker(e, marker);

    if (attempt != CANARYD_MARKER_ABSENT) {
        canaryd_link_put(&e->link, "UNWATCH");
        freeReplyObject(canaryd_exchange_reply(e, CANARYD_TASK_AUDIT,
                                               "UNWATCH",
                                               REDIS_REPLY_STATUS));
        return attempt;
    }

    return canaryd_audit_exec(e, job, marker);
}


static canaryd_attempt_e
canaryd_audit_marker(canaryd_exchange_t *e, const char *marker)
{
    canary_str_t        text;
    redisReply         *watch, *reply;
    canaryd_attempt_e   attempt;

    canaryd_link_step(&e->link, CANARYD_STEP_MAX);
    canaryd_link_put(&e->link, "WATCH %s", marker);
    canaryd_link_put(&e->link, "GET %s", marker);

    watch = canaryd_exchange_reply(e, CANARYD_TASK_AUDIT, "WATCH audited",
                                   REDIS_REPLY_STATUS);
    reply = canaryd_exchange_reply(e, CANARYD_TASK_AUDIT, "GET audited",
                                   REDIS_REPLY_STRING);

    attempt = CANARYD_EXEC_UNKNOWN;

    if (watch && reply && watch->type == REDIS_REPLY_STATUS) {
        text = canaryd_reply_str(reply);

        if (reply->type == REDIS_REPLY_NIL) {
            attempt = CANARYD_MARKER_ABSENT;

        } else if (text.data) {
            attempt = canary_str_eq(text, canaryd_str(e->d->writer))
                      ? CANARYD_MARKER_OWN : CANARYD_MARKER_OTHER;
        }
    }

    freeReplyObject(watch);
    freeReplyObject(reply);

    return attempt;
}


static canaryd_attempt_e
canaryd_audit_exec(canaryd_exchange_t *e, const canaryd_audit_job_t *job,
    const char *marker)
{
    unsigned            i;
    redisReply         *reply;
    const char         *fleet;
    canaryd_attempt_e   attempt;

    fleet = e->d->options.fleet;
    attempt = CANARYD_EXEC_UNKNOWN;

    canaryd_link_step(&e->link, CANARYD_STEP_MAX);
    canaryd_link_put(&e->link, "MULTI");
    canaryd_link_put(&e->link, "SET %s %s EX %d", marker, e->d->writer,
                     CANARYD_MARKER_TTL);
    canaryd_link_put(&e->link, "XADD %saudit MAXLEN ~ 100000 * type %s id %s "
                     "flag %s epoch %llu instance %s record %s", fleet,
                     job->type, job->id, job->flag,
                     (unsigned long long) job->epoch,
                     e->d->options.instance, job->record);
    canaryd_link_put(&e->link, "EXEC");

    for (i = 0; i < 4; i++) {
        reply = canaryd_exchange_reply(e, CANARYD_TASK_AUDIT, "audit",
                                       i < 3 ? REDIS_REPLY_STATUS
                                             : REDIS_REPLY_ARRAY);

        if (reply == NULL) {
            return CANARYD_EXEC_UNKNOWN;
        }

        if (i == 3 && reply->type == REDIS_REPLY_NIL) {
            attempt = CANARYD_EXEC_NIL;

        } else if (i == 3 && reply->type == REDIS_REPLY_ARRAY) {
            attempt = canaryd_audit_done(e, reply, marker);
        }

        freeReplyObject(reply);
    }

    return attempt;
}


/*
 * A command that fails within a transaction, as XADD does when the stream is
 * none, does not undo the others: the marker must not stand without an entry.
 */

static canaryd_attempt_e
canaryd_audit_done(canaryd_exchange_t *e, const redisReply *exec,
    const char *marker)
{
    size_t  i;

    for (i = 0; i < exec->elements; i++) {

        if (exec->element[i]->type != REDIS_REPLY_ERROR) {
            continue;
        }

        canaryd_exchange_refused(e, CANARYD_TASK_AUDIT, "audit",
                                 exec->element[i]);

        canaryd_link_put(&e->link, "EXPIRE %s 0", marker);
        freeReplyObject(canaryd_link_reply(&e->link));

        return CANARYD_EXEC_UNKNOWN;
    }

    return CANARYD_EXEC_DONE;
}
