
/*
 * What became of a request: every one that went to an arm is tallied, at its
 * end or at its deadline.
 */


#ifndef _NGX_AGENT_CANARY_OBSERVE_H_INCLUDED_
#define _NGX_AGENT_CANARY_OBSERVE_H_INCLUDED_


#include "ngx_agent_canary_decision.h"
#include "ngx_agent_canary_tally.h"


/* The words of agent_canary_outcome; ctx->outcome is an index plus 1. */

extern const canary_str_t  ngx_agent_canary_outcomes[];


/* A request goes to its arm now; ctx is filled and routed. */

void ngx_agent_canary_observe_begin(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_loc_conf_t *lcf,
    ngx_agent_canary_ctx_t *ctx);

/* In the postconfiguration: the log phase. */

ngx_int_t ngx_agent_canary_observe_init(ngx_conf_t *cf);

/* In init_process of a worker: the deadlines. */

void ngx_agent_canary_observe_start(ngx_agent_canary_main_conf_t *mcf,
    ngx_cycle_t *cycle);


#endif /* _NGX_AGENT_CANARY_OBSERVE_H_INCLUDED_ */
