
/*
 * Publishes the windows of the own nginx.  Each sidecar has an entry in the
 * index, the hash <fleet>instances, that changes whenever something of it is
 * new; its own hash, <fleet>instance:<name>, tells of which flags.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "exchange.h"


#define CANARYD_ARGS_MAX   (2 * (CANARYD_FLAGS_MAX + 2))
#define CANARYD_REFRESH    10000            /* ms, of the expiry */
#define CANARYD_HEARTBEAT  5000
#define CANARYD_EXPIRE     30               /* s */


/* A command of any number of arguments, with copies of them. */

typedef struct {
    canaryd_text_t  text;
    int             argc;
    size_t          at[CANARYD_ARGS_MAX];
    size_t          lengths[CANARYD_ARGS_MAX];
} canaryd_args_t;


static int canaryd_publish_room(canaryd_exchange_t *e);
static unsigned canaryd_publish_windows(canaryd_exchange_t *e,
    unsigned *order, uint64_t now);
static void canaryd_publish_window(canaryd_exchange_t *e, unsigned i,
    uint64_t now);
static void canaryd_publish_instance(canaryd_exchange_t *e,
    const unsigned *order, unsigned n, uint64_t now);
static void canaryd_publish_flag(canaryd_exchange_t *e, unsigned i,
    canaryd_args_t *args, uint64_t now);
static void canaryd_args_field(void *data, canary_str_t name,
    canary_str_t value);
static void canaryd_args_add(canaryd_args_t *args, canary_str_t s);
static void canaryd_args_put(canaryd_args_t *args, canaryd_link_t *link);
static void canaryd_publish_done(canaryd_exchange_t *e, unsigned i);
static void canaryd_publish_skip(canaryd_exchange_t *e, unsigned n);


void
canaryd_exchange_publish(canaryd_exchange_t *e)
{
    int        instance;
    unsigned   i, n, *order;
    uint64_t   now;

    now = canaryd_now();

    (void) pthread_mutex_lock(&e->d->lock);

    order = calloc(e->d->n + 1, sizeof(unsigned));

    if (order == NULL || canaryd_publish_room(e) != 0) {
        (void) pthread_mutex_unlock(&e->d->lock);
        free(order);
        return;
    }

    n = canaryd_publish_windows(e, order, now);
    instance = n > 0 || now - e->sent_at >= CANARYD_HEARTBEAT;

    if (instance) {
        canaryd_publish_instance(e, order, n, now);
    }

    (void) pthread_mutex_unlock(&e->d->lock);

    canaryd_link_step(&e->link, CANARYD_STEP_MAX);

    for (i = 0; i < n; i++) {
        canaryd_publish_done(e, order[i]);
    }

    if (instance) {
        canaryd_publish_skip(e, 3);
        canaryd_exchange_taken(e, CANARYD_TASK_PUBLISH);
    }

    free(order);
}


static int
canaryd_publish_room(canaryd_exchange_t *e)
{
    canaryd_sent_t  *sent;

    if (e->nsent >= e->d->n) {
        return 0;
    }

    sent = realloc(e->sent, e->d->n * sizeof(canaryd_sent_t));

    if (sent == NULL) {
        return -1;
    }

    memset(sent + e->nsent, 0, (e->d->n - e->nsent) * sizeof(canaryd_sent_t));

    e->sent = sent;
    e->nsent = e->d->n;

    return 0;
}


/* Queues them; order is which ones.  Returns their number. */

static unsigned
canaryd_publish_windows(canaryd_exchange_t *e, unsigned *order, uint64_t now)
{
    unsigned         i, n;
    canaryd_flag_t  *f;
    canaryd_sent_t  *sent;

    n = 0;

    for (i = 0; i < e->d->n; i++) {
        f = e->d->flag[i];
        sent = &e->sent[i];

        if (!f->known || f->version == 0) {
            continue;
        }

        if (f->version != sent->version || sent->full_at == 0
            || now - sent->full_at >= CANARYD_REFRESH)
        {
            canaryd_publish_window(e, i, now);
            order[n++] = i;
        }
    }

    return n;
}


static void
canaryd_publish_window(canaryd_exchange_t *e, unsigned i, uint64_t now)
{
    int              len;
    char             key[CANARYD_ID_MAX + 2 * CANARY_FLAG_NAME_MAX];
    canaryd_args_t   args;
    canaryd_flag_t  *f;
    canaryd_sent_t  *sent;

    f = e->d->flag[i];
    sent = &e->sent[i];
    sent->full = sent->full_at == 0 || now - sent->full_at >= CANARYD_REFRESH;

    len = snprintf(key, sizeof(key), "%swindow:%s:%s", e->d->options.fleet,
                   f->name, e->d->options.instance);

    args.text = (canaryd_text_t) { 0 };
    args.argc = 0;
    canaryd_args_add(&args, canaryd_str("HSET"));
    canaryd_args_add(&args, (canary_str_t) { (size_t) len, key });

    if (canaryd_window_write(&f->window, sent->full ? NULL : &sent->window,
                             canaryd_args_field, &args)
        == 0)
    {
        canaryd_args_field(&args, canaryd_str("boot_id"),
                           canaryd_str(f->window.boot));
    }

    canaryd_args_put(&args, &e->link);
    canaryd_text_free(&args.text);

    sent->window = f->window;
    sent->version = f->version;

    if (sent->full) {
        canaryd_link_put(&e->link, "EXPIRE %s %d", key, CANARYD_EXPIRE);
        sent->full_at = now;
    }
}


