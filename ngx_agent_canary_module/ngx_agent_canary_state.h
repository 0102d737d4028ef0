
/*
 * The state file: what is known of the flags, for a start without Redis.
 */


#ifndef _NGX_AGENT_CANARY_STATE_H_INCLUDED_
#define _NGX_AGENT_CANARY_STATE_H_INCLUDED_


#include "ngx_agent_canary_zone.h"


struct ngx_agent_canary_state_s {
    ngx_str_t                      path;    /* terminated */
    ngx_str_t                      temp;    /* terminated; per process */
    ngx_str_t                      directory;   /* terminated */
    ngx_thread_pool_t             *thread_pool;
    ngx_thread_task_t             *task;
    ngx_event_t                    timer;
    ngx_connection_t               fake;    /* for debug logs of the timer */
    ngx_agent_canary_zone_t       *zone;
    ngx_err_t                      err;     /* the last one logged */
    unsigned                       busy:1;
};


/* state= of agent_canary_zone */

char *ngx_agent_canary_state_add(ngx_conf_t *cf,
    ngx_agent_canary_main_conf_t *mcf, ngx_str_t *path);

/*
 * In the master, into a fresh zone.  A missing file is fine, a bad one is
 * refused as a whole and logged; only want of memory is an NGX_ERROR.
 */

ngx_int_t ngx_agent_canary_state_load(ngx_agent_canary_zone_t *zone);

/* In worker 0; stop saves at once what is not saved yet. */

ngx_int_t ngx_agent_canary_state_start(ngx_agent_canary_main_conf_t *mcf,
    ngx_cycle_t *cycle);
void ngx_agent_canary_state_stop(ngx_agent_canary_main_conf_t *mcf);

/* Bytes for secrets and ids, from the system. */

ngx_int_t ngx_agent_canary_random(u_char *p, size_t len);


#endif /* _NGX_AGENT_CANARY_STATE_H_INCLUDED_ */
