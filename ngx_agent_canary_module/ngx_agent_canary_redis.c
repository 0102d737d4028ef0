
/*
 * One connection to a Redis server or a Sentinel, on nginx's events.
 */


#include "ngx_agent_canary_redis_connection.h"


#define NGX_AGENT_CANARY_REDIS_POOL   1024

/* No reply may take longer, whatever progress it makes. */
#define NGX_AGENT_CANARY_REDIS_LIMIT  30000


static ngx_int_t ngx_agent_canary_redis_init(ngx_agent_canary_redis_t *rc);
static void ngx_agent_canary_redis_open(ngx_agent_canary_redis_t *rc);
static ngx_int_t ngx_agent_canary_redis_open_socket(
    ngx_agent_canary_redis_t *rc, ngx_peer_connection_t *pc);
static void ngx_agent_canary_redis_deadline_handler(ngx_event_t *ev);
static void ngx_agent_canary_redis_deadline(ngx_agent_canary_redis_t *rc);
static void ngx_agent_canary_redis_connected(ngx_agent_canary_redis_t *rc);
static ngx_err_t ngx_agent_canary_redis_test_connect(ngx_connection_t *c);
static void ngx_agent_canary_redis_shut(ngx_agent_canary_redis_t *rc);
static u_char *ngx_agent_canary_redis_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


