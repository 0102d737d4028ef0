
/*
 * GET .../status: what this instance knows, and what its arms did, as JSON.
 */


#include "ngx_agent_canary_status.h"
#include "ngx_agent_canary_api.h"
#include "ngx_agent_canary_link.h"
#include "ngx_agent_canary_state.h"
#include "ngx_agent_canary_tally.h"


/* between the clocks that two workers keep, in milliseconds */
#define NGX_AGENT_CANARY_CLOCK_SKEW  500

/* a command with the prefix, the name of a flag and an epoch */
#define NGX_AGENT_CANARY_LIFT_MAX                                            \
    (NGX_AGENT_CANARY_PREFIX_MAX + CANARY_FLAG_NAME_MAX + 64)

/* as each flag is looked for among them */
#define NGX_AGENT_CANARY_STATUS_NAMES  64


/* Which flags are asked for. */

typedef struct {
    ngx_msec_t                   since;     /* changed from then on */
    ngx_uint_t                   all;       /* or at any time */
    ngx_uint_t                   n;         /* 0: of any name */
    canary_str_t                 name[NGX_AGENT_CANARY_STATUS_NAMES];
} ngx_agent_canary_query_t;


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
static ngx_int_t ngx_agent_canary_status_guarded(ngx_http_request_t *r,
    ngx_agent_canary_zone_t *zone, canary_error_t *err);
static ngx_int_t ngx_agent_canary_status_since(ngx_http_request_t *r,
    ngx_agent_canary_zone_t *zone, ngx_agent_canary_query_t *query,
    canary_error_t *err);
static ngx_int_t ngx_agent_canary_status_names(ngx_http_request_t *r,
    ngx_agent_canary_query_t *query, canary_error_t *err);
static ngx_uint_t ngx_agent_canary_status_named(
    ngx_agent_canary_query_t *query, ngx_str_t *name);
static ngx_uint_t ngx_agent_canary_status_changed(
    ngx_agent_canary_query_t *query, ngx_agent_canary_flag_t *flag,
    ngx_agent_canary_sum_t *sum);


ngx_int_t
ngx_agent_canary_status(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i, n;
    ngx_agent_canary_sum_t     sum;
    ngx_agent_canary_flag_t  **flag;
    ngx_agent_canary_query_t   query;

    rc = ngx_agent_canary_status_guarded(r, mcf->zone, err);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_agent_canary_status_since(r, mcf->zone, &query, err);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_agent_canary_status_names(r, &query, err);
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

        if (!ngx_agent_canary_status_named(&query, &flag[i]->sn.str)) {
            continue;
        }

        ngx_agent_canary_tally_sum(mcf->zone, flag[i]->node, &sum);

        if (!ngx_agent_canary_status_changed(&query, flag[i], &sum)) {
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


/* guard=: the name of a sidecar, which is there then. */

static ngx_int_t
ngx_agent_canary_status_guarded(ngx_http_request_t *r,
    ngx_agent_canary_zone_t *zone, canary_error_t *err)
{
    ngx_str_t     name;
    canary_str_t  value;

    if (ngx_agent_canary_api_argument(r, "guard", &value) == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (value.len == 0) {
        return NGX_OK;
    }

    if (!canary_flag_name_valid(value)) {
        canary_error(err, "guard", value,
                     "expected 1 to 64 of A-Z a-z 0-9 . _ -");
        return NGX_HTTP_BAD_REQUEST;
    }

    name.len = value.len;
    name.data = (u_char *) value.data;

    ngx_agent_canary_zone_guarded(zone, &name);

    return NGX_OK;
}


/*
 * since=: the clock_ms of an earlier status, leaves out flags that have not
 * changed.
 */

static ngx_int_t
ngx_agent_canary_status_since(ngx_http_request_t *r,
    ngx_agent_canary_zone_t *zone, ngx_agent_canary_query_t *query,
    canary_error_t *err)
{
    off_t         n;
    canary_str_t  value;

    if (ngx_agent_canary_api_argument(r, "since", &value) == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    query->all = (value.len == 0);
    query->since = 0;

    if (query->all) {
        return NGX_OK;
    }

    n = ngx_atoof((u_char *) value.data, value.len);

    if (n == NGX_ERROR) {
        canary_error(err, "since", value, "expected a clock_ms");
        return NGX_HTTP_BAD_REQUEST;
    }

    /* the clocks of two workers differ by a little */

    query->since = (ngx_msec_t) n - NGX_AGENT_CANARY_CLOCK_SKEW;

    /* flags grow stale by time alone, and nothing of them changes then */

    query->all = !ngx_agent_canary_zone_fresh(zone)
                 || (ngx_msec_int_t) (zone->sh->renewed - query->since) >= 0;

    return NGX_OK;
}


/*
 * flag=a,b,c leaves out all others.  A name that no flag has is no error: it
 * may have left the configuration after it was shown.
 */

static ngx_int_t
ngx_agent_canary_status_names(ngx_http_request_t *r,
    ngx_agent_canary_query_t *query, canary_error_t *err)
{
    ngx_int_t     rc;
    const char   *p, *last;
    canary_str_t  value, *name;

    query->n = 0;

    rc = ngx_agent_canary_api_argument(r, "flag", &value);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    last = value.data + value.len;

    for (p = value.data; p <= last; p = name->data + name->len + 1) {

        if (query->n == NGX_AGENT_CANARY_STATUS_NAMES) {
            canary_error(err, "flag", value, "expected at most 64 names");
            return NGX_HTTP_BAD_REQUEST;
        }

        name = &query->name[query->n++];
        name->data = p;
        name->len = 0;

        while (p + name->len < last && p[name->len] != ',') {
            name->len++;
        }

        if (!canary_flag_name_valid(*name)) {
            canary_error(err, "flag", *name, "expected names of 1 to 64 of "
                         "A-Z a-z 0-9 . _ -, with commas between them");
            return NGX_HTTP_BAD_REQUEST;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_agent_canary_status_named(ngx_agent_canary_query_t *query,
    ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; i < query->n; i++) {
        if (query->name[i].len == name->len
            && ngx_memcmp(query->name[i].data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return query->n == 0;
}


/* What a scraper that comes four times a second does not know already. */

static ngx_uint_t
ngx_agent_canary_status_changed(ngx_agent_canary_query_t *query,
    ngx_agent_canary_flag_t *flag, ngx_agent_canary_sum_t *sum)
{
    return query->all
           || (sum->blocks
               && (ngx_msec_int_t) (sum->touched - query->since) >= 0)
           || (ngx_msec_int_t) (flag->node->published - query->since) >= 0;
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
