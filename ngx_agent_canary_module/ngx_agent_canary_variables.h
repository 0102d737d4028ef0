
/*
 * The variables that tell of a decision, and of what became of it.
 */


#ifndef _NGX_AGENT_CANARY_VARIABLES_H_INCLUDED_
#define _NGX_AGENT_CANARY_VARIABLES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* In the preconfiguration of http{}. */

ngx_int_t ngx_agent_canary_add_variables(ngx_conf_t *cf);


#endif /* _NGX_AGENT_CANARY_VARIABLES_H_INCLUDED_ */
