
/*
 * Reads what an answer says of its tokens and failures while it passes.  It
 * changes no byte and holds none back.
 */


#include "ngx_agent_canary_usage_filter.h"
#include "ngx_agent_canary_observe.h"
#include "ngx_agent_canary_tally.h"


/* between two hints in the log, in milliseconds */
#define NGX_AGENT_CANARY_HINT_INTERVAL  60000


struct ngx_agent_canary_answer_s {
    canary_usage_reader_t  reader;
    canary_usage_t         usage;
    ngx_uint_t             done;
};


static ngx_int_t ngx_agent_canary_usage_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_agent_canary_usage_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_agent_canary_ctx_t *ngx_agent_canary_usage_ctx(
    ngx_http_request_t *r);
static ngx_uint_t ngx_agent_canary_usage_encoded(ngx_http_request_t *r);
static void ngx_agent_canary_usage_compressed(ngx_http_request_t *r);
static ngx_uint_t ngx_agent_canary_usage_grpc_status(ngx_list_t *list);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_agent_canary_usage_init(ngx_conf_t *cf)
{
    ngx_agent_canary_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_agent_canary_module);

    /* who does not use it does not pay for it */

    if (!mcf->usage) {
        return NGX_OK;
    }

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_agent_canary_usage_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_agent_canary_usage_body_filter;

    return NGX_OK;
}


/* The decision whose answer passes: of a main request that went to an arm. */

static ngx_agent_canary_ctx_t *
ngx_agent_canary_usage_ctx(ngx_http_request_t *r)
{
    ngx_agent_canary_ctx_t        *ctx;
    ngx_agent_canary_loc_conf_t   *lcf;
    ngx_agent_canary_main_conf_t  *mcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_agent_canary_module);

    if (!lcf->usage
        || lcf->binding == NULL
        || r != r->main
        || r->upstream == NULL)
    {
        return NULL;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_agent_canary_module);

    ctx = ngx_agent_canary_decision_made(r, mcf, lcf->binding->flag);

    return (ctx && ctx->routed) ? ctx : NULL;
}


static ngx_int_t
ngx_agent_canary_usage_header_filter(ngx_http_request_t *r)
{
    canary_usage_kind_e      kind;
    ngx_agent_canary_ctx_t  *ctx;

    ctx = ngx_agent_canary_usage_ctx(r);

    if (ctx == NULL || ctx->answer || r->header_only) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx->arm
        && ngx_agent_canary_observe_after(ctx->request,
                                   ngx_agent_canary_observe_last(ctx, NULL)))
    {
        return ngx_http_next_header_filter(r);
    }

    kind = canary_usage_kind(ngx_agent_canary_cstr(
                                              &r->headers_out.content_type));

    if (kind == CANARY_USAGE_NONE) {
        return ngx_http_next_header_filter(r);
    }

    if (ngx_agent_canary_usage_encoded(r)) {
        ngx_agent_canary_usage_compressed(r);
        return ngx_http_next_header_filter(r);
    }

    ctx->answer = ngx_palloc(r->pool, sizeof(ngx_agent_canary_answer_t));
    if (ctx->answer == NULL) {
        return NGX_ERROR;
    }

    ctx->answer->done = 0;
    canary_usage_init(&ctx->answer->reader, kind);

    /* what lies in a file is read into memory before it comes here */

    r->filter_need_in_memory = 1;

    return ngx_http_next_header_filter(r);
}


/* Agents that stream say "identity" or "none" so that nobody packs it. */

static ngx_uint_t
ngx_agent_canary_usage_encoded(ngx_http_request_t *r)
{
    ngx_uint_t   i;
    ngx_str_t   *value;

    static ngx_str_t  plain[] = {
        ngx_string(""),
        ngx_string("identity"),
        ngx_string("none")
    };

    if (r->headers_out.content_encoding == NULL) {
        return 0;
    }

    value = &r->headers_out.content_encoding->value;

    for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (value->len == plain[i].len
            && ngx_strncasecmp(value->data, plain[i].data, value->len) == 0)
        {
            return 0;
        }
    }

    return 1;
}


/* Told once a minute: it is the configuration that has to change. */

static void
ngx_agent_canary_usage_compressed(ngx_http_request_t *r)
{
    static ngx_msec_t  next;

    if (next && (ngx_msec_int_t) (ngx_current_msec - next) < 0) {
        return;
    }

    next = ngx_current_msec + NGX_AGENT_CANARY_HINT_INTERVAL;

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "agent_canary_usage cannot read an answer with "
                  "\"Content-Encoding: %V\", its cost is not known: "
                  "add \"proxy_set_header Accept-Encoding identity;\"",
                  &r->headers_out.content_encoding->value);
}


static ngx_int_t
ngx_agent_canary_usage_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t               *b;
    ngx_chain_t             *cl;
    ngx_agent_canary_ctx_t  *ctx;

    if (in == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_agent_canary_usage_ctx(r);

    if (ctx == NULL || ctx->answer == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b) && b->last > b->pos) {
            canary_usage_feed(&ctx->answer->reader, (char *) b->pos,
                              b->last - b->pos);
        }
    }

    return ngx_http_next_body_filter(r, in);
}


void
ngx_agent_canary_usage_done(ngx_agent_canary_ctx_t *ctx)
{
    if (ctx->answer && !ctx->answer->done) {
        canary_usage_finish(&ctx->answer->reader, &ctx->answer->usage);
        ctx->answer->done = 1;
    }
}


canary_usage_t *
ngx_agent_canary_usage(ngx_agent_canary_ctx_t *ctx)
{
    return (ctx->answer && ctx->answer->done) ? &ctx->answer->usage : NULL;
}


ngx_uint_t
ngx_agent_canary_usage_grpc(ngx_http_request_t *r)
{
    ngx_str_t            *type;
    ngx_http_upstream_t  *u;

    static ngx_str_t  grpc = ngx_string("application/grpc");

    u = r->upstream;
    type = &r->headers_out.content_type;

    if (type->len < grpc.len
        || ngx_strncasecmp(type->data, grpc.data, grpc.len) != 0)
    {
        return 0;
    }

    /* after the messages, or with the header when there are none */

    return ngx_agent_canary_usage_grpc_status(&u->headers_in.trailers)
           || ngx_agent_canary_usage_grpc_status(&u->headers_in.headers);
}


/* The other codes are what a caller did, or what it may have to expect. */

static ngx_uint_t
ngx_agent_canary_usage_grpc_status(ngx_list_t *list)
{
    ngx_uint_t        i, k;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t        name = ngx_string("grpc-status");
    static const ngx_int_t  failed[] = {
        2,                                  /* unknown */
        4,                                  /* deadline exceeded */
        12,                                 /* unimplemented */
        13,                                 /* internal */
        14,                                 /* unavailable */
        15                                  /* data loss */
    };

    for (part = &list->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != name.len
                || ngx_strncasecmp(h[i].key.data, name.data, name.len) != 0)
            {
                continue;
            }

            for (k = 0; k < sizeof(failed) / sizeof(failed[0]); k++) {
                if (ngx_atoi(h[i].value.data, h[i].value.len) == failed[k]) {
                    return 1;
                }
            }
        }
    }

    return 0;
}
