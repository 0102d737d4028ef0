
/*
 * A connection to Redis whose every step ends at a deadline: hiredis formats
 * and reads.  After a failure it is closed, and whatever is asked of it fails
 * until it is opened again.
 */


#ifndef CANARYD_LINK_H
#define CANARYD_LINK_H


#include <hiredis/hiredis.h>
#include <stdint.h>
#include "secret.h"
#include "stream.h"
#include "text.h"


#define CANARYD_STEP_MAX  1000              /* ms, of each step */


/* How to get in. */

typedef struct {
    SSL_CTX                 *tls;           /* NULL: plain text */
    const char              *name;          /* in the certificate, or NULL */
    const char              *user;          /* NULL: the default one */
    const canaryd_secret_t  *password;      /* of length 0: none */
} canaryd_access_t;


typedef struct {
    redisReader               *reader;      /* NULL: closed */
    redisReplyObjectFunctions  functions;   /* its own, with bounds */
    redisReplyObjectFunctions  plain;       /* those of hiredis */
    size_t                     elements;    /* of this reply, so far */
    size_t                     bytes;
    canaryd_stream_t           stream;
    canaryd_text_t             out;         /* what is queued */
    unsigned                   queued;      /* commands in it */
    unsigned                   due;         /* replies */
    canary_error_t             error;
} canaryd_link_t;


/* Connects, and AUTH, in one step.  Returns 0, or -1 and link->error. */

int canaryd_link_open(canaryd_link_t *link, const canaryd_redis_t *addr,
    const canaryd_access_t *access);

/* SELECT, and whether it is the master.  Returns 0, or -1 and closes. */

int canaryd_link_login(canaryd_link_t *link, const canaryd_redis_t *addr);

/* Queues a command. */

void canaryd_link_put(canaryd_link_t *link, const char *format, ...);
void canaryd_link_putv(canaryd_link_t *link, int argc, const char **argv,
    const size_t *lengths);

/*
 * Sends what is queued, and returns the next reply, to be freed with
 * freeReplyObject(); or NULL, and the link is closed.
 */

redisReply *canaryd_link_reply(canaryd_link_t *link);

/* A new deadline, for a new step. */

void canaryd_link_step(canaryd_link_t *link, uint64_t max);

void canaryd_link_fail(canaryd_link_t *link, const char *reason);
void canaryd_link_close(canaryd_link_t *link);

/* NULL data: it is no string. */

canary_str_t canaryd_reply_str(const redisReply *reply);


#endif /* CANARYD_LINK_H */
