
/*
 * The decision for a request: made once per main request and flag, on first
 * use, kept across internal redirects, shared by all subrequests.
 */


#ifndef _NGX_AGENT_CANARY_DECISION_H_INCLUDED_
#define _NGX_AGENT_CANARY_DECISION_H_INCLUDED_


#include "ngx_agent_canary_module.h"


typedef struct ngx_agent_canary_ctx_s  ngx_agent_canary_ctx_t;

struct ngx_agent_canary_ctx_s {
    ngx_agent_canary_flag_t     *flag;
    canary_decision_t            decision;
    canary_arm_e                 route;     /* the arm, but for a dry run */
    uint64_t                     epoch;
    canary_mode_e                mode;
    ngx_str_t                    tenant;
    ngx_str_t                    bundle;
    ngx_agent_canary_ctx_t      *next;      /* of another flag */
    unsigned                     routed:1;  /* and counted */
};


/*
 * The decision for the flag of the request's location; NULL when there is
 * none, or no memory.
 */

ngx_agent_canary_ctx_t *ngx_agent_canary_decision(ngx_http_request_t *r);

/*
 * The same for a request that goes to its arm now, which is counted once.  A
 * request that ends before, and is only logged with a variable, is not.
 */

ngx_agent_canary_ctx_t *ngx_agent_canary_route(ngx_http_request_t *r);

/* The stale limit's answer right now. */

canary_stale_e ngx_agent_canary_stale(ngx_agent_canary_main_conf_t *mcf);

/* In the preconfiguration of http{}. */

ngx_int_t ngx_agent_canary_add_variables(ngx_conf_t *cf);


#endif /* _NGX_AGENT_CANARY_DECISION_H_INCLUDED_ */
