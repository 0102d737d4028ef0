
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sentinel.h"
#include "text.h"


#define CANARYD_SENTINEL_QUICK  250         /* ms */


static int canaryd_sentinel_ask(const canaryd_redis_t *sentinel,
    const char *name, const canaryd_access_t *access, uint64_t max,
    canaryd_redis_t *master);
static int canaryd_sentinel_read(const redisReply *reply,
    canaryd_redis_t *master);
static int canaryd_sentinel_same(const canaryd_redis_t *a,
    const canaryd_redis_t *b);


int
canaryd_sentinel_master(const canaryd_options_t *o,
    const canaryd_access_t *access, canaryd_redis_t *master,
    canary_error_t *err)
{
    unsigned         i, k, n, votes;
    canaryd_redis_t  told[CANARYD_REDIS_MAX];

    n = 0;

    for (i = 0; i < o->nredis; i++) {
        if (canaryd_sentinel_ask(&o->redis[i], o->sentinel, access,
                                 CANARYD_STEP_MAX, &told[n])
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

    canary_error(err, "master", canaryd_str(o->sentinel),
                 n ? "expected Sentinels that agree on it"
                   : "expected a Sentinel that knows it");
    return -1;
}


int
canaryd_sentinel_doubts(const canaryd_options_t *o,
    const canaryd_access_t *access, unsigned i, const canaryd_redis_t *master)
{
    canaryd_redis_t  told;

    return canaryd_sentinel_ask(&o->redis[i % o->nredis], o->sentinel, access,
                                CANARYD_SENTINEL_QUICK, &told)
           == 0 && !canaryd_sentinel_same(&told, master);
}


static int
canaryd_sentinel_ask(const canaryd_redis_t *sentinel, const char *name,
    const canaryd_access_t *access, uint64_t max, canaryd_redis_t *master)
{
    int              rc;
    redisReply      *reply;
    canaryd_link_t   link = { 0 };

    canaryd_link_step(&link, max);

    if (canaryd_link_open(&link, sentinel, access) != 0) {
        return -1;
    }

    canaryd_link_put(&link, "SENTINEL get-master-addr-by-name %s", name);
    reply = canaryd_link_reply(&link);

    rc = canaryd_sentinel_read(reply, master);

    if (reply) {
        freeReplyObject(reply);
    }

    canaryd_link_close(&link);

    return rc;
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
