
/*
 * The link to Redis: worker 0 learns of every change of a flag and applies
 * it to the zone.
 */


#ifndef _NGX_AGENT_CANARY_LINK_H_INCLUDED_
#define _NGX_AGENT_CANARY_LINK_H_INCLUDED_


#include "ngx_agent_canary_module.h"
#include "ngx_agent_canary_redis.h"
#include "ngx_agent_canary_sentinel.h"
#include "ngx_agent_canary_server.h"
#include "ngx_agent_canary_sync.h"


#define NGX_AGENT_CANARY_PREFIX_MAX  64


struct ngx_agent_canary_link_s {

    /* made at configuration time */

    ngx_agent_canary_access_t      access;
    ngx_agent_canary_access_t      sentinel_access;
    ngx_array_t                    servers;     /* ..._server_t: the one
                                                   Redis, or all Sentinels */
    ngx_str_t                      master;      /* empty: no Sentinels */
    ngx_str_t                      prefix;
    ngx_msec_t                     poll;
    u_char                        *file_name;
    ngx_uint_t                     line;

    /* the rest is used by worker 0 only */

    ngx_agent_canary_zone_t       *zone;
    ngx_log_t                      log;
    ngx_agent_canary_link_state_e  state;

    ngx_agent_canary_sync_t        sync;
    ngx_agent_canary_sentinels_t   sentinels;
    ngx_agent_canary_master_t      target;      /* what Sentinels called the
                                                   master, last */
    ngx_agent_canary_server_t      target_server;

    ngx_agent_canary_server_t     *server;      /* tried or used */
    ngx_str_t                      address;
    u_char                         address_buf[128];

    ngx_agent_canary_redis_t      *push;        /* connection A */
    ngx_agent_canary_redis_t      *read;        /* connection B */
    unsigned                       subscribed:1;
    unsigned                       readable:1;

    ngx_event_t                    retry;
    ngx_event_t                    beat;
    ngx_connection_t               ident;

    unsigned                       push_beat:1; /* PING is unanswered */
    unsigned                       read_beat:1;

    ngx_uint_t                     failures;    /* in a row */
    ngx_msec_t                     since;       /* READY, or not any more */
    u_char                         reason[CANARY_ERROR_MAX];   /* told last */
};


/* agent_canary_redis url... [options] */

char *ngx_agent_canary_redis_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* After the whole http{} was read: resolver, checks that need other parts. */

ngx_int_t ngx_agent_canary_link_init(ngx_conf_t *cf,
    ngx_agent_canary_main_conf_t *mcf);

/* In init_process and exit_process of worker 0. */

ngx_int_t ngx_agent_canary_link_start(ngx_agent_canary_main_conf_t *mcf,
    ngx_cycle_t *cycle);
void ngx_agent_canary_link_stop(ngx_agent_canary_main_conf_t *mcf);


#endif /* _NGX_AGENT_CANARY_LINK_H_INCLUDED_ */
