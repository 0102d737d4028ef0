
/*
 * The inside of a connection, for the files that make it up:
 *
 *     redis        opens and closes it, meets its events and its deadline
 *     redis_tls    makes it a TLS connection
 *     redis_login  says who we are
 *     redis_io     sends commands, reads replies
 *
 * Every function that nginx calls marks the connection busy while it works,
 * so that a handler may close it: the socket goes at once, the memory when
 * the function is through.
 */


#ifndef _NGX_AGENT_CANARY_REDIS_CONNECTION_H_INCLUDED_
#define _NGX_AGENT_CANARY_REDIS_CONNECTION_H_INCLUDED_


#include "ngx_agent_canary_redis.h"


/* A reply has a second to arrive, or to make progress. */
#define NGX_AGENT_CANARY_REDIS_TIMEOUT  1000


struct ngx_agent_canary_redis_s {
    ngx_agent_canary_redis_conf_t   conf;
    ngx_pool_t                     *pool;
    ngx_log_t                       log;

    ngx_addr_t                      addr;
    ngx_connection_t               *connection; /* NULL: closed */

    /* what a timer's data has to look like, see ngx_event_ident() */
    ngx_connection_t                ident;
    ngx_event_t                     deadline;
    ngx_msec_t                      since;  /* last progress */
    ngx_msec_t                      start;  /* of the reply awaited */
    size_t                          received;

    ngx_queue_t                     pending;    /* replies are awaited */
    ngx_queue_t                     spare;
    ngx_chain_t                    *out;    /* what waits to be written */
    ngx_chain_t                    *free;

    ngx_agent_canary_parser_t       parser;

    ngx_uint_t                      busy;
    unsigned                        connected:1;
    unsigned                        greeted:1;  /* and so past TLS */
    unsigned                        ready:1;
    unsigned                        failed:1;
    unsigned                        closed:1;

    u_char                          reason[192];
};


/* From nginx; the functions of other files may set them again. */

void ngx_agent_canary_redis_read_handler(ngx_event_t *rev);
void ngx_agent_canary_redis_write_handler(ngx_event_t *wev);

/* At the end of a function that marked the connection busy. */

void ngx_agent_canary_redis_leave(ngx_agent_canary_redis_t *rc);

/*
 * Closes the socket and tells the owner, once, what went wrong: nothing may
 * be done with the connection afterwards.  fmt NULL: reason tells it already.
 */

void ngx_agent_canary_redis_fail(ngx_agent_canary_redis_t *rc, ngx_err_t err,
    const char *fmt, ...);

/* The three steps from a socket to a connection that is ready. */

#if (NGX_SSL)
void ngx_agent_canary_redis_tls(ngx_agent_canary_redis_t *rc);
#endif
void ngx_agent_canary_redis_login(ngx_agent_canary_redis_t *rc);
void ngx_agent_canary_redis_ready(ngx_agent_canary_redis_t *rc);

/* As ngx_agent_canary_redis_send(), before the connection is ready, too. */

ngx_int_t ngx_agent_canary_redis_queue(ngx_agent_canary_redis_t *rc,
    ngx_agent_canary_reply_pt handler, void *data, ngx_uint_t argc,
    ngx_str_t *argv);

/* The socket takes, or has, bytes. */

void ngx_agent_canary_redis_write(ngx_agent_canary_redis_t *rc);
void ngx_agent_canary_redis_read(ngx_agent_canary_redis_t *rc);


#endif /* _NGX_AGENT_CANARY_REDIS_CONNECTION_H_INCLUDED_ */
