
/*
 * The tallies in the zone.
 */


#include "ngx_agent_canary_tally.h"


/* how often a request looks for the mutex before it goes on uncounted, and
 * after how many looks it lets another process run */
#define NGX_AGENT_CANARY_TALLY_TRIES  1000
#define NGX_AGENT_CANARY_TALLY_SPIN   10

/* a process that found no slot looks again, in milliseconds */
#define NGX_AGENT_CANARY_TALLY_CLAIM  1000


static void ngx_agent_canary_tally_find(ngx_agent_canary_main_conf_t *mcf);
static ngx_agent_canary_block_t *ngx_agent_canary_tally_allocate(
    ngx_agent_canary_zone_t *zone, ngx_agent_canary_node_t *node,
    ngx_uint_t slot);
static void ngx_agent_canary_tally_bury(ngx_agent_canary_main_conf_t *mcf,
    ngx_uint_t slot);
static ngx_uint_t ngx_agent_canary_tally_alive(ngx_pid_t pid);
static void ngx_agent_canary_tally_add(ngx_agent_canary_sum_t *sum,
    ngx_uint_t arm, ngx_agent_canary_arm_t *counted, ngx_uint_t alive);


void
ngx_agent_canary_tally_claim(ngx_agent_canary_main_conf_t *mcf)
{
    ngx_agent_canary_tally_find(mcf);

    if (mcf->process == NGX_AGENT_CANARY_NO_SLOT) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "agent canary: all %ui slots of the zone are taken by "
                      "living processes, this one counts nothing until one "
                      "is free", mcf->zone->sh->slots);
    }
}


static void
ngx_agent_canary_tally_find(ngx_agent_canary_main_conf_t *mcf)
{
    ngx_uint_t                 i;
    ngx_atomic_uint_t          pid;
    ngx_agent_canary_shctx_t  *sh;

    sh = mcf->zone->sh;

    mcf->process = NGX_AGENT_CANARY_NO_SLOT;
    mcf->claimed = ngx_current_msec;

    /* one that is free; and those of the dead are freed */

    for (i = 0; i < sh->slots; i++) {
        pid = sh->pids[i];

        if (pid == 0) {
            if (mcf->process != NGX_AGENT_CANARY_NO_SLOT) {
                continue;
            }

        } else if (ngx_agent_canary_tally_alive((ngx_pid_t) pid)) {
            continue;
        }

        if (!ngx_atomic_cmp_set(&sh->pids[i], pid, ngx_pid)) {
            continue;
        }

        ngx_agent_canary_tally_bury(mcf, i);

        if (mcf->process == NGX_AGENT_CANARY_NO_SLOT) {
            mcf->process = i;

        } else {
            sh->pids[i] = 0;
        }
    }
}


/* As in a claim: whoever owns a slot is alone with it. */

void
ngx_agent_canary_tally_reap(ngx_agent_canary_main_conf_t *mcf)
{
    ngx_uint_t                 i;
    ngx_atomic_uint_t          pid;
    ngx_agent_canary_shctx_t  *sh;

    sh = mcf->zone->sh;

    for (i = 0; i < sh->slots; i++) {
        pid = sh->pids[i];

        if (pid == 0
            || i == mcf->process
            || ngx_agent_canary_tally_alive((ngx_pid_t) pid)
            || !ngx_atomic_cmp_set(&sh->pids[i], pid, ngx_pid))
        {
            continue;
        }

        ngx_agent_canary_tally_bury(mcf, i);
        sh->pids[i] = 0;
    }
}


/* What was in flight died with the last owner of the slot. */

static void
ngx_agent_canary_tally_bury(ngx_agent_canary_main_conf_t *mcf, ngx_uint_t slot)
{
    ngx_uint_t                 n, arm;
    ngx_agent_canary_flag_t  **flag;
    ngx_agent_canary_block_t  *block;

    flag = mcf->flags.elts;

    for (n = 0; n < mcf->flags.nelts; n++) {
        block = flag[n]->node->blocks[slot];

        for (arm = 0; block && arm < CANARY_ARMS; arm++) {
            block->arm[arm].in_flight = 0;
            block->arm[arm].touched = ngx_current_msec;
        }
    }
}


