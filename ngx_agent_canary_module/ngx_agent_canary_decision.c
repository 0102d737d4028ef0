
/*
 * The decision for a request.
 */


#include "ngx_agent_canary_decision.h"
#include "ngx_agent_canary_observe.h"
#include "ngx_agent_canary_zone.h"


static ngx_agent_canary_ctx_t *ngx_agent_canary_decision_for(
    ngx_http_request_t *r, ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_loc_conf_t *lcf);
static ngx_inline ngx_agent_canary_ctx_t *ngx_agent_canary_decide(
    ngx_http_request_t *r, ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_loc_conf_t *lcf);
static ngx_int_t ngx_agent_canary_remember(ngx_http_request_t *r,
    ngx_agent_canary_ctx_t *ctx, canary_flag_t *parsed);
static ngx_agent_canary_aside canary_arm_e ngx_agent_canary_forced(
    ngx_http_request_t *r, ngx_agent_canary_loc_conf_t *lcf);
static ngx_int_t ngx_agent_canary_slot_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


/* not a name that nginx.conf could spell: nobody else reads this slot */

static ngx_str_t  ngx_agent_canary_slot_name = ngx_string("agent canary");


ngx_agent_canary_ctx_t *
ngx_agent_canary_decision(ngx_http_request_t *r)
{
    ngx_agent_canary_loc_conf_t   *lcf;
    ngx_agent_canary_main_conf_t  *mcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

    if (lcf->binding == NULL) {
        return NULL;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_agent_canary_module);

    return ngx_agent_canary_decision_for(r, mcf, lcf);
}


static ngx_agent_canary_ctx_t *
ngx_agent_canary_decision_for(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_loc_conf_t *lcf)
{
    ngx_agent_canary_ctx_t  *ctx;

    ctx = ngx_agent_canary_decision_made(r, mcf, lcf->binding->flag);
    if (ctx) {
        return ctx;
    }

    ctx = ngx_agent_canary_decide(r, mcf, lcf);
    if (ctx == NULL) {
        return NULL;
    }

    ctx->next = ngx_agent_canary_decisions(r, mcf);
    r->variables[mcf->slot].data = (u_char *) ctx;

    return ctx;
}


ngx_agent_canary_ctx_t *
ngx_agent_canary_decision_made(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_flag_t *flag)
{
    ngx_agent_canary_ctx_t  *ctx;

    ctx = ngx_agent_canary_decisions(r, mcf);

    while (ctx && ctx->flag != flag) {
        ctx = ctx->next;
    }

    return ctx;
}


