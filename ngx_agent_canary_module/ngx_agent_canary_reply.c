
/*
 * Replies of a server, built by hiredis in a pool each.
 */


#include "ngx_agent_canary_reply.h"

#include <hiredis/hiredis.h>


#define NGX_AGENT_CANARY_REPLY_POOL  1024

/* An idle connection keeps no more than this of a long reply. */
#define NGX_AGENT_CANARY_REPLY_KEEP  65536


static void ngx_agent_canary_parser_free(void *data);
static ngx_int_t ngx_agent_canary_parser_out(void *data, u_char *buf,
    size_t len);
static void *ngx_agent_canary_reply_string(const redisReadTask *task,
    char *str, size_t len);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_agent_canary_reply_array(const redisReadTask *task,
    size_t nelts);
static void *ngx_agent_canary_reply_double(const redisReadTask *task,
    double value, char *str, size_t len);
static void *ngx_agent_canary_reply_bool(const redisReadTask *task,
    int value);
#else
static void *ngx_agent_canary_reply_array(const redisReadTask *task,
    int nelts);
#endif
static void *ngx_agent_canary_reply_integer(const redisReadTask *task,
    long long value);
static void *ngx_agent_canary_reply_nil(const redisReadTask *task);
static void ngx_agent_canary_reply_free(void *object);
static ngx_agent_canary_reply_t *ngx_agent_canary_reply_create(
    const redisReadTask *task, ngx_agent_canary_reply_type_e type);


/* RESP3 is refused before hiredis sees it; nothing may be left to it. */

static redisReplyObjectFunctions  ngx_agent_canary_reply_functions = {
    ngx_agent_canary_reply_string,         /* create string */
    ngx_agent_canary_reply_array,          /* create array */
    ngx_agent_canary_reply_integer,        /* create integer */
#if (HIREDIS_MAJOR >= 1)
    ngx_agent_canary_reply_double,         /* create double */
#endif
    ngx_agent_canary_reply_nil,            /* create nil */
#if (HIREDIS_MAJOR >= 1)
    ngx_agent_canary_reply_bool,           /* create bool */
#endif
    ngx_agent_canary_reply_free            /* free object */
};


ngx_int_t
ngx_agent_canary_parser_init(ngx_agent_canary_parser_t *parser,
    ngx_pool_t *pool, ngx_log_t *log)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    parser->reader = redisReaderCreateWithFunctions(
                                            &ngx_agent_canary_reply_functions);
    if (parser->reader == NULL) {
        return NGX_ERROR;
    }

    parser->reader->privdata = parser;
    parser->reader->maxbuf = NGX_AGENT_CANARY_REPLY_KEEP;

    parser->resp.out = ngx_agent_canary_parser_out;
    parser->resp.data = parser;

    parser->log = log;

    cln->handler = ngx_agent_canary_parser_free;
    cln->data = parser;

    return NGX_OK;
}


static void
ngx_agent_canary_parser_free(void *data)
{
    ngx_agent_canary_parser_t *parser = data;

    if (parser->given) {
        ngx_destroy_pool(parser->given);
    }

    if (parser->pool) {
        ngx_destroy_pool(parser->pool);
    }

    redisReaderFree(parser->reader);
}