static ngx_uint_t
ngx_agent_canary_tally_alive(ngx_pid_t pid)
{
    return pid != ngx_pid && (kill(pid, 0) == 0 || ngx_errno != NGX_ESRCH);
}


void
ngx_agent_canary_tally_release(ngx_agent_canary_main_conf_t *mcf)
{
    if (mcf->process != NGX_AGENT_CANARY_NO_SLOT) {

        /* a process that is told to end at once leaves its requests */

        ngx_agent_canary_tally_bury(mcf, mcf->process);

        mcf->zone->sh->pids[mcf->process] = 0;
        mcf->process = NGX_AGENT_CANARY_NO_SLOT;
    }
}


ngx_agent_canary_block_t *
ngx_agent_canary_tally_block(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_flag_t *flag)
{
    ngx_agent_canary_block_t  *block;

    /* old workers end, sooner or later */

    if (mcf->process == NGX_AGENT_CANARY_NO_SLOT
        && ngx_current_msec - mcf->claimed >= NGX_AGENT_CANARY_TALLY_CLAIM)
    {
        ngx_agent_canary_tally_find(mcf);
    }

    if (mcf->process == NGX_AGENT_CANARY_NO_SLOT) {
        block = NULL;

    } else {
        block = flag->node->blocks[mcf->process];

        if (block) {
            return block;
        }

        block = ngx_agent_canary_tally_allocate(mcf->zone, flag->node,
                                                mcf->process);
    }

    if (block == NULL) {
        (void) ngx_atomic_fetch_add(&mcf->zone->sh->uncounted, 1);
    }

    return block;
}


/* Once for each flag and process; does not wait for a writer. */

static ngx_agent_canary_block_t *
ngx_agent_canary_tally_allocate(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, ngx_uint_t slot)
{
    ngx_uint_t                 i;
    ngx_agent_canary_block_t  *block;

    for (i = 0; i < NGX_AGENT_CANARY_TALLY_TRIES; i++) {

        if (!ngx_shmtx_trylock(&zone->shpool->mutex)) {

            if (i % NGX_AGENT_CANARY_TALLY_SPIN) {
                ngx_cpu_pause();

            } else {
                ngx_sched_yield();
            }

            continue;
        }

        block = ngx_slab_calloc_locked(zone->shpool,
                                       sizeof(ngx_agent_canary_block_t));

        ngx_shmtx_unlock(&zone->shpool->mutex);

        /* readers follow the pointer: the zeroes have to be there first */

        ngx_memory_barrier();

        node->blocks[slot] = block;

        return block;
    }

    return NULL;
}


void
ngx_agent_canary_tally_sum(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, ngx_agent_canary_sum_t *sum)
{
    ngx_uint_t                 i, arm;
    canary_tally_t            *t;
    ngx_agent_canary_block_t  *block;

    ngx_memzero(sum, sizeof(ngx_agent_canary_sum_t));

    for (i = 0; i < zone->sh->slots; i++) {

        block = node->blocks[i];
        if (block == NULL) {
            continue;
        }

        if (sum->blocks++ == 0) {
            sum->touched = block->arm[0].touched;
        }

        /* the gauge of a dead process is nothing */

        for (arm = 0; arm < CANARY_ARMS; arm++) {
            ngx_agent_canary_tally_add(sum, arm, &block->arm[arm],
                                       zone->sh->pids[i] != 0);
        }
    }

    for (arm = 0; arm < CANARY_ARMS; arm++) {
        t = &sum->arm[arm];

        t->keyless = sum->decisions[arm][CANARY_REASON_KEY_MISSING];
        t->overrides = sum->decisions[arm][CANARY_REASON_OVERRIDE];
    }
}


static void
ngx_agent_canary_tally_add(ngx_agent_canary_sum_t *sum, ngx_uint_t arm,
    ngx_agent_canary_arm_t *counted, ngx_uint_t alive)
{
    ngx_uint_t  reason;

    canary_tally_add(&sum->arm[arm], &counted->tally);

    for (reason = 0; reason < CANARY_REASONS; reason++) {
        sum->decisions[arm][reason] += counted->decisions[reason];
    }

    sum->superseded[arm] += counted->superseded;

    if (alive) {
        sum->in_flight[arm] += counted->in_flight;
    }

    if ((ngx_msec_int_t) (counted->touched - sum->touched) > 0) {
        sum->touched = counted->touched;
    }
}
