
/*
 * TLS of the link: what its options say becomes a context of OpenSSL.
 */


#include "ngx_agent_canary_link_conf.h"


#if (NGX_SSL)

#define NGX_AGENT_CANARY_VERIFY_DEPTH  9


static char *ngx_agent_canary_link_ssl_verify(ngx_conf_t *cf,
    ngx_agent_canary_link_t *link, ngx_agent_canary_link_options_t *options);


char *
ngx_agent_canary_link_ssl(ngx_conf_t *cf, ngx_agent_canary_link_t *link,
    ngx_agent_canary_link_options_t *options)
{
    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (ssl == NULL || cln == NULL) {
        return NGX_CONF_ERROR;
    }

    ssl->log = cf->log;

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    link->access.ssl = ssl;
    link->access.ssl_name = options->ssl_name;

    if (!options->ssl_certificate.len != !options->ssl_certificate_key.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"ssl_certificate%s=%V\", "
                           "\"ssl_certificate=\" and \"ssl_certificate_key=\" "
                           "need each other",
                           options->ssl_certificate.len ? "" : "_key",
                           options->ssl_certificate.len
                               ? &options->ssl_certificate
                               : &options->ssl_certificate_key);
        return NGX_CONF_ERROR;
    }

    if (options->ssl_certificate.len
        && ngx_ssl_certificate(cf, ssl, &options->ssl_certificate,
                               &options->ssl_certificate_key, NULL)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_agent_canary_link_ssl_verify(cf, link, options) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    link->sentinel_access.ssl = ssl;
    link->sentinel_access.ssl_name = link->access.ssl_name;
    link->sentinel_access.ssl_verify = link->access.ssl_verify;

    return NGX_CONF_OK;
}


static char *
ngx_agent_canary_link_ssl_verify(ngx_conf_t *cf,
    ngx_agent_canary_link_t *link, ngx_agent_canary_link_options_t *options)
{
    ngx_str_t  *value;
    ngx_ssl_t  *ssl;

    ssl = link->access.ssl;
    value = &options->ssl_verify;

    if (value->len == 3 && ngx_strncmp(value->data, "off", 3) == 0) {
        return NGX_CONF_OK;
    }

    if (value->len
        && (value->len != 2 || ngx_strncmp(value->data, "on", 2) != 0))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"ssl_verify=%V\", expected "
                           "\"on\" or \"off\"", value);
        return NGX_CONF_ERROR;
    }

    link->access.ssl_verify = 1;

    if (ngx_ssl_trusted_certificate(cf, ssl, &options->ssl_trusted_certificate,
                                    NGX_AGENT_CANARY_VERIFY_DEPTH)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (options->ssl_trusted_certificate.len == 0
        && SSL_CTX_set_default_verify_paths(ssl->ctx) == 0)
    {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_default_verify_paths() failed");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}

#endif
