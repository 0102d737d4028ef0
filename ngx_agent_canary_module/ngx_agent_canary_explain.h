
/*
 * GET .../explain: what would happen to a key, and why; counts nothing.
 */


#ifndef _NGX_AGENT_CANARY_EXPLAIN_H_INCLUDED_
#define _NGX_AGENT_CANARY_EXPLAIN_H_INCLUDED_


#include "ngx_agent_canary_module.h"
#include "ngx_agent_canary_out.h"


ngx_int_t ngx_agent_canary_explain(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err);


#endif /* _NGX_AGENT_CANARY_EXPLAIN_H_INCLUDED_ */
