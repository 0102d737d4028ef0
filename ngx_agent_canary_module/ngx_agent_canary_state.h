
/*
 * The state file: what is known of the flags, for a start without Redis.
 */


#ifndef _NGX_AGENT_CANARY_STATE_H_INCLUDED_
#define _NGX_AGENT_CANARY_STATE_H_INCLUDED_


#include "ngx_agent_canary_module.h"


struct ngx_agent_canary_state_s {
    ngx_str_t                      path;    /* terminated */
    ngx_str_t                      directory;   /* terminated */
    ngx_err_t                      err;     /* the last one logged */
};


/* state= of agent_canary_zone */

char *ngx_agent_canary_state_add(ngx_conf_t *cf,
    ngx_agent_canary_main_conf_t *mcf, ngx_str_t *path);

/*
 * In the master, into a fresh zone.  A missing file is fine, a bad one is
 * refused as a whole and logged; only want of memory is an NGX_ERROR.
 */

ngx_int_t ngx_agent_canary_state_load(ngx_agent_canary_zone_t *zone);

/*
 * Writes what is not in the file yet.  Waits for the disk: not for a worker
 * that still serves.
 */

void ngx_agent_canary_state_save(ngx_agent_canary_main_conf_t *mcf);


#endif /* _NGX_AGENT_CANARY_STATE_H_INCLUDED_ */
