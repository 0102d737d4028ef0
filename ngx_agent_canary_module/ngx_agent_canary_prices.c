
/*
 * agent_canary_prices: the file is read when the configuration is.
 */


#include "ngx_agent_canary_prices.h"


static char *ngx_agent_canary_prices_file(ngx_conf_t *cf, ngx_str_t *name,
    canary_str_t *json);
static char *ngx_agent_canary_prices_read(ngx_conf_t *cf, ngx_file_t *file,
    canary_str_t *json);
static char *ngx_agent_canary_prices_parse(ngx_conf_t *cf, ngx_str_t *name,
    canary_str_t json, canary_prices_t **prices);
static void ngx_agent_canary_prices_cleanup(void *data);


char *
ngx_agent_canary_prices_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agent_canary_main_conf_t *mcf = conf;

    char                *rv;
    ngx_str_t           *value;
    canary_str_t         json;
    ngx_pool_cleanup_t  *cln;

    if (mcf->prices) {
        return "is duplicate";
    }

    value = cf->args->elts;

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL
        || ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK
        || ngx_agent_canary_prices_file(cf, &value[1], &json) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    rv = ngx_agent_canary_prices_parse(cf, &value[1], json, &mcf->prices);

    ngx_free((void *) json.data);

    cln->handler = ngx_agent_canary_prices_cleanup;
    cln->data = mcf->prices;

    return rv;
}


static char *
ngx_agent_canary_prices_file(ngx_conf_t *cf, ngx_str_t *name,
    canary_str_t *json)
{
    char        *rv;
    ngx_file_t   file;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *name;
    file.log = cf->log;

    /* a FIFO would hold nginx until somebody writes to it */

    file.fd = ngx_open_file(name->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                            NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", name);
        return NGX_CONF_ERROR;
    }

    rv = ngx_agent_canary_prices_read(cf, &file, json);

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    return rv;
}


/* Not from the pool, which would keep it for as long as nginx runs. */

static char *
ngx_agent_canary_prices_read(ngx_conf_t *cf, ngx_file_t *file,
    canary_str_t *json)
{
    u_char           *p;
    ssize_t           n;
    ngx_file_info_t   fi;

    if (ngx_fd_info(file->fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", &file->name);
        return NGX_CONF_ERROR;
    }

    if (!ngx_is_file(&fi)
        || ngx_file_size(&fi) > (off_t) CANARY_PRICES_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid price file \"%V\", expected a regular "
                           "file of at most 8 MB", &file->name);
        return NGX_CONF_ERROR;
    }

    p = ngx_alloc((size_t) ngx_file_size(&fi) + 1, cf->log);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    n = ngx_read_file(file, p, (size_t) ngx_file_size(&fi), 0);

    if (n == NGX_ERROR) {
        ngx_free(p);
        return NGX_CONF_ERROR;
    }

    json->data = (char *) p;
    json->len = n;

    return NGX_CONF_OK;
}


static char *
ngx_agent_canary_prices_parse(ngx_conf_t *cf, ngx_str_t *name,
    canary_str_t json, canary_prices_t **prices)
{
    canary_error_t  err;

    *prices = canary_prices_parse(json, &err);

    if (*prices == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid price file \"%V\": %s", name, err.text);
        return NGX_CONF_ERROR;
    }

    if (canary_prices_rejected(*prices)) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "price file \"%V\": %uz models are left out, "
                           "the first: %s", name,
                           canary_prices_rejected(*prices),
                           canary_prices_reason(*prices));
    }

    return NGX_CONF_OK;
}


static void
ngx_agent_canary_prices_cleanup(void *data)
{
    canary_prices_free(data);
}
