
/*
 * The API: status, explain and metrics of this instance.
 */


#ifndef _NGX_AGENT_CANARY_API_H_INCLUDED_
#define _NGX_AGENT_CANARY_API_H_INCLUDED_


#include "ngx_agent_canary_module.h"


/* agent_canary_api */

char *ngx_agent_canary_api_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_AGENT_CANARY_API_H_INCLUDED_ */
