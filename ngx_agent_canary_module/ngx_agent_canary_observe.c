
/*
 * What became of a request.
 */


#include "ngx_agent_canary_observe.h"
#include "ngx_agent_canary_cost.h"
#include "ngx_agent_canary_deadline.h"
#include "ngx_agent_canary_usage_filter.h"


static ngx_int_t ngx_agent_canary_observe_handler(ngx_http_request_t *r);
static void ngx_agent_canary_observe_end(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_ctx_t *ctx,
    ngx_agent_canary_ctx_t *next);
static canary_event_e ngx_agent_canary_observe_fate(ngx_http_request_t *r,
    ngx_agent_canary_ctx_t *ctx, ngx_uint_t last, canary_tally_t *t);
static uint64_t *ngx_agent_canary_observe_attempts(
    ngx_agent_canary_ctx_t *ctx, ngx_uint_t last, canary_tally_t *t);
static ngx_agent_canary_aside uint64_t *ngx_agent_canary_observe_error(
    ngx_agent_canary_ctx_t *ctx, ngx_uint_t last, canary_tally_t *t);
static uint64_t *ngx_agent_canary_observe_counter(
    ngx_http_upstream_state_t *state, ngx_agent_canary_loc_conf_t *lcf,
    canary_tally_t *t);
static ngx_uint_t ngx_agent_canary_observe_broken(ngx_http_request_t *r,
    ngx_uint_t last);
static ngx_agent_canary_aside canary_event_e ngx_agent_canary_observe_told(
    ngx_http_request_t *r, ngx_agent_canary_ctx_t *ctx, ngx_uint_t last,
    canary_tally_t *t);
static canary_event_e ngx_agent_canary_observe_outcome(
    ngx_agent_canary_ctx_t *ctx, canary_tally_t *t);


const canary_str_t  ngx_agent_canary_outcomes[] = {
    canary_str("success"),
    canary_str("error"),
    canary_str("denied"),
    canary_str("escalated")
};


enum {
    NGX_AGENT_CANARY_OUTCOME_SUCCESS = 0,
    NGX_AGENT_CANARY_OUTCOME_ERROR,
    NGX_AGENT_CANARY_OUTCOME_DENIED,
    NGX_AGENT_CANARY_OUTCOME_ESCALATED,
    NGX_AGENT_CANARY_OUTCOMES
};


ngx_int_t
ngx_agent_canary_observe_init(ngx_conf_t *cf)
{
    ngx_uint_t                  n;
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /* before the access log, which shows what is found out here */

    h = cmcf->phases[NGX_HTTP_LOG_PHASE].handlers.elts;
    n = cmcf->phases[NGX_HTTP_LOG_PHASE].handlers.nelts;

    ngx_memmove(h + 1, h, (n - 1) * sizeof(ngx_http_handler_pt));

    *h = ngx_agent_canary_observe_handler;

    return NGX_OK;
}


void
ngx_agent_canary_observe_begin(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_loc_conf_t *lcf,
    ngx_agent_canary_ctx_t *ctx)
{
    ngx_agent_canary_arm_t    *arm;
    ngx_agent_canary_block_t  *block;

    block = ngx_agent_canary_tally_block(mcf, ctx->flag);

    if (block == NULL) {
        return;
    }

    arm = &block->arm[ctx->route];

    ctx->arm = arm;
    ctx->request = r;
    ctx->conf = lcf;
    ctx->attempts = r->upstream_states ? r->upstream_states->nelts : 0;

    block->arm[ctx->decision.arm].decisions[ctx->decision.reason]++;

    arm->in_flight++;
    arm->touched = ngx_current_msec;

    if (lcf->deadline) {
        ngx_agent_canary_deadline_set(r, mcf, ctx, lcf->deadline);
    }
}


/* The end of a request, whatever the end. */

static ngx_int_t
ngx_agent_canary_observe_handler(ngx_http_request_t *r)
{
    ngx_agent_canary_ctx_t        *ctx, *next;
    ngx_agent_canary_main_conf_t  *mcf;

    /* with log_subrequest on, subrequests come here, too */

    if (r != r->main) {
        return NGX_OK;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_agent_canary_module);

    ngx_agent_canary_over(r, mcf) = 1;

    ctx = ngx_agent_canary_decisions(r, mcf);

    for (next = NULL; ctx; ctx = ctx->next) {
        if (ctx->arm) {
            ngx_agent_canary_observe_end(r, mcf, ctx, next);
            next = ctx;
        }
    }

    return NGX_OK;
}


canary_tally_t *
ngx_agent_canary_observe_tally(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_ctx_t *ctx)
{
    ngx_agent_canary_flag_t  *flag;

    static canary_tally_t     superseded;   /* read by nobody */

    flag = ctx->flag;

    if (flag->version != flag->node->version) {
        ngx_agent_canary_zone_refresh(mcf->zone, flag);
    }

    if (ctx->epoch == flag->parsed.epoch || !flag->known) {
        return &ctx->arm->tally;
    }

    if (!ctx->expired) {
        ctx->arm->superseded++;
    }

    return &superseded;
}


/* next: the arm of another flag that the client was sent to afterwards. */

