
/*
 * Text of unknown length, as a chain of buffers: the answers of the API.
 */


#ifndef _NGX_AGENT_CANARY_OUT_H_INCLUDED_
#define _NGX_AGENT_CANARY_OUT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Zeroed but for the pool.  After a failed allocation it takes no more. */

typedef struct {
    ngx_pool_t   *pool;
    ngx_chain_t  *first;
    ngx_chain_t  *last;
    off_t         size;
    unsigned      failed:1;
} ngx_agent_canary_out_t;


/* Like ngx_sprintf(); one call may make up to 1 KiB. */

void ngx_cdecl ngx_agent_canary_out(ngx_agent_canary_out_t *out,
    const char *fmt, ...);

/* A JSON string, with its quotes. */

void ngx_agent_canary_out_json(ngx_agent_canary_out_t *out, const void *data,
    size_t len);

/* Buckets as the percent that they are. */

void ngx_agent_canary_out_percent(ngx_agent_canary_out_t *out,
    uint32_t percent);

/* Bytes as they are. */

void ngx_agent_canary_out_raw(ngx_agent_canary_out_t *out, const void *data,
    size_t len);


#endif /* _NGX_AGENT_CANARY_OUT_H_INCLUDED_ */
