
/*
 * One connection to a Redis server or a Sentinel, on nginx's events.
 *
 * The socket, the timers and TLS are nginx's.  Everything a server sends is
 * untrusted: sizes are bounded, and the caller gets replies whose type it has
 * to check.
 */


#ifndef _NGX_AGENT_CANARY_REDIS_H_INCLUDED_
#define _NGX_AGENT_CANARY_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>

#include "ngx_agent_canary_reply.h"


/* A worker that is told to quit begins nothing new. */
#define ngx_agent_canary_exiting()                                            \
    (ngx_exiting || ngx_terminate || ngx_quit)


typedef struct ngx_agent_canary_redis_s  ngx_agent_canary_redis_t;


/* How to reach a kind of server; made at configuration time. */

typedef struct {
    ngx_str_t                       username;   /* empty: the default user */
    ngx_str_t                       password;   /* empty: no AUTH */
    ngx_uint_t                      database;
    ngx_msec_t                      timeout;    /* from connect to ready */
#if (NGX_SSL)
    ngx_ssl_t                      *ssl;        /* NULL: plain */
    ngx_str_t                       ssl_name;   /* empty: the host's name */
    unsigned                        ssl_verify:1;
#endif
} ngx_agent_canary_access_t;


/*
 * What a connection needs; all is copied but access and log, which have to
 * live longer.  host is the name or the address that a certificate has to
 * bear; empty for a unix socket.
 *
 * on_ready runs once, when connected, authenticated and answering.
 * on_error runs at most once, with a text for people; the socket is closed
 * by then, no other handler runs after it, and what is left to do is
 * ngx_agent_canary_redis_close().  on_push gets the "message" replies of a
 * subscribed connection; NULL: the connection does not subscribe.
 */

typedef struct {
    ngx_agent_canary_access_t      *access;
    ngx_addr_t                     *addr;
    ngx_str_t                       host;
    ngx_log_t                      *log;
    ngx_uint_t                      quiet;      /* alerts only: failed before
                                                   and told then */
    void                           *data;
    void                          (*on_ready)(void *data);
    void                          (*on_error)(void *data, char *reason);
    ngx_agent_canary_reply_pt       on_push;
} ngx_agent_canary_redis_conf_t;


/*
 * Starts to connect.  No handler runs before this returns.  NULL: out of
 * memory; everything else that fails is reported to on_error.
 */

ngx_agent_canary_redis_t *ngx_agent_canary_redis_connect(
    ngx_agent_canary_redis_conf_t *conf);

/*
 * Queues a command of argc byte strings, for a connection that is ready; its
 * reply goes to handler, in the order of sending.  NGX_ERROR: out of memory,
 * or closed meanwhile.
 */

ngx_int_t ngx_agent_canary_redis_send(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_pt handler, void *data, ngx_uint_t argc,
    ngx_str_t *argv);

/*
 * Any time, from any handler of this or another connection: the socket and
 * the timer are gone at once, no handler runs afterwards, and the memory
 * goes when the last function of this file that uses it has returned.
 */

void ngx_agent_canary_redis_close(ngx_agent_canary_redis_t *rc);


#endif /* _NGX_AGENT_CANARY_REDIS_H_INCLUDED_ */
