
/*
 * Asks Sentinels which server is the master.
 */


#ifndef _NGX_AGENT_CANARY_SENTINEL_H_INCLUDED_
#define _NGX_AGENT_CANARY_SENTINEL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_agent_canary_redis.h"
#include "ngx_agent_canary_server.h"


typedef struct ngx_agent_canary_sentinels_s  ngx_agent_canary_sentinels_t;


/* What a Sentinel calls the master. */

typedef struct {
    ngx_str_t                      host;
    in_port_t                      port;
    u_char                         buf[NGX_AGENT_CANARY_HOST_MAX + 1];
} ngx_agent_canary_master_t;


typedef struct {
    ngx_agent_canary_sentinels_t  *sentinels;
    ngx_agent_canary_server_t     *server;
    ngx_agent_canary_redis_t      *rc;
    ngx_event_t                    timer;
    ngx_connection_t               ident;
    ngx_uint_t                     failures;    /* in a row */

    ngx_msec_t                     answered;
    ngx_agent_canary_master_t      master;      /* host empty: none */
    unsigned                       known:1;     /* it answered, ever */
    unsigned                       asking:1;
    unsigned                       down:1;      /* and that is logged */
} ngx_agent_canary_sentinel_t;


struct ngx_agent_canary_sentinels_s {

    /* set by the owner */

    ngx_str_t                      name;        /* of the master */
    ngx_array_t                   *servers;     /* ..._server_t */
    ngx_agent_canary_access_t     *access;
    ngx_log_t                     *log;
    void                          *data;
    void                         (*on_answer)(void *data);

    /* the rest is written by ngx_agent_canary_sentinel.c */

    ngx_agent_canary_sentinel_t   *elts;
    ngx_uint_t                     nelts;
    u_char                         error[128];  /* why there is no master */
};


/* Once in the life of a worker; then on_answer runs after every answer. */

ngx_int_t ngx_agent_canary_sentinels_start(
    ngx_agent_canary_sentinels_t *sentinels, ngx_pool_t *pool);
void ngx_agent_canary_sentinels_stop(ngx_agent_canary_sentinels_t *sentinels);

/*
 * The master, as more than half of the Sentinels that are configured call
 * it.  When there is no patience, which is for a link that has been down for
 * a while, more than half of those that answered lately will do.
 *
 * NGX_DECLINED: no such majority; sentinels->error tells the numbers.
 */

ngx_int_t ngx_agent_canary_sentinels_master(
    ngx_agent_canary_sentinels_t *sentinels, ngx_uint_t patience,
    ngx_agent_canary_master_t **master);

ngx_uint_t ngx_agent_canary_master_same(ngx_agent_canary_master_t *one,
    ngx_agent_canary_master_t *two);


#endif /* _NGX_AGENT_CANARY_SENTINEL_H_INCLUDED_ */
