
/*
 * The decision for a request: made once per main request and flag, on first
 * use, kept across internal redirects, shared by all subrequests.
 */


#ifndef _NGX_AGENT_CANARY_DECISION_H_INCLUDED_
#define _NGX_AGENT_CANARY_DECISION_H_INCLUDED_


#include "ngx_agent_canary_module.h"
#include "../canary/usage.h"


typedef struct ngx_agent_canary_ctx_s     ngx_agent_canary_ctx_t;
typedef struct ngx_agent_canary_answer_s  ngx_agent_canary_answer_t;
typedef struct ngx_agent_canary_wait_s    ngx_agent_canary_wait_t;


/* Kept small: with it most requests still need one block of memory. */

struct ngx_agent_canary_ctx_s {
    ngx_agent_canary_ctx_t      *next;      /* of another flag */
    ngx_agent_canary_flag_t     *flag;
    ngx_agent_canary_arm_t      *arm;       /* counts it; NULL: it is not
                                               tallied, and has none of the
                                               next four */
    ngx_http_request_t          *request;   /* that goes to the arm */
    ngx_agent_canary_loc_conf_t *conf;      /* of its location then */
    ngx_agent_canary_wait_t     *wait;      /* NULL: no deadline any more */
    ngx_agent_canary_answer_t   *answer;    /* NULL: is not read */
    u_char                      *bundle;    /* terminated */
    uint64_t                     epoch;
    double                       cost;      /* USD, when priced */
    canary_decision_t            decision;

    uint8_t                      route;     /* the arm, but for a dry run */
    uint8_t                      mode;      /* canary_mode_e */
    uint8_t                      routed;    /* goes to the arm */
    uint8_t                      expired;   /* was counted at its deadline */
    uint8_t                      priced;
    uint8_t                      outcome;   /* its index + 1 */
    uint16_t                     attempts;  /* of the request before */
    uint16_t                     round;     /* the first attempt of the last
                                               round that went to the arm */
};


/*
 * The decisions of a request, the last one first.  An internal redirect wipes
 * r->ctx but not r->variables, and subrequests share the variables of the
 * main request.
 */

#define ngx_agent_canary_decisions(r, mcf)                                    \
    ((ngx_agent_canary_ctx_t *) (r)->variables[(mcf)->slot].data)

/*
 * The decision for the flag of the request's location; NULL when there is
 * none, or no memory.
 */

ngx_agent_canary_ctx_t *ngx_agent_canary_decision(ngx_http_request_t *r);

/*
 * The same for a request that goes to its arm now, which is counted once.  A
 * request that ends before, and is only logged with a variable, is not.
 * ahead: nginx has still to put an entry between the attempts of two rounds.
 */

ngx_agent_canary_ctx_t *ngx_agent_canary_route(ngx_http_request_t *r,
    ngx_agent_canary_loc_conf_t *lcf, ngx_uint_t ahead);

/*
 * Whether the request is being logged: it goes nowhere any more.  The slot of
 * its decisions is nobody else's, and so is this bit.
 */

#define ngx_agent_canary_over(r, mcf)  ((r)->variables[(mcf)->slot].valid)

/* The decision for a flag, when there is one already, or NULL. */

ngx_agent_canary_ctx_t *ngx_agent_canary_decision_made(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_flag_t *flag);

/* The answer of the limits for Redis and the sidecar right now. */

canary_stale_e ngx_agent_canary_stale(ngx_agent_canary_main_conf_t *mcf);

/* In the preconfiguration of http{}: where a request keeps it. */

ngx_int_t ngx_agent_canary_decision_init(ngx_conf_t *cf);


#endif /* _NGX_AGENT_CANARY_DECISION_H_INCLUDED_ */
