
/*
 * A value with variables.
 */


#include "ngx_agent_canary_value.h"
#include "ngx_agent_canary_module.h"


static ngx_uint_t ngx_agent_canary_value_is_variable(ngx_str_t *value);
static char *ngx_agent_canary_value_variable(ngx_conf_t *cf, ngx_str_t *text,
    ngx_agent_canary_value_t *v);


char *
ngx_agent_canary_value_compile(ngx_conf_t *cf, ngx_str_t *text,
    ngx_agent_canary_value_t **value)
{
    ngx_agent_canary_value_t          *v;
    ngx_http_compile_complex_value_t   ccv;

    v = ngx_pcalloc(cf->pool, sizeof(ngx_agent_canary_value_t));
    if (v == NULL) {
        return NGX_CONF_ERROR;
    }

    *value = v;

    if (ngx_agent_canary_value_is_variable(text)) {
        return ngx_agent_canary_value_variable(cf, text, v);
    }

    v->index = NGX_ERROR;

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = text;
    ccv.complex_value = &v->complex;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_agent_canary_value_is_variable(ngx_str_t *value)
{
    u_char      ch;
    ngx_uint_t  i;

    if (value->len < 2 || value->data[0] != '$') {
        return 0;
    }

    /* "$1" is a capture */

    if (value->data[1] >= '0' && value->data[1] <= '9') {
        return 0;
    }

    for (i = 1; i < value->len; i++) {
        ch = value->data[i];

        if ((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z')
            || (ch >= '0' && ch <= '9') || ch == '_')
        {
            continue;
        }

        return 0;
    }

    return 1;
}


static char *
ngx_agent_canary_value_variable(ngx_conf_t *cf, ngx_str_t *text,
    ngx_agent_canary_value_t *v)
{
    u_char                         *p;
    ngx_str_t                       name;
    ngx_uint_t                      i;
    ngx_agent_canary_value_t      **value;
    ngx_agent_canary_main_conf_t   *mcf;

    name.len = text->len - 1;
    name.data = text->data + 1;

    v->index = ngx_http_get_variable_index(cf, &name);
    if (v->index == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    if (name.len <= 5
        || ngx_strncasecmp(name.data, (u_char *) "http_", 5) != 0)
    {
        return NGX_CONF_OK;
    }

    name.len -= 5;
    name.data += 5;

    p = ngx_pnalloc(cf->pool, name.len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < name.len; i++) {
        p[i] = (name.data[i] == '_') ? '-' : ngx_tolower(name.data[i]);
    }

    v->header.len = name.len;
    v->header.data = p;
    v->hash = ngx_hash_key(p, name.len);
    v->name = text;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_agent_canary_module);

    value = ngx_array_push(&mcf->values);
    if (value == NULL) {
        return NGX_CONF_ERROR;
    }

    *value = v;

    return NGX_CONF_OK;
}


char *
ngx_agent_canary_value_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t                  *value;
    ngx_agent_canary_value_t  **v;

    v = (ngx_agent_canary_value_t **) (p + cmd->offset);

    if (*v != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        *v = NULL;
        return NGX_CONF_OK;
    }

    return ngx_agent_canary_value_compile(cf, &value[1], v);
}


/*
 * The configuration may give "$http_name" a meaning of its own, with "set",
 * "map" or "auth_request_set": such a value is not the header.  And with
 * "underscores_in_headers on", "X_Name" is "$http_x_name" as well.
 */

void
ngx_agent_canary_values_check(ngx_conf_t *cf, ngx_array_t *values)
{
    ngx_flag_t                   underscores;
    ngx_uint_t                   i, n;
    ngx_hash_key_t              *key;
    ngx_agent_canary_value_t   **value;
    ngx_http_core_srv_conf_t   **cscf;
    ngx_http_core_main_conf_t   *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    key = cmcf->variables_keys->keys.elts;
    cscf = cmcf->servers.elts;
    value = values->elts;

    underscores = 0;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        underscores |= cscf[i]->underscores_in_headers;
    }

    for (i = 0; i < values->nelts; i++) {

        if (underscores) {
            value[i]->header.len = 0;
            continue;
        }

        for (n = 0; n < cmcf->variables_keys->keys.nelts; n++) {

            if (key[n].key.len == value[i]->name->len - 1
                && ngx_strncasecmp(key[n].key.data, value[i]->name->data + 1,
                                   key[n].key.len)
                   == 0)
            {
                value[i]->header.len = 0;
                break;
            }
        }
    }
}


ngx_int_t
ngx_agent_canary_value_evaluate(ngx_http_request_t *r,
    ngx_agent_canary_value_t *v, canary_str_t *value)
{
    ngx_str_t                   s;
    ngx_http_variable_value_t  *vv;

    ngx_str_set(&s, "");

    if (v->index == NGX_ERROR) {

        if (ngx_http_complex_value(r, &v->complex, &s) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        vv = ngx_http_get_flushed_variable(r, v->index);

        if (vv && !vv->not_found) {
            s.len = vv->len;
            s.data = vv->data;
        }
    }

    *value = ngx_agent_canary_cstr(&s);

    return NGX_OK;
}
