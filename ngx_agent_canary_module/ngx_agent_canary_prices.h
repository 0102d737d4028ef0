
/*
 * agent_canary_prices: what tokens cost.
 */


#ifndef _NGX_AGENT_CANARY_PRICES_H_INCLUDED_
#define _NGX_AGENT_CANARY_PRICES_H_INCLUDED_


#include "ngx_agent_canary_module.h"


/* agent_canary_prices file */

char *ngx_agent_canary_prices_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_AGENT_CANARY_PRICES_H_INCLUDED_ */
