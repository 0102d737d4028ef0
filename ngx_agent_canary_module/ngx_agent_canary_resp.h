
/*
 * The framing of RESP2, checked before any other code reads it.
 *
 * A stream of replies is a flat sequence of lines and of strings with a
 * length, and that is all this looks at.  It passes on what is well formed
 * and small, so that a parser behind it needs no limits of its own:
 *
 *  - a string longer than a flag may be, or one that makes its reply too
 *    long, is read, dropped and replaced by "-TOOBIG a string of N bytes";
 *  - an array of more elements than any flag has is dropped with all that
 *    is in it and replaced by "-TOOBIG an array of N elements";
 *  - what Redis never sends in RESP2 (other types, lines without an end,
 *    lengths beyond its own limits) is an error.
 *
 * One flag that an owner filled with too much thus costs the connection
 * some reading and no memory, and does not keep other flags from being read.
 */


#ifndef _NGX_AGENT_CANARY_RESP_H_INCLUDED_
#define _NGX_AGENT_CANARY_RESP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "../canary/record.h"


/* Of a string, and of the strings of one reply together. */
#define NGX_AGENT_CANARY_RESP_BYTES     (CANARY_RECORD_MAX + 64 * 1024)

/* Of one array; twice that of one reply. */
#define NGX_AGENT_CANARY_RESP_ELEMENTS  4096


typedef ngx_int_t (*ngx_agent_canary_resp_pt)(void *data, u_char *buf,
    size_t len);


typedef enum {
    NGX_AGENT_CANARY_RESP_TYPE = 0,         /* zeroed memory is a start */
    NGX_AGENT_CANARY_RESP_HEADER,
    NGX_AGENT_CANARY_RESP_LINE,
    NGX_AGENT_CANARY_RESP_STRING
} ngx_agent_canary_resp_state_e;


typedef struct {
    ngx_agent_canary_resp_pt        out;
    void                           *data;

    ngx_agent_canary_resp_state_e   state;
    size_t                          passed; /* bytes of this reply */
    size_t                          rest;   /* of a string, with its CRLF */
    size_t                          len;    /* of a line so far */
    ngx_uint_t                      skip;   /* elements to be dropped */
    ngx_uint_t                      elements;   /* of this reply */
    unsigned                        drop:1; /* this string is dropped */
    unsigned                        cr:1;   /* the last byte was a CR */
    u_char                          header[24];

    u_char                          error[64];
} ngx_agent_canary_resp_t;


/*
 * Passes on what it may of len bytes, in pieces.  NGX_ERROR: error tells
 * why; or it is empty and out returned an error.
 */

ngx_int_t ngx_agent_canary_resp_filter(ngx_agent_canary_resp_t *resp,
    u_char *buf, size_t len);

/* A reply is complete: the next one may be as big again. */

void ngx_agent_canary_resp_next(ngx_agent_canary_resp_t *resp);


#endif /* _NGX_AGENT_CANARY_RESP_H_INCLUDED_ */
