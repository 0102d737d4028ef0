
/*
 * The variables that tell of a decision, and of what became of it.
 */


#include "ngx_agent_canary_variables.h"
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
    NGX_AGENT_CANARY_VAR_REASON,
    NGX_AGENT_CANARY_VAR_BUNDLE,
    NGX_AGENT_CANARY_VAR_MODE,
    NGX_AGENT_CANARY_VAR_PERCENT,
    NGX_AGENT_CANARY_VAR_EPOCH,
    NGX_AGENT_CANARY_VAR_COHORT,
    NGX_AGENT_CANARY_VAR_BUCKET,
    NGX_AGENT_CANARY_VAR_TOKENS_INPUT,
    NGX_AGENT_CANARY_VAR_TOKENS_OUTPUT
} ngx_agent_canary_variable_e;


static ngx_int_t ngx_agent_canary_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_agent_canary_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_agent_canary_tenant_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_agent_canary_upstream_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_uint_t ngx_agent_canary_passing(ngx_http_request_t *r);
static ngx_int_t ngx_agent_canary_key_hash_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_agent_canary_outcome_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_agent_canary_cost_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_agent_canary_tokens_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_agent_canary_set_none(ngx_http_variable_value_t *v);
static ngx_int_t ngx_agent_canary_set_text(ngx_http_variable_value_t *v,
    canary_str_t text);
static ngx_int_t ngx_agent_canary_set_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint64_t n);
static ngx_int_t ngx_agent_canary_set_percent(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint32_t percent);


static ngx_http_variable_t  ngx_agent_canary_vars[] = {

    { ngx_string("agent_canary_flag"), NULL, ngx_agent_canary_text_variable,
      NGX_AGENT_CANARY_VAR_FLAG, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_arm"), NULL, ngx_agent_canary_text_variable,
      NGX_AGENT_CANARY_VAR_ARM, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_reason"), NULL, ngx_agent_canary_text_variable,
      NGX_AGENT_CANARY_VAR_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_bundle"), NULL, ngx_agent_canary_text_variable,
      NGX_AGENT_CANARY_VAR_BUNDLE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_mode"), NULL, ngx_agent_canary_text_variable,
      NGX_AGENT_CANARY_VAR_MODE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_percent"), NULL,
      ngx_agent_canary_number_variable, NGX_AGENT_CANARY_VAR_PERCENT,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_epoch"), NULL,
      ngx_agent_canary_number_variable, NGX_AGENT_CANARY_VAR_EPOCH,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_cohort"), NULL,
      ngx_agent_canary_number_variable, NGX_AGENT_CANARY_VAR_COHORT,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_bucket"), NULL,
      ngx_agent_canary_number_variable, NGX_AGENT_CANARY_VAR_BUCKET,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_tenant"), NULL,
      ngx_agent_canary_tenant_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_upstream"), NULL,
      ngx_agent_canary_upstream_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_key_hash"), NULL,
      ngx_agent_canary_key_hash_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_outcome"), NULL,
      ngx_agent_canary_outcome_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_cost_usd"), NULL,
      ngx_agent_canary_cost_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_tokens_input"), NULL,
      ngx_agent_canary_tokens_variable, NGX_AGENT_CANARY_VAR_TOKENS_INPUT,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("agent_canary_tokens_output"), NULL,
      ngx_agent_canary_tokens_variable, NGX_AGENT_CANARY_VAR_TOKENS_OUTPUT,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_agent_canary_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_agent_canary_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_text_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    canary_str_t             s;
    ngx_agent_canary_ctx_t  *ctx;

    ctx = ngx_agent_canary_decision(r);

    if (ctx == NULL) {
        return ngx_agent_canary_set_none(v);
    }

    switch (data) {

    case NGX_AGENT_CANARY_VAR_FLAG:
        s = ngx_agent_canary_cstr(&ctx->flag->sn.str);
        break;

    case NGX_AGENT_CANARY_VAR_ARM:
        s = canary_arm_names[ctx->decision.arm];
        break;

    case NGX_AGENT_CANARY_VAR_REASON:
        s = canary_reason_names[ctx->decision.reason];
        break;

    case NGX_AGENT_CANARY_VAR_BUNDLE:
        s.data = (char *) ctx->bundle;
        s.len = ngx_strlen(ctx->bundle);
        break;

    default: /* NGX_AGENT_CANARY_VAR_MODE */
        s = canary_mode_names[ctx->mode];
        break;
    }

    return ngx_agent_canary_set_text(v, s);
}


static ngx_int_t
ngx_agent_canary_number_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    uint32_t                  bucket;
    const canary_ladder_t    *stages;
    ngx_agent_canary_ctx_t   *ctx;
    ngx_agent_canary_flag_t  *flag;

    ctx = ngx_agent_canary_decision(r);

    if (ctx == NULL) {
        return ngx_agent_canary_set_none(v);
    }

    if (data == NGX_AGENT_CANARY_VAR_PERCENT) {
        return ngx_agent_canary_set_percent(r, v, ctx->decision.percent);
    }

    if (data == NGX_AGENT_CANARY_VAR_EPOCH) {
        return ngx_agent_canary_set_number(r, v, ctx->epoch);
    }

    bucket = ctx->decision.bucket;

    /* a request without a key has none */

    if (bucket == CANARY_BUCKETS) {
        return ngx_agent_canary_set_none(v);
    }

    if (data == NGX_AGENT_CANARY_VAR_BUCKET) {
        return ngx_agent_canary_set_number(r, v, bucket);
    }

    flag = ctx->flag;
    stages = flag->known ? &flag->parsed.stages : &canary_ladder_default;

    return ngx_agent_canary_set_percent(r, v, canary_cohort(stages, bucket));
}


