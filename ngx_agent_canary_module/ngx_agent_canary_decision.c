
/*
 * The decision for a request, and the variables that tell of it.
 */


#include "ngx_agent_canary_decision.h"
#include "ngx_agent_canary_observe.h"
#include "ngx_agent_canary_usage_filter.h"
#include "ngx_agent_canary_zone.h"


/* "1000000.00000000" and room to spare */
#define NGX_AGENT_CANARY_COST_LEN  32

/* hex digits of $agent_canary_key_hash: 64 bits */
#define NGX_AGENT_CANARY_HASH_LEN  16


typedef enum {
    NGX_AGENT_CANARY_VAR_FLAG = 0,
    NGX_AGENT_CANARY_VAR_ARM,
    NGX_AGENT_CANARY_VAR_COHORT,
    NGX_AGENT_CANARY_VAR_BUCKET,
    NGX_AGENT_CANARY_VAR_PERCENT,
    NGX_AGENT_CANARY_VAR_REASON,
    NGX_AGENT_CANARY_VAR_EPOCH,
    NGX_AGENT_CANARY_VAR_BUNDLE,
    NGX_AGENT_CANARY_VAR_MODE,
    NGX_AGENT_CANARY_VAR_TENANT,
    NGX_AGENT_CANARY_VAR_OUTCOME,
    NGX_AGENT_CANARY_VAR_COST_USD,
    NGX_AGENT_CANARY_VAR_TOKENS_INPUT,
    NGX_AGENT_CANARY_VAR_TOKENS_OUTPUT
} ngx_agent_canary_variable_e;


static ngx_inline ngx_agent_canary_ctx_t *ngx_agent_canary_decide(
    ngx_http_request_t *r, ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_loc_conf_t *lcf);
static ngx_int_t ngx_agent_canary_remember(ngx_http_request_t *r,
    ngx_agent_canary_ctx_t *ctx, canary_flag_t *parsed);
static ngx_agent_canary_aside canary_arm_e ngx_agent_canary_forced(
    ngx_http_request_t *r, ngx_agent_canary_loc_conf_t *lcf);
static ngx_int_t ngx_agent_canary_slot_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_agent_canary_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_agent_canary_percent_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint32_t percent);
static ngx_int_t ngx_agent_canary_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint64_t n);
static ngx_int_t ngx_agent_canary_answer_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_agent_canary_ctx_t *ctx,
    uintptr_t data);
static ngx_int_t ngx_agent_canary_upstream_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_uint_t ngx_agent_canary_passing(ngx_http_request_t *r);
static ngx_int_t ngx_agent_canary_key_hash_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


/* not a name that nginx.conf could spell: nobody else reads this slot */

static ngx_str_t  ngx_agent_canary_slot_name = ngx_string("agent canary");


