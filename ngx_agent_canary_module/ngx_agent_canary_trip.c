
/*
 * POST .../trip: a rollback that needs no Redis.
 */


#include "ngx_agent_canary_trip.h"
#include "ngx_agent_canary_api.h"
#include "ngx_agent_canary_zone.h"
#include "../canary/json.h"


static void ngx_agent_canary_trip_body(ngx_http_request_t *r);
static ngx_int_t ngx_agent_canary_trip_read(ngx_http_request_t *r,
    canary_str_t *json);
static ngx_int_t ngx_agent_canary_trip_copy(ngx_buf_t *b, u_char *p,
    size_t size);
static ngx_int_t ngx_agent_canary_trip_too_long(ngx_http_request_t *r);
static ngx_int_t ngx_agent_canary_trip_apply(ngx_http_request_t *r,
    canary_str_t json);
static ngx_agent_canary_flag_t *ngx_agent_canary_trip_flag(
    ngx_agent_canary_main_conf_t *mcf, canary_str_t json,
    canary_error_t *err);


ngx_str_t  ngx_agent_canary_trip_name = ngx_string("trip");


ngx_int_t
ngx_agent_canary_trip(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_agent_canary_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

    if (!lcf->trip) {
        rc = ngx_http_discard_request_body(r);

        return (rc == NGX_OK)
               ? ngx_agent_canary_api_error(r, NGX_HTTP_NOT_ALLOWED,
                              "expected \"agent_canary_api trip\" here, "
                              "this location takes no trips")
               : rc;
    }

    if (r->headers_in.content_length_n > CANARY_TRIP_MAX) {
        rc = ngx_http_discard_request_body(r);

        return (rc == NGX_OK) ? ngx_agent_canary_trip_too_long(r) : rc;
    }

    rc = ngx_http_read_client_request_body(r, ngx_agent_canary_trip_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_agent_canary_trip_body(ngx_http_request_t *r)
{
    ngx_int_t     rc;
    canary_str_t  json;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "agent canary trip");

    rc = ngx_agent_canary_trip_read(r, &json);

    if (rc == NGX_OK) {
        rc = ngx_agent_canary_trip_apply(r, json);

    } else if (rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        rc = ngx_agent_canary_trip_too_long(r);
    }

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_agent_canary_trip_read(ngx_http_request_t *r, canary_str_t *json)
{
    off_t         size;
    u_char       *p, *last;
    ngx_chain_t  *cl;

    p = ngx_pnalloc(r->pool, CANARY_TRIP_MAX);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    json->data = (char *) p;
    last = p + CANARY_TRIP_MAX;

    cl = r->request_body ? r->request_body->bufs : NULL;

    for ( /* void */ ; cl; cl = cl->next) {
        size = ngx_buf_size(cl->buf);

        if (size > last - p) {
            return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
        }

        if (ngx_agent_canary_trip_copy(cl->buf, p, (size_t) size) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        p += size;
    }

    json->len = p - (u_char *) json->data;

    return NGX_OK;
}


/* What is longer than client_body_buffer_size lies in a file. */

static ngx_int_t
ngx_agent_canary_trip_copy(ngx_buf_t *b, u_char *p, size_t size)
{
    /* a buffer of nothing but the end is neither here nor there */

    if (size == 0) {
        return NGX_OK;
    }

    if (!b->in_file) {
        ngx_memcpy(p, b->pos, size);
        return NGX_OK;
    }

    return (ngx_read_file(b->file, p, size, b->file_pos) == (ssize_t) size)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_agent_canary_trip_too_long(ngx_http_request_t *r)
{
    char  text[sizeof("trip: expected at most 65536 bytes")];

    (void) ngx_sprintf((u_char *) text, "trip: expected at most %d bytes%Z",
                       CANARY_TRIP_MAX);

    return ngx_agent_canary_api_error(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                      text);
}


static ngx_int_t
ngx_agent_canary_trip_apply(ngx_http_request_t *r, canary_str_t json)
{
    ngx_int_t                      rc;
    ngx_str_t                      content_type;
    canary_trip_t                  trip;
    canary_error_t                 err;
    ngx_agent_canary_out_t         out;
    ngx_agent_canary_flag_t       *flag;
    ngx_agent_canary_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_agent_canary_module);

    if (mcf->zone == NULL) {
        return ngx_agent_canary_api_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "no \"agent_canary_zone\" is configured");
    }

    flag = ngx_agent_canary_trip_flag(mcf, json, &err);

    if (flag == NULL
        || canary_trip_parse(&trip, ngx_agent_canary_cstr(&flag->sn.str),
                             json, &err)
           != 0)
    {
        return ngx_agent_canary_api_error(r, NGX_HTTP_BAD_REQUEST, err.text);
    }

    rc = ngx_agent_canary_zone_trip(mcf->zone, flag->node, json);

    /* without room for its text, the latch itself holds */

    if (rc == NGX_BUSY) {
        return ngx_agent_canary_api_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                          "the zone is busy, try again");
    }

    ngx_str_set(&content_type, "application/json");

    ngx_memzero(&out, sizeof(ngx_agent_canary_out_t));
    out.pool = r->pool;

    ngx_agent_canary_out(&out, "{\"applied\":%s}\n",
                         rc == NGX_DECLINED ? "false" : "true");

    return ngx_agent_canary_api_send(r, NGX_HTTP_OK, &content_type, &out);
}


static ngx_agent_canary_flag_t *
ngx_agent_canary_trip_flag(ngx_agent_canary_main_conf_t *mcf,
    canary_str_t json, canary_error_t *err)
{
    json_t                   *root, *value;
    ngx_str_t                 name;
    ngx_agent_canary_flag_t  *flag;

    static const char         expected[] = "expected a flag that "
                                           "agent_canary names";

    root = canary_json_load("trip", json, "expected a JSON object", err);
    if (root == NULL) {
        return NULL;
    }

    flag = NULL;
    value = json_object_get(root, "flag");

    if (json_is_string(value)) {
        name.data = (u_char *) json_string_value(value);
        name.len = json_string_length(value);

        flag = name.len ? ngx_agent_canary_flag_find(mcf, &name) : NULL;

        if (flag == NULL) {
            canary_error(err, "flag", ngx_agent_canary_cstr(&name), expected);
        }

    } else {
        canary_json_error(err, "flag", value, expected);
    }

    json_decref(root);

    return flag;
}
