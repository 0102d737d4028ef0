
/* Trips, between this sidecar and Redis. */

#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "exchange.h"
#include "trips.h"


/* A copy of what is worked on without the lock. */

typedef struct {
    char   name[CANARY_FLAG_NAME_MAX + 1];
    char  *record;                          /* NULL: it is only read */
} canaryd_trip_job_t;


static canaryd_trip_job_t *canaryd_trips_list(canaryd_t *d, unsigned *n);
static void canaryd_trips_read(canaryd_exchange_t *e,
    const canaryd_trip_job_t *job, unsigned n, int all);
static void canaryd_trips_shown(canaryd_t *d, const canaryd_trip_job_t *job,
    canary_str_t record);
static unsigned canaryd_trips_want(canaryd_t *d, canaryd_trip_job_t *job,
    unsigned n);
static void canaryd_trips_set(canaryd_exchange_t *e,
    const canaryd_trip_job_t *job, unsigned n);


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
        canaryd_trip_redis(d, f, record, canaryd_now());
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