static ngx_http_variable_t  ngx_agent_canary_vars[] = {

    { ngx_string("agent_canary_flag"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_FLAG, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_arm"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_ARM, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_cohort"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_COHORT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_bucket"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_BUCKET, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_percent"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_PERCENT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_reason"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_epoch"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_EPOCH, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_bundle"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_BUNDLE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_mode"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_MODE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_tenant"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_TENANT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_outcome"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_OUTCOME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_cost_usd"), NULL, ngx_agent_canary_variable,
      NGX_AGENT_CANARY_VAR_COST_USD, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_tokens_input"), NULL,
      ngx_agent_canary_variable, NGX_AGENT_CANARY_VAR_TOKENS_INPUT,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_tokens_output"), NULL,
      ngx_agent_canary_variable, NGX_AGENT_CANARY_VAR_TOKENS_OUTPUT,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_upstream"), NULL,
      ngx_agent_canary_upstream_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_key_hash"), NULL,
      ngx_agent_canary_key_hash_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


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


ngx_agent_canary_ctx_t *
ngx_agent_canary_decision_for(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_loc_conf_t *lcf)
{
    ngx_agent_canary_ctx_t     *ctx;
    ngx_http_variable_value_t  *slot;

    /*
     * An internal redirect wipes r->ctx but not r->variables, and
     * subrequests share the variables of the main request.
     */

    slot = &r->variables[mcf->slot];

    for (ctx = (ngx_agent_canary_ctx_t *) slot->data; ctx; ctx = ctx->next) {
        if (ctx->flag == lcf->binding->flag) {
            return ctx;
        }
    }

    ctx = ngx_agent_canary_decide(r, mcf, lcf);
    if (ctx == NULL) {
        return NULL;
    }

    ctx->next = (ngx_agent_canary_ctx_t *) slot->data;
    slot->data = (u_char *) ctx;

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

    if (ctx && ctx->block && ctx->request == r) {
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
ngx_agent_canary_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t           *var, *v;
    ngx_agent_canary_main_conf_t  *mcf;

    for (v = ngx_agent_canary_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

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


static ngx_int_t
ngx_agent_canary_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    canary_str_t                  s;
    canary_decision_t            *d;
    ngx_agent_canary_ctx_t       *ctx;
    ngx_agent_canary_loc_conf_t  *lcf;

    ctx = ngx_agent_canary_decision(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    d = &ctx->decision;

    switch ((ngx_agent_canary_variable_e) data) {

    case NGX_AGENT_CANARY_VAR_FLAG:
        s = ngx_agent_canary_cstr(&ctx->flag->sn.str);
        break;

    case NGX_AGENT_CANARY_VAR_ARM:
        s = canary_arm_names[d->arm];
        break;

    case NGX_AGENT_CANARY_VAR_REASON:
        s = canary_reason_names[d->reason];
        break;

    case NGX_AGENT_CANARY_VAR_BUNDLE:
        s.data = (char *) ctx->bundle;
        s.len = ngx_strlen(ctx->bundle);
        break;

    case NGX_AGENT_CANARY_VAR_MODE:
        s = canary_mode_names[ctx->mode];
        break;

    case NGX_AGENT_CANARY_VAR_TENANT:

        lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

        if (lcf->binding->tenant == NULL
            || ngx_agent_canary_value(r, lcf->binding->tenant, &s) != NGX_OK)
        {
            v->not_found = 1;
            return NGX_OK;
        }

        break;

    case NGX_AGENT_CANARY_VAR_PERCENT:
        return ngx_agent_canary_percent_variable(r, v, d->percent);

    case NGX_AGENT_CANARY_VAR_EPOCH:
        return ngx_agent_canary_number_variable(r, v, ctx->epoch);

    case NGX_AGENT_CANARY_VAR_OUTCOME:
    case NGX_AGENT_CANARY_VAR_COST_USD:
    case NGX_AGENT_CANARY_VAR_TOKENS_INPUT:
    case NGX_AGENT_CANARY_VAR_TOKENS_OUTPUT:
        return ngx_agent_canary_answer_variable(r, v, ctx, data);

    case NGX_AGENT_CANARY_VAR_COHORT:
    case NGX_AGENT_CANARY_VAR_BUCKET:

        /* a request without a key has none */

        if (d->bucket == CANARY_BUCKETS) {
            v->not_found = 1;
            return NGX_OK;
        }

        if (data == NGX_AGENT_CANARY_VAR_COHORT) {
            return ngx_agent_canary_percent_variable(r, v,
                         canary_cohort(ctx->flag->known
                                       ? &ctx->flag->parsed.stages
                                       : &canary_ladder_default, d->bucket));
        }

        return ngx_agent_canary_number_variable(r, v, d->bucket);

    default: /* no other variable has this handler */
        return NGX_ERROR;
    }

    v->len = s.len;
    v->data = (u_char *) s.data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_percent_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint32_t percent)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, CANARY_PERCENT_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = canary_percent_format((char *) p, percent);
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint64_t n)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, "%uL", n) - p;
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/* What is known of the answer when it is logged, and not before. */

static ngx_int_t
ngx_agent_canary_answer_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_agent_canary_ctx_t *ctx, uintptr_t data)
{
    canary_usage_t      *usage;
    const canary_str_t  *name;

    v->not_found = 1;

    if (data == NGX_AGENT_CANARY_VAR_OUTCOME) {

        if (ctx->outcome) {
            name = &ngx_agent_canary_outcomes[ctx->outcome - 1];
            v->len = name->len;
            v->data = (u_char *) name->data;
            v->valid = 1;
            v->no_cacheable = 0;
            v->not_found = 0;
        }

        return NGX_OK;
    }

    if (data == NGX_AGENT_CANARY_VAR_COST_USD) {

        if (!ctx->priced) {
            return NGX_OK;
        }

        v->data = ngx_pnalloc(r->pool, NGX_AGENT_CANARY_COST_LEN);
        if (v->data == NULL) {
            return NGX_ERROR;
        }

        v->len = ngx_sprintf(v->data, "%.8f", ctx->cost) - v->data;
        v->valid = 1;
        v->no_cacheable = 0;
        v->not_found = 0;

        return NGX_OK;
    }

    usage = ngx_agent_canary_usage(ctx);

    if (usage == NULL || usage->state != CANARY_USAGE_COMPLETE) {
        return NGX_OK;
    }

    return ngx_agent_canary_number_variable(r, v,
                             data == NGX_AGENT_CANARY_VAR_TOKENS_INPUT
                             ? usage->input : usage->output);
}


static ngx_int_t
ngx_agent_canary_upstream_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                    *name;
    ngx_agent_canary_ctx_t       *ctx;
    ngx_agent_canary_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

    ctx = NULL;

    if (lcf->binding) {
        ctx = ngx_agent_canary_passing(r) ? ngx_agent_canary_route(r, lcf, 1)
                                          : ngx_agent_canary_decision(r);
    }

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    name = &lcf->binding->names[ctx->route];

    v->len = name->len;
    v->data = name->data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


/*
 * proxy_pass and its like evaluate where to pass a request after they made
 * r->upstream and before they filled it.  Whoever asks at another time, as a
 * header or a log does, sends it nowhere.
 */

static ngx_uint_t
ngx_agent_canary_passing(ngx_http_request_t *r)
{
    ngx_agent_canary_main_conf_t  *mcf;

    if (r->upstream == NULL || r->upstream->create_request) {
        return 0;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_agent_canary_module);

    return !ngx_agent_canary_over(r, mcf);
}


/*
 * A pseudonym of the key for logs: HMAC-SHA256, its first 64 bits, under the
 * secret of this instance, which lives in the zone and in the state file.
 */

static ngx_int_t
ngx_agent_canary_key_hash_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
#if (NGX_SSL)
    u_char                        *p, md[EVP_MAX_MD_SIZE];
    unsigned int                   len;
    canary_str_t                   key;
    ngx_agent_canary_loc_conf_t   *lcf;
    ngx_agent_canary_main_conf_t  *mcf;

    v->not_found = 1;

    lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

    if (lcf->binding == NULL) {
        return NGX_OK;
    }

    if (ngx_agent_canary_value(r, lcf->binding->key, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    key = canary_str_trim(key);

    if (key.len == 0) {
        return NGX_OK;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_agent_canary_module);

    p = ngx_pnalloc(r->pool, NGX_AGENT_CANARY_HASH_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (HMAC(EVP_sha256(), mcf->zone->sh->secret, CANARY_SECRET_LEN,
             (u_char *) key.data, key.len, md, &len)
        == NULL)
    {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(p, md, NGX_AGENT_CANARY_HASH_LEN / 2);

    v->len = NGX_AGENT_CANARY_HASH_LEN;
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
#else
    v->not_found = 1;
#endif

    return NGX_OK;
}
