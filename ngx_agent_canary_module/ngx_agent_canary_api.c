
/*
 * The API: GET .../status and .../explain (JSON), .../metrics (Prometheus).
 */


#include "ngx_agent_canary_api.h"
#include "ngx_agent_canary_decision.h"
#include "ngx_agent_canary_link.h"
#include "ngx_agent_canary_metrics.h"
#include "ngx_agent_canary_out.h"
#include "ngx_agent_canary_state.h"
#include "ngx_agent_canary_tally.h"
#include "ngx_agent_canary_trip.h"


/* between the clocks that two workers keep, in milliseconds */
#define NGX_AGENT_CANARY_CLOCK_SKEW  500

/* a command with the prefix, the name of a flag and an epoch */
#define NGX_AGENT_CANARY_LIFT_MAX                                            \
    (NGX_AGENT_CANARY_PREFIX_MAX + CANARY_FLAG_NAME_MAX + 64)


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
static ngx_int_t ngx_agent_canary_status(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err);
static void ngx_agent_canary_status_redis(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_status_guard(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_status_zone(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_status_flag(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_flag_t *flag, ngx_agent_canary_sum_t *sum,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_status_parsed(canary_flag_t *flag,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_status_raw(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_flag_t *flag, ngx_agent_canary_out_t *out);
static void ngx_agent_canary_status_lift(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_flag_t *flag, ngx_agent_canary_out_t *out);
static void ngx_agent_canary_status_decisions(ngx_agent_canary_sum_t *sum,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_status_arms(ngx_agent_canary_sum_t *sum,
    ngx_agent_canary_out_t *out);
static ngx_int_t ngx_agent_canary_status_args(ngx_http_request_t *r,
    ngx_agent_canary_zone_t *zone, ngx_msec_t *since, ngx_uint_t *all,
    canary_error_t *err);
static ngx_int_t ngx_agent_canary_explain(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err);
static ngx_int_t ngx_agent_canary_explain_args(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_flag_t **flag,
    canary_request_t *request, canary_error_t *err);
static ngx_int_t ngx_agent_canary_argument(ngx_http_request_t *r,
    const char *name, canary_str_t *value);
static void ngx_agent_canary_out_percent(ngx_agent_canary_out_t *out,
    uint32_t percent);


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
                           "expected .../status, .../explain or .../metrics");
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


static ngx_int_t
ngx_agent_canary_status(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i, n, all;
    ngx_msec_t                 since;
    ngx_agent_canary_sum_t     sum;
    ngx_agent_canary_flag_t  **flag;

    rc = ngx_agent_canary_status_args(r, mcf->zone, &since, &all, err);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_agent_canary_tally_reap(mcf);

    ngx_agent_canary_out(out, "{\"version\":\"%s\",\"nginx\":\"%s\","
                         "\"boot_id\":\"%*s\",\"worker\":%i,\"pid\":%P,"
                         "\"clock_ms\":%M",
                         NGX_AGENT_CANARY_VERSION, NGINX_VERSION,
                         sizeof(mcf->zone->sh->boot_id),
                         mcf->zone->sh->boot_id, (ngx_int_t) ngx_worker,
                         ngx_pid, ngx_current_msec);

    ngx_agent_canary_status_redis(mcf->zone, out);
    ngx_agent_canary_status_guard(mcf->zone, out);
    ngx_agent_canary_status_zone(mcf, out);

    ngx_agent_canary_out(out, ",\"flags\":[");

    flag = mcf->flags.elts;

    for (i = 0, n = 0; i < mcf->flags.nelts; i++) {

        ngx_agent_canary_tally_sum(mcf->zone, flag[i]->node, &sum);

        /* what a scraper that comes four times a second knows already */

        if (!all
            && (sum.blocks == 0
                || (ngx_msec_int_t) (sum.touched - since) < 0)
            && (ngx_msec_int_t) (flag[i]->node->published - since) < 0)
        {
            continue;
        }

        if (n++) {
            ngx_agent_canary_out(out, ",");
        }

        ngx_agent_canary_status_flag(mcf, flag[i], &sum, out);
    }

    ngx_agent_canary_out(out, "]}\n");

    return NGX_OK;
}


/*
 * since=: the clock_ms of an earlier status, leaves out flags that have not
 * changed; guard=: the name of a sidecar, which is there then.
 */

static ngx_int_t
ngx_agent_canary_status_args(ngx_http_request_t *r,
    ngx_agent_canary_zone_t *zone, ngx_msec_t *since, ngx_uint_t *all,
    canary_error_t *err)
{
    off_t         n;
    ngx_str_t     name;
    canary_str_t  value;

    if (ngx_agent_canary_argument(r, "guard", &value) == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (value.len) {
        if (!canary_flag_name_valid(value)) {
            canary_error(err, "guard", value,
                         "expected 1 to 64 of A-Z a-z 0-9 . _ -");
            return NGX_HTTP_BAD_REQUEST;
        }

        name.len = value.len;
        name.data = (u_char *) value.data;

        ngx_agent_canary_zone_guarded(zone, &name);
    }

    if (ngx_agent_canary_argument(r, "since", &value) == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    *all = (value.len == 0);
    *since = 0;

    if (*all) {
        return NGX_OK;
    }

    n = ngx_atoof((u_char *) value.data, value.len);

    if (n == NGX_ERROR) {
        canary_error(err, "since", value, "expected a clock_ms");
        return NGX_HTTP_BAD_REQUEST;
    }

    /* the clocks of two workers differ by a little */

    *since = (ngx_msec_t) n - NGX_AGENT_CANARY_CLOCK_SKEW;

    /* flags grow stale by time alone, and nothing of them changes then */

    *all = !ngx_agent_canary_zone_fresh(zone)
           || (ngx_msec_int_t) (zone->sh->renewed - *since) >= 0;

    return NGX_OK;
}


static void
ngx_agent_canary_status_guard(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_out_t *out)
{
    ngx_msec_int_t  age;

    age = ngx_agent_canary_zone_guard_age(zone);

    if (age < 0) {
        ngx_agent_canary_out(out, ",\"guard\":null");
        return;
    }

    /* the name was checked when it came */

    ngx_agent_canary_out(out, ",\"guard\":{\"name\":\"%s\",\"age_ms\":%M}",
                         zone->sh->guard, age);
}


static void
ngx_agent_canary_status_redis(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_out_t *out)
{
    ngx_agent_canary_link_status_t   link;

    static const char               *names[] = {
        "off", "connecting", "loading", "ready", "failed"
    };

    link = zone->sh->link;

    ngx_agent_canary_out(out, ",\"redis\":{\"state\":\"%s\",\"fresh\":%s,"
                         "\"age_ms\":",
                         names[link.state],
                         ngx_agent_canary_zone_fresh(zone) ? "true"
                                                           : "false");

    if (zone->sh->synced) {
        ngx_agent_canary_out(out, "%M", ngx_agent_canary_zone_age(zone));

    } else {
        ngx_agent_canary_out(out, "null");
    }

    ngx_agent_canary_out(out, ",\"address\":");
    ngx_agent_canary_out_json(out, link.address, ngx_strlen(link.address));
    ngx_agent_canary_out(out, ",\"reason\":");
    ngx_agent_canary_out_json(out, link.reason, ngx_strlen(link.reason));

    ngx_agent_canary_out(out, ",\"connects\":%uA,\"failures\":%uA,"
                         "\"reads\":%uA,\"pushes\":%uA}",
                         link.connects, link.failures, link.reads,
                         link.pushes);
}


static void
ngx_agent_canary_status_zone(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out)
{
    ngx_agent_canary_zone_t   *zone;
    ngx_agent_canary_shctx_t  *sh;

    zone = mcf->zone;
    sh = zone->sh;

    ngx_agent_canary_out(out, ",\"zone\":{\"name\":");
    ngx_agent_canary_out_json(out, zone->shm_zone->shm.name.data,
                              zone->shm_zone->shm.name.len);
    ngx_agent_canary_out(out, ",\"size\":%uz,\"free\":%uz,\"refused\":%uA},"
                         "\"state_file\":", zone->shm_zone->shm.size,
                         (size_t) zone->shpool->pfree * ngx_pagesize,
                         sh->refused);

    if (mcf->state == NULL) {
        ngx_agent_canary_out(out, "null");
        return;
    }

    ngx_agent_canary_out(out, "{\"path\":");
    ngx_agent_canary_out_json(out, mcf->state->path.data,
                              mcf->state->path.len);
    ngx_agent_canary_out(out, ",\"pending\":%s,\"failures\":%uA}",
                         sh->changes == sh->saved ? "false" : "true",
                         sh->save_failures);
}


static void
ngx_agent_canary_status_flag(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_flag_t *flag, ngx_agent_canary_sum_t *sum,
    ngx_agent_canary_out_t *out)
{
    canary_str_t              state;
    ngx_agent_canary_slot_t   slot;
    ngx_agent_canary_zone_t  *zone;

    zone = mcf->zone;

    ngx_agent_canary_zone_refresh(zone, flag);

    if (ngx_agent_canary_zone_peek(flag->node, &slot) != NGX_OK) {
        ngx_memzero(&slot, sizeof(ngx_agent_canary_slot_t));
    }

    state = ngx_agent_canary_flag_state_name(zone, slot.state);

    /* the name holds nothing that JSON would have to escape */

    ngx_agent_canary_out(out, "\n{\"name\":\"%V\",\"state\":\"%s\","
                         "\"reason\":", &flag->sn.str, state.data);
    ngx_agent_canary_out_json(out, slot.reason.text,
                              ngx_strlen(slot.reason.text));

    if (flag->known) {
        ngx_agent_canary_status_parsed(&flag->parsed, out);
    }

    ngx_agent_canary_status_raw(mcf, flag, out);
    ngx_agent_canary_status_decisions(sum, out);

    if (sum->blocks) {
        ngx_agent_canary_status_arms(sum, out);
    }

    ngx_agent_canary_out(out, "}");
}


static void
ngx_agent_canary_status_parsed(canary_flag_t *flag,
    ngx_agent_canary_out_t *out)
{
    uint32_t  i;

    ngx_agent_canary_out(out, ",\"percent\":");
    ngx_agent_canary_out_percent(out, flag->percent);

    ngx_agent_canary_out(out, ",\"enabled\":%s,\"epoch\":%uL,\"stages\":[",
                         flag->enabled ? "true" : "false", flag->epoch);

    for (i = 0; i < flag->stages.n; i++) {
        ngx_agent_canary_out(out, i ? "," : "");
        ngx_agent_canary_out_percent(out, flag->stages.stage[i]);
    }

    ngx_agent_canary_out(out, "],\"shadow\":");
    ngx_agent_canary_out_percent(out, flag->shadow);

    ngx_agent_canary_out(out, ",\"mode\":\"%s\",\"bundle\":{\"baseline\":",
                         canary_mode_names[flag->mode].data);
    ngx_agent_canary_out_json(out, flag->bundle[CANARY_ARM_BASELINE],
                         ngx_strlen(flag->bundle[CANARY_ARM_BASELINE]));

    ngx_agent_canary_out(out, ",\"candidate\":");
    ngx_agent_canary_out_json(out, flag->bundle[CANARY_ARM_CANDIDATE],
                         ngx_strlen(flag->bundle[CANARY_ARM_CANDIDATE]));

    ngx_agent_canary_out(out, "},\"allow\":%uz,\"deny\":%uz,\"tenants\":%uz,"
                         "\"unknown_field\":",
                         canary_set_count(flag->allow),
                         canary_set_count(flag->deny),
                         canary_set_count(flag->tenants));

    if (flag->unknown[0]) {
        ngx_agent_canary_out_json(out, flag->unknown,
                                  ngx_strlen(flag->unknown));

    } else {
        ngx_agent_canary_out(out, "null");
    }
}


/* The trip and the guardrails: JSON as it was accepted. */

static void
ngx_agent_canary_status_raw(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_flag_t *flag, ngx_agent_canary_out_t *out)
{
    canary_str_t              guardrails;
    ngx_agent_canary_view_t   view;
    ngx_agent_canary_zone_t  *zone;

    zone = mcf->zone;

    ngx_agent_canary_out(out, ",\"tripped\":%s",
                         ngx_agent_canary_flag_tripped(flag) ? "true"
                                                             : "false");

    if (ngx_agent_canary_zone_read(zone, flag->node, &view) != NGX_OK) {
        return;
    }

    if (flag->latched) {
        ngx_agent_canary_out(out, ",\"trip\":{\"epoch\":%uL,\"percent\":",
                             flag->trip.epoch);
        ngx_agent_canary_out_percent(out, flag->trip.percent);

        if (view.known.trip.len) {
            ngx_agent_canary_out(out, ",\"record\":");
            ngx_agent_canary_out_raw(out, view.known.trip.data,
                                     view.known.trip.len);
        }

        if (ngx_agent_canary_flag_tripped(flag) && mcf->link) {
            ngx_agent_canary_status_lift(mcf, flag, out);
        }

        ngx_agent_canary_out(out, "}");

    } else {
        ngx_agent_canary_out(out, ",\"trip\":null");
    }

    guardrails = canary_record_find(view.known.record, "guardrails");

    if (guardrails.len) {
        ngx_agent_canary_out(out, ",\"guardrails\":");
        ngx_agent_canary_out_raw(out, guardrails.data, guardrails.len);

    } else {
        ngx_agent_canary_out(out, ",\"guardrails\":null");
    }

    if (view.buffer) {
        ngx_free(view.buffer);
    }
}


/* What an owner types to lift a trip: any higher epoch does it. */

static void
ngx_agent_canary_status_lift(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_flag_t *flag, ngx_agent_canary_out_t *out)
{
    u_char  *last;
    u_char   text[NGX_AGENT_CANARY_LIFT_MAX];

    last = ngx_snprintf(text, sizeof(text),
                        "redis-cli HSET %Vflag:%V epoch %uL",
                        &mcf->link->prefix, &flag->sn.str,
                        flag->trip.epoch + 1);

    ngx_agent_canary_out(out, ",\"lift\":");
    ngx_agent_canary_out_json(out, text, last - text);
}


static void
ngx_agent_canary_status_decisions(ngx_agent_canary_sum_t *sum,
    ngx_agent_canary_out_t *out)
{
    ngx_uint_t  arm, reason, comma;

    ngx_agent_canary_out(out, ",\"decisions\":{");

    for (arm = 0; arm < CANARY_ARMS; arm++) {

        ngx_agent_canary_out(out, "%s\"%s\":{", arm ? "," : "",
                             canary_arm_names[arm].data);
        comma = 0;

        for (reason = 0; reason < CANARY_REASONS; reason++) {

            if (sum->decisions[arm][reason]) {
                ngx_agent_canary_out(out, "%s\"%s\":%uL", comma ? "," : "",
                                     canary_reason_names[reason].data,
                                     sum->decisions[arm][reason]);
                comma = 1;
            }
        }

        ngx_agent_canary_out(out, "}");
    }

    ngx_agent_canary_out(out, "}");
}


static void
ngx_agent_canary_status_arms(ngx_agent_canary_sum_t *sum,
    ngx_agent_canary_out_t *out)
{
    char                         text[CANARY_TALLY_TEXT_MAX];
    size_t                       len;
    ngx_uint_t                   arm;
    const char                  *quote;
    const canary_tally_field_t  *field;

    ngx_agent_canary_out(out, ",\"arms\":{");

    for (arm = 0; arm < CANARY_ARMS; arm++) {

        ngx_agent_canary_out(out, "%s\"%s\":{\"in_flight\":%uL",
                             arm ? "," : "", canary_arm_names[arm].data,
                             sum->in_flight[arm]);

        for (field = canary_tally_fields; field->name.len; field++) {

            len = canary_tally_format(text, field, &sum->arm[arm]);

            /* the numbers of a histogram are one string: read in one go */

            quote = (field->n > 1) ? "\"" : "";

            ngx_agent_canary_out(out, ",\"%s\":%s", field->name.data, quote);
            ngx_agent_canary_out_raw(out, text, len);
            ngx_agent_canary_out(out, quote);
        }

        ngx_agent_canary_out(out, "}");
    }

    ngx_agent_canary_out(out, "}");
}


/* What would happen to a key, and why; counts nothing. */

static ngx_int_t
ngx_agent_canary_explain(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err)
{
    ngx_int_t                 rc;
    canary_request_t          request;
    canary_decision_t         d;
    ngx_agent_canary_flag_t  *flag;
    ngx_agent_canary_slot_t   slot;

    rc = ngx_agent_canary_explain_args(r, mcf, &flag, &request, err);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_agent_canary_zone_refresh(mcf->zone, flag);

    if (ngx_agent_canary_zone_peek(flag->node, &slot) != NGX_OK) {
        slot.state = CANARY_STATE_UNKNOWN;
    }

    canary_decide(&d, flag->known ? &flag->parsed : NULL,
                  flag->latched ? &flag->trip : NULL, &request);

    ngx_agent_canary_out(out, "{\"flag\":\"%V\",\"state\":\"%s\","
                         "\"arm\":\"%s\",\"reason\":\"%s\",\"percent\":",
                         &flag->sn.str,
                         ngx_agent_canary_flag_state_name(mcf->zone,
                                                     slot.state).data,
                         canary_arm_names[d.arm].data,
                         canary_reason_names[d.reason].data);

    ngx_agent_canary_out_percent(out, d.percent);

    if (d.bucket == CANARY_BUCKETS) {
        ngx_agent_canary_out(out, ",\"bucket\":null,\"cohort\":null");

    } else {
        ngx_agent_canary_out(out, ",\"bucket\":%uD,\"cohort\":", d.bucket);
        ngx_agent_canary_out_percent(out,
                                     canary_cohort(&flag->parsed.stages,
                                                   d.bucket));
    }

    ngx_agent_canary_out(out, ",\"epoch\":%uL,\"bundle\":",
                         flag->known ? flag->parsed.epoch : 0);

    if (flag->known) {
        ngx_agent_canary_out_json(out, flag->parsed.bundle[d.arm],
                                  ngx_strlen(flag->parsed.bundle[d.arm]));

    } else {
        ngx_agent_canary_out(out, "\"\"");
    }

    ngx_agent_canary_out(out, "}\n");

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_explain_args(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_flag_t **flag,
    canary_request_t *request, canary_error_t *err)
{
    ngx_str_t     name;
    canary_str_t  value, override;

    ngx_memzero(request, sizeof(canary_request_t));
    request->override = CANARY_ARM_NONE;
    request->stale = ngx_agent_canary_stale(mcf);

    if (ngx_agent_canary_argument(r, "flag", &value) == NGX_ERROR
        || ngx_agent_canary_argument(r, "key", &request->key) == NGX_ERROR
        || ngx_agent_canary_argument(r, "tenant", &request->tenant)
           == NGX_ERROR
        || ngx_agent_canary_argument(r, "override", &override) == NGX_ERROR)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    name.len = value.len;
    name.data = (u_char *) value.data;

    *flag = name.len ? ngx_agent_canary_flag_find(mcf, &name) : NULL;

    if (*flag == NULL) {
        canary_error(err, "flag", value,
                     "expected a flag that agent_canary names");
        return NGX_HTTP_BAD_REQUEST;
    }

    if (override.len == 0) {
        return NGX_OK;
    }

    request->override = canary_arm_parse(override);

    if (request->override == CANARY_ARM_NONE) {
        canary_error(err, "override", override,
                     "expected \"baseline\" or \"candidate\"");
        return NGX_HTTP_BAD_REQUEST;
    }

    return NGX_OK;
}


/* NGX_DECLINED and an empty value when there is no such argument. */

static ngx_int_t
ngx_agent_canary_argument(ngx_http_request_t *r, const char *name,
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


static void
ngx_agent_canary_out_percent(ngx_agent_canary_out_t *out, uint32_t percent)
{
    char    text[CANARY_PERCENT_LEN];
    size_t  len;

    len = canary_percent_format(text, percent);

    ngx_agent_canary_out(out, "%*s", len, text);
}