static void
ngx_agent_canary_observe_end(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_ctx_t *ctx,
    ngx_agent_canary_ctx_t *next)
{
    ngx_uint_t       last;
    canary_event_e   event;
    canary_tally_t  *t;

    t = ngx_agent_canary_observe_tally(mcf, ctx);

    ctx->arm->in_flight--;
    ctx->arm->touched = ngx_current_msec;

    ngx_agent_canary_deadline_cancel(ctx);

#if (NGX_HTTP_CACHE)

    /* an answer out of a cache, when nobody was asked, is not the arm's */

    if (ctx->request->cached && ctx->request->upstream_states == NULL) {
        return;
    }

#endif

    last = ngx_agent_canary_observe_last(ctx, next);

    if (!ctx->expired) {
        t->requests++;
        event = ngx_agent_canary_observe_fate(r, ctx, last, t);

        if (event != CANARY_EVENT_NONE) {
            ngx_agent_canary_observe_event(ctx, event, t);
        }
    }

    if (ctx->answer == NULL && ctx->conf->cost == NULL) {
        t->cost_unpriced++;
        return;
    }

    ngx_agent_canary_cost(mcf, ctx, last, t);
}


/* A request has one fate: the first that applies. */

static canary_event_e
ngx_agent_canary_observe_fate(ngx_http_request_t *r,
    ngx_agent_canary_ctx_t *ctx, ngx_uint_t last, canary_tally_t *t)
{
    uint64_t  *error;

    error = ngx_agent_canary_observe_attempts(ctx, last, t);

    if (error) {
        (*error)++;
        return CANARY_EVENT_ERROR;
    }

    if (r->headers_out.status == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || r->connection->error
        || r->connection->timedout)
    {
        t->client_aborts++;
        return CANARY_EVENT_NONE;
    }

    if (ngx_agent_canary_observe_broken(ctx->request, last)) {
        t->errors_stream++;
        return CANARY_EVENT_ERROR;
    }

    if (ctx->conf->usage || ctx->conf->outcome) {
        return ngx_agent_canary_observe_told(r, ctx, last, t);
    }

    return CANARY_EVENT_NONE;
}


void
ngx_agent_canary_observe_event(ngx_agent_canary_ctx_t *ctx,
    canary_event_e event, canary_tally_t *t)
{
    unsigned                  count;
    ngx_agent_canary_node_t  *node;

    if (ctx->decision.bucket == CANARY_BUCKETS) {
        return;
    }

    node = ctx->flag->node;

    /* in another epoch users are others */

    count = canary_repeat(node->repeats[ctx->route], event,
                          ctx->decision.hash + ctx->epoch,
                          ngx_current_msec / 1000);

    canary_tally_event(t, event, count);
}


/*
 * nginx logs an answer that broke off after its header as a success, and
 * calls the request complete.  What tells is how the upstream was left: an
 * answer is whole when its length was reached, or when the connection was
 * closed at the end of one that has none.  FastCGI tells the end by a record
 * of its own.
 */

static ngx_uint_t
ngx_agent_canary_observe_broken(ngx_http_request_t *r, ngx_uint_t last)
{
    ngx_uint_t            closed;
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    static ngx_str_t  fastcgi = ngx_string("fastcgi://");

    /* of somebody else, who came after the arm */

    if (r->upstream_states == NULL
        || ngx_agent_canary_observe_after(r, last))
    {
        return 0;
    }

    u = r->upstream;

    closed = u->schema.len != fastcgi.len
             || ngx_memcmp(u->schema.data, fastcgi.data, fastcgi.len) != 0;

    if (u->buffering) {
        p = u->pipe;

        if (p->upstream_done
            || (p->upstream_eof && p->length == -1 && closed))
        {
            return 0;
        }

    } else if (u->length == 0 || (u->length == -1 && closed)) {
        return 0;
    }

    return u->header_sent && !r->header_only && !u->upgrade;
}


/* What the answer itself tells, in its body or by agent_canary_outcome. */

static canary_event_e
ngx_agent_canary_observe_told(ngx_http_request_t *r,
    ngx_agent_canary_ctx_t *ctx, ngx_uint_t last, canary_tally_t *t)
{
    canary_usage_t  *usage;

    ngx_agent_canary_usage_done(ctx);

    usage = ngx_agent_canary_usage(ctx);

    /* the body of a 400 tells of a mistake of the client */

    if (usage
        && usage->failure
        && r->headers_out.status < NGX_HTTP_SPECIAL_RESPONSE)
    {
        t->errors_in_band++;
        return CANARY_EVENT_ERROR;
    }

    if (ngx_agent_canary_observe_after(ctx->request, last)) {
        return CANARY_EVENT_NONE;
    }

    if (ctx->conf->usage && ngx_agent_canary_usage_grpc(ctx->request)) {
        t->errors_in_band++;
        return CANARY_EVENT_ERROR;
    }

    if (ctx->conf->outcome) {
        return ngx_agent_canary_observe_outcome(ctx, t);
    }

    return CANARY_EVENT_NONE;
}


