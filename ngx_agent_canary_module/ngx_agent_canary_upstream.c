
/*
 * The built-in upstream "agent_canary".
 */


#include "ngx_agent_canary_upstream.h"
#include "ngx_agent_canary_decision.h"


static ngx_int_t ngx_agent_canary_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_agent_canary_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_http_upstream_srv_conf_t *ngx_agent_canary_find_upstream(
    ngx_http_upstream_main_conf_t *umcf, ngx_str_t *name);


ngx_int_t
ngx_agent_canary_add_upstream(ngx_conf_t *cf)
{
    ngx_url_t                      u;
    ngx_http_upstream_srv_conf_t  *us;

    ngx_memzero(&u, sizeof(ngx_url_t));

    ngx_str_set(&u.host, "agent_canary");
    u.url = u.host;
    u.no_resolve = 1;
    u.no_port = 1;

    us = ngx_http_upstream_add(cf, &u, NGX_HTTP_UPSTREAM_CREATE);
    if (us == NULL) {
        return NGX_ERROR;
    }

    us->peer.init_upstream = ngx_agent_canary_init_upstream;

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    us->peer.init = ngx_agent_canary_init_peer;

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_agent_canary_ctx_t        *ctx;
    ngx_agent_canary_loc_conf_t   *lcf;
    ngx_http_upstream_srv_conf_t  *arm;

    lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

    if (lcf->binding == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "request is passed to \"agent_canary\" in a location "
                      "without the \"agent_canary\" directive");
        return NGX_ERROR;
    }

    ctx = ngx_agent_canary_route(r, lcf, 0);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    arm = lcf->binding->arms[ctx->route];

    /* from here on as if the arm had been named in proxy_pass */

    r->upstream->upstream = arm;

#if (NGX_HTTP_SSL)
    r->upstream->ssl_name = arm->host;
#endif

    return arm->peer.init(r, arm);
}


ngx_int_t
ngx_agent_canary_find_upstreams(ngx_conf_t *cf,
    ngx_agent_canary_main_conf_t *mcf)
{
    ngx_uint_t                      i, arm;
    ngx_agent_canary_binding_t    **binding, *b;
    ngx_http_upstream_main_conf_t  *umcf;

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);

    binding = mcf->bindings.elts;

    for (i = 0; i < mcf->bindings.nelts; i++) {
        b = binding[i];

        for (arm = 0; arm < CANARY_ARMS; arm++) {

            b->arms[arm] = ngx_agent_canary_find_upstream(umcf,
                                                          &b->names[arm]);
            if (b->arms[arm]) {
                continue;
            }

            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown upstream \"%V\" in \"%*s=%V\" "
                          "of \"agent_canary\", expected the name "
                          "of an \"upstream\" block, in %s:%ui",
                          &b->names[arm], canary_arm_names[arm].len,
                          canary_arm_names[arm].data, &b->names[arm],
                          b->file_name, b->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_http_upstream_srv_conf_t *
ngx_agent_canary_find_upstream(ngx_http_upstream_main_conf_t *umcf,
    ngx_str_t *name)
{
    ngx_uint_t                      i;
    ngx_http_upstream_srv_conf_t  **uscf;

    uscf = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        /* an upstream block, but not the built-in one */

        if ((uscf[i]->flags & NGX_HTTP_UPSTREAM_CREATE)
            && uscf[i]->servers != NULL
            && uscf[i]->host.len == name->len
            && ngx_strncasecmp(uscf[i]->host.data, name->data, name->len) == 0)
        {
            return uscf[i];
        }
    }

    return NULL;
}
