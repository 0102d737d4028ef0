
/*
 * The framing of RESP2.
 */


#include "ngx_agent_canary_resp.h"


/* Redis' own limit of a string, and an array nobody waits for the end of. */
#define NGX_AGENT_CANARY_RESP_STRING_END  536870912
#define NGX_AGENT_CANARY_RESP_ARRAY_END   1048576

#define NGX_AGENT_CANARY_RESP_LINE_END    16384


static u_char *ngx_agent_canary_resp_type(ngx_agent_canary_resp_t *resp,
    u_char *p);
static u_char *ngx_agent_canary_resp_header(ngx_agent_canary_resp_t *resp,
    u_char *p, u_char *last);
static ngx_int_t ngx_agent_canary_resp_string_header(
    ngx_agent_canary_resp_t *resp, ngx_int_t n);
static ngx_int_t ngx_agent_canary_resp_array_header(
    ngx_agent_canary_resp_t *resp, ngx_int_t n);
static u_char *ngx_agent_canary_resp_line(ngx_agent_canary_resp_t *resp,
    u_char *p, u_char *last);
static u_char *ngx_agent_canary_resp_string(ngx_agent_canary_resp_t *resp,
    u_char *p, u_char *last);
static void ngx_agent_canary_resp_done(ngx_agent_canary_resp_t *resp);
static ngx_int_t ngx_agent_canary_resp_pass(ngx_agent_canary_resp_t *resp,
    u_char *buf, size_t len);
static void ngx_agent_canary_resp_error(ngx_agent_canary_resp_t *resp,
    const char *fmt, ...);


ngx_int_t
ngx_agent_canary_resp_filter(ngx_agent_canary_resp_t *resp, u_char *buf,
    size_t len)
{
    u_char  *p, *last;

    p = buf;
    last = buf + len;

    while (p && p < last) {

        switch (resp->state) {

        case NGX_AGENT_CANARY_RESP_TYPE:
            p = ngx_agent_canary_resp_type(resp, p);
            break;

        case NGX_AGENT_CANARY_RESP_HEADER:
            p = ngx_agent_canary_resp_header(resp, p, last);
            break;

        case NGX_AGENT_CANARY_RESP_LINE:
            p = ngx_agent_canary_resp_line(resp, p, last);
            break;

        case NGX_AGENT_CANARY_RESP_STRING:
            p = ngx_agent_canary_resp_string(resp, p, last);
            break;
        }
    }

    return p ? NGX_OK : NGX_ERROR;
}


void
ngx_agent_canary_resp_next(ngx_agent_canary_resp_t *resp)
{
    resp->passed = 0;
    resp->elements = 0;
}


/* The functions below return where to go on, or NULL on an error. */

static u_char *
ngx_agent_canary_resp_type(ngx_agent_canary_resp_t *resp, u_char *p)
{
    resp->len = 0;
    resp->cr = 0;

    switch (*p) {

    case '$':
    case '*':
        resp->state = NGX_AGENT_CANARY_RESP_HEADER;
        return p;

    case '+':
    case '-':
    case ':':
        resp->state = NGX_AGENT_CANARY_RESP_LINE;
        return p;
    }

    if (*p > 0x20 && *p < 0x7f) {
        ngx_agent_canary_resp_error(resp, "\"%c\" is not a type of reply", *p);

    } else {
        ngx_agent_canary_resp_error(resp, "byte 0x%02Xd is not a type of reply",
                                    (int) *p);
    }

    return NULL;
}


static u_char *
ngx_agent_canary_resp_header(ngx_agent_canary_resp_t *resp, u_char *p,
    u_char *last)
{
    ngx_int_t  n, rc;

    /* the line is short: it is kept until it is complete */

    while (p < last) {

        if (resp->len == sizeof(resp->header)) {
            ngx_agent_canary_resp_error(resp, "a length is too long");
            return NULL;
        }

        resp->header[resp->len++] = *p++;

        if (resp->header[resp->len - 1] != LF) {
            continue;
        }

        /* a type, at least one digit, CRLF */

        if (resp->len < 4 || resp->header[resp->len - 2] != CR) {
            ngx_agent_canary_resp_error(resp, "a length has no end");
            return NULL;
        }

        n = ngx_atoi(&resp->header[1], resp->len - 3);

        if (n == NGX_ERROR
            && (resp->len != 5
                || resp->header[1] != '-' || resp->header[2] != '1'))
        {
            ngx_agent_canary_resp_error(resp, "a length is not a number");
            return NULL;
        }

        /* n is NGX_ERROR, which is -1, for a nil */

        if (resp->header[0] == '$') {
            rc = ngx_agent_canary_resp_string_header(resp, n);

        } else {
            rc = ngx_agent_canary_resp_array_header(resp, n);
        }

        return (rc == NGX_OK) ? p : NULL;
    }

    return p;
}


