
/*
 * The URL of a Redis server or a Sentinel:
 *
 *     redis://host[:port][/db]   rediss://host[:port][/db]   unix:/path[:/db]
 */


#ifndef _NGX_AGENT_CANARY_URL_H_INCLUDED_
#define _NGX_AGENT_CANARY_URL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_agent_canary_server.h"


typedef struct {
    ngx_agent_canary_server_t    server;    /* its name, host and addresses */
    ngx_str_t                    database;  /* as it is written, or empty */
    ngx_uint_t                   tls;       /* rediss:// */
} ngx_agent_canary_url_t;


/* Non-zero for what begins as one. */

ngx_uint_t ngx_agent_canary_url_match(ngx_str_t *value);

/*
 * Takes it apart; port is what to assume for it.  A host name is not resolved.
 * Logs what is wrong, and returns NGX_CONF_ERROR.
 */

char *ngx_agent_canary_url_parse(ngx_conf_t *cf, ngx_str_t *value,
    in_port_t port, ngx_agent_canary_url_t *url);


#endif /* _NGX_AGENT_CANARY_URL_H_INCLUDED_ */
