
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sentinel.h"
#include "text.h"


#define CANARYD_SENTINEL_QUICK  250         /* ms */


static int canaryd_sentinel_ask(const canaryd_redis_t *sentinel,
    const char *name, const canaryd_access_t *access, uint64_t max,
    canaryd_redis_t *master, canary_error_t *why);
static void canaryd_sentinel_why(canary_error_t *why,
    const canaryd_redis_t *sentinel, const char *reason);
static int canaryd_sentinel_read(const redisReply *reply,
    canaryd_redis_t *master);
static int canaryd_sentinel_same(const canaryd_redis_t *a,
    const canaryd_redis_t *b);


int
canaryd_sentinel_master(const canaryd_options_t *o,
    const canaryd_access_t *access, canaryd_redis_t *master,
    canary_error_t *err)
{
    char             expected[CANARY_ERROR_MAX];
    unsigned         i, k, n, votes;
    canary_error_t   why;
    canaryd_redis_t  told[CANARYD_REDIS_MAX];

    n = 0;
    why.text[0] = '\0';

    for (i = 0; i < o->nredis; i++) {
        if (canaryd_sentinel_ask(&o->redis[i], o->sentinel, access,
                                 CANARYD_STEP_MAX, &told[n], &why)
            == 0)
        {
            n++;
        }
    }

    for (i = 0; i < n; i++) {
        for (k = 0, votes = 0; k < n; k++) {
            votes += canaryd_sentinel_same(&told[i], &told[k]) ? 1 : 0;
        }

        if (2 * votes > n) {
            *master = told[i];
            master->db = o->redis[0].db;
            master->tls = o->redis[0].tls;
            return 0;
        }
    }

    (void) snprintf(expected, sizeof(expected), "expected %s%s%.120s",
                    n ? "Sentinels that agree on it"
                      : "a Sentinel that knows it",
                    why.text[0] ? "; " : "", why.text);

    canary_error(err, "master", canaryd_str(o->sentinel), expected);
    return -1;
}


int
canaryd_sentinel_doubts(const canaryd_options_t *o,
    const canaryd_access_t *access, unsigned i, const canaryd_redis_t *master)
{
    canary_error_t   why;
    canaryd_redis_t  told;

    why.text[0] = '\0';

    return canaryd_sentinel_ask(&o->redis[i % o->nredis], o->sentinel, access,
                                CANARYD_SENTINEL_QUICK, &told, &why)
           == 0 && !canaryd_sentinel_same(&told, master);
}


static int
canaryd_sentinel_ask(const canaryd_redis_t *sentinel, const char *name,
    const canaryd_access_t *access, uint64_t max, canaryd_redis_t *master,
    canary_error_t *why)
{
    int              rc;
    redisReply      *reply;
    canaryd_link_t   link = { 0 };

    canaryd_link_step(&link, max);

    if (canaryd_link_open(&link, sentinel, access) != 0) {
        canaryd_sentinel_why(why, sentinel, link.error.text);
        return -1;
    }

    canaryd_link_put(&link, "SENTINEL get-master-addr-by-name %s", name);
    reply = canaryd_link_reply(&link);

    rc = canaryd_sentinel_read(reply, master);

    if (rc != 0) {
        canaryd_sentinel_why(why, sentinel,
                             reply == NULL ? link.error.text
                             : reply->type == REDIS_REPLY_ERROR ? reply->str
                             : "it does not know it");
    }

    if (reply) {
        freeReplyObject(reply);
    }

    canaryd_link_close(&link);

    return rc;
}


/* The reason of the last one that was asked in vain. */

static void
canaryd_sentinel_why(canary_error_t *why, const canaryd_redis_t *sentinel,
    const char *reason)
{
    char  place[CANARYD_PLACE_MAX];

    canaryd_redis_place(place, sentinel);

    (void) snprintf(why->text, sizeof(why->text), "%.64s: %.120s", place,
                    reason);
}


static int
canaryd_sentinel_read(const redisReply *reply, canaryd_redis_t *master)
{
    long           n;
    char          *end, text[8];
    canary_str_t   host, port;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 2)
    {
        return -1;
    }

    host = canaryd_reply_str(reply->element[0]);
    port = canaryd_reply_str(reply->element[1]);

    if (host.len == 0 || host.len >= CANARYD_HOST_MAX
        || !canary_str_is_text(host) || port.len == 0 || port.len > 5)
    {
        return -1;
    }

    canaryd_copy(text, sizeof(text), port);
    n = strtol(text, &end, 10);

    if (*end != '\0' || n < 1 || n > 65535) {
        return -1;
    }

    memset(master, 0, sizeof(canaryd_redis_t));
    canaryd_copy(master->host, sizeof(master->host), host);
    master->port = (uint16_t) n;

    return 0;
}


static int
canaryd_sentinel_same(const canaryd_redis_t *a, const canaryd_redis_t *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}
