
/*
 * One connection to a Redis server or a Sentinel, on nginx's events.
 *
 * Every function that nginx calls marks the connection busy while it works,
 * so that a handler may close it: the socket goes at once, the memory when
 * the function is through.
 */


#include "ngx_agent_canary_redis.h"

#include <hiredis/hiredis.h>


#define NGX_AGENT_CANARY_REDIS_POOL      1024
#define NGX_AGENT_CANARY_REDIS_ARGS      8
#define NGX_AGENT_CANARY_REDIS_OUT       16384

/* What one event may read: 64k, then other connections have their turn. */
#define NGX_AGENT_CANARY_REDIS_BUFFER    16384
#define NGX_AGENT_CANARY_REDIS_READS     4

/*
 * A reply has a second to arrive; a long one as much again for every 64k that
 * did arrive, but not for ever.
 */
#define NGX_AGENT_CANARY_REDIS_TIMEOUT   1000
#define NGX_AGENT_CANARY_REDIS_LIMIT     30000
#define NGX_AGENT_CANARY_REDIS_PROGRESS  65536


/* A command that was sent and whose reply has not arrived. */

typedef struct {
    ngx_queue_t                     queue;
    ngx_agent_canary_reply_pt       handler;
    void                           *data;
} ngx_agent_canary_pending_t;


struct ngx_agent_canary_redis_s {
    ngx_agent_canary_redis_conf_t   conf;
    ngx_pool_t                     *pool;
    ngx_log_t                       log;

    ngx_addr_t                      addr;
    ngx_connection_t               *connection; /* NULL: closed */

    /* what a timer's data has to look like, see ngx_event_ident() */
    ngx_connection_t                ident;
    ngx_event_t                     deadline;
    ngx_msec_t                      since;  /* last progress */
    ngx_msec_t                      start;  /* of the reply awaited */
    size_t                          received;

    ngx_queue_t                     pending;
    ngx_queue_t                     spare;
    ngx_chain_t                    *out;
    ngx_chain_t                    *free;

    ngx_agent_canary_parser_t       parser;

    ngx_uint_t                      busy;
    unsigned                        connected:1;
    unsigned                        greeted:1;  /* and so past TLS */
    unsigned                        ready:1;
    unsigned                        failed:1;
    unsigned                        closed:1;

    u_char                          reason[192];
};


static ngx_int_t ngx_agent_canary_redis_init(ngx_agent_canary_redis_t *rc);
static void ngx_agent_canary_redis_open(ngx_agent_canary_redis_t *rc);
static ngx_int_t ngx_agent_canary_redis_open_socket(
    ngx_agent_canary_redis_t *rc, ngx_peer_connection_t *pc);
static void ngx_agent_canary_redis_read_handler(ngx_event_t *rev);
static void ngx_agent_canary_redis_write_handler(ngx_event_t *wev);
static void ngx_agent_canary_redis_deadline_handler(ngx_event_t *ev);
static void ngx_agent_canary_redis_deadline(ngx_agent_canary_redis_t *rc);
static void ngx_agent_canary_redis_leave(ngx_agent_canary_redis_t *rc);
static void ngx_agent_canary_redis_connected(ngx_agent_canary_redis_t *rc);
static ngx_err_t ngx_agent_canary_redis_test_connect(ngx_connection_t *c);
#if (NGX_SSL)
static void ngx_agent_canary_redis_tls(ngx_agent_canary_redis_t *rc);
static void ngx_agent_canary_redis_tls_handler(ngx_connection_t *c);
static void ngx_agent_canary_redis_tls_done(ngx_agent_canary_redis_t *rc);
static ngx_int_t ngx_agent_canary_redis_tls_verify(
    ngx_agent_canary_redis_t *rc);
static ngx_str_t *ngx_agent_canary_redis_tls_name(
    ngx_agent_canary_redis_t *rc);
static ngx_uint_t ngx_agent_canary_redis_is_ip(ngx_str_t *name);
#endif
static void ngx_agent_canary_redis_greet(ngx_agent_canary_redis_t *rc);
static void ngx_agent_canary_redis_auth_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_redis_auth_failed(ngx_agent_canary_redis_t *rc,
    ngx_str_t *text);
