
/* Reads the windows of the others, see exchange_publish.c. */

#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "exchange.h"
#include "intake.h"


#define CANARYD_PEERS_MAX  256
#define CANARYD_READS_MAX  512              /* windows in one turn */


typedef struct {
    unsigned  peer;
    unsigned  flag;
    uint64_t  version;
} canaryd_read_t;


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

            freeReplyObject(canaryd_exchange_reply(e, CANARYD_TASK_PUBLISH,
                                                   "publishing",
                                                   REDIS_REPLY_INTEGER));
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
    uint64_t         version;
    canary_str_t     flag;
    canaryd_t       *d;
    canaryd_flag_t  *f;
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

        f = canaryd_flag_find(d, name);

        if (f == NULL || peer->version[f->index] == version) {
            continue;
        }

        if (n == CANARYD_READS_MAX) {
            peer->due = 1;                  /* in the next turn */
            break;
        }

        reads[n++] = (canaryd_read_t) { p, f->index, version };
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
        canaryd_intake_window(e->d, e->d->flag[read->flag], &w,
                              canaryd_now());

    } else {
        e->d->windows_bad++;
    }

    (void) pthread_mutex_unlock(&e->d->lock);

    e->peer[read->peer].version[read->flag] = read->version;
}
