
/*
 * GET .../explain: what would happen to a key, and why; counts nothing.
 */


#include "ngx_agent_canary_explain.h"
#include "ngx_agent_canary_api.h"
#include "ngx_agent_canary_decision.h"
#include "ngx_agent_canary_zone.h"


static ngx_int_t ngx_agent_canary_explain_args(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_flag_t **flag,
    canary_request_t *request, canary_error_t *err);


ngx_int_t
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

    if (ngx_agent_canary_api_argument(r, "flag", &value) == NGX_ERROR
        || ngx_agent_canary_api_argument(r, "key", &request->key) == NGX_ERROR
        || ngx_agent_canary_api_argument(r, "tenant", &request->tenant)
           == NGX_ERROR
        || ngx_agent_canary_api_argument(r, "override", &override) == NGX_ERROR)
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
