
/*
 * What an answer cost: what the agent reports, or what its tokens cost.
 */


#ifndef _NGX_AGENT_CANARY_COST_H_INCLUDED_
#define _NGX_AGENT_CANARY_COST_H_INCLUDED_


#include "ngx_agent_canary_decision.h"
#include "ngx_agent_canary_tally.h"


/*
 * Tallies in t tokens and cost of a request that is over; last is where the
 * attempts of the arm end.
 */

void ngx_agent_canary_cost(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_ctx_t *ctx, ngx_uint_t last, canary_tally_t *t);


#endif /* _NGX_AGENT_CANARY_COST_H_INCLUDED_ */
