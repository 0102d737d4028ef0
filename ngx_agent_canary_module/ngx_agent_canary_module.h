
/*
 * The configuration of the module, and what its files offer each other.
 *
 * Data flows one way: request -> decision -> upstream.  Worker 0 keeps the
 * zone up to date from Redis; every worker reads the zone, none waits for it.
 */


#ifndef _NGX_AGENT_CANARY_MODULE_H_INCLUDED_
#define _NGX_AGENT_CANARY_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../canary/decide.h"
#include "../canary/flag.h"
#include "../canary/prices.h"
#include "ngx_agent_canary_value.h"


#define NGX_AGENT_CANARY_VERSION  "0.1.0"


typedef struct ngx_agent_canary_zone_s   ngx_agent_canary_zone_t;
typedef struct ngx_agent_canary_node_s   ngx_agent_canary_node_t;
typedef struct ngx_agent_canary_link_s   ngx_agent_canary_link_t;
typedef struct ngx_agent_canary_state_s  ngx_agent_canary_state_t;
typedef struct ngx_agent_canary_block_s  ngx_agent_canary_block_t;
typedef struct ngx_agent_canary_arm_s    ngx_agent_canary_arm_t;


/* what few requests need stays out of the way of all the others */
#define ngx_agent_canary_aside     __attribute__((noinline))

/* of a process that found every slot for tallies taken */
#define NGX_AGENT_CANARY_NO_SLOT  ((ngx_uint_t) -1)


/*
 * A flag that the configuration names.  The last part is a worker's own
 * copy of what the zone holds, refreshed when the version moved.
 */

typedef struct {
    ngx_str_node_t               sn;        /* the name; must be first */
    ngx_uint_t                   index;     /* in the flags of main conf */
    ngx_agent_canary_node_t     *node;

    ngx_atomic_uint_t            version;
    unsigned                     known:1;   /* parsed holds a flag */
    unsigned                     latched:1; /* trip holds a trip */
    canary_flag_t                parsed;
    canary_trip_t                trip;
    uint64_t                     epoch;     /* highest ever, of a deleted
                                               flag too */
    double                       cost_cap;  /* USD, of one request */
    ngx_msec_t                   cost_cap_at;   /* when it was worked out */
} ngx_agent_canary_flag_t;


typedef struct {
    ngx_agent_canary_zone_t     *zone;
    ngx_agent_canary_state_t    *state;     /* NULL: no state= */
    ngx_agent_canary_link_t     *link;      /* NULL: no agent_canary_redis */

    ngx_array_t                  flags;     /* ngx_agent_canary_flag_t * */
    ngx_rbtree_t                 names;     /* of the flags */
    ngx_rbtree_node_t            sentinel;
    ngx_array_t                  bindings;  /* ngx_agent_canary_binding_t * */

    ngx_msec_t                   stale;
    ngx_uint_t                   stale_action;  /* canary_stale_e */
    ngx_msec_t                   unguarded;     /* 0: whatever comes */
    ngx_uint_t                   unguarded_action;

    canary_prices_t             *prices;    /* NULL: none */
    ngx_flag_t                   usage;     /* some location reads usage */

    ngx_uint_t                   process;   /* slot of this process */
    ngx_msec_t                   claimed;   /* when it looked for one */
    ngx_queue_t                  waiting;   /* requests with a deadline */
    ngx_event_t                  deadline;
    ngx_connection_t             ident;     /* of the timer, in debug logs */

    ngx_atomic_uint_t            generation;    /* see the zone */
    ngx_array_t                  values;    /* ngx_agent_canary_value_t * */

    ngx_int_t                    slot;      /* of the request's decisions in
                                               r->variables */
} ngx_agent_canary_main_conf_t;


/* One agent_canary directive. */

typedef struct {
    ngx_agent_canary_flag_t     *flag;
    ngx_agent_canary_value_t    *key;
    ngx_agent_canary_value_t    *tenant;    /* NULL: none */
    ngx_str_t                    names[CANARY_ARMS];
    ngx_http_upstream_srv_conf_t *arms[CANARY_ARMS];

    u_char                      *file_name;
    ngx_uint_t                   line;
} ngx_agent_canary_binding_t;


typedef struct {
    ngx_agent_canary_binding_t  *binding;   /* NULL: off */
    ngx_agent_canary_value_t    *override;  /* NULL: off */
    ngx_agent_canary_value_t    *outcome;
    ngx_agent_canary_value_t    *cost;
    ngx_array_t                 *errors;    /* ngx_uint_t, statuses */
    ngx_msec_t                   deadline;  /* 0: none */
    ngx_uint_t                   usage;
    ngx_flag_t                   dry_run;
    ngx_flag_t                   trip;      /* the API takes trips */
} ngx_agent_canary_loc_conf_t;


/* The flag of that name in the configuration, or NULL. */

ngx_agent_canary_flag_t *ngx_agent_canary_flag_find(
    ngx_agent_canary_main_conf_t *mcf, ngx_str_t *name);


/* NULL without an http block or an agent_canary_zone in it. */

ngx_agent_canary_main_conf_t *ngx_agent_canary_cycle_conf(
    volatile ngx_cycle_t *cycle);


extern ngx_module_t  ngx_agent_canary_module;


#define ngx_agent_canary_cstr(s)  ((canary_str_t) { (s)->len,                 \
                                                    (char *) (s)->data })


#endif /* _NGX_AGENT_CANARY_MODULE_H_INCLUDED_ */
