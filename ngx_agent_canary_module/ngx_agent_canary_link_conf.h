
/*
 * The options of agent_canary_redis, for the files that read them.
 */


#ifndef _NGX_AGENT_CANARY_LINK_CONF_H_INCLUDED_
#define _NGX_AGENT_CANARY_LINK_CONF_H_INCLUDED_


#include "ngx_agent_canary_link.h"


typedef struct {
    ngx_str_t                 sentinel;
    ngx_str_t                 username;
    ngx_str_t                 password_file;
    ngx_str_t                 sentinel_username;
    ngx_str_t                 sentinel_password_file;
    ngx_str_t                 prefix;
    ngx_str_t                 poll;
    ngx_str_t                 connect_timeout;
    ngx_str_t                 ssl_trusted_certificate;
    ngx_str_t                 ssl_certificate;
    ngx_str_t                 ssl_certificate_key;
    ngx_str_t                 ssl_name;
    ngx_str_t                 ssl_verify;
} ngx_agent_canary_link_options_t;


#if (NGX_SSL)

/* The access of Redis and of the Sentinels gets TLS, of rediss:// URLs. */

char *ngx_agent_canary_link_ssl(ngx_conf_t *cf, ngx_agent_canary_link_t *link,
    ngx_agent_canary_link_options_t *options);

#endif


#endif /* _NGX_AGENT_CANARY_LINK_CONF_H_INCLUDED_ */
