
/*
 * agent_canary_redis url... [options]
 *
 *     redis://host[:port][/db]   rediss://host[:port][/db]   unix:/path[:/db]
 *
 * Runs in the master, and in nginx -t: nothing here connects.
 */


#include "ngx_agent_canary_link_conf.h"
#include "ngx_agent_canary_password.h"
#include "ngx_agent_canary_url.h"


#define NGX_AGENT_CANARY_REDIS_PORT      6379
#define NGX_AGENT_CANARY_SENTINEL_PORT   26379

#define NGX_AGENT_CANARY_DATABASE_MAX    1000000


typedef struct {
    ngx_str_t                 name;
    ngx_uint_t                offset;
    unsigned                  sentinel:1;   /* needs sentinel= */
    unsigned                  tls:1;        /* needs rediss:// */
} ngx_agent_canary_link_option_t;


/* What all urls have to agree on. */

typedef struct {
    ngx_uint_t                tls;
    ngx_int_t                 database;     /* NGX_CONF_UNSET: not told */
} ngx_agent_canary_link_scheme_t;


static char *ngx_agent_canary_link_arguments(ngx_conf_t *cf,
    ngx_agent_canary_link_t *link, ngx_agent_canary_link_options_t *options,
    ngx_agent_canary_link_scheme_t *scheme);
static char *ngx_agent_canary_link_option(ngx_conf_t *cf, ngx_str_t *value,
    ngx_agent_canary_link_options_t *options);
static char *ngx_agent_canary_link_url(ngx_conf_t *cf,
    ngx_agent_canary_link_t *link, ngx_str_t *value, in_port_t port,
    ngx_agent_canary_link_scheme_t *scheme);
static char *ngx_agent_canary_link_database(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *text, ngx_agent_canary_link_scheme_t *scheme);
static char *ngx_agent_canary_link_check(ngx_conf_t *cf,
    ngx_agent_canary_link_t *link, ngx_agent_canary_link_options_t *options,
    ngx_agent_canary_link_scheme_t *scheme);
static char *ngx_agent_canary_link_prefix(ngx_conf_t *cf,
    ngx_agent_canary_link_t *link, ngx_str_t *value);
static char *ngx_agent_canary_link_time(ngx_conf_t *cf, char *name,
    ngx_str_t *value, ngx_msec_t min, ngx_msec_t max, ngx_msec_t *time);
static char *ngx_agent_canary_link_credentials(ngx_conf_t *cf, char *kind,
    ngx_str_t *username, ngx_str_t *file, ngx_agent_canary_access_t *access);


