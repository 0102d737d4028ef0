
/*
 * What became of a request: every one that went to an arm is tallied, at its
 * end or at its deadline.
 */


#ifndef _NGX_AGENT_CANARY_OBSERVE_H_INCLUDED_
#define _NGX_AGENT_CANARY_OBSERVE_H_INCLUDED_


#include "ngx_agent_canary_decision.h"
#include "ngx_agent_canary_tally.h"


/* The words of agent_canary_outcome; ctx->outcome is an index plus 1. */

extern const canary_str_t  ngx_agent_canary_outcomes[];


/* A request goes to its arm now; ctx is filled and routed. */

void ngx_agent_canary_observe_begin(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_loc_conf_t *lcf,
    ngx_agent_canary_ctx_t *ctx);

/*
 * Where it is to be counted.  A request is evidence of the epoch that it began
 * in.  One that ends in a later epoch, as a hanging one does after a trip was
 * lifted, is counted apart: it must not trip the candidate that was mended.
 */

canary_tally_t *ngx_agent_canary_observe_tally(
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_ctx_t *ctx);

/* Counts, of users who are followed, how often they have that event. */

void ngx_agent_canary_observe_event(ngx_agent_canary_ctx_t *ctx,
    canary_event_e event, canary_tally_t *t);

/*
 * Where the attempts of the arm end in r->upstream_states of ctx->request.
 * Afterwards the request may have gone to the arm of another flag, next, or to
 * what is no arm at all: a fallback for an answer that is no error, a file that
 * the answer pointed to, a post_action.
 */

ngx_uint_t ngx_agent_canary_observe_last(ngx_agent_canary_ctx_t *ctx,
    ngx_agent_canary_ctx_t *next);

/*
 * Whether somebody came after them: the headers and the body that there are
 * now are those of the last one, and say nothing of the arm.
 */

ngx_uint_t ngx_agent_canary_observe_after(ngx_http_request_t *r,
    ngx_uint_t last);

/* In the postconfiguration: the log phase. */

ngx_int_t ngx_agent_canary_observe_init(ngx_conf_t *cf);


#endif /* _NGX_AGENT_CANARY_OBSERVE_H_INCLUDED_ */
