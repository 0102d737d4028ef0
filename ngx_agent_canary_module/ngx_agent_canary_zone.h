
/*
 * The shared memory zone.
 *
 * A node keeps what is known of a flag in two slots; the lowest bit of its
 * version tells the valid one.  A writer holds the slab mutex, fills the
 * other slot and only then moves the version, so that a reader never waits
 * and a writer killed half way leaves nothing torn.
 */


#ifndef _NGX_AGENT_CANARY_ZONE_H_INCLUDED_
#define _NGX_AGENT_CANARY_ZONE_H_INCLUDED_


#include "ngx_agent_canary_module.h"
#include "../canary/known.h"
#include "../canary/repeat.h"
#include "../canary/snapshot.h"


typedef enum {
    NGX_AGENT_CANARY_LINK_OFF = 0,          /* nobody runs it yet */
    NGX_AGENT_CANARY_LINK_CONNECTING,
    NGX_AGENT_CANARY_LINK_LOADING,          /* the first full read */
    NGX_AGENT_CANARY_LINK_READY,
    NGX_AGENT_CANARY_LINK_FAILED            /* waits before the next try */
} ngx_agent_canary_link_state_e;


/* What is told of the link; texts are terminated, readable any time. */

typedef struct {
    ngx_atomic_t                 state;
    ngx_atomic_t                 connects;  /* tries, ever */
    ngx_atomic_t                 failures;
    ngx_atomic_t                 reads;     /* of a flag */
    ngx_atomic_t                 pushes;    /* invalidations received */
    u_char                       address[128];
    u_char                       reason[CANARY_ERROR_MAX];
} ngx_agent_canary_link_status_t;


/*
 * The latch stands here, too: it has to hold even when the zone has no room
 * for what comes with it.
 */

typedef struct {
    canary_state_e               state;
    canary_error_t               reason;
    ngx_uint_t                   latched;
    canary_trip_t                latch;
    size_t                       len;
    u_char                      *data;      /* see canary_known_pack() */
} ngx_agent_canary_slot_t;


struct ngx_agent_canary_node_s {
    ngx_str_node_t               sn;        /* the name; must be first */

    ngx_atomic_t                 version;   /* 0: nothing published yet */
    ngx_agent_canary_slot_t      slot[2];
    ngx_msec_t                   published; /* when, ngx_current_msec */

    ngx_agent_canary_block_t   **blocks;    /* of each slot, or NULL */
    canary_repeat_t              repeats[CANARY_ARMS][CANARY_REPEATS];

    u_char                       name[CANARY_FLAG_NAME_MAX];
};


/* A copy of a node, taken without a lock. */

typedef struct {
    ngx_atomic_uint_t            version;
    ngx_agent_canary_slot_t      slot;
    canary_known_t               known;     /* points into buffer */
    u_char                      *buffer;
} ngx_agent_canary_view_t;


typedef struct {
    ngx_uint_t                   slots;     /* for processes that tally */
    ngx_atomic_t                *pids;      /* their owners, 0: free */
    ngx_atomic_t                 uncounted; /* requests without a tally */
    ngx_rbtree_t                 nodes;
    ngx_rbtree_node_t            sentinel;

    ngx_msec_t                   created;   /* ngx_current_msec */
    ngx_atomic_t                 confirmed; /* ngx_current_msec when Redis
                                               last confirmed the flags, at
                                               first as created */
    ngx_atomic_t                 synced;    /* whether it ever did */
    ngx_atomic_t                 renewed;   /* ngx_current_msec when all flags
                                               may have changed at once */
    ngx_atomic_t                 guarded;   /* the same of the sidecar */
    u_char                       guard[64]; /* its name */
    ngx_atomic_t                 changes;   /* publications, ever */
    ngx_atomic_t                 refused;   /* for want of memory */
    ngx_atomic_t                 saved;     /* changes in the state file */
    ngx_atomic_t                 save_failures;
    ngx_atomic_t                 generation;    /* of the configuration that
                                               may write */

    ngx_agent_canary_link_status_t  link;

    u_char                       boot_id[32];   /* hex, of this memory */
    u_char                       secret[CANARY_SECRET_LEN];
} ngx_agent_canary_shctx_t;


