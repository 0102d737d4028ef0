
/*
 * Reads flags from Redis and applies them to the zone: all of them at first
 * and every poll, and those that Redis called invalid as soon as possible.
 */


#ifndef _NGX_AGENT_CANARY_SYNC_H_INCLUDED_
#define _NGX_AGENT_CANARY_SYNC_H_INCLUDED_


#include "ngx_agent_canary_zone.h"
#include "ngx_agent_canary_redis.h"


typedef struct ngx_agent_canary_sync_s  ngx_agent_canary_sync_t;


/* A flag on its way: in one of the queues, or in none and at rest. */

typedef struct {
    ngx_queue_t                  queue;
    ngx_agent_canary_sync_t     *sync;
    ngx_agent_canary_flag_t     *flag;
    size_t                       size;      /* of the last reading */
    ngx_uint_t                   loaded;    /* the load that read it */
    unsigned                     queued:1;  /* in dirty or in busy */
    unsigned                     flying:1;  /* commands are sent */
    unsigned                     again:1;   /* changed meanwhile */
} ngx_agent_canary_item_t;


typedef struct {
    u_char                      *data;
    size_t                       len;
    size_t                       size;
} ngx_agent_canary_bytes_t;


struct ngx_agent_canary_sync_s {

    /* set by the owner */

    ngx_agent_canary_main_conf_t *conf;
    ngx_str_t                    prefix;
    ngx_msec_t                   poll;
    ngx_log_t                   *log;
    void                        *data;
    void                       (*on_loaded)(void *data);
    void                       (*on_error)(void *data, char *reason);

    /* the rest belongs to ngx_agent_canary_sync.c */

    ngx_agent_canary_redis_t    *rc;        /* NULL: stopped */

    ngx_agent_canary_item_t     *items;     /* in the order of the flags */
    ngx_uint_t                   nitems;

    ngx_queue_t                  dirty;
    ngx_queue_t                  flying;
    ngx_queue_t                  busy;      /* the zone was */
    ngx_uint_t                   nflying;
    size_t                       bytes;     /* expected of what flies */
    ngx_uint_t                   cursor;    /* of the full read; nitems when
                                               there is none */
    ngx_uint_t                   load;      /* number of the first read */
    ngx_uint_t                   left;      /* of it */
    unsigned                     loading:1; /* it is not complete */

    ngx_event_t                  poll_timer;
    ngx_event_t                  busy_timer;
    ngx_connection_t             ident;

    /* the flag whose replies are coming in */

    unsigned                     inited:1;
    ngx_agent_canary_bytes_t     record;
    ngx_agent_canary_bytes_t     trip;
    ngx_agent_canary_bytes_t     error;
    ngx_agent_canary_bytes_t     trip_error;
};


/* Once in the life of a worker, pool is of its cycle. */

ngx_int_t ngx_agent_canary_sync_init(ngx_agent_canary_sync_t *sync,
    ngx_pool_t *pool);

/*
 * Reads all flags by a connection that is ready; then on_loaded runs, once.
 * on_error asks the owner to close the connection and call _stop().
 */

void ngx_agent_canary_sync_start(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_redis_t *rc);

/* Forgets what is under way.  The caller has closed the connection. */

void ngx_agent_canary_sync_stop(ngx_agent_canary_sync_t *sync);

/* Redis says that a key changed; key NULL: anything may have. */

void ngx_agent_canary_sync_invalidate(ngx_agent_canary_sync_t *sync,
    ngx_str_t *key);


#endif /* _NGX_AGENT_CANARY_SYNC_H_INCLUDED_ */