ngx_uint_t
ngx_agent_canary_observe_last(ngx_agent_canary_ctx_t *ctx,
    ngx_agent_canary_ctx_t *next)
{
    ngx_uint_t                  i, last;
    ngx_array_t                *states;
    ngx_http_upstream_state_t  *state;

    states = ctx->request->upstream_states;

    if (states == NULL) {
        return 0;
    }

    last = (next && next->request == ctx->request) ? next->attempts
                                                   : states->nelts;
    state = states->elts;

    /* no peer: what separates the rounds of an internal redirect */

    for (i = ctx->round; i < last; i++) {
        if (state[i].peer == NULL) {
            return i;
        }
    }

    return last;
}


ngx_uint_t
ngx_agent_canary_observe_after(ngx_http_request_t *r, ngx_uint_t last)
{
    return r->upstream_states && last < r->upstream_states->nelts;
}


/*
 * Every attempt counts, not only the one that nginx showed to the client: a
 * retry hides a failure, it does not undo it.  Times are those of the
 * upstream: a mirror, or a slow log, makes the request itself last longer.
 * Returns the counter of the first failure, or NULL.
 */

static uint64_t *
ngx_agent_canary_observe_attempts(ngx_agent_canary_ctx_t *ctx,
    ngx_uint_t last, canary_tally_t *t)
{
    ngx_uint_t                  i, status;
    ngx_msec_t                  total, header;
    ngx_array_t                *states;
    ngx_http_upstream_state_t  *state;

    states = ctx->request->upstream_states;

    if (states == NULL) {
        return NULL;
    }

    total = 0;
    status = 0;
    header = (ngx_msec_t) -1;
    state = states->elts;

    for (i = ctx->attempts; i < last; i++) {

        if (state[i].peer == NULL) {
            continue;
        }

        status = ngx_max(status, state[i].status);

        if (state[i].header_time != (ngx_msec_t) -1) {
            header = total + state[i].header_time;
        }

        if (state[i].response_time != (ngx_msec_t) -1) {
            total += state[i].response_time;
        }
    }

    t->latency_ms[canary_tally_bucket(total)]++;

    if (header != (ngx_msec_t) -1) {
        t->first_byte_ms[canary_tally_bucket(header)]++;
    }

    return (status < NGX_HTTP_BAD_REQUEST) ? NULL
           : ngx_agent_canary_observe_error(ctx, last, t);
}


static uint64_t *
ngx_agent_canary_observe_error(ngx_agent_canary_ctx_t *ctx, ngx_uint_t last,
    canary_tally_t *t)
{
    uint64_t                   *error;
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state;

    state = ctx->request->upstream_states->elts;

    for (i = ctx->attempts; i < last; i++) {

        error = state[i].peer ? ngx_agent_canary_observe_counter(&state[i],
                                                                 ctx->conf, t)
                              : NULL;
        if (error) {
            return error;
        }
    }

    return NULL;
}


static uint64_t *
ngx_agent_canary_observe_counter(ngx_http_upstream_state_t *state,
    ngx_agent_canary_loc_conf_t *lcf, canary_tally_t *t)
{
    ngx_uint_t  i, *code;

    if (state->header_time == (ngx_msec_t) -1) {

        /* nginx made the status up: the arm sent none */

        if (state->status == NGX_HTTP_GATEWAY_TIME_OUT) {
            return &t->errors_timeout;
        }

        if (state->status == NGX_HTTP_BAD_GATEWAY) {
            return &t->errors_connect;
        }
    }

    code = lcf->errors->elts;

    for (i = 0; i < lcf->errors->nelts; i++) {
        if (state->status == code[i]) {
            return &t->errors_status;
        }
    }

    return NULL;
}


static canary_event_e
ngx_agent_canary_observe_outcome(ngx_agent_canary_ctx_t *ctx,
    canary_tally_t *t)
{
    ngx_uint_t           i;
    canary_str_t         value;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ngx_agent_canary_value(r, ctx->conf->outcome, &value) != NGX_OK
        || value.len == 0)
    {
        return CANARY_EVENT_NONE;
    }

    for (i = 0; i < NGX_AGENT_CANARY_OUTCOMES; i++) {
        if (canary_str_eq(value, ngx_agent_canary_outcomes[i])) {
            break;
        }
    }

    if (i == NGX_AGENT_CANARY_OUTCOMES) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "agent_canary_outcome \"%*s\" is ignored: expected "
                      "\"success\", \"error\", \"denied\", \"escalated\" "
                      "or nothing", value.len, value.data);
        return CANARY_EVENT_NONE;
    }

    ctx->outcome = i + 1;

    switch (i) {

    case NGX_AGENT_CANARY_OUTCOME_ERROR:
        t->errors_in_band++;
        return CANARY_EVENT_ERROR;

    case NGX_AGENT_CANARY_OUTCOME_DENIED:
        t->denied++;
        return CANARY_EVENT_DENIED;

    case NGX_AGENT_CANARY_OUTCOME_ESCALATED:
        t->escalated++;
        return CANARY_EVENT_ESCALATED;

    default: /* NGX_AGENT_CANARY_OUTCOME_SUCCESS */
        return CANARY_EVENT_NONE;
    }
}
