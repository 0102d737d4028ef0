
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

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
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
    ngx_str_t  error;
    u_char     buf[192];

    error.data = buf;
    error.len = ngx_snprintf(buf, sizeof(buf),
                             "host \"%V\" could not be resolved: %s",
                             &server->host, text)
                - buf;

    server->handler(server->data, NULL, &error);
}
