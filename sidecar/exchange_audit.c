
/* Writes audit entries: of all the sidecars that want to, one does. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "exchange.h"
#include "log.h"


#define CANARYD_KEY_MAX  256

/* How long an audit marker outlives its entry, in s. */
#define CANARYD_MARKER_TTL  7776000


/* A copy of what is worked on without the lock. */

typedef struct {
    char           id[CANARYD_ID_MAX];
    char           flag[CANARY_FLAG_NAME_MAX + 1];
    const char    *type;
    uint64_t       epoch;
    char          *record;
} canaryd_audit_job_t;


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
