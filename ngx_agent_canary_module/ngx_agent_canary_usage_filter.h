
/*
 * Reads what an answer says of its tokens and failures while it passes.
 */


#ifndef _NGX_AGENT_CANARY_USAGE_FILTER_H_INCLUDED_
#define _NGX_AGENT_CANARY_USAGE_FILTER_H_INCLUDED_


#include "ngx_agent_canary_decision.h"


/* In the postconfiguration: the filters. */

ngx_int_t ngx_agent_canary_usage_init(ngx_conf_t *cf);

/* The body is over. */

void ngx_agent_canary_usage_done(ngx_agent_canary_ctx_t *ctx);

/* What the answer said; NULL before it is over, or when it was not read. */

canary_usage_t *ngx_agent_canary_usage(ngx_agent_canary_ctx_t *ctx);

/* Whether the answer of a gRPC arm says that the arm failed. */

ngx_uint_t ngx_agent_canary_usage_grpc(ngx_http_request_t *r);


#endif /* _NGX_AGENT_CANARY_USAGE_FILTER_H_INCLUDED_ */
