
/*
 * What a server says: bytes in, replies out.
 *
 * hiredis builds the replies, of what ngx_agent_canary_resp.h lets through.
 * Nothing but ngx_agent_canary_reply.c knows it, and ngx_agent_canary_redis.c
 * to format commands.
 */


#ifndef _NGX_AGENT_CANARY_REPLY_H_INCLUDED_
#define _NGX_AGENT_CANARY_REPLY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_agent_canary_resp.h"


/* Room for what ngx_agent_canary_reply_refused() tells. */
#define NGX_AGENT_CANARY_REPLY_TEXT  160

/* How a byte of an error is kept. */
#define ngx_agent_canary_reply_printable(ch)                                  \
    (((ch) >= 0x20 && (ch) < 0x7f) ? (ch) : '?')


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
    ngx_str_t                       str;    /* string, status, error;
                                               terminated; an error is
                                               printable ASCII */
    int64_t                         integer;
    ngx_uint_t                      nelts;
    ngx_agent_canary_reply_t      **elts;
};


typedef void (*ngx_agent_canary_reply_pt)(void *data,
    ngx_agent_canary_reply_t *reply);


/* Everything but error belongs to ngx_agent_canary_reply.c. */

typedef struct {
    ngx_agent_canary_resp_t         resp;
    struct redisReader             *reader;
    ngx_pool_t                     *pool;   /* of the reply being built */
    ngx_pool_t                     *given;  /* of the one that is out */
    ngx_log_t                      *log;
    char                           *error;
} ngx_agent_canary_parser_t;


/* The parser is zeroed memory, and goes with the pool. */

ngx_int_t ngx_agent_canary_parser_init(ngx_agent_canary_parser_t *parser,
    ngx_pool_t *pool, ngx_log_t *log);

/* NGX_ERROR: parser->error tells why, there is no way to go on. */

ngx_int_t ngx_agent_canary_parser_feed(ngx_agent_canary_parser_t *parser,
    u_char *buf, size_t len);

/*
 * Gives the next reply, which lives until the next call.  NGX_AGAIN: it is
 * not complete; NGX_ERROR: as above.
 */

ngx_int_t ngx_agent_canary_parser_next(ngx_agent_canary_parser_t *parser,
    ngx_agent_canary_reply_t **reply);

/* Says whether a reply is of the type and says just the text. */

ngx_uint_t ngx_agent_canary_reply_is(ngx_agent_canary_reply_t *reply,
    ngx_agent_canary_reply_type_e type, char *text);

/*
 * Tells what is wrong with the reply to a command: the error it is, or that
 * it was not expected.  Returns buf, terminated.
 */

char *ngx_agent_canary_reply_refused(ngx_agent_canary_reply_t *reply,
    char *command, u_char *buf, size_t size);


#endif /* _NGX_AGENT_CANARY_REPLY_H_INCLUDED_ */