ngx_agent_canary_redis_t *
ngx_agent_canary_redis_connect(ngx_agent_canary_redis_conf_t *conf)
{
    ngx_pool_t                *pool;
    ngx_agent_canary_redis_t  *rc;

    pool = ngx_create_pool(NGX_AGENT_CANARY_REDIS_POOL, conf->log);
    if (pool == NULL) {
        return NULL;
    }

    rc = ngx_pcalloc(pool, sizeof(ngx_agent_canary_redis_t));
    if (rc == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    rc->pool = pool;
    rc->conf = *conf;

    if (ngx_agent_canary_redis_init(rc) != NGX_OK) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    ngx_agent_canary_redis_open(rc);

    return rc;
}


static ngx_int_t
ngx_agent_canary_redis_init(ngx_agent_canary_redis_t *rc)
{
    u_char      *p;
    ngx_str_t   *host;
    ngx_addr_t  *addr;

    addr = rc->conf.addr;
    host = &rc->conf.host;

    rc->addr.socklen = addr->socklen;
    rc->addr.sockaddr = ngx_palloc(rc->pool, addr->socklen);
    if (rc->addr.sockaddr == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(rc->addr.sockaddr, addr->sockaddr, addr->socklen);

    rc->addr.name.len = addr->name.len;
    rc->addr.name.data = ngx_pstrdup(rc->pool, &addr->name);
    if (rc->addr.name.data == NULL) {
        return NGX_ERROR;
    }

    /* OpenSSL wants a terminated name */

    p = ngx_pnalloc(rc->pool, host->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(p, host->data, host->len + 1);
    host->data = p;

    ngx_queue_init(&rc->pending);
    ngx_queue_init(&rc->spare);

    rc->log = *rc->conf.log;
    rc->log.handler = ngx_agent_canary_redis_log_error;
    rc->log.data = rc;
    rc->log.action = "connecting to Redis";

    rc->ident.data = rc;
    rc->ident.fd = (ngx_socket_t) -1;

    rc->deadline.handler = ngx_agent_canary_redis_deadline_handler;
    rc->deadline.data = &rc->ident;
    rc->deadline.log = &rc->log;
    rc->deadline.cancelable = 1;

    return ngx_agent_canary_parser_init(&rc->parser, rc->pool, &rc->log);
}


static void
ngx_agent_canary_redis_open(ngx_agent_canary_redis_t *rc)
{
    u_char                 *p, *last;
    ngx_int_t               n;
    ngx_err_t               err;
    ngx_connection_t       *c;
    ngx_peer_connection_t   pc;

    rc->since = ngx_current_msec;
    rc->start = ngx_current_msec;

    n = ngx_agent_canary_redis_open_socket(rc, &pc);

    err = ngx_socket_errno;

    if (n == NGX_ERROR || n == NGX_BUSY || n == NGX_DECLINED) {

        /* told by the deadline handler: no handler runs before we return */

        last = rc->reason + sizeof(rc->reason) - 1;

        p = ngx_snprintf(rc->reason, 128, "connect to %V failed",
                         &rc->addr.name);
        if (err) {
            p = ngx_log_errno(p, last, err);
        }

        *p = '\0';

        ngx_add_timer(&rc->deadline, 1);
        return;
    }

    c = pc.connection;

    c->data = rc;
    c->pool = rc->pool;
    c->log = &rc->log;
    c->read->log = &rc->log;
    c->write->log = &rc->log;
    c->read->handler = ngx_agent_canary_redis_read_handler;
    c->write->handler = ngx_agent_canary_redis_write_handler;

    /* ngx_close_idle_connections() calls the read handler at graceful quit */

    c->idle = 1;

    rc->log.connection = c->number;
    rc->connection = c;

    ngx_add_timer(&rc->deadline, rc->conf.access->timeout);

    if (n == NGX_OK) {
        ngx_post_event(c->write, &ngx_posted_next_events);
    }
}


/* A server that is away is told by on_error, not in the log each time. */

static ngx_int_t
ngx_agent_canary_redis_open_socket(ngx_agent_canary_redis_t *rc,
    ngx_peer_connection_t *pc)
{
    ngx_int_t   n;
    ngx_uint_t  level;

    ngx_memzero(pc, sizeof(ngx_peer_connection_t));

    pc->sockaddr = rc->addr.sockaddr;
    pc->socklen = rc->addr.socklen;
    pc->name = &rc->addr.name;
    pc->get = ngx_event_get_peer;
    pc->log = &rc->log;
    pc->log_error = NGX_ERROR_INFO;

    level = rc->log.log_level;

    if (!(level & NGX_LOG_DEBUG_ALL)) {
        rc->log.log_level = ngx_min(level, NGX_LOG_ALERT);
    }

    ngx_set_socket_errno(0);

    n = ngx_event_connect_peer(pc);

    if (!rc->conf.quiet) {
        rc->log.log_level = level;
    }

    return n;
}


void
ngx_agent_canary_redis_close(ngx_agent_canary_redis_t *rc)
{
    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis close, busy:%ui", rc->busy);

    rc->closed = 1;

    ngx_agent_canary_redis_shut(rc);

    if (rc->busy == 0) {
        ngx_destroy_pool(rc->pool);
    }
}


void
ngx_agent_canary_redis_read_handler(ngx_event_t *rev)
{
    ngx_connection_t          *c;
    ngx_agent_canary_redis_t  *rc;

    c = rev->data;
    rc = c->data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis read handler, close:%d", c->close);

    rc->busy++;

    if (c->close) {
        ngx_agent_canary_redis_fail(rc, 0, "closed, the worker is exiting");

    } else if (!rc->connected) {
        ngx_agent_canary_redis_connected(rc);

    } else {
        ngx_agent_canary_redis_read(rc);
    }

    ngx_agent_canary_redis_leave(rc);
}


void
ngx_agent_canary_redis_write_handler(ngx_event_t *wev)
{
    ngx_connection_t          *c;
    ngx_agent_canary_redis_t  *rc;

    c = wev->data;
    rc = c->data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis write handler, connected:%d",
                   rc->connected);

    rc->busy++;

    if (!rc->connected) {
        ngx_agent_canary_redis_connected(rc);

    } else {
        ngx_agent_canary_redis_write(rc);
    }

    ngx_agent_canary_redis_leave(rc);
}


static void
ngx_agent_canary_redis_deadline_handler(ngx_event_t *ev)
{
    ngx_connection_t          *ident;
    ngx_agent_canary_redis_t  *rc;

    ident = ev->data;
    rc = ident->data;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis deadline handler");

    rc->busy++;

    if (rc->connection == NULL) {
        ngx_agent_canary_redis_fail(rc, 0, NULL);

    } else if (rc->greeted) {

        /* the worker itself may have been held up: look what has arrived */

        ngx_agent_canary_redis_read(rc);
    }

    if (!rc->failed && !rc->closed
        && !(rc->ready && ngx_queue_empty(&rc->pending)))
    {
        ngx_agent_canary_redis_deadline(rc);
    }

    ngx_agent_canary_redis_leave(rc);
}


static void
ngx_agent_canary_redis_deadline(ngx_agent_canary_redis_t *rc)
{
    ngx_msec_t  elapsed, timeout;

    timeout = rc->ready ? NGX_AGENT_CANARY_REDIS_TIMEOUT
                        : rc->conf.access->timeout;

    elapsed = ngx_current_msec - rc->since;

    if (elapsed >= timeout) {
        ngx_agent_canary_redis_fail(rc, 0, "timed out after %M ms %s", timeout,
                                    rc->ready ? "waiting for a reply"
                                              : rc->log.action);
        return;
    }

    if (rc->ready
        && ngx_current_msec - rc->start >= NGX_AGENT_CANARY_REDIS_LIMIT)
    {
        ngx_agent_canary_redis_fail(rc, 0, "timed out after %d ms reading a "
                                    "reply", NGX_AGENT_CANARY_REDIS_LIMIT);
        return;
    }

    ngx_add_timer(&rc->deadline, timeout - elapsed);
}


void
ngx_agent_canary_redis_leave(ngx_agent_canary_redis_t *rc)
{
    rc->busy--;

    if (rc->busy == 0 && rc->closed) {
        ngx_destroy_pool(rc->pool);
    }
}


static void
ngx_agent_canary_redis_connected(ngx_agent_canary_redis_t *rc)
{
    ngx_err_t          err;
    ngx_connection_t  *c;

    c = rc->connection;

    err = ngx_agent_canary_redis_test_connect(c);

    if (err) {
        ngx_agent_canary_redis_fail(rc, err, "connect to %V failed",
                                    &rc->addr.name);
        return;
    }

    rc->connected = 1;

    if (ngx_tcp_nodelay(c) != NGX_OK) {
        ngx_agent_canary_redis_fail(rc, ngx_socket_errno,
                                    "setsockopt(TCP_NODELAY) failed");
        return;
    }

#if (NGX_SSL)

    if (rc->conf.access->ssl) {
        ngx_agent_canary_redis_tls(rc);
        return;
    }

#endif

    ngx_agent_canary_redis_login(rc);
}


/* As ngx_http_upstream_test_connect(), which is not exported. */

static ngx_err_t
ngx_agent_canary_redis_test_connect(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

#if (NGX_HAVE_KQUEUE)

    if (ngx_event_flags & NGX_USE_KQUEUE_EVENT)  {

        if (c->write->pending_eof) {
            return c->write->kq_errno;
        }

        return c->read->pending_eof ? c->read->kq_errno : 0;
    }

#endif

    err = 0;
    len = sizeof(int);

    /*
     * BSDs and Linux return 0 and set a pending error in err,
     * Solaris returns -1 and sets errno
     */

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    return err;
}


void
ngx_agent_canary_redis_ready(ngx_agent_canary_redis_t *rc)
{
    rc->ready = 1;
    rc->log.action = "talking to Redis";

    /* the time to connect is over, that of replies is not the same */

    if (rc->deadline.timer_set) {
        ngx_del_timer(&rc->deadline);
    }

    rc->conf.on_ready(rc->conf.data);
}


void
ngx_agent_canary_redis_fail(ngx_agent_canary_redis_t *rc, ngx_err_t err,
    const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    if (rc->failed || rc->closed) {
        return;
    }

    if (fmt) {
        last = rc->reason + sizeof(rc->reason) - 1;

        va_start(args, fmt);
        p = ngx_vslprintf(rc->reason, last, fmt, args);
        va_end(args);

        if (err) {
            p = ngx_log_errno(p, last, err);
        }

        *p = '\0';
    }

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis failed: %s", rc->reason);

    rc->failed = 1;

    ngx_agent_canary_redis_shut(rc);

    rc->conf.on_error(rc->conf.data, (char *) rc->reason);
}


static void
ngx_agent_canary_redis_shut(ngx_agent_canary_redis_t *rc)
{
    ngx_connection_t  *c;

    if (rc->deadline.timer_set) {
        ngx_del_timer(&rc->deadline);
    }

    c = rc->connection;

    if (c == NULL) {
        return;
    }

#if (NGX_SSL)

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

#endif

    ngx_close_connection(c);

    rc->connection = NULL;
}


static u_char *
ngx_agent_canary_redis_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char                    *p;
    ngx_agent_canary_redis_t  *rc;

    if (log->action) {
        p = ngx_snprintf(buf, len, " while %s", log->action);
        len -= p - buf;
        buf = p;
    }

    rc = log->data;

    return ngx_snprintf(buf, len, ", server: \"%V\"", &rc->addr.name);
}
