
/*
 * The tallies in the zone.
 *
 * Every process that serves requests claims a slot of its own, and in it a
 * block for each flag it meets: nobody else writes there, so that counting
 * takes no lock and no atomic operation, and a process that is killed leaves
 * counters that are right but for the request at hand.  Blocks stay when
 * their slot changes hands, and so the sums over all slots only grow.
 */


#ifndef _NGX_AGENT_CANARY_TALLY_H_INCLUDED_
#define _NGX_AGENT_CANARY_TALLY_H_INCLUDED_


#include "ngx_agent_canary_zone.h"
#include "../canary/tally.h"


struct ngx_agent_canary_arm_s {
    canary_tally_t               tally;
    uint64_t                     decisions[CANARY_REASONS];
    uint64_t                     in_flight; /* a gauge */
    uint64_t                     superseded; /* began in another epoch */
    ngx_msec_t                   touched;   /* ngx_current_msec */
};


struct ngx_agent_canary_block_s {
    ngx_agent_canary_arm_t       arm[CANARY_ARMS];
};


/* What all processes counted. */

typedef struct {
    canary_tally_t               arm[CANARY_ARMS];
    uint64_t                     decisions[CANARY_ARMS][CANARY_REASONS];
    uint64_t                     in_flight[CANARY_ARMS];
    uint64_t                     superseded[CANARY_ARMS];
    ngx_msec_t                   touched;
    ngx_uint_t                   blocks;    /* 0: never any traffic */
} ngx_agent_canary_sum_t;


/*
 * In init_process and exit_process of a worker.  Without a free slot this
 * process counts nothing but how often it did not, in sh->uncounted, until
 * another one ends.
 */

void ngx_agent_canary_tally_claim(ngx_agent_canary_main_conf_t *mcf);
void ngx_agent_canary_tally_release(ngx_agent_canary_main_conf_t *mcf);

/*
 * Takes back the slots of processes that were killed: the master puts nobody
 * in the place of an old worker.  Before the tallies are shown.
 */

void ngx_agent_canary_tally_reap(ngx_agent_canary_main_conf_t *mcf);

/* This process' block of a flag; NULL: no slot, or no memory. */

ngx_agent_canary_block_t *ngx_agent_canary_tally_block(
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_flag_t *flag);

void ngx_agent_canary_tally_sum(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, ngx_agent_canary_sum_t *sum);


#endif /* _NGX_AGENT_CANARY_TALLY_H_INCLUDED_ */
