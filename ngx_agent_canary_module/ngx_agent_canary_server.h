
/*
 * A Redis server or a Sentinel by name: which address to try next, and when.
 */


#ifndef _NGX_AGENT_CANARY_SERVER_H_INCLUDED_
#define _NGX_AGENT_CANARY_SERVER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* One of addr and error is NULL.  addr lives until the handler returns. */

typedef void (*ngx_agent_canary_server_pt)(void *data, ngx_addr_t *addr,
    ngx_str_t *error);


typedef struct {
    ngx_str_t                    name;      /* host:port, for people */
    ngx_str_t                    host;      /* empty for a unix socket */
    in_port_t                    port;

    ngx_uint_t                   naddrs;    /* 0: to be resolved each time */
    ngx_addr_t                  *addrs;
    ngx_uint_t                   next;      /* the address to try next */

    ngx_resolver_t              *resolver;
    ngx_msec_t                   timeout;

    ngx_resolver_ctx_t          *ctx;       /* a query that is under way */
    ngx_agent_canary_server_pt   handler;
    void                        *data;
} ngx_agent_canary_server_t;


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


#endif /* _NGX_AGENT_CANARY_SERVER_H_INCLUDED_ */