static void ngx_agent_canary_redis_select_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_redis_ping_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_redis_refused(ngx_agent_canary_redis_t *rc,
    char *command, ngx_agent_canary_reply_t *reply);
static ngx_int_t ngx_agent_canary_redis_queue(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_pt handler, void *data, ngx_uint_t argc,
    ngx_str_t *argv);
static ngx_int_t ngx_agent_canary_redis_append(ngx_agent_canary_redis_t *rc,
    u_char *p, size_t len);
static void ngx_agent_canary_redis_write(ngx_agent_canary_redis_t *rc);
static void ngx_agent_canary_redis_read(ngx_agent_canary_redis_t *rc);
static ngx_int_t ngx_agent_canary_redis_feed(ngx_agent_canary_redis_t *rc,
    u_char *buf, size_t len);
static void ngx_agent_canary_redis_dispatch(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_t *reply);
static ngx_uint_t ngx_agent_canary_redis_is_push(
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_redis_fail(ngx_agent_canary_redis_t *rc,
    ngx_err_t err, const char *fmt, ...);
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


ngx_int_t
ngx_agent_canary_redis_send(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_pt handler, void *data, ngx_uint_t argc,
    ngx_str_t *argv)
{
    if (!rc->ready || rc->failed || rc->closed) {
        return NGX_ERROR;
    }

    if (ngx_queue_empty(&rc->pending)) {
        rc->since = ngx_current_msec;
        rc->start = ngx_current_msec;
        rc->received = 0;
    }

    return ngx_agent_canary_redis_queue(rc, handler, data, argc, argv);
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


static void
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


static void
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


static void
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

    ngx_agent_canary_redis_greet(rc);
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


#if (NGX_SSL)

static void
ngx_agent_canary_redis_tls(ngx_agent_canary_redis_t *rc)
{
    ngx_int_t          n;
    ngx_str_t         *name;
    ngx_connection_t  *c;

    c = rc->connection;

    rc->log.action = "in the TLS handshake with Redis";

    if (ngx_ssl_create_connection(rc->conf.access->ssl, c, NGX_SSL_CLIENT)
        != NGX_OK)
    {
        ngx_agent_canary_redis_fail(rc, 0, "TLS could not be started");
        return;
    }

    name = ngx_agent_canary_redis_tls_name(rc);

    /* RFC 6066: literal addresses are not permitted in SNI */

    if (name->len && !ngx_agent_canary_redis_is_ip(name)
        && SSL_set_tlsext_host_name(c->ssl->connection, (char *) name->data)
           == 0)
    {
        ngx_ssl_error(NGX_LOG_ERR, &rc->log, 0,
                      "SSL_set_tlsext_host_name(\"%V\") failed", name);
        ngx_agent_canary_redis_fail(rc, 0, "TLS could not be started");
        return;
    }

    /* until it is done, its own handlers serve the connection */

    c->idle = 0;

    n = ngx_ssl_handshake(c);

    if (n == NGX_AGAIN) {
        c->ssl->handler = ngx_agent_canary_redis_tls_handler;
        return;
    }

    ngx_agent_canary_redis_tls_done(rc);
}


static void
ngx_agent_canary_redis_tls_handler(ngx_connection_t *c)
{
    ngx_agent_canary_redis_t  *rc;

    rc = c->data;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis tls handler");

    rc->busy++;

    ngx_agent_canary_redis_tls_done(rc);

    ngx_agent_canary_redis_leave(rc);
}


static void
ngx_agent_canary_redis_tls_done(ngx_agent_canary_redis_t *rc)
{
    ngx_connection_t  *c;

    c = rc->connection;

    c->read->handler = ngx_agent_canary_redis_read_handler;
    c->write->handler = ngx_agent_canary_redis_write_handler;

    if (!c->ssl->handshaked) {
        ngx_agent_canary_redis_fail(rc, 0, "TLS handshake with %V failed",
                                    &rc->addr.name);
        return;
    }

    if (rc->conf.access->ssl_verify
        && ngx_agent_canary_redis_tls_verify(rc) != NGX_OK)
    {
        return;
    }

    c->idle = 1;

    /* what came with the last bytes of the handshake gives no event */

    ngx_post_event(c->read, &ngx_posted_next_events);

    ngx_agent_canary_redis_greet(rc);
}


static ngx_int_t
ngx_agent_canary_redis_tls_verify(ngx_agent_canary_redis_t *rc)
{
    int         match;
    long        result;
    X509       *cert;
    ngx_str_t  *name;

    result = SSL_get_verify_result(rc->connection->ssl->connection);

    if (result != X509_V_OK) {
        ngx_agent_canary_redis_fail(rc, 0,
                          "certificate of %V is not trusted (%l:%s)",
                          &rc->addr.name, result,
                          X509_verify_cert_error_string(result));
        return NGX_ERROR;
    }

    name = ngx_agent_canary_redis_tls_name(rc);

    if (ngx_agent_canary_redis_is_ip(name)) {

        /* ngx_ssl_check_host() compares with DNS names only */

        match = 0;

        cert = SSL_get_peer_certificate(rc->connection->ssl->connection);

        if (cert) {
            match = X509_check_ip_asc(cert, (char *) name->data, 0) == 1;
            X509_free(cert);
        }

    } else {
        match = ngx_ssl_check_host(rc->connection, name) == NGX_OK;
    }

    if (!match) {
        ngx_agent_canary_redis_fail(rc, 0,
                          "certificate of %V is not for \"%V\"",
                          &rc->addr.name, name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_str_t *
ngx_agent_canary_redis_tls_name(ngx_agent_canary_redis_t *rc)
{
    ngx_agent_canary_access_t  *access;

    access = rc->conf.access;

    return access->ssl_name.len ? &access->ssl_name : &rc->conf.host;
}


static ngx_uint_t
ngx_agent_canary_redis_is_ip(ngx_str_t *name)
{
    return ngx_inet_addr(name->data, name->len) != INADDR_NONE
           || ngx_strlchr(name->data, name->data + name->len, ':') != NULL;
}

#endif


/* The connection is ready when the server has answered all of this. */

static void
ngx_agent_canary_redis_greet(ngx_agent_canary_redis_t *rc)
{
    ngx_int_t                   n;
    ngx_str_t                   argv[3];
    ngx_uint_t                  argc;
    ngx_agent_canary_access_t  *access;
    u_char                      buf[NGX_INT_T_LEN];

    access = rc->conf.access;

    rc->greeted = 1;
    rc->log.action = "waiting for the first reply of Redis";

    n = NGX_OK;

    if (access->password.len) {
        argc = 1;

        ngx_str_set(&argv[0], "AUTH");

        if (access->username.len) {
            argv[argc++] = access->username;
        }

        argv[argc++] = access->password;

        n = ngx_agent_canary_redis_queue(rc,
                                         ngx_agent_canary_redis_auth_handler,
                                         rc, argc, argv);
    }

    if (n == NGX_OK && access->database) {
        ngx_str_set(&argv[0], "SELECT");
        argv[1].data = buf;
        argv[1].len = ngx_sprintf(buf, "%ui", access->database) - buf;

        n = ngx_agent_canary_redis_queue(rc,
                                         ngx_agent_canary_redis_select_handler,
                                         rc, 2, argv);
    }

    if (n == NGX_OK) {
        ngx_str_set(&argv[0], "PING");

        n = ngx_agent_canary_redis_queue(rc,
                                         ngx_agent_canary_redis_ping_handler,
                                         rc, 1, argv);
    }

    if (n != NGX_OK) {
        ngx_agent_canary_redis_fail(rc, 0, "out of memory");
    }
}


static void
ngx_agent_canary_redis_auth_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_redis_t *rc = data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis auth handler, type:%d", reply->type);

    if (ngx_agent_canary_reply_is(reply, NGX_AGENT_CANARY_REPLY_STATUS, "OK"))
    {
        return;
    }

    if (reply->type == NGX_AGENT_CANARY_REPLY_ERROR) {
        ngx_agent_canary_redis_auth_failed(rc, &reply->str);
        return;
    }

    ngx_agent_canary_redis_refused(rc, "AUTH", reply);
}


/*
 * A server that does not know AUTH quotes what it was sent: of the texts of
 * errors only the part before the first quote is told, and nothing at all
 * when the password is in it.
 */

static void
ngx_agent_canary_redis_auth_failed(ngx_agent_canary_redis_t *rc,
    ngx_str_t *text)
{
    size_t      i, n;
    ngx_str_t   s, *password;

    s = *text;

    for (n = 0; n < s.len; n++) {
        if (s.data[n] == '`' || s.data[n] == '\'' || s.data[n] == '"') {
            s.len = n;
        }
    }

    password = &rc->conf.access->password;

    for (n = 0; n + password->len <= s.len; n++) {

        for (i = 0; i < password->len; i++) {
            if (s.data[n + i]
                != ngx_agent_canary_reply_printable(password->data[i]))
            {
                break;
            }
        }

        if (i == password->len) {
            s.len = 0;
        }
    }

    ngx_agent_canary_redis_fail(rc, 0, "authentication failed: %V", &s);
}


static void
ngx_agent_canary_redis_select_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_redis_t *rc = data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis select handler, type:%d", reply->type);

    if (!ngx_agent_canary_reply_is(reply, NGX_AGENT_CANARY_REPLY_STATUS, "OK"))
    {
        ngx_agent_canary_redis_refused(rc, "SELECT", reply);
    }
}


static void
ngx_agent_canary_redis_ping_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_redis_t *rc = data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis ping handler, type:%d", reply->type);

    if (!ngx_agent_canary_reply_is(reply, NGX_AGENT_CANARY_REPLY_STATUS,
                                   "PONG"))
    {
        ngx_agent_canary_redis_refused(rc, "PING", reply);
        return;
    }

    rc->ready = 1;
    rc->log.action = "talking to Redis";

    /* the time to connect is over, that of replies is not the same */

    if (rc->deadline.timer_set) {
        ngx_del_timer(&rc->deadline);
    }

    rc->conf.on_ready(rc->conf.data);
}


static void
ngx_agent_canary_redis_refused(ngx_agent_canary_redis_t *rc, char *command,
    ngx_agent_canary_reply_t *reply)
{
    u_char  buf[NGX_AGENT_CANARY_REPLY_TEXT];

    ngx_agent_canary_redis_fail(rc, 0, "%s",
                                ngx_agent_canary_reply_refused(reply, command,
                                                        buf, sizeof(buf)));
}


static ngx_int_t
ngx_agent_canary_redis_queue(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_pt handler, void *data, ngx_uint_t argc,
    ngx_str_t *argv)
{
    char                        *cmd;
    size_t                       lens[NGX_AGENT_CANARY_REDIS_ARGS];
    long long                    len;
    ngx_int_t                    n;
    ngx_uint_t                   i;
    const char                  *args[NGX_AGENT_CANARY_REDIS_ARGS];
    ngx_queue_t                 *q;
    ngx_agent_canary_pending_t  *pending;

    if (argc > NGX_AGENT_CANARY_REDIS_ARGS) {
        return NGX_ERROR;
    }

    for (i = 0; i < argc; i++) {
        args[i] = (char *) argv[i].data;
        lens[i] = argv[i].len;
    }

    if (!ngx_queue_empty(&rc->spare)) {
        q = ngx_queue_head(&rc->spare);
        ngx_queue_remove(q);
        pending = ngx_queue_data(q, ngx_agent_canary_pending_t, queue);

    } else {
        pending = ngx_palloc(rc->pool, sizeof(ngx_agent_canary_pending_t));
        if (pending == NULL) {
            return NGX_ERROR;
        }
    }

    pending->handler = handler;
    pending->data = data;

    n = NGX_ERROR;

    len = redisFormatCommandArgv(&cmd, (int) argc, args, lens);

    if (len > 0) {
        n = ngx_agent_canary_redis_append(rc, (u_char *) cmd, (size_t) len);
        redisFreeCommand(cmd);
    }

    if (n != NGX_OK) {
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


static void
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


static void
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
        rc->since = ngx_current_msec;
        rc->start = ngx_current_msec;
        rc->received = 0;
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


/* fmt NULL: the reason is there already. */

static void
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
