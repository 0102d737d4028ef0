
/*
 * A Redis server or a Sentinel by name: which address to try next, and when.
 */


#include "ngx_agent_canary_server.h"


#define NGX_AGENT_CANARY_BACKOFF_MIN  100
#define NGX_AGENT_CANARY_BACKOFF_MAX  5000


static void ngx_agent_canary_server_resolve(ngx_agent_canary_server_t *server);
static void ngx_agent_canary_server_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_agent_canary_server_error(ngx_agent_canary_server_t *server,
    char *text);


void
ngx_agent_canary_server_set(ngx_agent_canary_server_t *server, ngx_str_t *host,
    in_port_t port)
{
    in_addr_t             inaddr;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    server->name = *host;
    server->host = *host;
    server->port = port;
    server->naddrs = 0;
    server->addrs = &server->addr;
    server->next = 0;

    ngx_memzero(&server->sockaddr, sizeof(ngx_sockaddr_t));

    server->addr.sockaddr = &server->sockaddr.sockaddr;

    inaddr = ngx_inet_addr(host->data, host->len);

    if (inaddr != INADDR_NONE) {
        sin = &server->sockaddr.sockaddr_in;
        sin->sin_family = AF_INET;
        sin->sin_addr.s_addr = inaddr;

        server->addr.socklen = sizeof(struct sockaddr_in);
        server->naddrs = 1;
    }

#if (NGX_HAVE_INET6)

    sin6 = &server->sockaddr.sockaddr_in6;

    if (inaddr == INADDR_NONE
        && ngx_inet6_addr(host->data, host->len, sin6->sin6_addr.s6_addr)
           == NGX_OK)
    {
        sin6->sin6_family = AF_INET6;

        server->addr.socklen = sizeof(struct sockaddr_in6);
        server->naddrs = 1;
    }

#endif

    if (server->naddrs) {
        ngx_inet_set_port(server->addr.sockaddr, port);
    }
}


void
ngx_agent_canary_server_find(ngx_agent_canary_server_t *server,
    ngx_agent_canary_server_pt handler, void *data)
{
    server->handler = handler;
    server->data = data;

    if (server->naddrs == 0) {
        ngx_agent_canary_server_resolve(server);
        return;
    }

    handler(data, &server->addrs[server->next++ % server->naddrs], NULL);
}


void
ngx_agent_canary_server_cancel(ngx_agent_canary_server_t *server)
{
    if (server->ctx) {
        ngx_resolve_name_done(server->ctx);
        server->ctx = NULL;
    }
}


ngx_msec_t
ngx_agent_canary_server_backoff(ngx_uint_t failures)
{
    ngx_msec_t  limit;

    limit = NGX_AGENT_CANARY_BACKOFF_MIN;

    while (failures-- > 1 && limit < NGX_AGENT_CANARY_BACKOFF_MAX) {
        limit *= 2;
    }

    limit = ngx_min(limit, NGX_AGENT_CANARY_BACKOFF_MAX);

    return 1 + ngx_random() % limit;
}


ngx_uint_t
ngx_agent_canary_server_is_host(ngx_str_t *host)
{
    u_char      ch;
    ngx_uint_t  i;

    for (i = 0; i < host->len; i++) {
        ch = host->data[i];

        if ((ch < '0' || ch > '9') && (ch < 'a' || ch > 'z')
            && (ch < 'A' || ch > 'Z') && ch != '.' && ch != '-' && ch != ':'
            && ch != '_')
        {
            return 0;
        }
    }

    return host->len > 0 && host->len <= NGX_AGENT_CANARY_HOST_MAX;
}


static void
ngx_agent_canary_server_resolve(ngx_agent_canary_server_t *server)
{
    ngx_resolver_ctx_t  *ctx;

    ngx_agent_canary_server_cancel(server);

    if (server->resolver == NULL) {
        ngx_agent_canary_server_error(server, "no \"resolver\" is defined");
        return;
    }

    ctx = ngx_resolve_start(server->resolver, NULL);

    if (ctx == NULL) {
        ngx_agent_canary_server_error(server, "out of memory");
        return;
    }

    if (ctx == NGX_NO_RESOLVER) {
        ngx_agent_canary_server_error(server, "no \"resolver\" is defined");
        return;
    }

    ctx->name = server->host;
    ctx->handler = ngx_agent_canary_server_resolve_handler;
    ctx->data = server;
    ctx->timeout = server->timeout;
    ctx->cancelable = 1;

    server->ctx = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {

        /* ctx is freed, and its handler did not run */

        server->ctx = NULL;
        ngx_agent_canary_server_error(server, "the resolver failed");
    }
}


static void
ngx_agent_canary_server_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_addr_t                  addr;
    ngx_sockaddr_t              sa;
    ngx_resolver_addr_t        *found;
    ngx_agent_canary_server_t  *server;
    u_char                      buf[NGX_SOCKADDR_STRLEN];

    server = ctx->data;

    ngx_log_debug2(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                   "agent canary server \"%V\" resolved: %i",
                   &server->host, ctx->state);

    server->ctx = NULL;

    if (ctx->state != NGX_OK || ctx->naddrs == 0) {
        ngx_agent_canary_server_error(server,
                                      ngx_resolver_strerror(ctx->state));
        ngx_resolve_name_done(ctx);
        return;
    }

    found = &ctx->addrs[server->next++ % ctx->naddrs];

    ngx_memcpy(&sa, found->sockaddr, found->socklen);

    addr.sockaddr = &sa.sockaddr;
    addr.socklen = found->socklen;

    ngx_resolve_name_done(ctx);

    ngx_inet_set_port(&sa.sockaddr, server->port);

    addr.name.data = buf;
    addr.name.len = ngx_sock_ntop(&sa.sockaddr, addr.socklen, buf,
                                  NGX_SOCKADDR_STRLEN, 1);

    server->handler(server->data, &addr, NULL);
}


static void
ngx_agent_canary_server_error(ngx_agent_canary_server_t *server, char *text)
{
    u_char  *p;
    u_char   buf[192];

    p = ngx_snprintf(buf, sizeof(buf) - 1,
                     "host \"%V\" could not be resolved: %s",
                     &server->host, text);
    *p = '\0';

    server->handler(server->data, NULL, (char *) buf);
}
