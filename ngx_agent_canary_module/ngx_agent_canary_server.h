
/*
 * A Redis server or a Sentinel by name: which address to try next, and when.
 */


#ifndef _NGX_AGENT_CANARY_SERVER_H_INCLUDED_
#define _NGX_AGENT_CANARY_SERVER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_AGENT_CANARY_HOST_MAX  255


/* One of addr and error is NULL.  Both live until the handler returns. */

typedef void (*ngx_agent_canary_server_pt)(void *data, ngx_addr_t *addr,
    char *error);


typedef struct {
    ngx_str_t                    name;      /* host:port, for people */
    ngx_str_t                    host;      /* empty for a unix socket */
    in_port_t                    port;

    ngx_uint_t                   naddrs;    /* 0: to be resolved each time */
    ngx_addr_t                  *addrs;
    ngx_uint_t                   next;      /* the address to try next */

    ngx_addr_t                   addr;      /* see _set() */
    ngx_sockaddr_t               sockaddr;

    ngx_resolver_t              *resolver;
    ngx_msec_t                   timeout;

    ngx_resolver_ctx_t          *ctx;       /* a query that is under way */
    ngx_agent_canary_server_pt   handler;
    void                        *data;
} ngx_agent_canary_server_t;


/*
 * Makes it the server at host, a name or an address that has to live as long.
 * The resolver and its timeout stay; no query may be under way.
 */

void ngx_agent_canary_server_set(ngx_agent_canary_server_t *server,
    ngx_str_t *host, in_port_t port);

/*
 * Gives the handler the next address in turn, or tells why there is none.
 * The handler may run before this returns.  One query at a time.
 */

void ngx_agent_canary_server_find(ngx_agent_canary_server_t *server,
    ngx_agent_canary_server_pt handler, void *data);

/* The handler of a query that is under way will not run. */

void ngx_agent_canary_server_cancel(ngx_agent_canary_server_t *server);

/*
 * How long to wait after so many failures in a row: anything up to 100 ms,
 * twice that after each, at most 5 s.  Drawn at random, so that those who
 * lost the same server do not come back in the same moment.
 */

ngx_msec_t ngx_agent_canary_server_backoff(ngx_uint_t failures);

/* Non-zero for what may be a name or an address, by its characters. */

ngx_uint_t ngx_agent_canary_server_is_host(ngx_str_t *host);


#endif /* _NGX_AGENT_CANARY_SERVER_H_INCLUDED_ */
