
/*
 * One connection to a Redis server or a Sentinel, on nginx's events.
 *
 * The socket, the timers and TLS are nginx's; hiredis formats commands and
 * builds replies, and nothing outside ngx_agent_canary_redis.c knows it.
 * Everything a server sends is untrusted: sizes are bounded, and the caller
 * gets replies whose type it has to check.
 */


#ifndef _NGX_AGENT_CANARY_REDIS_H_INCLUDED_
#define _NGX_AGENT_CANARY_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>


typedef struct ngx_agent_canary_redis_s  ngx_agent_canary_redis_t;
typedef struct ngx_agent_canary_reply_s  ngx_agent_canary_reply_t;


typedef enum {
    NGX_AGENT_CANARY_REPLY_STRING = 0,
    NGX_AGENT_CANARY_REPLY_STATUS,
    NGX_AGENT_CANARY_REPLY_ERROR,
    NGX_AGENT_CANARY_REPLY_INTEGER,
    NGX_AGENT_CANARY_REPLY_ARRAY,
    NGX_AGENT_CANARY_REPLY_NIL
} ngx_agent_canary_reply_type_e;


/*
 * Lives until its handler returns.  What was too big to be kept is replaced
 * by an error that begins with "TOOBIG", see ngx_agent_canary_resp.h: as a
 * reply of its own or as an element.
 */

struct ngx_agent_canary_reply_s {
    ngx_agent_canary_reply_type_e   type;
    ngx_str_t                       str;    /* string, status, error */
    int64_t                         integer;
    ngx_uint_t                      nelts;
    ngx_agent_canary_reply_t      **elts;
};


typedef void (*ngx_agent_canary_reply_pt)(void *data,
    ngx_agent_canary_reply_t *reply);


/* How to reach a kind of server; made at configuration time. */

typedef struct {
    ngx_str_t                       username;   /* empty: the default user */
    ngx_str_t                       password;   /* empty: no AUTH */
    ngx_uint_t                      database;
    ngx_msec_t                      timeout;    /* from connect to ready, and
                                                   of every reply */
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
    void                          (*on_error)(void *data, ngx_str_t *reason);
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

/*
 * Appends what a server said as printable ASCII, cut to the room that is
 * left.  Returns the end.
 */

u_char *ngx_agent_canary_redis_text(u_char *p, u_char *last, ngx_str_t *text);

/* Says whether a reply is of the type and, with text, says just that. */

ngx_uint_t ngx_agent_canary_reply_is(ngx_agent_canary_reply_t *reply,
    ngx_agent_canary_reply_type_e type, char *text);


#endif /* _NGX_AGENT_CANARY_REDIS_H_INCLUDED_ */
