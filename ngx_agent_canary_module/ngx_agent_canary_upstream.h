
/*
 * The built-in upstream "agent_canary": every *_pass to it goes to the
 * chosen arm, through that upstream's own balancer and keepalive.
 */


#ifndef _NGX_AGENT_CANARY_UPSTREAM_H_INCLUDED_
#define _NGX_AGENT_CANARY_UPSTREAM_H_INCLUDED_


#include "ngx_agent_canary_module.h"


/* In the preconfiguration of http{}: makes the name known. */

ngx_int_t ngx_agent_canary_add_upstream(ngx_conf_t *cf);

/* In its postconfiguration: finds the upstreams that the arms name. */

ngx_int_t ngx_agent_canary_find_upstreams(ngx_conf_t *cf,
    ngx_agent_canary_main_conf_t *mcf);


#endif /* _NGX_AGENT_CANARY_UPSTREAM_H_INCLUDED_ */
