
/*
 * The windows of the fleet.  Each sidecar has an entry in the index, the hash
 * <fleet>instances, that changes whenever something of it is new; its own
 * hash, <fleet>instance:<name>, tells of which flags.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "exchange.h"
#include "judge.h"
#include "log.h"


#define CANARYD_ARGS_MAX     (2 * (CANARYD_FLAGS_MAX + 2))
#define CANARYD_REFRESH      10000          /* ms, of the expiry */
#define CANARYD_HEARTBEAT    5000
#define CANARYD_EXPIRE       30             /* s */
#define CANARYD_PEERS_MAX    256
#define CANARYD_READS_MAX    512            /* windows in one turn */


/* A command of any number of arguments, with copies of them. */

typedef struct {
    canaryd_text_t  text;
    int             argc;
    size_t          at[CANARYD_ARGS_MAX];
    size_t          lengths[CANARYD_ARGS_MAX];
} canaryd_args_t;


typedef struct {
    unsigned  peer;
    unsigned  flag;
    uint64_t  version;
} canaryd_read_t;


static int canaryd_publish_room(canaryd_exchange_t *e);
static unsigned canaryd_publish_windows(canaryd_exchange_t *e,
    unsigned *order, uint64_t now);
static void canaryd_publish_window(canaryd_exchange_t *e, unsigned i,
    uint64_t now);
static void canaryd_publish_instance(canaryd_exchange_t *e, uint64_t now);
static void canaryd_publish_flag(canaryd_exchange_t *e, unsigned i,
    canaryd_args_t *args, uint64_t now);
static void canaryd_args_field(void *data, canary_str_t name,
    canary_str_t value);
static void canaryd_args_add(canaryd_args_t *args, canary_str_t s);
static void canaryd_args_put(canaryd_args_t *args, canaryd_link_t *link);
static void canaryd_publish_done(canaryd_exchange_t *e, unsigned i);
static void canaryd_publish_skip(canaryd_exchange_t *e, unsigned n);
static int canaryd_peers_index(canaryd_exchange_t *e, uint64_t now);
static void canaryd_peers_entry(canaryd_exchange_t *e, canary_str_t name,
    canary_str_t told, uint64_t now);
static canaryd_peer_t *canaryd_peers_room(canaryd_exchange_t *e);
static void canaryd_peers_count(canaryd_exchange_t *e, uint64_t now);
static int canaryd_peer_boot(const canaryd_peer_t *peer, const char *boot);
static int canaryd_peers_before(const canaryd_exchange_t *e, unsigned n,
    uint64_t now);
static unsigned canaryd_peers_due(canaryd_exchange_t *e,
    canaryd_read_t *reads, uint64_t now);
static unsigned canaryd_peer_windows(canaryd_exchange_t *e, unsigned p,
    const redisReply *reply, canaryd_read_t *reads, unsigned n);
static int canaryd_peer_version(canary_str_t text, uint64_t *version);
static int canaryd_peer_room(canaryd_peer_t *peer, unsigned n);
static void canaryd_peers_windows(canaryd_exchange_t *e,
    const canaryd_read_t *reads, unsigned n);
static void canaryd_peer_window(canaryd_exchange_t *e,
    const canaryd_read_t *read, const redisReply *reply);


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
        canaryd_publish_instance(e, now);
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
    unsigned         full;
    canaryd_args_t   args;
    canaryd_flag_t  *f;
    canaryd_sent_t  *sent;

    f = e->d->flag[i];
    sent = &e->sent[i];
    full = sent->full_at == 0 || now - sent->full_at >= CANARYD_REFRESH;

    len = snprintf(key, sizeof(key), "%swindow:%s:%s", e->d->options.fleet,
                   f->name, e->d->options.instance);

    args.text = (canaryd_text_t) { 0 };
    args.argc = 0;
    canaryd_args_add(&args, canaryd_str("HSET"));
    canaryd_args_add(&args, (canary_str_t) { (size_t) len, key });

    if (canaryd_window_write(&f->window, full ? NULL : &sent->window,
                             canaryd_args_field, &args)
        == 0)
    {
        canaryd_args_field(&args, canaryd_str("boot_id"),
                           canaryd_str(f->window.boot));
    }

    canaryd_args_put(&args, &e->link);
    canaryd_link_put(&e->link, "EXPIRE %s %d", key, CANARYD_EXPIRE);
    canaryd_text_free(&args.text);

    sent->window = f->window;
    sent->version = f->version;

    if (full) {
        sent->full_at = now;
    }
}