/* All flags, or in the turns of a hurry only those with another window. */

static void
canaryd_publish_instance(canaryd_exchange_t *e, const unsigned *order,
    unsigned n, uint64_t now)
{
    int              len;
    char             text[CANARYD_ID_MAX + 2 * CANARY_FLAG_NAME_MAX];
    unsigned         i;
    canaryd_t       *d;
    canaryd_args_t   args;

    d = e->d;
    e->sent_at = now;
    e->seq++;

    args.text = (canaryd_text_t) { 0 };
    args.argc = 0;
    canaryd_args_add(&args, canaryd_str("HSET"));

    len = snprintf(text, sizeof(text), "%sinstance:%s", d->options.fleet,
                   d->options.instance);
    canaryd_args_add(&args, (canary_str_t) { (size_t) len, text });

    /* no flag can have this name */

    len = snprintf(text, sizeof(text), "%" PRIu64, e->seq);
    canaryd_args_field(&args, canaryd_str(":seq"),
                       (canary_str_t) { (size_t) len, text });

    if (now - e->all_at >= d->options.interval) {
        e->all_at = now;

        for (i = 0; i < d->n; i++) {
            if (d->flag[i]->known) {
                canaryd_publish_flag(e, i, &args, now);
            }
        }

    } else {
        for (i = 0; i < n; i++) {
            canaryd_publish_flag(e, order[i], &args, now);
        }
    }

    canaryd_args_put(&args, &e->link);
    canaryd_text_free(&args.text);

    canaryd_link_put(&e->link, "EXPIRE %sinstance:%s %d", d->options.fleet,
                     d->options.instance, CANARYD_EXPIRE);

    /* the index last: who reads it finds the rest */

    (void) snprintf(text, sizeof(text), "%s %" PRIu64,
                    d->boot[0] ? d->boot : "-", e->seq);

    canaryd_link_put(&e->link, "HSET %sinstances %s %s", d->options.fleet,
                     d->options.instance, text);
}


/* How the own nginx applies the flag: whoever ramps it may wait for that. */

static void
canaryd_publish_flag(canaryd_exchange_t *e, unsigned i, canaryd_args_t *args,
    uint64_t now)
{
    int              len;
    char             text[2 * CANARYD_ID_MAX], percent[CANARY_PERCENT_LEN];
    canaryd_flag_t  *f;

    f = e->d->flag[i];

    len = snprintf(text, sizeof(text), "epoch=%" PRIu64 ",percent=%.*s,"
                   "state=%s,tripped=%u,age_ms=%" PRIu64 ",window=%" PRIu64,
                   f->epoch,
                   (int) canary_percent_format(percent, f->percent), percent,
                   f->state, (unsigned) f->tripped, now - e->d->read_at,
                   e->sent[i].version);

    canaryd_args_field(args, canaryd_str(f->name),
                       (canary_str_t) { (size_t) len, text });
}


static void
canaryd_args_field(void *data, canary_str_t name, canary_str_t value)
{
    canaryd_args_t  *args = data;

    if (args->argc + 2 <= CANARYD_ARGS_MAX) {
        canaryd_args_add(args, name);
        canaryd_args_add(args, value);
    }
}


static void
canaryd_args_add(canaryd_args_t *args, canary_str_t s)
{
    args->at[args->argc] = args->text.len;
    args->lengths[args->argc++] = s.len;

    canaryd_text_add(&args->text, s.data, s.len);
}


static void
canaryd_args_put(canaryd_args_t *args, canaryd_link_t *link)
{
    int          i;
    const char  *argv[CANARYD_ARGS_MAX];

    if (args->text.failed) {
        canaryd_link_fail(link, "out of memory");
        return;
    }

    for (i = 0; i < args->argc; i++) {
        argv[i] = args->text.data + args->at[i];
    }

    canaryd_link_putv(link, args->argc, argv, args->lengths);
}


/* The replies to HSET of one window, and to EXPIRE of a full one. */

static void
canaryd_publish_done(canaryd_exchange_t *e, unsigned i)
{
    redisReply      *reply;
    canaryd_sent_t  *sent;

    sent = &e->sent[i];

    reply = canaryd_exchange_reply(e, CANARYD_TASK_PUBLISH, "HSET window",
                                   REDIS_REPLY_INTEGER);

    if (reply == NULL) {
        return;
    }

    /*
     * New fields, although they were there before: the key was gone.  After
     * a full one that is as it should be, of the first time at least.
     */

    if (reply->type != REDIS_REPLY_INTEGER
        || (reply->integer > 0 && !sent->full))
    {
        sent->full_at = 0;
    }

    freeReplyObject(reply);

    if (sent->full) {
        canaryd_publish_skip(e, 1);
    }
}


static void
canaryd_publish_skip(canaryd_exchange_t *e, unsigned n)
{
    unsigned     i;
    redisReply  *reply;

    for (i = 0; i < n; i++) {
        reply = canaryd_exchange_reply(e, CANARYD_TASK_PUBLISH, "publishing",
                                       REDIS_REPLY_INTEGER);

        if (reply == NULL) {
            return;
        }

        freeReplyObject(reply);
    }
}


void
canaryd_exchange_forget(canaryd_exchange_t *e)
{
    unsigned  i;

    for (i = 0; i < e->nsent; i++) {
        e->sent[i].full_at = 0;
    }

    e->sent_at = 0;
    e->all_at = 0;
    e->refused = 0;
}
