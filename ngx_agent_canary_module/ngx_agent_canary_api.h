
/*
 * The API: status, explain and metrics of this instance, and trips.
 */


#ifndef _NGX_AGENT_CANARY_API_H_INCLUDED_
#define _NGX_AGENT_CANARY_API_H_INCLUDED_


#include "ngx_agent_canary_module.h"
#include "ngx_agent_canary_out.h"


/* agent_canary_api */

char *ngx_agent_canary_api_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


/*
 * An argument of the request, unescaped.  NGX_DECLINED and an empty value
 * when there is none.
 */

ngx_int_t ngx_agent_canary_api_argument(ngx_http_request_t *r,
    const char *name, canary_str_t *value);

/* Answers with a document. */

ngx_int_t ngx_agent_canary_api_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *content_type, ngx_agent_canary_out_t *out);

/* Answers {"error": text}. */

ngx_int_t ngx_agent_canary_api_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *text);


#endif /* _NGX_AGENT_CANARY_API_H_INCLUDED_ */