static void
canaryd_publish_instance(canaryd_exchange_t *e, uint64_t now)
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

    for (i = 0; i < d->n; i++) {
        if (d->flag[i]->known) {
            canaryd_publish_flag(e, i, &args, now);
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


/* The replies to HSET and EXPIRE of one window. */

static void
canaryd_publish_done(canaryd_exchange_t *e, unsigned i)
{
    redisReply  *reply;

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
        || (reply->integer > 0 && e->sent[i].full_at != e->sent_at))
    {
        e->sent[i].full_at = 0;
    }

    freeReplyObject(reply);
    canaryd_publish_skip(e, 1);
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
    e->refused = 0;
}


void
canaryd_exchange_peers(canaryd_exchange_t *e)
{
    unsigned         n;
    uint64_t         now;
    canaryd_read_t  *reads;

    now = canaryd_now();

    if (canaryd_peers_index(e, now) != 0) {
        return;
    }

    canaryd_peers_count(e, now);

    reads = malloc((size_t) CANARYD_READS_MAX * sizeof(canaryd_read_t));

    if (reads == NULL) {
        return;
    }

    n = canaryd_peers_due(e, reads, now);

    if (n) {
        canaryd_peers_windows(e, reads, n);
    }

    free(reads);
}


static int
canaryd_peers_index(canaryd_exchange_t *e, uint64_t now)
{
    size_t       i;
    redisReply  *reply;

    canaryd_link_step(&e->link, CANARYD_STEP_MAX);
    canaryd_link_put(&e->link, "HGETALL %sinstances", e->d->options.fleet);

    reply = canaryd_exchange_reply(e, CANARYD_TASK_PEERS, "HGETALL instances",
                                   REDIS_REPLY_ARRAY);

    if (reply == NULL) {
        return -1;
    }

    if (reply->type == REDIS_REPLY_ARRAY) {
        canaryd_exchange_taken(e, CANARYD_TASK_PEERS);

        for (i = 0; i + 1 < reply->elements; i += 2) {
            canaryd_peers_entry(e, canaryd_reply_str(reply->element[i]),
                                canaryd_reply_str(reply->element[i + 1]),
                                now);
        }
    }

    freeReplyObject(reply);

    return 0;
}


static void
canaryd_peers_entry(canaryd_exchange_t *e, canary_str_t name,
    canary_str_t told, uint64_t now)
{
    unsigned         i;
    canaryd_peer_t  *peer;

    if (name.data == NULL || told.len == 0 || told.len >= CANARYD_ID_MAX
        || !canary_flag_name_valid(name)
        || canary_str_eq(name, canaryd_str(e->d->options.instance)))
    {
        return;
    }

    for (i = 0; i < e->npeer; i++) {
        if (canary_str_eq(name, canaryd_str(e->peer[i].name))) {
            break;
        }
    }

    peer = i < e->npeer ? &e->peer[i] : canaryd_peers_room(e);

    if (peer == NULL) {
        return;
    }

    if (canary_str_eq(told, canaryd_str(peer->told))) {
        return;
    }

    canaryd_copy(peer->name, sizeof(peer->name), name);
    canaryd_copy(peer->told, sizeof(peer->told), told);

    peer->heard = now;
    peer->due = 1;
}


/*
 * A zeroed peer; above the limit in the place of one that has left the index.
 * If any other made room, those of a longer index would push each other out,
 * and be new each time: none of them would ever be found to be gone.
 */

static canaryd_peer_t *
canaryd_peers_room(canaryd_exchange_t *e)
{
    unsigned         i;
    canaryd_peer_t  *peer;

    if (e->npeer == CANARYD_PEERS_MAX) {
        for (i = 0; i < e->npeer && e->peer[i].told[0]; i++) { /* void */ }

        if (i == e->npeer) {
            return NULL;
        }

        peer = &e->peer[i];
        free(peer->version);
        memset(peer, 0, sizeof(canaryd_peer_t));

        return peer;
    }

    peer = realloc(e->peer, (e->npeer + 1) * sizeof(canaryd_peer_t));

    if (peer == NULL) {
        return NULL;
    }

    e->peer = peer;
    peer = &e->peer[e->npeer++];

    memset(peer, 0, sizeof(canaryd_peer_t));

    return peer;
}


static void
canaryd_peers_count(canaryd_exchange_t *e, uint64_t now)
{
    unsigned         i, n;
    canaryd_peer_t  *peer;

    n = 0;

    (void) pthread_mutex_lock(&e->d->lock);

    for (i = 0; e->peer && i < e->npeer; i++) {
        peer = &e->peer[i];

        peer->other = !canaryd_peer_boot(peer, e->d->boot);
        n += peer->other && now - peer->heard < CANARYD_LIVE_MAX
             && !canaryd_peers_before(e, i, now);
    }

    e->d->peers = n;

    (void) pthread_mutex_unlock(&e->d->lock);
}


/* "<boot_id> <number>" */

static int
canaryd_peer_boot(const canaryd_peer_t *peer, const char *boot)
{
    size_t  len;

    len = strlen(boot);

    return strncmp(peer->told, boot, len) == 0 && peer->told[len] == ' ';
}


/* Whether a live one before it is beside the same nginx. */

static int
canaryd_peers_before(const canaryd_exchange_t *e, unsigned n, uint64_t now)
{
    char      boot[CANARYD_ID_MAX];
    unsigned  i;

    canaryd_copy(boot, sizeof(boot), (canary_str_t) {
        strcspn(e->peer[n].told, " "), e->peer[n].told });

    for (i = 0; i < n; i++) {
        if (now - e->peer[i].heard < CANARYD_LIVE_MAX
            && canaryd_peer_boot(&e->peer[i], boot))
        {
            return 1;
        }
    }

    return 0;
}


/* The windows that are to be read; who is gone leaves the index. */

static unsigned
canaryd_peers_due(canaryd_exchange_t *e, canaryd_read_t *reads, uint64_t now)
{
    unsigned     i, n;
    redisReply  *reply;

    n = 0;
    canaryd_link_step(&e->link, CANARYD_STEP_MAX);

    for (i = 0; i < e->npeer; i++) {
        if (e->peer[i].due && e->peer[i].other) {
            canaryd_link_put(&e->link, "HGETALL %sinstance:%s",
                             e->d->options.fleet, e->peer[i].name);
        }
    }

    for (i = 0; i < e->npeer; i++) {
        if (!e->peer[i].due || !e->peer[i].other) {
            continue;
        }

        reply = canaryd_exchange_reply(e, CANARYD_TASK_PEERS,
                                       "HGETALL instance",
                                       REDIS_REPLY_ARRAY);

        if (reply == NULL) {
            return 0;
        }

        e->peer[i].due = 0;
        n = canaryd_peer_windows(e, i, reply, reads, n);
        freeReplyObject(reply);
    }

    for (i = 0; i < e->npeer; i++) {
        if (now - e->peer[i].heard > (uint64_t) 2 * CANARYD_LIVE_MAX
            && e->peer[i].told[0])
        {
            canaryd_link_put(&e->link, "HDEL %sinstances %s",
                             e->d->options.fleet, e->peer[i].name);
            e->peer[i].told[0] = '\0';
            canaryd_publish_skip(e, 1);
        }
    }

    return n;
}


static unsigned
canaryd_peer_windows(canaryd_exchange_t *e, unsigned p,
    const redisReply *reply, canaryd_read_t *reads, unsigned n)
{
    char             name[CANARY_FLAG_NAME_MAX + 1];
    size_t           i;
    unsigned         k;
    uint64_t         version;
    canary_str_t     flag;
    canaryd_t       *d;
    canaryd_peer_t  *peer;

    d = e->d;
    peer = &e->peer[p];

    if (reply->type != REDIS_REPLY_ARRAY) {
        return n;
    }

    (void) pthread_mutex_lock(&d->lock);

    for (i = 0; i + 1 < reply->elements; i += 2) {
        flag = canaryd_reply_str(reply->element[i]);

        if (flag.data == NULL || !canary_flag_name_valid(flag)
            || canaryd_peer_version(canaryd_reply_str(reply->element[i + 1]),
                                    &version) != 0
            || canaryd_peer_room(peer, d->n) != 0)
        {
            continue;
        }

        canaryd_copy(name, sizeof(name), flag);

        for (k = 0; k < d->n; k++) {
            if (strcmp(d->flag[k]->name, name) == 0) {
                break;
            }
        }

        if (k == d->n || peer->version[k] == version) {
            continue;
        }

        if (n == CANARYD_READS_MAX) {
            peer->due = 1;                  /* in the next turn */
            break;
        }

        reads[n++] = (canaryd_read_t) { p, k, version };
    }

    (void) pthread_mutex_unlock(&d->lock);

    return n;
}


/* "...,window=17" */

static int
canaryd_peer_version(canary_str_t text, uint64_t *version)
{
    size_t        i;
    canary_str_t  digits;

    static const canary_str_t  field = canary_str(",window=");

    if (text.data == NULL) {
        return -1;
    }

    for (i = 0; i + field.len < text.len; i++) {
        if (memcmp(text.data + i, field.data, field.len) == 0) {
            digits.data = text.data + i + field.len;
            digits.len = text.len - i - field.len;
            return canary_epoch_parse(digits, version);
        }
    }

    return -1;
}


static int
canaryd_peer_room(canaryd_peer_t *peer, unsigned n)
{
    uint64_t  *version;

    if (peer->nversion >= n) {
        return 0;
    }

    version = realloc(peer->version, n * sizeof(uint64_t));

    if (version == NULL) {
        return -1;
    }

    memset(version + peer->nversion, 0,
           (n - peer->nversion) * sizeof(uint64_t));

    peer->version = version;
    peer->nversion = n;

    return 0;
}


static void
canaryd_peers_windows(canaryd_exchange_t *e, const canaryd_read_t *reads,
    unsigned n)
{
    unsigned     i;
    redisReply  *reply;

    canaryd_link_step(&e->link, CANARYD_STEP_MAX);

    (void) pthread_mutex_lock(&e->d->lock);

    for (i = 0; i < n; i++) {
        canaryd_link_put(&e->link, "HGETALL %swindow:%s:%s",
                         e->d->options.fleet,
                         e->d->flag[reads[i].flag]->name,
                         e->peer[reads[i].peer].name);
    }

    (void) pthread_mutex_unlock(&e->d->lock);

    for (i = 0; i < n; i++) {
        reply = canaryd_exchange_reply(e, CANARYD_TASK_PEERS,
                                       "HGETALL window", REDIS_REPLY_ARRAY);

        if (reply == NULL) {
            return;
        }

        if (reply->type == REDIS_REPLY_ARRAY) {
            canaryd_peer_window(e, &reads[i], reply);
        }

        freeReplyObject(reply);
    }
}


static void
canaryd_peer_window(canaryd_exchange_t *e, const canaryd_read_t *read,
    const redisReply *reply)
{
    unsigned          i, n;
    canary_str_t      pairs[2 * CANARYD_WINDOW_FIELDS];
    canaryd_window_t  w;

    n = 0;

    if (reply->type == REDIS_REPLY_ARRAY
        && reply->elements <= (size_t) 2 * CANARYD_WINDOW_FIELDS)
    {
        for (i = 0; i < reply->elements; i++) {
            pairs[i] = canaryd_reply_str(reply->element[i]);
        }

        n = (unsigned) reply->elements / 2;
    }

    (void) pthread_mutex_lock(&e->d->lock);

    if (canaryd_window_read(&w, pairs, n) == 0) {
        canaryd_judge_window(e->d, e->d->flag[read->flag], &w,
                             canaryd_now());

    } else {
        e->d->windows_bad++;
    }

    (void) pthread_mutex_unlock(&e->d->lock);

    e->peer[read->peer].version[read->flag] = read->version;
}


redisReply *
canaryd_exchange_reply(canaryd_exchange_t *e, canaryd_task_e task,
    const char *what, int type)
{
    redisReply  *reply;

    reply = canaryd_link_reply(&e->link);

    if (reply == NULL) {
        return NULL;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        canaryd_exchange_refused(e, task, what, reply);

    } else if (reply->type != type && reply->type != REDIS_REPLY_NIL) {
        canary_error(&e->link.error, "reply to", canaryd_str(what),
                     "expected another type");
        freeReplyObject(reply);
        canaryd_link_close(&e->link);
        return NULL;
    }

    return reply;
}


/* The first error of a turn is the one that is told. */

void
canaryd_exchange_refused(canaryd_exchange_t *e, canaryd_task_e task,
    const char *what, const redisReply *reply)
{
    canary_error_t  err;

    if (e->errors == 0) {
        canary_error(&err, what,
                     (canary_str_t) { (size_t) reply->len, reply->str },
                     "expected Redis to take it");
        memcpy(e->refusal, err.text, sizeof(e->refusal));
    }

    e->errors |= 1U << task;
}


void
canaryd_exchange_taken(canaryd_exchange_t *e, canaryd_task_e task)
{
    e->taken |= 1U << task;
}


void
canaryd_exchange_free(canaryd_exchange_t *e)
{
    unsigned  i;

    for (i = 0; i < e->npeer; i++) {
        free(e->peer[i].version);
    }

    free(e->peer);
    free(e->sent);
    canaryd_link_close(&e->link);
    canaryd_keys_clear(&e->keys);
}
