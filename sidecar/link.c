
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "clock.h"
#include "link.h"
#include "text.h"


/* More than any honest reply that is waited for. */
#define CANARYD_REPLY_MAX  16777216


static int canaryd_link_wait(canaryd_link_t *link, short events);
static int canaryd_link_flush(canaryd_link_t *link);
static int canaryd_link_expect(canaryd_link_t *link, const char *what,
    const char *answer);


int
canaryd_link_open(canaryd_link_t *link, const canaryd_redis_t *addr)
{
    int        error;
    socklen_t  len;

    canaryd_link_close(link);
    canaryd_link_step(link);

    link->c = addr->socket[0]
              ? redisConnectUnixNonBlock(addr->socket)
              : redisConnectNonBlock(addr->host, addr->port);

    if (link->c == NULL) {
        canaryd_link_fail(link, "out of memory");
        return -1;
    }

    if (link->c->err) {
        canaryd_link_fail(link, link->c->errstr);
        return -1;
    }

    if (canaryd_link_wait(link, POLLOUT) != 0) {
        return -1;
    }

    error = 0;
    len = sizeof(error);

    if (getsockopt(link->c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0
        || error)
    {
        canaryd_link_fail(link, strerror(error));
        return -1;
    }

    return 0;
}


int
canaryd_link_login(canaryd_link_t *link, const canaryd_redis_t *addr,
    const char *user, const canaryd_secret_t *password)
{
    redisReply    *reply;
    canary_str_t   role;

    if (password->len && user) {
        canaryd_link_put(link, "AUTH %s %b", user, password->data,
                         password->len);

    } else if (password->len) {
        canaryd_link_put(link, "AUTH %b", password->data, password->len);
    }

    if (password->len && canaryd_link_expect(link, "AUTH", "OK") != 0) {
        return -1;
    }

    if (addr->db) {
        canaryd_link_put(link, "SELECT %u", (unsigned) addr->db);

        if (canaryd_link_expect(link, "SELECT", "OK") != 0) {
            return -1;
        }
    }

    canaryd_link_put(link, "ROLE");
    reply = canaryd_link_reply(link);

    if (reply == NULL) {
        return -1;
    }

    role = canaryd_str("no answer to ROLE");

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0) {
        role = canaryd_reply_str(reply->element[0]);

    } else if (reply->type == REDIS_REPLY_ERROR) {
        role = (canary_str_t) { (size_t) reply->len, reply->str };
    }

    if (!canary_str_eq(role, canaryd_str("master"))) {
        canary_error((canary_error_t *) (void *) link->error, "role", role,
                     "expected master");
        freeReplyObject(reply);
        redisFree(link->c);
        link->c = NULL;
        return -1;
    }

    freeReplyObject(reply);

    return 0;
}


static int
canaryd_link_expect(canaryd_link_t *link, const char *what,
    const char *answer)
{
    int          same;
    redisReply  *reply;

    reply = canaryd_link_reply(link);

    if (reply == NULL) {
        return -1;
    }

    same = reply->type == REDIS_REPLY_STATUS
           && strcmp(reply->str, answer) == 0;

    if (!same) {
        canary_error((canary_error_t *) (void *) link->error, what,
                     (canary_str_t) {
                         reply->str ? (size_t) reply->len : 0, reply->str },
                     "expected another answer");
        redisFree(link->c);
        link->c = NULL;
    }

    freeReplyObject(reply);

    return same ? 0 : -1;
}


void
canaryd_link_put(canaryd_link_t *link, const char *format, ...)
{
    int      rc;
    va_list  args;

    if (link->c == NULL) {
        return;
    }

    va_start(args, format);
    rc = redisvAppendCommand(link->c, format, args);
    va_end(args);

    if (rc != REDIS_OK) {
        canaryd_link_fail(link, "out of memory");
    }
}


void
canaryd_link_putv(canaryd_link_t *link, int argc, const char **argv,
    const size_t *lengths)
{
    if (link->c
        && redisAppendCommandArgv(link->c, argc, argv, lengths) != REDIS_OK)
    {
        canaryd_link_fail(link, "out of memory");
    }
}


redisReply *
canaryd_link_reply(canaryd_link_t *link)
{
    void  *reply;

    reply = NULL;

    if (link->c == NULL || canaryd_link_flush(link) != 0) {
        return NULL;
    }

    for ( ;; ) {
        if (redisGetReplyFromReader(link->c, &reply) != REDIS_OK) {
            canaryd_link_fail(link, link->c->errstr);
            return NULL;
        }

        if (reply) {
            return reply;
        }

        if (link->c->reader->len > CANARYD_REPLY_MAX) {
            canaryd_link_fail(link, "a reply is too long");
            return NULL;
        }

        if (canaryd_link_wait(link, POLLIN) != 0) {
            return NULL;
        }

        if (redisBufferRead(link->c) != REDIS_OK) {
            canaryd_link_fail(link, link->c->errstr);
            return NULL;
        }
    }
}


static int
canaryd_link_flush(canaryd_link_t *link)
{
    int  done;

    for (done = 0; !done; ) {
        if (redisBufferWrite(link->c, &done) != REDIS_OK) {
            canaryd_link_fail(link, link->c->errstr);
            return -1;
        }

        if (!done && canaryd_link_wait(link, POLLOUT) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
canaryd_link_wait(canaryd_link_t *link, short events)
{
    int            n;
    uint64_t       now;
    struct pollfd  pfd;

    for ( ;; ) {
        now = canaryd_now();

        if (now >= link->deadline) {
            canaryd_link_fail(link, "no answer in time");
            return -1;
        }

        pfd.fd = link->c->fd;
        pfd.events = events;
        pfd.revents = 0;

        n = poll(&pfd, 1, (int) (link->deadline - now));

        if (n > 0) {
            return 0;
        }
    }
}


void
canaryd_link_step(canaryd_link_t *link)
{
    link->deadline = canaryd_now() + CANARYD_STEP_MAX;
}


void
canaryd_link_fail(canaryd_link_t *link, const char *reason)
{
    (void) snprintf(link->error, sizeof(link->error), "%.150s", reason);

    canaryd_link_close(link);
}


void
canaryd_link_close(canaryd_link_t *link)
{
    if (link->c) {
        redisFree(link->c);
        link->c = NULL;
    }
}


canary_str_t
canaryd_reply_str(const redisReply *reply)
{
    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        return (canary_str_t) { 0, NULL };
    }

    return (canary_str_t) { (size_t) reply->len, reply->str };
}
