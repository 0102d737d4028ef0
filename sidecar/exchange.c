
/* What the exchanges with Redis share. */

#include <stdlib.h>
#include <string.h>
#include "exchange.h"


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