#define ngx_agent_canary_link_option_slot(s, t, d)                            \
    { ngx_string(#s), offsetof(ngx_agent_canary_link_options_t, s), t, d }


static ngx_agent_canary_link_option_t  ngx_agent_canary_link_options[] = {
    ngx_agent_canary_link_option_slot(sentinel, 0, 0),
    ngx_agent_canary_link_option_slot(username, 0, 0),
    ngx_agent_canary_link_option_slot(password_file, 0, 0),
    ngx_agent_canary_link_option_slot(sentinel_username, 1, 0),
    ngx_agent_canary_link_option_slot(sentinel_password_file, 1, 0),
    ngx_agent_canary_link_option_slot(prefix, 0, 0),
    ngx_agent_canary_link_option_slot(poll, 0, 0),
    ngx_agent_canary_link_option_slot(connect_timeout, 0, 0),
    ngx_agent_canary_link_option_slot(ssl_trusted_certificate, 0, 1),
    ngx_agent_canary_link_option_slot(ssl_certificate, 0, 1),
    ngx_agent_canary_link_option_slot(ssl_certificate_key, 0, 1),
    ngx_agent_canary_link_option_slot(ssl_name, 0, 1),
    ngx_agent_canary_link_option_slot(ssl_verify, 0, 1),
    { ngx_null_string, 0, 0, 0 }
};


char *
ngx_agent_canary_redis_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agent_canary_main_conf_t *mcf = conf;

    ngx_agent_canary_link_t          *link;
    ngx_agent_canary_link_scheme_t    scheme;
    ngx_agent_canary_link_options_t   options;

    if (mcf->link) {
        return "is duplicate";
    }

    link = ngx_pcalloc(cf->pool, sizeof(ngx_agent_canary_link_t));
    if (link == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_array_init(&link->servers, cf->pool, 3,
                       sizeof(ngx_agent_canary_server_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&options, sizeof(ngx_agent_canary_link_options_t));
    ngx_memzero(&scheme, sizeof(ngx_agent_canary_link_scheme_t));

    scheme.database = NGX_CONF_UNSET;

    ngx_str_set(&link->prefix, "agent-canary:");
    link->poll = 5000;
    link->access.timeout = 1000;

    if (ngx_agent_canary_link_arguments(cf, link, &options, &scheme)
        != NGX_CONF_OK
        || ngx_agent_canary_link_check(cf, link, &options, &scheme)
           != NGX_CONF_OK
        || ngx_agent_canary_link_prefix(cf, link, &options.prefix)
           != NGX_CONF_OK
        || ngx_agent_canary_link_time(cf, "poll", &options.poll, 100, 3600000,
                                      &link->poll)
           != NGX_CONF_OK
        || ngx_agent_canary_link_time(cf, "connect_timeout",
                                      &options.connect_timeout, 10, 60000,
                                      &link->access.timeout)
           != NGX_CONF_OK
        || ngx_agent_canary_link_credentials(cf, "", &options.username,
                                             &options.password_file,
                                             &link->access)
           != NGX_CONF_OK
        || ngx_agent_canary_link_credentials(cf, "sentinel_",
                                             &options.sentinel_username,
                                             &options.sentinel_password_file,
                                             &link->sentinel_access)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    link->file_name = cf->conf_file->file.name.data;
    link->line = cf->conf_file->line;
    link->master = options.sentinel;
    link->access.database = ngx_max(scheme.database, 0);
    link->sentinel_access.timeout = link->access.timeout;

#if (NGX_SSL)

    if (scheme.tls
        && ngx_agent_canary_link_ssl(cf, link, &options) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

#endif

    mcf->link = link;

    return NGX_CONF_OK;
}


/* Options first: sentinel= changes the default port. */

static char *
ngx_agent_canary_link_arguments(ngx_conf_t *cf, ngx_agent_canary_link_t *link,
    ngx_agent_canary_link_options_t *options,
    ngx_agent_canary_link_scheme_t *scheme)
{
    in_port_t    port;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (!ngx_agent_canary_url_match(&value[i])
            && ngx_agent_canary_link_option(cf, &value[i], options)
               != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    port = options->sentinel.len ? NGX_AGENT_CANARY_SENTINEL_PORT
                                 : NGX_AGENT_CANARY_REDIS_PORT;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_agent_canary_url_match(&value[i])
            && ngx_agent_canary_link_url(cf, link, &value[i], port, scheme)
               != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_agent_canary_link_option(ngx_conf_t *cf, ngx_str_t *value,
    ngx_agent_canary_link_options_t *options)
{
    u_char                          *p;
    ngx_str_t                       *slot, name;
    ngx_agent_canary_link_option_t  *option;

    name.data = value->data;
    name.len = value->len;

    p = ngx_strlchr(value->data, value->data + value->len, '=');

    if (p) {
        name.len = p - value->data;
    }

    for (option = ngx_agent_canary_link_options; option->name.len; option++) {

        if (p == NULL
            || option->name.len != name.len
            || ngx_strncmp(option->name.data, name.data, name.len) != 0)
        {
            continue;
        }

        slot = (ngx_str_t *) ((u_char *) options + option->offset);

        if (slot->data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\"", value);
            return NGX_CONF_ERROR;
        }

        slot->data = p + 1;
        slot->len = value->len - name.len - 1;

        if (slot->len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", expected a value "
                               "after \"=\"", value);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    /* what was meant to be a password does not get into the log */

    if ((name.len == 8 && ngx_strncmp(name.data, "password", 8) == 0)
        || (name.len == 17
            && ngx_strncmp(name.data, "sentinel_password", 17) == 0))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected \"%V_file=\" "
                           "with the path of a file that holds the password",
                           &name, &name);
        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", expected a URL "
                       "\"redis://host[:port][/db]\", "
                       "\"rediss://host[:port][/db]\", \"unix:/path[:/db]\", "
                       "or one of sentinel= username= password_file= "
                       "sentinel_username= sentinel_password_file= prefix= "
                       "poll= connect_timeout= ssl_trusted_certificate= "
                       "ssl_certificate= ssl_certificate_key= ssl_name= "
                       "ssl_verify=", value);
    return NGX_CONF_ERROR;
}


static char *
ngx_agent_canary_link_url(ngx_conf_t *cf, ngx_agent_canary_link_t *link,
    ngx_str_t *value, in_port_t port, ngx_agent_canary_link_scheme_t *scheme)
{
    ngx_uint_t                  i;
    ngx_agent_canary_url_t      url;
    ngx_agent_canary_server_t  *server;

    if (ngx_agent_canary_url_parse(cf, value, port, &url) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    server = link->servers.elts;

    for (i = 0; i < link->servers.nelts; i++) {
        if (server[i].name.len == url.server.name.len
            && ngx_strncmp(server[i].name.data, url.server.name.data,
                           url.server.name.len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate URL \"%V\"", value);
            return NGX_CONF_ERROR;
        }
    }

    if (link->servers.nelts && url.tls != scheme->tls) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "URL \"%V\" does not match the URL before it, "
                           "expected either all \"rediss://\" or none", value);
        return NGX_CONF_ERROR;
    }

    server = ngx_array_push(&link->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    *server = url.server;
    scheme->tls = url.tls;

#if !(NGX_SSL)

    if (url.tls) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL \"%V\", \"rediss://\" needs an nginx "
                           "with SSL support", value);
        return NGX_CONF_ERROR;
    }

#endif

    return ngx_agent_canary_link_database(cf, value, &url.database, scheme);
}


static char *
ngx_agent_canary_link_database(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *text, ngx_agent_canary_link_scheme_t *scheme)
{
    ngx_int_t  n;

    if (text->len == 0) {
        return NGX_CONF_OK;
    }

    n = ngx_atoi(text->data, text->len);

    if (n == NGX_ERROR || n > NGX_AGENT_CANARY_DATABASE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid database \"%V\" in URL \"%V\", expected a "
                           "number of 0 to %d", text, value,
                           NGX_AGENT_CANARY_DATABASE_MAX);
        return NGX_CONF_ERROR;
    }

    if (scheme->database != NGX_CONF_UNSET && scheme->database != n) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "database \"%V\" in URL \"%V\" is not the one of "
                           "the URL before it", text, value);
        return NGX_CONF_ERROR;
    }

    scheme->database = n;

    return NGX_CONF_OK;
}