static ngx_int_t
ngx_agent_canary_tenant_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    canary_str_t                  tenant;
    ngx_agent_canary_loc_conf_t  *lcf;

    /* asked first, it decides, as the others do */

    if (ngx_agent_canary_decision(r) == NULL) {
        return ngx_agent_canary_set_none(v);
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

    if (lcf->binding->tenant == NULL
        || ngx_agent_canary_value(r, lcf->binding->tenant, &tenant) != NGX_OK)
    {
        return ngx_agent_canary_set_none(v);
    }

    return ngx_agent_canary_set_text(v, tenant);
}


static ngx_int_t
ngx_agent_canary_upstream_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_agent_canary_ctx_t       *ctx;
    ngx_agent_canary_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

    ctx = NULL;

    if (lcf->binding) {
        ctx = ngx_agent_canary_passing(r) ? ngx_agent_canary_route(r, lcf, 1)
                                          : ngx_agent_canary_decision(r);
    }

    if (ctx == NULL) {
        return ngx_agent_canary_set_none(v);
    }

    return ngx_agent_canary_set_text(v,
                   ngx_agent_canary_cstr(&lcf->binding->names[ctx->route]));
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

    lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

    if (lcf->binding == NULL) {
        return ngx_agent_canary_set_none(v);
    }

    if (ngx_agent_canary_value(r, lcf->binding->key, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    key = canary_str_trim(key);

    if (key.len == 0) {
        return ngx_agent_canary_set_none(v);
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

    return ngx_agent_canary_set_text(v, (canary_str_t) {
                                     NGX_AGENT_CANARY_HASH_LEN, (char *) p });
#else
    return ngx_agent_canary_set_none(v);
#endif
}


/* The rest is known when the request is logged, and not before. */

static ngx_int_t
ngx_agent_canary_outcome_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_agent_canary_ctx_t  *ctx;

    ctx = ngx_agent_canary_decision(r);

    if (ctx == NULL || ctx->outcome == 0) {
        return ngx_agent_canary_set_none(v);
    }

    return ngx_agent_canary_set_text(v,
                                ngx_agent_canary_outcomes[ctx->outcome - 1]);
}


static ngx_int_t
ngx_agent_canary_cost_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    canary_str_t             s;
    ngx_agent_canary_ctx_t  *ctx;

    ctx = ngx_agent_canary_decision(r);

    if (ctx == NULL || !ctx->priced) {
        return ngx_agent_canary_set_none(v);
    }

    p = ngx_pnalloc(r->pool, NGX_AGENT_CANARY_COST_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s.len = ngx_sprintf(p, "%.8f", ctx->cost) - p;
    s.data = (char *) p;

    return ngx_agent_canary_set_text(v, s);
}


static ngx_int_t
ngx_agent_canary_tokens_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    canary_usage_t          *usage;
    ngx_agent_canary_ctx_t  *ctx;

    ctx = ngx_agent_canary_decision(r);
    usage = ctx ? ngx_agent_canary_usage(ctx) : NULL;

    if (usage == NULL || usage->state != CANARY_USAGE_COMPLETE) {
        return ngx_agent_canary_set_none(v);
    }

    return ngx_agent_canary_set_number(r, v,
                                   data == NGX_AGENT_CANARY_VAR_TOKENS_INPUT
                                   ? usage->input : usage->output);
}


static ngx_int_t
ngx_agent_canary_set_none(ngx_http_variable_value_t *v)
{
    v->not_found = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_set_text(ngx_http_variable_value_t *v, canary_str_t text)
{
    v->len = text.len;
    v->data = (u_char *) text.data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_set_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint64_t n)
{
    u_char        *p;
    canary_str_t   s;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s.len = ngx_sprintf(p, "%uL", n) - p;
    s.data = (char *) p;

    return ngx_agent_canary_set_text(v, s);
}


static ngx_int_t
ngx_agent_canary_set_percent(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint32_t percent)
{
    char          *p;
    canary_str_t   s;

    p = ngx_pnalloc(r->pool, CANARY_PERCENT_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s.len = canary_percent_format(p, percent);
    s.data = p;

    return ngx_agent_canary_set_text(v, s);
}
