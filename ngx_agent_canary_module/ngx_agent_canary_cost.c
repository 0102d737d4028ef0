
/*
 * What an answer cost.
 */


#include "ngx_agent_canary_cost.h"
#include "ngx_agent_canary_observe.h"
#include "ngx_agent_canary_usage_filter.h"


/* how long a cap of costs holds, in milliseconds */
#define NGX_AGENT_CANARY_CAP_INTERVAL  5000

/* USD: a single request above this is a mistake of whoever reports it */
#define NGX_AGENT_CANARY_COST_MAX      1000000

/* digits: no double needs more */
#define NGX_AGENT_CANARY_COST_EXPONENT  3


static ngx_int_t ngx_agent_canary_cost_reported(ngx_agent_canary_ctx_t *ctx,
    double *usd);
static ngx_int_t ngx_agent_canary_cost_parse(canary_str_t text, double *usd);
static ngx_int_t ngx_agent_canary_cost_exponent(canary_str_t text,
    double *usd);
static ngx_int_t ngx_agent_canary_cost_priced(
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_ctx_t *ctx,
    double *usd);
static double ngx_agent_canary_cost_cap(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_flag_t *flag);


/* What the agent reports wins over what its tokens cost. */

ngx_agent_canary_aside void
ngx_agent_canary_cost(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_ctx_t *ctx, ngx_uint_t last, canary_tally_t *t)
{
    double           usd;
    ngx_int_t        rc;
    canary_usage_t  *usage;

    ngx_agent_canary_usage_done(ctx);

    usage = ngx_agent_canary_usage(ctx);

    if (usage) {
        canary_tally_tokens(t, usage->input, usage->output);
    }

    rc = (ctx->conf->cost
          && !ngx_agent_canary_observe_after(ctx->request, last))
         ? ngx_agent_canary_cost_reported(ctx, &usd) : NGX_DECLINED;

    if (rc == NGX_DECLINED) {
        rc = ngx_agent_canary_cost_priced(mcf, ctx, &usd);
    }

    if (rc != NGX_OK) {
        t->cost_unpriced++;
        return;
    }

    ctx->cost = usd;
    ctx->priced = 1;

    canary_tally_cost(t, usd, ngx_agent_canary_cost_cap(mcf, ctx->flag));
}


/* NGX_DECLINED: nothing is reported; NGX_ERROR: nothing that is a cost. */

static ngx_int_t
ngx_agent_canary_cost_reported(ngx_agent_canary_ctx_t *ctx, double *usd)
{
    canary_str_t         value;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ngx_agent_canary_value(r, ctx->conf->cost, &value) != NGX_OK
        || value.len == 0)
    {
        return NGX_DECLINED;
    }

    if (ngx_agent_canary_cost_parse(value, usd) == NGX_OK) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "agent_canary_cost \"%*s\" is ignored: expected USD as "
                  "a decimal of at most %d, such as \"0.0125\"",
                  value.len, value.data, NGX_AGENT_CANARY_COST_MAX);

    return NGX_ERROR;
}


/* A decimal, which may have an exponent: Python prints 1e-05. */

static ngx_int_t
ngx_agent_canary_cost_parse(canary_str_t text, double *usd)
{
    char        ch;
    double      scale;
    ngx_uint_t  i, fraction;

    *usd = 0;
    scale = 1;
    fraction = 0;

    for (i = 0; i < text.len; i++) {
        ch = text.data[i];

        if (ch == '.' && !fraction && i > 0) {
            fraction = 1;
            continue;
        }

        if (ch < '0' || ch > '9') {
            break;
        }

        if (fraction) {
            scale /= 10;
            *usd += scale * (ch - '0');

        } else {
            *usd = *usd * 10 + (ch - '0');
        }

        if (*usd > NGX_AGENT_CANARY_COST_MAX) {
            return NGX_ERROR;
        }
    }

    if (i == 0 || text.data[i - 1] == '.') {
        return NGX_ERROR;
    }

    text.data += i;
    text.len -= i;

    return text.len ? ngx_agent_canary_cost_exponent(text, usd) : NGX_OK;
}


/* "e-05", "E+2", "e3" */

static ngx_int_t
ngx_agent_canary_cost_exponent(canary_str_t text, double *usd)
{
    ngx_int_t   n;
    ngx_uint_t  start, down;

    if (text.data[0] != 'e' && text.data[0] != 'E') {
        return NGX_ERROR;
    }

    down = (text.len > 1 && text.data[1] == '-');
    start = (down || (text.len > 1 && text.data[1] == '+')) ? 2 : 1;

    if (text.len - start > NGX_AGENT_CANARY_COST_EXPONENT) {
        return NGX_ERROR;
    }

    n = ngx_atoi((u_char *) text.data + start, text.len - start);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    for (/* void */; n > 0; n--) {
        *usd = down ? *usd / 10 : *usd * 10;
    }

    return (*usd > NGX_AGENT_CANARY_COST_MAX) ? NGX_ERROR : NGX_OK;
}


/* NGX_DECLINED: its tokens, or what they cost, are not known. */

static ngx_int_t
ngx_agent_canary_cost_priced(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_ctx_t *ctx, double *usd)
{
    canary_priced_e   rc;
    canary_usage_t   *usage;

    usage = ngx_agent_canary_usage(ctx);

    if (mcf->prices == NULL || usage == NULL) {
        return NGX_DECLINED;
    }

    rc = canary_prices_cost(mcf->prices, usage, usd);

    if (rc == CANARY_PRICED) {
        return NGX_OK;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "agent canary: unpriced, %s, model \"%s\"",
                   canary_priced_names[rc].data, usage->model);

    return NGX_DECLINED;
}


/*
 * Where a cost is capped, so that no single one decides: known from what the
 * baseline usually costs, and so looked at again now and then.
 */

static double
ngx_agent_canary_cost_cap(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_flag_t *flag)
{
    canary_guardrails_t      g;
    ngx_agent_canary_sum_t   sum;

    if (flag->cost_cap > 0
        && ngx_current_msec - flag->cost_cap_at
           < NGX_AGENT_CANARY_CAP_INTERVAL)
    {
        return flag->cost_cap;
    }

    if (flag->known) {
        g = flag->parsed.guardrails;

    } else {
        canary_guardrails_default(&g);
    }

    ngx_agent_canary_tally_sum(mcf->zone, flag->node, &sum);

    flag->cost_cap_at = ngx_current_msec;
    flag->cost_cap = canary_guardrails_cost_cap(&g,
                                             &sum.arm[CANARY_ARM_BASELINE]);

    return flag->cost_cap;
}
