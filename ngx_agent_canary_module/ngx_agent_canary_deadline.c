
/*
 * The deadlines of requests.
 */


#include "ngx_agent_canary_deadline.h"
#include "ngx_agent_canary_observe.h"


/* how late a deadline may be seen, in milliseconds */
#define NGX_AGENT_CANARY_DEADLINE_TICK  50


static void ngx_agent_canary_deadline_handler(ngx_event_t *ev);
static ngx_uint_t ngx_agent_canary_deadline_missed(
    ngx_agent_canary_ctx_t *ctx);


void
ngx_agent_canary_deadline_start(ngx_agent_canary_main_conf_t *mcf,
    ngx_cycle_t *cycle)
{
    ngx_queue_init(&mcf->waiting);

    /* debug logs of timers take data for a connection */

    mcf->ident.fd = (ngx_socket_t) -1;
    mcf->ident.data = mcf;

    mcf->deadline.handler = ngx_agent_canary_deadline_handler;
    mcf->deadline.data = &mcf->ident;
    mcf->deadline.log = cycle->log;
    mcf->deadline.cancelable = 1;
}


void
ngx_agent_canary_deadline_set(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_ctx_t *ctx,
    ngx_msec_t deadline)
{
    ngx_agent_canary_wait_t  *wait;

    wait = ngx_palloc(r->pool, sizeof(ngx_agent_canary_wait_t));
    if (wait == NULL) {
        return;
    }

    wait->ctx = ctx;
    wait->deadline = deadline;
    wait->expires = ngx_current_msec + deadline;

    ctx->wait = wait;

    ngx_queue_insert_tail(&mcf->waiting, &wait->queue);

    if (!mcf->deadline.timer_set) {
        ngx_add_timer(&mcf->deadline, NGX_AGENT_CANARY_DEADLINE_TICK);
    }
}


/*
 * A request that hangs is an error when its time is up, not when it ends at
 * last: a dead candidate has to be visible at once.
 */

static void
ngx_agent_canary_deadline_handler(ngx_event_t *ev)
{
    canary_tally_t                *t;
    ngx_queue_t                   *q, *next;
    ngx_connection_t              *ident;
    ngx_agent_canary_ctx_t        *ctx;
    ngx_agent_canary_wait_t       *wait;
    ngx_agent_canary_main_conf_t  *mcf;

    ident = ev->data;
    mcf = ident->data;

    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, ev->log, 0,
                   "agent canary deadlines");

    for (q = ngx_queue_head(&mcf->waiting);
         q != ngx_queue_sentinel(&mcf->waiting);
         q = next)
    {
        next = ngx_queue_next(q);

        wait = ngx_queue_data(q, ngx_agent_canary_wait_t, queue);

        ctx = wait->ctx;

        /* time that others took does not count, whenever they took it */

        if (!ngx_agent_canary_deadline_missed(ctx)) {
            wait->expires = ngx_current_msec + wait->deadline;
            continue;
        }

        if ((ngx_msec_int_t) (wait->expires - ngx_current_msec) > 0) {
            continue;
        }

        ngx_queue_remove(q);

        t = ngx_agent_canary_observe_tally(mcf, ctx);

        ctx->wait = NULL;
        ctx->expired = 1;

        t->requests++;
        t->errors_deadline++;
        ngx_agent_canary_observe_event(ctx, CANARY_EVENT_ERROR, t);
        t->latency_ms[canary_tally_bucket(wait->deadline)]++;

        ctx->arm->touched = ngx_current_msec;
    }

    if (!ngx_queue_empty(&mcf->waiting)) {
        ngx_add_timer(ev, NGX_AGENT_CANARY_DEADLINE_TICK);
    }
}


/*
 * Whether it is the arm that the request waits for: not a client that reads
 * or writes slowly, nor a mirror of an answer that is long there.
 */

static ngx_uint_t
ngx_agent_canary_deadline_missed(ngx_agent_canary_ctx_t *ctx)
{
    ngx_uint_t                  last;
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_upstream_state_t  *state;

    r = ctx->request;
    last = ngx_agent_canary_observe_last(ctx, NULL);

    if (last == 0 || last < r->upstream_states->nelts) {
        return 0;
    }

    state = r->upstream_states->elts;
    state += last - 1;

    if (state->peer == NULL || state->response_time != (ngx_msec_t) -1) {
        return 0;
    }

    /* an arm that takes no more of the body does hang */

    c = r->upstream->peer.connection;

    if (r->main->reading_body && c && c->write->ready) {
        return 0;
    }

    return !r->connection->buffered;
}
