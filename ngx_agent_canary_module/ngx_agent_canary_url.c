
/*
 * The URL of a Redis server or a Sentinel, taken apart at configuration time.
 */


#include "ngx_agent_canary_url.h"


static char *ngx_agent_canary_url_unix(ngx_conf_t *cf, ngx_str_t *value,
    ngx_agent_canary_url_t *url);
static char *ngx_agent_canary_url_inet(ngx_conf_t *cf, ngx_str_t *value,
    in_port_t port, ngx_agent_canary_url_t *url);
static char *ngx_agent_canary_url_userinfo(ngx_conf_t *cf, ngx_str_t *scheme,
    ngx_str_t *rest);


ngx_uint_t
ngx_agent_canary_url_match(ngx_str_t *value)
{
    return ngx_strncmp(value->data, "redis:", 6) == 0
           || ngx_strncmp(value->data, "rediss:", 7) == 0
           || ngx_strncmp(value->data, "unix:", 5) == 0;
}


char *
ngx_agent_canary_url_parse(ngx_conf_t *cf, ngx_str_t *value, in_port_t port,
    ngx_agent_canary_url_t *url)
{
    ngx_memzero(url, sizeof(ngx_agent_canary_url_t));

    if (value->data[0] == 'u') {
        return ngx_agent_canary_url_unix(cf, value, url);
    }

    url->tls = (value->data[5] == 's');

    return ngx_agent_canary_url_inet(cf, value, port, url);
}


static char *
ngx_agent_canary_url_unix(ngx_conf_t *cf, ngx_str_t *value,
    ngx_agent_canary_url_t *url)
{
    u_char     *p, *last;
    ngx_url_t   u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *value;

    last = value->data + value->len;

    p = ngx_strlchr(value->data + 5, last, ':');

    if (p) {
        u.url.len = p - value->data;
        url->database.data = p + 1;
        url->database.len = last - url->database.data;
    }

    if (value->len < 6 || value->data[5] != '/'
        || (p && (url->database.len < 2 || url->database.data[0] != '/')))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL \"%V\", expected \"unix:/path\" or "
                           "\"unix:/path:/db\"", value);
        return NGX_CONF_ERROR;
    }

    if (p) {
        url->database.data++;
        url->database.len--;
    }

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL \"%V\": %s", value, u.err);
        return NGX_CONF_ERROR;
    }

    url->server.name = u.url;
    url->server.addrs = u.addrs;
    url->server.naddrs = u.naddrs;

    return NGX_CONF_OK;
}


static char *
ngx_agent_canary_url_inet(ngx_conf_t *cf, ngx_str_t *value, in_port_t port,
    ngx_agent_canary_url_t *url)
{
    u_char     *p, *last;
    ngx_url_t   u;
    ngx_str_t   scheme, rest;

    scheme.data = value->data;
    scheme.len = url->tls ? sizeof("rediss:") - 1 : sizeof("redis:") - 1;

    rest.data = value->data + scheme.len;
    rest.len = value->len - scheme.len;

    if (rest.len < 2 || ngx_strncmp(rest.data, "//", 2) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL \"%V\", expected "
                           "\"%V//host[:port][/db]\"", value, &scheme);
        return NGX_CONF_ERROR;
    }

    if (ngx_agent_canary_url_userinfo(cf, &scheme, &rest) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url.data = rest.data + 2;
    u.url.len = rest.len - 2;
    u.default_port = port;
    u.no_resolve = 1;

    last = rest.data + rest.len;

    p = ngx_strlchr(u.url.data, last, '/');

    if (p) {
        u.url.len = p - u.url.data;
        url->database.data = p + 1;
        url->database.len = last - url->database.data;
    }

    if (u.url.len == 0) {
        u.err = "no host";

    } else if (ngx_parse_url(cf->pool, &u) == NGX_OK
               && u.family != AF_UNIX && u.uri.len == 0
               && (u.naddrs || ngx_agent_canary_server_is_host(&u.host)))
    {
        u.err = NULL;

    } else if (u.err == NULL) {
        u.err = "invalid host";
    }

    if (u.err) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL \"%V\", expected "
                           "\"%V//host[:port][/db]\": %s", value, &scheme,
                           u.err);
        return NGX_CONF_ERROR;
    }

    url->server.name = u.url;
    url->server.host = u.host;
    url->server.port = u.port;
    url->server.addrs = u.addrs;
    url->server.naddrs = u.naddrs;

    if (url->server.host.data[0] == '[') {
        url->server.host.data++;
        url->server.host.len -= 2;
    }

    return NGX_CONF_OK;
}


/* What is before "@" does not get into the log. */

static char *
ngx_agent_canary_url_userinfo(ngx_conf_t *cf, ngx_str_t *scheme,
    ngx_str_t *rest)
{
    u_char  *at, *last;

    last = rest->data + rest->len;

    for (at = last - 1; at > rest->data && *at != '@'; at--) { /* void */ }

    if (at == rest->data) {
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid URL \"%V//...%*s\", expected no user or "
                       "password in it but the options \"username=\" and "
                       "\"password_file=\"", scheme, (size_t) (last - at), at);
    return NGX_CONF_ERROR;
}