static ngx_inline ngx_agent_canary_ctx_t *
ngx_agent_canary_decide(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_loc_conf_t *lcf)
{
    canary_flag_t               *parsed;
    canary_request_t             request;
    ngx_agent_canary_ctx_t      *ctx;
    ngx_agent_canary_flag_t     *flag;
    ngx_agent_canary_binding_t  *binding;

    binding = lcf->binding;
    flag = binding->flag;

    if (ngx_agent_canary_value(r, binding->key, &request.key) != NGX_OK) {
        return NULL;
    }

    request.tenant.len = 0;

    if (binding->tenant
        && ngx_agent_canary_value(r, binding->tenant, &request.tenant)
           != NGX_OK)
    {
        return NULL;
    }

    if (flag->version != flag->node->version) {
        ngx_agent_canary_zone_refresh(mcf->zone, flag);
    }

    parsed = flag->known ? &flag->parsed : NULL;

    ctx = ngx_palloc(r->pool, sizeof(ngx_agent_canary_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    request.override = lcf->override ? ngx_agent_canary_forced(r, lcf)
                                     : CANARY_ARM_NONE;
    request.stale = ngx_agent_canary_stale(mcf);

    canary_decide(&ctx->decision, parsed, flag->latched ? &flag->trip : NULL,
                  &request);

    ctx->flag = flag;
    ctx->route = lcf->dry_run ? CANARY_ARM_BASELINE : ctx->decision.arm;
    ctx->arm = NULL;
    ctx->wait = NULL;
    ctx->answer = NULL;
    ctx->routed = 0;
    ctx->expired = 0;
    ctx->priced = 0;
    ctx->outcome = 0;

    if (ngx_agent_canary_remember(r, ctx, parsed) != NGX_OK) {
        return NULL;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "agent canary \"%V\": %s, %s", &flag->sn.str,
                   canary_arm_names[ctx->decision.arm].data,
                   canary_reason_names[ctx->decision.reason].data);

    return ctx;
}


ngx_agent_canary_ctx_t *
ngx_agent_canary_route(ngx_http_request_t *r,
    ngx_agent_canary_loc_conf_t *lcf, ngx_uint_t ahead)
{
    ngx_agent_canary_ctx_t        *ctx;
    ngx_agent_canary_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_agent_canary_module);

    ctx = ngx_agent_canary_decision_for(r, mcf, lcf);

    if (ctx && !ctx->routed) {
        ctx->routed = 1;
        ngx_agent_canary_observe_begin(r, mcf, lcf, ctx);
    }

    if (ctx && ctx->arm && ctx->request == r) {
        ctx->round = r->upstream_states ? r->upstream_states->nelts + ahead
                                        : 0;
    }

    return ctx;
}


/* The worker's copy of the flag may change before the request ends. */

static ngx_int_t
ngx_agent_canary_remember(ngx_http_request_t *r, ngx_agent_canary_ctx_t *ctx,
    canary_flag_t *parsed)
{
    char    *bundle;
    size_t   len;

    ctx->bundle = (u_char *) "";

    if (parsed == NULL) {
        ctx->epoch = 0;
        ctx->mode = CANARY_MODE_NONE;
        return NGX_OK;
    }

    ctx->epoch = parsed->epoch;
    ctx->mode = parsed->mode;

    bundle = parsed->bundle[ctx->decision.arm];

    if (bundle[0] == '\0') {
        return NGX_OK;
    }

    len = ngx_strlen(bundle) + 1;

    ctx->bundle = ngx_pnalloc(r->pool, len);
    if (ctx->bundle == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ctx->bundle, bundle, len);

    return NGX_OK;
}


static canary_arm_e
ngx_agent_canary_forced(ngx_http_request_t *r,
    ngx_agent_canary_loc_conf_t *lcf)
{
    canary_arm_e    arm;
    canary_str_t    value;
    canary_error_t  err;

    if (ngx_agent_canary_value(r, lcf->override, &value) != NGX_OK
        || value.len == 0)
    {
        return CANARY_ARM_NONE;
    }

    arm = canary_arm_parse(value);

    if (arm == CANARY_ARM_NONE) {
        canary_error(&err, "agent_canary_override", value,
                     "expected \"baseline\", \"candidate\" or nothing");

        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "%s", err.text);
    }

    return arm;
}


canary_stale_e
ngx_agent_canary_stale(ngx_agent_canary_main_conf_t *mcf)
{
    ngx_uint_t                 stale;
    ngx_msec_int_t             age;
    ngx_agent_canary_shctx_t  *sh;

    sh = mcf->zone->sh;

    /* before the first contact, the age of the memory */

    age = (ngx_msec_int_t) (ngx_current_msec - sh->confirmed);

    stale = (age > (ngx_msec_int_t) mcf->stale) ? mcf->stale_action
                                                : CANARY_STALE_NO;

    if (mcf->unguarded == 0) {
        return stale;
    }

    age = (ngx_msec_int_t) (ngx_current_msec
                            - (sh->guarded ? sh->guarded : sh->created));

    /* the sterner of the two */

    return (age > (ngx_msec_int_t) mcf->unguarded)
           ? ngx_max(stale, mcf->unguarded_action) : stale;
}


ngx_int_t
ngx_agent_canary_decision_init(ngx_conf_t *cf)
{
    ngx_http_variable_t           *var;
    ngx_agent_canary_main_conf_t  *mcf;

    var = ngx_http_add_variable(cf, &ngx_agent_canary_slot_name,
                                NGX_HTTP_VAR_NOHASH);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_agent_canary_slot_variable;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_agent_canary_module);

    mcf->slot = ngx_http_get_variable_index(cf, &ngx_agent_canary_slot_name);

    return (mcf->slot == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


/* nginx wants a handler for every slot; nothing ever evaluates this one */

static ngx_int_t
ngx_agent_canary_slot_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    v->not_found = 1;

    return NGX_OK;
}
