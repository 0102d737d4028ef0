
/* The thread that talks to Redis. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "canaryd.h"
#include "clock.h"
#include "exchange.h"
#include "log.h"
#include "sentinel.h"
#include "threads.h"


/* A turn that took long is followed by a pause of so many times as much. */
#define CANARYD_PAUSE        10

#define CANARYD_BACKOFF_MIN  100            /* ms */
#define CANARYD_BACKOFF_MAX  2000


static void canaryd_redis_wait(canaryd_t *d, uint64_t when);
static int canaryd_redis_connect(canaryd_exchange_t *e);
static void canaryd_redis_turn(canaryd_exchange_t *e);
static void canaryd_redis_outcome(canaryd_exchange_t *e);
static uint64_t canaryd_redis_backoff(uint64_t backoff);


void *
canaryd_redis(void *data)
{
    uint64_t             start, next, backoff;
    canaryd_t           *d = data;
    canaryd_exchange_t   e = { 0 };

    e.d = d;
    next = 0;
    backoff = CANARYD_BACKOFF_MIN;

    (void) pthread_mutex_lock(&d->lock);

    while (!d->stop) {
        canaryd_redis_wait(d, next);

        if (d->stop) {
            break;
        }

        d->urgent = 0;
        (void) pthread_mutex_unlock(&d->lock);

        start = canaryd_now();

        if (e.link.c || canaryd_redis_connect(&e) == 0) {
            canaryd_redis_turn(&e);
        }

        if (e.link.c) {
            backoff = CANARYD_BACKOFF_MIN;
            next = canaryd_now();
            next += CANARYD_PAUSE * (next - start);

            if (next < start + d->options.interval) {
                next = start + d->options.interval;
            }

        } else {
            next = canaryd_now() + canaryd_redis_backoff(backoff);
            backoff = backoff * 2 < CANARYD_BACKOFF_MAX
                      ? backoff * 2 : CANARYD_BACKOFF_MAX;
        }

        (void) pthread_mutex_lock(&d->lock);
        canaryd_redis_outcome(&e);
    }

    (void) pthread_mutex_unlock(&d->lock);
    canaryd_exchange_free(&e);

    return NULL;
}


static void
canaryd_redis_wait(canaryd_t *d, uint64_t when)
{
    while (!d->stop && !d->urgent && canaryd_now() < when) {
        canaryd_cond_until(&d->redis, &d->lock, when);
    }
}


static int
canaryd_redis_connect(canaryd_exchange_t *e)
{
    canary_error_t     err;
    canaryd_secret_t   password;
    canaryd_options_t *o;

    o = &e->d->options;
    e->addr = o->redis[0];

    if (o->sentinel && canaryd_sentinel_master(o, &e->addr, &err) != 0) {
        canaryd_link_fail(&e->link, err.text);
        return -1;
    }

    (void) pthread_mutex_lock(&e->d->lock);
    password = e->d->password;
    (void) pthread_mutex_unlock(&e->d->lock);

    if (canaryd_link_open(&e->link, &e->addr) != 0
        || canaryd_link_login(&e->link, &e->addr, o->redis_user, &password)
           != 0)
    {
        return -1;
    }

    canaryd_exchange_forget(e);

    return 0;
}


/* Trips first.  After a failure the rest does nothing. */

static void
canaryd_redis_turn(canaryd_exchange_t *e)
{
    e->refusal[0] = '\0';

    canaryd_exchange_trips(e);
    canaryd_exchange_audit(e);
    canaryd_exchange_publish(e);
    canaryd_exchange_peers(e);

    /* a replica refuses: whoever is the master now is asked for anew */

    if (e->link.c && strstr(e->refusal, "READONLY")) {
        canaryd_link_fail(&e->link, "READONLY: this is no master");
    }
}


static void
canaryd_redis_outcome(canaryd_exchange_t *e)
{
    canaryd_t  *d;

    d = e->d;

    if (e->link.c == NULL) {
        canaryd_party_fail(&d->redis_party, e->link.error);
        d->peers = 0;
        return;
    }

    canaryd_party_ok(&d->redis_party, canaryd_now());

    if (e->refusal[0] && !d->refusing) {
        canaryd_log(CANARYD_LOG_ERROR, NULL, "%s", e->refusal);
    }

    d->refusing = e->refusal[0] != '\0';
    memcpy(d->refusal, e->refusal, sizeof(d->refusal));
}


/* Half of it at least, the rest at random: a fleet does not come at once. */

static uint64_t
canaryd_redis_backoff(uint64_t backoff)
{
    return backoff / 2 + (uint64_t) random() % (backoff / 2 + 1);
}