struct ngx_agent_canary_zone_s {
    ngx_agent_canary_shctx_t    *sh;
    ngx_slab_pool_t             *shpool;
    ngx_shm_zone_t              *shm_zone;
    ngx_cycle_t                 *cycle;
    ngx_agent_canary_main_conf_t *conf;
};


/* agent_canary_zone name:size [state=path] */

char *ngx_agent_canary_zone_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Applies a reading of Redis, in the worker that runs the link.  Returns
 *     NGX_OK        the node changed
 *     NGX_DECLINED  nothing changed
 *     NGX_BUSY      another writer is at work: read again a little later
 *     NGX_ERROR     no memory; the node says so and keeps what it had
 */

ngx_int_t ngx_agent_canary_zone_apply(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_flag_t *flag, canary_reading_t *reading);

/*
 * Copies a node.  On NGX_OK the view is to be released with ngx_free() of
 * its buffer, which may be NULL.  NGX_AGAIN: writers were faster every time;
 * NGX_ERROR: out of memory.
 */

ngx_int_t ngx_agent_canary_zone_read(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, ngx_agent_canary_view_t *view);

/* The same without the record: cheap, and nothing to release. */

ngx_int_t ngx_agent_canary_zone_peek(ngx_agent_canary_node_t *node,
    ngx_agent_canary_slot_t *slot);

/* Brings a worker's copy of a flag up to date; cheap when nothing moved. */

void ngx_agent_canary_zone_refresh(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_flag_t *flag);

/*
 * Latches a trip that came from elsewhere, JSON that canary_trip_parse() took.
 * Returns as ngx_agent_canary_zone_apply(); NGX_DECLINED: a trip that it does
 * not beat holds already.
 */

ngx_int_t ngx_agent_canary_zone_trip(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, canary_str_t json);

/* What the state file or an older zone knew, before any worker runs. */

ngx_int_t ngx_agent_canary_zone_restore(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, canary_known_t *known);

/* The node of a flag, or NULL. */

ngx_agent_canary_node_t *ngx_agent_canary_zone_find(
    ngx_agent_canary_zone_t *zone, ngx_str_t *name);

/* Milliseconds since Redis last confirmed the flags; -1: never. */

ngx_msec_int_t ngx_agent_canary_zone_age(ngx_agent_canary_zone_t *zone);

/*
 * Non-zero when a newer configuration took over: the workers of an old one
 * may live on for hours, and must not write over what the new ones write.
 */

#define ngx_agent_canary_zone_outdated(zone)                                  \
    ((zone)->conf->generation != (zone)->sh->generation)

/* All flags may look different from now on. */

#define ngx_agent_canary_zone_renew(zone)                                     \
    ((zone)->sh->renewed = ngx_current_msec)

/* Link status, written by the worker that runs the link; reason or NULL. */

void ngx_agent_canary_zone_set_link(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_link_state_e state, const u_char *reason);
void ngx_agent_canary_zone_synced(ngx_agent_canary_zone_t *zone);


/* Non-zero while Redis confirms the flags once a second. */

ngx_uint_t ngx_agent_canary_zone_fresh(ngx_agent_canary_zone_t *zone);

/* The word for a flag's state: "stale" instead of "ok" when not fresh. */

canary_str_t ngx_agent_canary_flag_state_name(ngx_agent_canary_zone_t *zone,
    canary_state_e state);

/* Non-zero while the worker's copy of the flag is rolled back. */

ngx_uint_t ngx_agent_canary_flag_tripped(ngx_agent_canary_flag_t *flag);

/* Milliseconds since a sidecar was last seen; -1: never. */

ngx_msec_int_t ngx_agent_canary_zone_guard_age(ngx_agent_canary_zone_t *zone);

/* A sidecar is there; name is what it calls itself. */

void ngx_agent_canary_zone_guarded(ngx_agent_canary_zone_t *zone,
    ngx_str_t *name);


#endif /* _NGX_AGENT_CANARY_ZONE_H_INCLUDED_ */
