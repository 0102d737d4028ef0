
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

/* One Sentinel is asked this often, in ms, whether it is the master still. */
#define CANARYD_FOLLOW       2000

#define CANARYD_BACKOFF_MIN  100            /* ms */
#define CANARYD_BACKOFF_MAX  2000


static void canaryd_redis_wait(canaryd_t *d, uint64_t when, uint64_t soon);
static int canaryd_redis_connect(canaryd_exchange_t *e);
static int canaryd_redis_find(canaryd_exchange_t *e);
static void canaryd_redis_turn(canaryd_exchange_t *e);
static void canaryd_redis_follow(canaryd_exchange_t *e);
static void canaryd_redis_outcome(canaryd_exchange_t *e);
static void canaryd_redis_refused(canaryd_exchange_t *e);
static uint64_t canaryd_redis_backoff(uint64_t backoff);


void *
canaryd_redis(void *data)
{
    uint64_t             start, next, soon, backoff;
    canaryd_t           *d = data;
    canaryd_exchange_t   e = { 0 };

    e.d = d;
    next = 0;
    soon = 0;
    backoff = CANARYD_BACKOFF_MIN;

    (void) pthread_mutex_lock(&d->lock);

    while (!d->stop) {
        canaryd_redis_wait(d, next, soon);

        if (d->stop) {
            break;
        }

        d->urgent = 0;
        d->news = 0;
        (void) pthread_mutex_unlock(&d->lock);

        start = canaryd_now();

        if (e.link.reader || canaryd_redis_connect(&e) == 0) {
            canaryd_redis_turn(&e);
        }

        if (e.link.reader) {
            backoff = CANARYD_BACKOFF_MIN;
            soon = canaryd_now();
            soon += CANARYD_PAUSE * (soon - start);
            next = soon;

            if (next < start + d->options.interval) {
                next = start + d->options.interval;
            }

            canaryd_redis_follow(&e);

        } else {
            next = canaryd_now() + canaryd_redis_backoff(backoff);
            backoff = backoff * 2 < CANARYD_BACKOFF_MAX
                      ? backoff * 2 : CANARYD_BACKOFF_MAX;
            soon = next;
        }

        (void) pthread_mutex_lock(&d->lock);
        canaryd_redis_outcome(&e);
    }

    (void) pthread_mutex_unlock(&d->lock);
    canaryd_exchange_free(&e);

    return NULL;
}


/* News do not wait for the next turn, but for a Redis that is slow, or away. */

static void
canaryd_redis_wait(canaryd_t *d, uint64_t when, uint64_t soon)
{
    uint64_t  until;

    for ( ;; ) {
        until = d->news ? soon : when;

        if (d->stop || d->urgent || canaryd_now() >= until) {
            return;
        }

        canaryd_cond_until(&d->redis, &d->lock, until);
    }
}


static int
canaryd_redis_connect(canaryd_exchange_t *e)
{
    canaryd_t  *d;

    d = e->d;

    (void) pthread_mutex_lock(&d->lock);
    canaryd_keys_copy(&e->keys, &d->keys);
    (void) pthread_mutex_unlock(&d->lock);

    e->access.tls = e->sentinels.tls = e->keys.tls;
    e->access.name = e->sentinels.name = d->options.tls_name;
    e->access.user = d->options.redis_user;
    e->access.password = &e->keys.redis;
    e->sentinels.user = d->options.sentinel_user;
    e->sentinels.password = &e->keys.sentinel;

    if (canaryd_redis_find(e) != 0) {
        return -1;
    }

    e->asked_at = canaryd_now();
    canaryd_link_step(&e->link, CANARYD_STEP_MAX);

    if (canaryd_link_open(&e->link, &e->addr, &e->access) != 0
        || canaryd_link_login(&e->link, &e->addr) != 0)
    {
        return -1;
    }

    canaryd_exchange_forget(e);

    return 0;
}


static int
canaryd_redis_find(canaryd_exchange_t *e)
{
    canary_error_t            err;
    const canaryd_options_t  *o;

    o = &e->d->options;
    e->addr = o->redis[0];

    if (o->sentinel
        && canaryd_sentinel_master(o, &e->sentinels, &e->addr, &err) != 0)
    {
        memset(&e->addr, 0, sizeof(e->addr));
        canaryd_link_fail(&e->link, err.text);
        return -1;
    }

    return 0;
}


/* Trips first.  After a failure the rest does nothing. */

static void
canaryd_redis_turn(canaryd_exchange_t *e)
{
    e->errors = 0;
    e->taken = 0;

    canaryd_exchange_trips(e);
    canaryd_exchange_audit(e);
    canaryd_exchange_publish(e);
    canaryd_exchange_peers(e);

    /* a replica refuses: whoever is the master now is asked for anew */

    if (e->errors && strstr(e->refusal, "READONLY")) {
        canaryd_link_fail(&e->link, "READONLY: this is no master");
    }
}


/*
 * A master that was replaced believes in itself for some more seconds, and
 * takes what will be lost.
 */

static void
canaryd_redis_follow(canaryd_exchange_t *e)
{
    uint64_t                  now;
    canary_error_t            err;
    canaryd_redis_t           addr;
    const canaryd_options_t  *o;

    o = &e->d->options;
    now = canaryd_now();

    if (o->sentinel == NULL || now - e->asked_at < CANARYD_FOLLOW) {
        return;
    }

    e->asked_at = now;

    /* one that answers is kept for as long as they do not agree */

    if (canaryd_sentinel_doubts(o, &e->sentinels, e->asked++, &e->addr)
        && canaryd_sentinel_master(o, &e->sentinels, &addr, &err) == 0
        && (strcmp(addr.host, e->addr.host) != 0
            || addr.port != e->addr.port))
    {
        canaryd_link_fail(&e->link, "the Sentinels name another master");
    }
}


static void
canaryd_redis_outcome(canaryd_exchange_t *e)
{
    char        place[CANARYD_PLACE_MAX];
    char        reason[CANARYD_REASON_MAX];
    canaryd_t  *d;

    d = e->d;

    if (e->link.reader == NULL) {
        canaryd_redis_place(place, &e->addr);
        (void) snprintf(reason, sizeof(reason), place[0] ? "%s (%s)" : "%s%s",
                        e->link.error.text, place);
        canaryd_party_fail(&d->redis_party, reason);
        d->peers = 0;
        d->refusing = 0;
        return;
    }

    canaryd_party_ok(&d->redis_party, canaryd_now());
    d->redis_addr = e->addr;
    canaryd_redis_refused(e);
}


/* What was refused stays so until it is taken. */

static void
canaryd_redis_refused(canaryd_exchange_t *e)
{
    unsigned    before;
    canaryd_t  *d;

    d = e->d;
    before = e->refused;

    e->refused &= ~e->taken;
    e->refused |= e->errors;

    if (e->errors & ~before) {
        canaryd_log(CANARYD_LOG_ERROR, NULL, "Redis refuses: %s",
                    e->refusal);

    } else if (before && e->refused == 0) {
        canaryd_log(CANARYD_LOG_INFO, NULL, "Redis takes everything again");
    }

    d->refusing = e->refused != 0;

    if (e->errors) {
        memcpy(d->refusal, e->refusal, sizeof(d->refusal));
    }
}


/* Half of it at least, the rest at random: a fleet does not come at once. */

static uint64_t
canaryd_redis_backoff(uint64_t backoff)
{
    return backoff / 2 + (uint64_t) random() % (backoff / 2 + 1);
}
