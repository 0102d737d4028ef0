
/*
 * GET .../status: what this instance knows, and what its arms did, as JSON.
 */


#ifndef _NGX_AGENT_CANARY_STATUS_H_INCLUDED_
#define _NGX_AGENT_CANARY_STATUS_H_INCLUDED_


#include "ngx_agent_canary_module.h"
#include "ngx_agent_canary_out.h"


ngx_int_t ngx_agent_canary_status(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err);


#endif /* _NGX_AGENT_CANARY_STATUS_H_INCLUDED_ */