/* What of the options and URLs belongs together. */

static char *
ngx_agent_canary_link_check(ngx_conf_t *cf, ngx_agent_canary_link_t *link,
    ngx_agent_canary_link_options_t *options,
    ngx_agent_canary_link_scheme_t *scheme)
{
    ngx_str_t                       *slot;
    ngx_agent_canary_server_t       *servers;
    ngx_agent_canary_link_option_t  *option;

    if (link->servers.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no URL, expected \"redis://host[:port][/db]\", "
                           "\"rediss://host[:port][/db]\" or "
                           "\"unix:/path[:/db]\"");
        return NGX_CONF_ERROR;
    }

    if (link->servers.nelts > 1 && options->sentinel.len == 0) {
        servers = link->servers.elts;

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "several URLs up to \"%V\", expected one, or "
                           "\"sentinel=name\" when these are Sentinels",
                           &servers[link->servers.nelts - 1].name);
        return NGX_CONF_ERROR;
    }

    for (option = ngx_agent_canary_link_options; option->name.len; option++) {

        slot = (ngx_str_t *) ((u_char *) options + option->offset);

        if (slot->len == 0) {
            continue;
        }

        if (option->sentinel && options->sentinel.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V=%V\", it needs "
                               "\"sentinel=\"", &option->name, slot);
            return NGX_CONF_ERROR;
        }

        if (option->tls && !scheme->tls) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V=%V\", it needs a "
                               "\"rediss://\" URL", &option->name, slot);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_agent_canary_link_prefix(ngx_conf_t *cf, ngx_agent_canary_link_t *link,
    ngx_str_t *value)
{
    ngx_uint_t  i;

    if (value->len == 0) {
        return NGX_CONF_OK;
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= 0x20 || value->data[i] >= 0x7f) {
            break;
        }
    }

    if (i != value->len || value->len > NGX_AGENT_CANARY_PREFIX_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"prefix=%V\", expected up to "
                           "%d printable ASCII characters without spaces",
                           value, NGX_AGENT_CANARY_PREFIX_MAX);
        return NGX_CONF_ERROR;
    }

    link->prefix = *value;

    return NGX_CONF_OK;
}


