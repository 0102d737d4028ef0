
/*
 * A password in a file of its own.
 */


#ifndef _NGX_AGENT_CANARY_PASSWORD_H_INCLUDED_
#define _NGX_AGENT_CANARY_PASSWORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Reads the one line of that file, which lives as long as the configuration.
 * In the master, before it gives up its privileges; workers inherit it.
 * Logs what is wrong, and returns NGX_CONF_ERROR.
 */

char *ngx_agent_canary_password(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *password);


#endif /* _NGX_AGENT_CANARY_PASSWORD_H_INCLUDED_ */
