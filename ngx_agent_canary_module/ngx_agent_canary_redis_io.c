
/*
 * Commands to a Redis server, and its replies.
 */


#include "ngx_agent_canary_redis_connection.h"

#include <hiredis/hiredis.h>


#define NGX_AGENT_CANARY_REDIS_ARGS      8
#define NGX_AGENT_CANARY_REDIS_OUT       16384

/* What one event may read: 64k, then other connections have their turn. */
#define NGX_AGENT_CANARY_REDIS_BUFFER    16384
#define NGX_AGENT_CANARY_REDIS_READS     4

/* A reply that is this much longer has made progress. */
#define NGX_AGENT_CANARY_REDIS_PROGRESS  65536


/* A command that was sent and whose reply has not arrived. */

typedef struct {
    ngx_queue_t                     queue;
    ngx_agent_canary_reply_pt       handler;
    void                           *data;
} ngx_agent_canary_pending_t;


static void ngx_agent_canary_redis_await(ngx_agent_canary_redis_t *rc);
static ngx_agent_canary_pending_t *ngx_agent_canary_redis_pending(
    ngx_agent_canary_redis_t *rc);
static ngx_int_t ngx_agent_canary_redis_format(ngx_agent_canary_redis_t *rc,
    ngx_uint_t argc, ngx_str_t *argv);
static ngx_int_t ngx_agent_canary_redis_append(ngx_agent_canary_redis_t *rc,
    u_char *p, size_t len);
static ngx_int_t ngx_agent_canary_redis_feed(ngx_agent_canary_redis_t *rc,
    u_char *buf, size_t len);
static void ngx_agent_canary_redis_dispatch(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_t *reply);
static ngx_uint_t ngx_agent_canary_redis_is_push(
    ngx_agent_canary_reply_t *reply);


ngx_int_t
ngx_agent_canary_redis_send(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_pt handler, void *data, ngx_uint_t argc,
    ngx_str_t *argv)
{
    if (!rc->ready || rc->failed || rc->closed) {
        return NGX_ERROR;
    }

    if (ngx_queue_empty(&rc->pending)) {
        ngx_agent_canary_redis_await(rc);
    }

    return ngx_agent_canary_redis_queue(rc, handler, data, argc, argv);
}


/* The time of a reply begins. */

static void
ngx_agent_canary_redis_await(ngx_agent_canary_redis_t *rc)
{
    rc->since = ngx_current_msec;
    rc->start = ngx_current_msec;
    rc->received = 0;
}


ngx_int_t
ngx_agent_canary_redis_queue(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_pt handler, void *data, ngx_uint_t argc,
    ngx_str_t *argv)
{
    ngx_agent_canary_pending_t  *pending;

    pending = ngx_agent_canary_redis_pending(rc);
    if (pending == NULL) {
        return NGX_ERROR;
    }

    pending->handler = handler;
    pending->data = data;

    if (ngx_agent_canary_redis_format(rc, argc, argv) != NGX_OK) {
        ngx_queue_insert_head(&rc->spare, &pending->queue);
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&rc->pending, &pending->queue);

    if (!rc->deadline.timer_set) {
        ngx_add_timer(&rc->deadline, NGX_AGENT_CANARY_REDIS_TIMEOUT);
    }

    /* commands of one turn of the event loop leave together */

    if (rc->connection->write->ready) {
        ngx_post_event(rc->connection->write, &ngx_posted_events);
    }

    return NGX_OK;
}


static ngx_agent_canary_pending_t *
ngx_agent_canary_redis_pending(ngx_agent_canary_redis_t *rc)
{
    ngx_queue_t  *q;

    if (ngx_queue_empty(&rc->spare)) {
        return ngx_palloc(rc->pool, sizeof(ngx_agent_canary_pending_t));
    }

    q = ngx_queue_head(&rc->spare);
    ngx_queue_remove(q);

    return ngx_queue_data(q, ngx_agent_canary_pending_t, queue);
}


static ngx_int_t
ngx_agent_canary_redis_format(ngx_agent_canary_redis_t *rc, ngx_uint_t argc,
    ngx_str_t *argv)
{
    char        *cmd;
    size_t       lens[NGX_AGENT_CANARY_REDIS_ARGS];
    long long    len;
    ngx_int_t    rv;
    ngx_uint_t   i;
    const char  *args[NGX_AGENT_CANARY_REDIS_ARGS];

    if (argc > NGX_AGENT_CANARY_REDIS_ARGS) {
        return NGX_ERROR;
    }

    for (i = 0; i < argc; i++) {
        args[i] = (char *) argv[i].data;
        lens[i] = argv[i].len;
    }

    len = redisFormatCommandArgv(&cmd, (int) argc, args, lens);

    if (len <= 0) {
        return NGX_ERROR;
    }

    rv = ngx_agent_canary_redis_append(rc, (u_char *) cmd, (size_t) len);

    redisFreeCommand(cmd);

    return rv;
}


/*
 * What waits to be written never moves: OpenSSL insists on getting the same
 * bytes from the same place when a write is tried again.
 */