static char *
ngx_agent_canary_link_time(ngx_conf_t *cf, char *name, ngx_str_t *value,
    ngx_msec_t min, ngx_msec_t max, ngx_msec_t *time)
{
    ngx_int_t  n;

    if (value->len == 0) {
        return NGX_CONF_OK;
    }

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || (ngx_msec_t) n < min || (ngx_msec_t) n > max) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%s=%V\", expected a time from "
                           "%Mms to %Ms", name, value, min, max / 1000);
        return NGX_CONF_ERROR;
    }

    *time = n;

    return NGX_CONF_OK;
}


static char *
ngx_agent_canary_link_credentials(ngx_conf_t *cf, char *kind,
    ngx_str_t *username, ngx_str_t *file, ngx_agent_canary_access_t *access)
{
    if (file->len == 0) {

        if (username->len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%susername=%V\", it needs "
                               "\"%spassword_file=\"", kind, username, kind);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    access->username = *username;

    return ngx_agent_canary_password(cf, file, &access->password);
}


/*
 * A host name is resolved at run time when http{} has a resolver; otherwise
 * once and for all, by the system, as nginx does with other names.
 */

ngx_int_t
ngx_agent_canary_link_init(ngx_conf_t *cf, ngx_agent_canary_main_conf_t *mcf)
{
    ngx_url_t                   u;
    ngx_uint_t                  i;
    ngx_resolver_t             *resolver;
    ngx_agent_canary_link_t    *link;
    ngx_http_core_loc_conf_t   *clcf;
    ngx_agent_canary_server_t  *server;

    link = mcf->link;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    resolver = clcf->resolver;

    if (resolver && resolver->connections.nelts == 0) {
        resolver = NULL;
    }

    server = link->servers.elts;

    for (i = 0; i < link->servers.nelts; i++) {

        server[i].resolver = resolver;
        server[i].timeout = link->access.timeout;

        if (server[i].naddrs || resolver) {
            continue;
        }

        ngx_memzero(&u, sizeof(ngx_url_t));

        u.url = server[i].host;
        u.default_port = server[i].port;

        if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "%s in \"agent_canary_redis\" URL with \"%V\" "
                          "in %s:%ui", u.err ? u.err : "no address",
                          &server[i].name, link->file_name, link->line);
            return NGX_ERROR;
        }

        server[i].addrs = u.addrs;
        server[i].naddrs = u.naddrs;
    }

    return NGX_OK;
}