ngx_int_t
ngx_agent_canary_parser_feed(ngx_agent_canary_parser_t *parser, u_char *buf,
    size_t len)
{
    if (ngx_agent_canary_resp_filter(&parser->resp, buf, len) != NGX_OK) {
        parser->error = parser->resp.error[0] ? (char *) parser->resp.error
                                              : parser->reader->errstr;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_parser_out(void *data, u_char *buf, size_t len)
{
    ngx_agent_canary_parser_t *parser = data;

    return (redisReaderFeed(parser->reader, (char *) buf, len) == REDIS_OK)
               ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_agent_canary_parser_next(ngx_agent_canary_parser_t *parser,
    ngx_agent_canary_reply_t **reply)
{
    void  *object;

    if (parser->given) {
        ngx_destroy_pool(parser->given);
        parser->given = NULL;
    }

    if (redisReaderGetReply(parser->reader, &object) != REDIS_OK) {
        parser->error = parser->reader->errstr;
        return NGX_ERROR;
    }

    if (object == NULL) {
        return NGX_AGAIN;
    }

    ngx_agent_canary_resp_next(&parser->resp);

    parser->given = parser->pool;
    parser->pool = NULL;

    *reply = object;

    return NGX_OK;
}


ngx_uint_t
ngx_agent_canary_reply_is(ngx_agent_canary_reply_t *reply,
    ngx_agent_canary_reply_type_e type, char *text)
{
    return reply->type == type
           && reply->str.len == ngx_strlen(text)
           && ngx_memcmp(reply->str.data, text, reply->str.len) == 0;
}


char *
ngx_agent_canary_reply_refused(ngx_agent_canary_reply_t *reply, char *command,
    u_char *buf, size_t size)
{
    u_char  *p;

    if (reply->type == NGX_AGENT_CANARY_REPLY_ERROR) {
        p = ngx_snprintf(buf, size - 1, "%s: %V", command, &reply->str);

    } else {
        p = ngx_snprintf(buf, size - 1, "protocol error: unexpected reply "
                         "to %s", command);
    }

    *p = '\0';

    return (char *) buf;
}


/*
 * The functions below are called by hiredis.  NULL is a protocol error; with
 * an array it comes before hiredis enters the elements.
 */

static void *
ngx_agent_canary_reply_string(const redisReadTask *task, char *str, size_t len)
{
    u_char                         *p;
    size_t                          i;
    ngx_agent_canary_reply_t       *reply;
    ngx_agent_canary_parser_t      *parser;
    ngx_agent_canary_reply_type_e   type;

    switch (task->type) {

    case REDIS_REPLY_STATUS:
        type = NGX_AGENT_CANARY_REPLY_STATUS;
        break;

    case REDIS_REPLY_ERROR:
        type = NGX_AGENT_CANARY_REPLY_ERROR;
        break;

    case REDIS_REPLY_STRING:
        type = NGX_AGENT_CANARY_REPLY_STRING;
        break;

    default:
        return NULL;
    }

    reply = ngx_agent_canary_reply_create(task, type);
    if (reply == NULL) {
        return NULL;
    }

    parser = task->privdata;

    p = ngx_pnalloc(parser->pool, len + 1);
    if (p == NULL) {
        return NULL;
    }

    ngx_memcpy(p, str, len);
    p[len] = '\0';

    if (type == NGX_AGENT_CANARY_REPLY_ERROR) {

        /* it is told to people */

        for (i = 0; i < len; i++) {
            p[i] = ngx_agent_canary_reply_printable(p[i]);
        }
    }

    reply->str.len = len;
    reply->str.data = p;

    return reply;
}


static void *
#if (HIREDIS_MAJOR >= 1)
ngx_agent_canary_reply_array(const redisReadTask *task, size_t nelts)
#else
ngx_agent_canary_reply_array(const redisReadTask *task, int nelts)
#endif
{
    ngx_agent_canary_reply_t   *reply;
    ngx_agent_canary_parser_t  *parser;

    if (task->type != REDIS_REPLY_ARRAY
        || nelts > NGX_AGENT_CANARY_RESP_ELEMENTS)
    {
        return NULL;
    }

    reply = ngx_agent_canary_reply_create(task, NGX_AGENT_CANARY_REPLY_ARRAY);
    if (reply == NULL) {
        return NULL;
    }

    parser = task->privdata;

    reply->nelts = nelts;
    reply->elts = ngx_pcalloc(parser->pool,
                              nelts * sizeof(ngx_agent_canary_reply_t *));
    if (reply->elts == NULL) {
        return NULL;
    }

    return reply;
}


static void *
ngx_agent_canary_reply_integer(const redisReadTask *task, long long value)
{
    ngx_agent_canary_reply_t  *reply;

    reply = ngx_agent_canary_reply_create(task,
                                          NGX_AGENT_CANARY_REPLY_INTEGER);
    if (reply) {
        reply->integer = value;
    }

    return reply;
}


static void *
ngx_agent_canary_reply_nil(const redisReadTask *task)
{
    return ngx_agent_canary_reply_create(task, NGX_AGENT_CANARY_REPLY_NIL);
}


#if (HIREDIS_MAJOR >= 1)

static void *
ngx_agent_canary_reply_double(const redisReadTask *task, double value,
    char *str, size_t len)
{
    return NULL;
}


static void *
ngx_agent_canary_reply_bool(const redisReadTask *task, int value)
{
    return NULL;
}

#endif


/* Objects go with the pool of their reply. */

static void
ngx_agent_canary_reply_free(void *object)
{
}


static ngx_agent_canary_reply_t *
ngx_agent_canary_reply_create(const redisReadTask *task,
    ngx_agent_canary_reply_type_e type)
{
    ngx_agent_canary_reply_t   *reply, *parent;
    ngx_agent_canary_parser_t  *parser;

    parser = task->privdata;

    if (parser->pool == NULL) {
        parser->pool = ngx_create_pool(NGX_AGENT_CANARY_REPLY_POOL,
                                       parser->log);
        if (parser->pool == NULL) {
            return NULL;
        }
    }

    reply = ngx_pcalloc(parser->pool, sizeof(ngx_agent_canary_reply_t));
    if (reply == NULL) {
        return NULL;
    }

    reply->type = type;

    if (task->parent) {
        parent = task->parent->obj;
        parent->elts[task->idx] = reply;
    }

    return reply;
}
