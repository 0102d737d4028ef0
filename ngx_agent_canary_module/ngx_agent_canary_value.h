
/*
 * A value with variables, as directives take it.
 *
 * The usual one is nothing but "$name", and that a header: both are noted,
 * which spares every request the script engine and a slow comparison of
 * names.
 */


#ifndef _NGX_AGENT_CANARY_VALUE_H_INCLUDED_
#define _NGX_AGENT_CANARY_VALUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "../canary/str.h"


typedef struct {
    ngx_http_complex_value_t     complex;
    ngx_int_t                    index;     /* NGX_ERROR: not one variable */
    ngx_str_t                    header;    /* in lower case; empty: none */
    ngx_uint_t                   hash;      /* of the header */
    ngx_str_t                   *name;      /* "$http_..." */
} ngx_agent_canary_value_t;


char *ngx_agent_canary_value_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_agent_canary_value_t **value);

/* A directive of one value, or "off"; the offset is of a pointer to it. */

char *ngx_agent_canary_value_slot(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* In the postconfiguration: all of them, once all variables are known. */

void ngx_agent_canary_values_check(ngx_conf_t *cf, ngx_array_t *values);

/* What ngx_agent_canary_value() does with what is not simply a header. */

ngx_int_t ngx_agent_canary_value_evaluate(ngx_http_request_t *r,
    ngx_agent_canary_value_t *v, canary_str_t *value);


/*
 * The header, by its hash; NULL when it is not there, or when another one is
 * like it: what repeated headers mean is for nginx to say.
 */

static ngx_inline ngx_table_elt_t *
ngx_agent_canary_value_header(ngx_http_request_t *r,
    ngx_agent_canary_value_t *v)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *found;

    found = NULL;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash != v->hash || h[i].key.len != v->header.len) {
                continue;
            }

            if (found) {
                return NULL;
            }

            found = &h[i];
        }
    }

    if (found == NULL
        || found->lowcase_key == NULL
        || ngx_memcmp(found->lowcase_key, v->header.data, v->header.len) != 0)
    {
        return NULL;
    }

    return found;
}


/* What it is for this request, which nearly every request asks once. */

static ngx_inline ngx_int_t
ngx_agent_canary_value(ngx_http_request_t *r, ngx_agent_canary_value_t *v,
    canary_str_t *value)
{
    ngx_table_elt_t  *h;

    h = v->header.len ? ngx_agent_canary_value_header(r, v) : NULL;

    if (h == NULL) {
        return ngx_agent_canary_value_evaluate(r, v, value);
    }

    value->len = h->value.len;
    value->data = (char *) h->value.data;

    return NGX_OK;
}


#endif /* _NGX_AGENT_CANARY_VALUE_H_INCLUDED_ */