static ngx_int_t
ngx_agent_canary_resp_string_header(ngx_agent_canary_resp_t *resp,
    ngx_int_t n)
{
    u_char     *p;
    ngx_int_t   rc;
    u_char      buf[64];

    if (n == -1) {
        rc = ngx_agent_canary_resp_pass(resp, resp->header, resp->len);
        ngx_agent_canary_resp_done(resp);
        return rc;
    }

    if (n > NGX_AGENT_CANARY_RESP_STRING_END) {
        ngx_agent_canary_resp_error(resp, "a string of %i bytes", n);
        return NGX_ERROR;
    }

    resp->state = NGX_AGENT_CANARY_RESP_STRING;
    resp->rest = n + 2;
    resp->drop = 0;

    if (resp->skip
        || resp->passed + n <= NGX_AGENT_CANARY_RESP_BYTES)
    {
        return ngx_agent_canary_resp_pass(resp, resp->header, resp->len);
    }

    resp->drop = 1;

    p = ngx_sprintf(buf, "-TOOBIG a string of %i bytes" CRLF, n);

    return ngx_agent_canary_resp_pass(resp, buf, p - buf);
}


static ngx_int_t
ngx_agent_canary_resp_array_header(ngx_agent_canary_resp_t *resp,
    ngx_int_t n)
{
    u_char     *p;
    ngx_int_t   rc;
    u_char      buf[64];

    if (n > NGX_AGENT_CANARY_RESP_ARRAY_END
        || resp->skip > NGX_AGENT_CANARY_RESP_ARRAY_END)
    {
        ngx_agent_canary_resp_error(resp, "an array of %i elements", n);
        return NGX_ERROR;
    }

    if (resp->skip) {
        resp->skip += ngx_max(n, 0);
        ngx_agent_canary_resp_done(resp);
        return NGX_OK;
    }

    if (n > NGX_AGENT_CANARY_RESP_ELEMENTS) {
        p = ngx_sprintf(buf, "-TOOBIG an array of %i elements" CRLF, n);

        rc = ngx_agent_canary_resp_pass(resp, buf, p - buf);

        ngx_agent_canary_resp_done(resp);
        resp->skip = n;

        return rc;
    }

    resp->elements += ngx_max(n, 0);

    if (resp->elements > (ngx_uint_t) 2 * NGX_AGENT_CANARY_RESP_ELEMENTS) {
        ngx_agent_canary_resp_error(resp, "arrays of too many elements");
        return NGX_ERROR;
    }

    rc = ngx_agent_canary_resp_pass(resp, resp->header, resp->len);

    ngx_agent_canary_resp_done(resp);

    return rc;
}


static u_char *
ngx_agent_canary_resp_line(ngx_agent_canary_resp_t *resp, u_char *p,
    u_char *last)
{
    u_char     *start;
    ngx_int_t   rc;
    ngx_uint_t  end;

    start = p;
    end = 0;

    while (p < last && !end) {
        end = (*p == LF && resp->cr);
        resp->cr = (*p == CR);
        p++;
    }

    resp->len += p - start;

    if (resp->len > NGX_AGENT_CANARY_RESP_LINE_END) {
        ngx_agent_canary_resp_error(resp, "a line is too long");
        return NULL;
    }

    rc = ngx_agent_canary_resp_pass(resp, start, p - start);

    if (end) {
        ngx_agent_canary_resp_done(resp);
    }

    return (rc == NGX_OK) ? p : NULL;
}


static u_char *
ngx_agent_canary_resp_string(ngx_agent_canary_resp_t *resp, u_char *p,
    u_char *last)
{
    size_t      n;
    ngx_int_t   rc;

    rc = NGX_OK;

    if (resp->rest > 2) {
        n = ngx_min(resp->rest - 2, (size_t) (last - p));

    } else {
        n = 1;

        if (*p != (resp->rest == 2 ? CR : LF)) {
            ngx_agent_canary_resp_error(resp, "a string is not as long as "
                                        "announced");
            return NULL;
        }
    }

    if (!resp->drop) {
        rc = ngx_agent_canary_resp_pass(resp, p, n);
    }

    resp->rest -= n;

    if (resp->rest == 0) {
        resp->drop = 0;
        ngx_agent_canary_resp_done(resp);
    }

    return (rc == NGX_OK) ? p + n : NULL;
}


/* An element has ended, be it one that is dropped or not. */

static void
ngx_agent_canary_resp_done(ngx_agent_canary_resp_t *resp)
{
    resp->state = NGX_AGENT_CANARY_RESP_TYPE;

    if (resp->skip) {
        resp->skip--;
    }
}


static ngx_int_t
ngx_agent_canary_resp_pass(ngx_agent_canary_resp_t *resp, u_char *buf,
    size_t len)
{
    if (resp->skip) {
        return NGX_OK;
    }

    resp->passed += len;

    return resp->out(resp->data, buf, len);
}


static void
ngx_agent_canary_resp_error(ngx_agent_canary_resp_t *resp, const char *fmt,
    ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(resp->error, resp->error + sizeof(resp->error) - 1, fmt,
                      args);
    va_end(args);

    *p = '\0';
}
