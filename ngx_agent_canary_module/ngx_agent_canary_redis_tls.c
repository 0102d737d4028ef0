
/*
 * TLS to a Redis server.
 */


#include "ngx_agent_canary_redis_connection.h"


#if (NGX_SSL)

static void ngx_agent_canary_redis_tls_handler(ngx_connection_t *c);
static void ngx_agent_canary_redis_tls_done(ngx_agent_canary_redis_t *rc);
static ngx_int_t ngx_agent_canary_redis_tls_verify(
    ngx_agent_canary_redis_t *rc);
static ngx_str_t *ngx_agent_canary_redis_tls_name(
    ngx_agent_canary_redis_t *rc);
static ngx_uint_t ngx_agent_canary_redis_is_ip(ngx_str_t *name);


void
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

    ngx_agent_canary_redis_login(rc);
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
