
/*
 * Text of unknown length, as a chain of buffers.
 */


#include "ngx_agent_canary_out.h"
#include "../canary/cohort.h"


#define NGX_AGENT_CANARY_OUT_BUFFER  16384
#define NGX_AGENT_CANARY_OUT_ROOM    1024


static ngx_buf_t *ngx_agent_canary_out_reserve(ngx_agent_canary_out_t *out,
    size_t len);


void ngx_cdecl
ngx_agent_canary_out(ngx_agent_canary_out_t *out, const char *fmt, ...)
{
    u_char     *p;
    va_list     args;
    ngx_buf_t  *b;

    b = ngx_agent_canary_out_reserve(out, NGX_AGENT_CANARY_OUT_ROOM);
    if (b == NULL) {
        return;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(b->last, b->end, fmt, args);
    va_end(args);

    out->size += p - b->last;
    b->last = p;
}


void
ngx_agent_canary_out_json(ngx_agent_canary_out_t *out, const void *data,
    size_t len)
{
    size_t      size;
    ngx_buf_t  *b;

    /* without a destination: how many bytes more than len it takes */

    size = len + ngx_escape_json(NULL, (u_char *) data, len) + 2;

    b = ngx_agent_canary_out_reserve(out, size);
    if (b == NULL) {
        return;
    }

    *b->last++ = '"';
    b->last = (u_char *) ngx_escape_json(b->last, (u_char *) data, len);
    *b->last++ = '"';

    out->size += size;
}


void
ngx_agent_canary_out_raw(ngx_agent_canary_out_t *out, const void *data,
    size_t len)
{
    ngx_buf_t  *b;

    b = ngx_agent_canary_out_reserve(out, len);
    if (b == NULL) {
        return;
    }

    b->last = ngx_cpymem(b->last, data, len);
    out->size += len;
}


void
ngx_agent_canary_out_percent(ngx_agent_canary_out_t *out, uint32_t percent)
{
    char    text[CANARY_PERCENT_LEN];
    size_t  len;

    len = canary_percent_format(text, percent);

    ngx_agent_canary_out(out, "%*s", len, text);
}


static ngx_buf_t *
ngx_agent_canary_out_reserve(ngx_agent_canary_out_t *out, size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (out->failed) {
        return NULL;
    }

    if (out->last && (size_t) (out->last->buf->end - out->last->buf->last)
                     >= len)
    {
        return out->last->buf;
    }

    cl = ngx_alloc_chain_link(out->pool);
    b = ngx_create_temp_buf(out->pool,
                            ngx_max(len, NGX_AGENT_CANARY_OUT_BUFFER));

    if (cl == NULL || b == NULL) {
        out->failed = 1;
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    if (out->last) {
        out->last->next = cl;

    } else {
        out->first = cl;
    }

    out->last = cl;

    return b;
}