static ngx_int_t
ngx_agent_canary_redis_append(ngx_agent_canary_redis_t *rc, u_char *p,
    size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl, **ll;

    for (ll = &rc->out; *ll && (*ll)->next; ll = &(*ll)->next) { /* void */ }

    cl = *ll;

    if (cl == NULL || (size_t) (cl->buf->end - cl->buf->last) < len) {

        if (cl) {
            ll = &cl->next;
        }

        if (len > NGX_AGENT_CANARY_REDIS_OUT) {
            return NGX_ERROR;
        }

        cl = rc->free;

        if (cl) {
            rc->free = cl->next;

        } else {
            cl = ngx_alloc_chain_link(rc->pool);
            if (cl == NULL) {
                return NGX_ERROR;
            }

            cl->buf = ngx_create_temp_buf(rc->pool,
                                          NGX_AGENT_CANARY_REDIS_OUT);
            if (cl->buf == NULL) {
                ngx_free_chain(rc->pool, cl);
                return NGX_ERROR;
            }
        }

        cl->next = NULL;
        *ll = cl;
    }

    b = cl->buf;
    b->last = ngx_cpymem(b->last, p, len);

    return NGX_OK;
}


void
ngx_agent_canary_redis_write(ngx_agent_canary_redis_t *rc)
{
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_chain_t       *cl;
    ngx_connection_t  *c;

    c = rc->connection;

    while (rc->out) {
        cl = rc->out;
        b = cl->buf;

        n = c->send(c, b->pos, b->last - b->pos);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n <= 0) {
            ngx_agent_canary_redis_fail(rc, ngx_socket_errno, "write failed");
            return;
        }

        b->pos += n;

        if (b->pos < b->last) {
            continue;
        }

        b->pos = b->start;
        b->last = b->start;

        rc->out = cl->next;
        cl->next = rc->free;
        rc->free = cl;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_agent_canary_redis_fail(rc, 0, "write event failed");
    }
}


void
ngx_agent_canary_redis_read(ngx_agent_canary_redis_t *rc)
{
    ssize_t            n;
    ngx_uint_t         i;
    ngx_connection_t  *c;
    u_char             buf[NGX_AGENT_CANARY_REDIS_BUFFER];

    c = rc->connection;

    for (i = 0; i < NGX_AGENT_CANARY_REDIS_READS; i++) {

        n = c->recv(c, buf, NGX_AGENT_CANARY_REDIS_BUFFER);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == 0) {
            ngx_agent_canary_redis_fail(rc, 0, "closed by server");
            return;
        }

        if (n == NGX_ERROR) {

#if (NGX_SSL)
            if (c->ssl) {

                /* the log tells what OpenSSL did not like */

                ngx_agent_canary_redis_fail(rc, 0, "TLS read failed");
                return;
            }
#endif

            ngx_agent_canary_redis_fail(rc, ngx_socket_errno, "read failed");
            return;
        }

        if (ngx_agent_canary_redis_feed(rc, buf, n) != NGX_OK) {
            return;
        }
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_next_events);
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_agent_canary_redis_fail(rc, 0, "read event failed");
    }
}


/* NGX_ERROR: failed or closed, nothing may be done with the socket. */

static ngx_int_t
ngx_agent_canary_redis_feed(ngx_agent_canary_redis_t *rc, u_char *buf,
    size_t len)
{
    ngx_int_t                  n;
    ngx_agent_canary_reply_t  *reply;

    rc->received += len;

    if (rc->ready && rc->received >= NGX_AGENT_CANARY_REDIS_PROGRESS) {
        rc->received = 0;
        rc->since = ngx_current_msec;
    }

    n = ngx_agent_canary_parser_feed(&rc->parser, buf, len);

    while (n == NGX_OK) {
        n = ngx_agent_canary_parser_next(&rc->parser, &reply);

        if (n == NGX_AGAIN) {
            return NGX_OK;
        }

        if (n == NGX_OK) {
            ngx_agent_canary_redis_dispatch(rc, reply);

            if (rc->failed || rc->closed) {
                return NGX_ERROR;
            }
        }
    }

    ngx_agent_canary_redis_fail(rc, 0, "protocol error: %s", rc->parser.error);

    return NGX_ERROR;
}


static void
ngx_agent_canary_redis_dispatch(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_t *reply)
{
    ngx_queue_t                 *q;
    ngx_agent_canary_pending_t  *pending;

    if (rc->conf.on_push && ngx_agent_canary_redis_is_push(reply)) {
        rc->conf.on_push(rc->conf.data, reply);
        return;
    }

    if (ngx_queue_empty(&rc->pending)) {

        if (reply->type == NGX_AGENT_CANARY_REPLY_ERROR) {
            ngx_agent_canary_redis_fail(rc, 0, "error from server: %V",
                                        &reply->str);
            return;
        }

        ngx_agent_canary_redis_fail(rc, 0, "protocol error: a reply nobody "
                                    "waits for");
        return;
    }

    q = ngx_queue_head(&rc->pending);
    ngx_queue_remove(q);
    ngx_queue_insert_head(&rc->spare, q);

    pending = ngx_queue_data(q, ngx_agent_canary_pending_t, queue);

    /* the clock of the next reply; all of a greeting shares one */

    if (rc->ready) {
        ngx_agent_canary_redis_await(rc);
    }

    pending->handler(pending->data, reply);
}


/* No reply to a command that a subscribed connection sends looks like it. */

static ngx_uint_t
ngx_agent_canary_redis_is_push(ngx_agent_canary_reply_t *reply)
{
    return reply->type == NGX_AGENT_CANARY_REPLY_ARRAY
           && reply->nelts > 0
           && ngx_agent_canary_reply_is(reply->elts[0],
                                        NGX_AGENT_CANARY_REPLY_STRING,
                                        "message");
}
