
/*
 * The API: who answers what, and how answers are sent.
 */


#include "ngx_agent_canary_api.h"
#include "ngx_agent_canary_explain.h"
#include "ngx_agent_canary_metrics.h"
#include "ngx_agent_canary_status.h"
#include "ngx_agent_canary_trip.h"


/* Returns NGX_OK, or a status; with NGX_HTTP_BAD_REQUEST err says why. */

typedef ngx_int_t (*ngx_agent_canary_api_pt)(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err);


typedef struct {
    ngx_str_t                   name;
    ngx_agent_canary_api_pt     handler;
    ngx_str_t                   content_type;
} ngx_agent_canary_endpoint_t;


static ngx_int_t ngx_agent_canary_api_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_agent_canary_api_is(ngx_http_request_t *r,
    ngx_str_t *name);
static ngx_agent_canary_endpoint_t *ngx_agent_canary_endpoint(
    ngx_http_request_t *r);


static ngx_agent_canary_endpoint_t  ngx_agent_canary_endpoints[] = {

    { ngx_string("status"), ngx_agent_canary_status,
      ngx_string("application/json") },

    { ngx_string("explain"), ngx_agent_canary_explain,
      ngx_string("application/json") },

    { ngx_string("metrics"), ngx_agent_canary_metrics,
      ngx_string("text/plain; version=0.0.4; charset=utf-8") },

    { ngx_null_string, NULL, ngx_null_string }
};


char *
ngx_agent_canary_api_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agent_canary_loc_conf_t *lcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_agent_canary_api_handler) {
        return "is duplicate";
    }

    if (cf->args->nelts == 2) {
        value = cf->args->elts;

        if (ngx_strcmp(value[1].data, "trip") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", expected \"trip\"",
                               &value[1]);
            return NGX_CONF_ERROR;
        }

        lcf->trip = 1;
    }

    clcf->handler = ngx_agent_canary_api_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_agent_canary_api_handler(ngx_http_request_t *r)
{
    ngx_int_t                      rc;
    canary_error_t                 err;
    ngx_agent_canary_out_t         out;
    ngx_agent_canary_endpoint_t   *endpoint;
    ngx_agent_canary_main_conf_t  *mcf;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "agent canary api: \"%V\"", &r->uri);

    if (r->method == NGX_HTTP_POST
        && ngx_agent_canary_api_is(r, &ngx_agent_canary_trip_name))
    {
        return ngx_agent_canary_trip(r);
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_agent_canary_module);

    if (mcf->zone == NULL) {
        return ngx_agent_canary_api_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "no \"agent_canary_zone\" is configured");
    }

    endpoint = ngx_agent_canary_endpoint(r);

    if (endpoint == NULL) {
        return ngx_agent_canary_api_error(r, NGX_HTTP_NOT_FOUND,
                           ngx_agent_canary_api_is(r,
                                                &ngx_agent_canary_trip_name)
                           ? "expected a POST to .../trip"
                           : "expected .../status, .../explain or "
                             ".../metrics");
    }

    ngx_memzero(&out, sizeof(ngx_agent_canary_out_t));
    out.pool = r->pool;

    rc = endpoint->handler(r, mcf, &out, &err);

    if (rc == NGX_HTTP_BAD_REQUEST) {
        return ngx_agent_canary_api_error(r, rc, err.text);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_agent_canary_api_send(r, NGX_HTTP_OK, &endpoint->content_type,
                                     &out);
}


/* By the last part of the path, wherever the location is mounted. */

static ngx_uint_t
ngx_agent_canary_api_is(ngx_http_request_t *r, ngx_str_t *name)
{
    u_char  *p;

    if (r->uri.len <= name->len) {
        return 0;
    }

    p = r->uri.data + r->uri.len - name->len;

    return *(p - 1) == '/' && ngx_memcmp(p, name->data, name->len) == 0;
}


static ngx_agent_canary_endpoint_t *
ngx_agent_canary_endpoint(ngx_http_request_t *r)
{
    ngx_agent_canary_endpoint_t  *e;

    for (e = ngx_agent_canary_endpoints; e->name.len; e++) {
        if (ngx_agent_canary_api_is(r, &e->name)) {
            return e;
        }
    }

    return NULL;
}


ngx_int_t
ngx_agent_canary_api_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *content_type, ngx_agent_canary_out_t *out)
{
    ngx_int_t  rc;

    if (out->failed || out->last == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = out->size;
    r->headers_out.content_type = *content_type;
    r->headers_out.content_type_len = content_type->len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out->last->buf->last_buf = (r == r->main) ? 1 : 0;
    out->last->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, out->first);
}


ngx_int_t
ngx_agent_canary_api_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *text)
{
    ngx_str_t               content_type;
    ngx_agent_canary_out_t  out;

    ngx_str_set(&content_type, "application/json");

    ngx_memzero(&out, sizeof(ngx_agent_canary_out_t));
    out.pool = r->pool;

    ngx_agent_canary_out(&out, "{\"error\":");
    ngx_agent_canary_out_json(&out, text, ngx_strlen(text));
    ngx_agent_canary_out(&out, "}\n");

    return ngx_agent_canary_api_send(r, status, &content_type, &out);
}


ngx_int_t
ngx_agent_canary_api_argument(ngx_http_request_t *r, const char *name,
    canary_str_t *value)
{
    u_char     *dst, *src;
    ngx_str_t   arg;

    value->len = 0;
    value->data = "";

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &arg) != NGX_OK) {
        return NGX_DECLINED;
    }

    dst = ngx_pnalloc(r->pool, arg.len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    value->data = (char *) dst;

    src = arg.data;
    ngx_unescape_uri(&dst, &src, arg.len, 0);

    value->len = dst - (u_char *) value->data;

    return NGX_OK;
}
