
/*
 * The deadlines of requests: one that is older counts as an error at that
 * moment, whatever comes of it later.
 */


#ifndef _NGX_AGENT_CANARY_DEADLINE_H_INCLUDED_
#define _NGX_AGENT_CANARY_DEADLINE_H_INCLUDED_


#include "ngx_agent_canary_decision.h"


/* A request with a deadline, in the order in which they came. */

struct ngx_agent_canary_wait_s {
    ngx_queue_t                  queue;
    ngx_agent_canary_ctx_t      *ctx;
    ngx_msec_t                   deadline;
    ngx_msec_t                   expires;
};


/* In init_process of a worker. */

void ngx_agent_canary_deadline_start(ngx_agent_canary_main_conf_t *mcf,
    ngx_cycle_t *cycle);

/* For a request that counts now. */

void ngx_agent_canary_deadline_set(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_ctx_t *ctx,
    ngx_msec_t deadline);


/* The request is over: nearly all have none. */

static ngx_inline void
ngx_agent_canary_deadline_cancel(ngx_agent_canary_ctx_t *ctx)
{
    if (ctx->wait) {
        ngx_queue_remove(&ctx->wait->queue);
        ctx->wait = NULL;
    }
}


#endif /* _NGX_AGENT_CANARY_DEADLINE_H_INCLUDED_ */
