
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "link.h"


/* More than any honest reply that is waited for. */

#define CANARYD_REPLY_MAX     16777216      /* bytes */
#define CANARYD_ELEMENTS_MAX  65536

#define CANARYD_LINK_BLOCK    16384
#define CANARYD_LINK_KEEP     65536         /* more is given back at once */


/* hiredis counts elements by another type since 1.0. */

#if (HIREDIS_MAJOR > 0)
typedef size_t  canaryd_elements_t;
#else
typedef int  canaryd_elements_t;
#endif


static int canaryd_link_reader(canaryd_link_t *link);
static void *canaryd_link_array(const redisReadTask *task,
    canaryd_elements_t n);
static int canaryd_link_expect(canaryd_link_t *link, const char *what,
    const char *answer);
static void canaryd_link_queue(canaryd_link_t *link, char *command,
    size_t len);
static int canaryd_link_flush(canaryd_link_t *link);
static int canaryd_link_feed(canaryd_link_t *link);


int
canaryd_link_open(canaryd_link_t *link, const canaryd_redis_t *addr,
    const canaryd_access_t *access)
{
    const char              *name;
    const canaryd_secret_t  *password;

    canaryd_link_close(link);

    name = access->name ? access->name : addr->host;
    password = access->password;

    if (canaryd_stream_open(&link->stream, addr,
                            addr->tls ? access->tls : NULL, name)
        != 0)
    {
        canaryd_link_fail(link, link->stream.error.text);
        return -1;
    }

    if (canaryd_link_reader(link) != 0) {
        canaryd_link_fail(link, "out of memory");
        return -1;
    }

    if (password->len == 0) {
        return 0;
    }

    if (access->user) {
        canaryd_link_put(link, "AUTH %s %b", access->user, password->data,
                         password->len);

    } else {
        canaryd_link_put(link, "AUTH %b", password->data, password->len);
    }

    return canaryd_link_expect(link, "AUTH", "OK");
}


static int
canaryd_link_reader(canaryd_link_t *link)
{
    link->reader = redisReaderCreate();

    if (link->reader == NULL) {
        return -1;
    }

    link->plain = *link->reader->fn;
    link->functions = link->plain;
    link->functions.createArray = canaryd_link_array;

    link->reader->fn = &link->functions;
    link->reader->privdata = link;
    link->reader->maxbuf = CANARYD_LINK_KEEP;

    return 0;
}


/* hiredis makes an array of whatever length it is told. */

static void *
canaryd_link_array(const redisReadTask *task, canaryd_elements_t n)
{
    canaryd_link_t  *link = task->privdata;

    link->elements += (size_t) n;

    return link->elements > CANARYD_ELEMENTS_MAX
           ? NULL : link->plain.createArray(task, n);
}


int
canaryd_link_login(canaryd_link_t *link, const canaryd_redis_t *addr)
{
    redisReply    *reply;
    canary_str_t   role;

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
        canary_error(&link->error, "role", role, "expected master");
        freeReplyObject(reply);
        canaryd_link_close(link);
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
        canary_error(&link->error, what,
                     (canary_str_t) {
                         reply->str ? (size_t) reply->len : 0, reply->str },
                     "expected another answer");
        canaryd_link_close(link);
    }

    freeReplyObject(reply);

    return same ? 0 : -1;
}


void
canaryd_link_put(canaryd_link_t *link, const char *format, ...)
{
    int      len;
    char    *command;
    va_list  args;

    if (link->reader == NULL) {
        return;
    }

    va_start(args, format);
    len = redisvFormatCommand(&command, format, args);
    va_end(args);

    if (len < 0) {
        canaryd_link_fail(link, "out of memory");
        return;
    }

    canaryd_link_queue(link, command, (size_t) len);
}


void
canaryd_link_putv(canaryd_link_t *link, int argc, const char **argv,
    const size_t *lengths)
{
    long long   len;
    char       *command;

    if (link->reader == NULL) {
        return;
    }

    len = redisFormatCommandArgv(&command, argc, argv, lengths);

    if (len < 0) {
        canaryd_link_fail(link, "out of memory");
        return;
    }

    canaryd_link_queue(link, command, (size_t) len);
}


static void
canaryd_link_queue(canaryd_link_t *link, char *command, size_t len)
{
    canaryd_text_add(&link->out, command, len);
    redisFreeCommand(command);

    link->queued++;
    link->due++;
}


redisReply *
canaryd_link_reply(canaryd_link_t *link)
{
    void  *reply;

    reply = NULL;

    if (link->reader == NULL || canaryd_link_flush(link) != 0) {
        return NULL;
    }

    link->elements = 0;
    link->bytes = link->reader->len;

    for ( ;; ) {
        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            canaryd_link_fail(link, link->elements > CANARYD_ELEMENTS_MAX
                                    ? "a reply is too long"
                                    : link->reader->errstr);
            return NULL;
        }

        if (reply) {
            link->due--;
            return reply;
        }

        if (canaryd_link_feed(link) != 0) {
            return NULL;
        }
    }
}


static int
canaryd_link_flush(canaryd_link_t *link)
{
    canaryd_text_t  *out;

    out = &link->out;

    if (out->failed) {
        canaryd_link_fail(link, "out of memory");
        return -1;
    }

    if (out->len == 0) {
        return 0;
    }

    /* a reply too many would be taken for that to another command */

    if (link->due == link->queued && link->reader->pos < link->reader->len) {
        canaryd_link_fail(link, "a reply that nobody asked for");
        return -1;
    }

    if ((link->due == link->queued
         && canaryd_stream_silent(&link->stream) != 0)
        || canaryd_stream_write(&link->stream, out->data, out->len) != 0)
    {
        canaryd_link_fail(link, link->stream.error.text);
        return -1;
    }

    link->queued = 0;
    canaryd_text_reset(out);

    if (out->size > CANARYD_LINK_KEEP) {
        canaryd_text_free(out);
    }

    return 0;
}


static int
canaryd_link_feed(canaryd_link_t *link)
{
    char    block[CANARYD_LINK_BLOCK];
    size_t  len;

    /* also of many parts, which are not in the reader's buffer any more */

    if (link->bytes > CANARYD_REPLY_MAX) {
        canaryd_link_fail(link, "a reply is too long");
        return -1;
    }

    len = sizeof(block);

    if (canaryd_stream_read(&link->stream, block, &len) != 0) {
        canaryd_link_fail(link, link->stream.error.text);
        return -1;
    }

    link->bytes += len;

    if (redisReaderFeed(link->reader, block, len) != REDIS_OK) {
        canaryd_link_fail(link, link->reader->errstr);
        return -1;
    }

    return 0;
}


void
canaryd_link_step(canaryd_link_t *link, uint64_t max)
{
    link->stream.deadline = canaryd_now() + max;
}


void
canaryd_link_fail(canaryd_link_t *link, const char *reason)
{
    canaryd_copy(link->error.text, sizeof(link->error.text),
                 canaryd_str(reason));
    canaryd_link_close(link);
}


void
canaryd_link_close(canaryd_link_t *link)
{
    canaryd_stream_close(&link->stream);
    canaryd_text_free(&link->out);

    link->queued = 0;
    link->due = 0;

    if (link->reader) {
        redisReaderFree(link->reader);
        link->reader = NULL;
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
