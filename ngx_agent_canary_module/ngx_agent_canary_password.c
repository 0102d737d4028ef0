
/*
 * A password in a file of its own.
 */


#include "ngx_agent_canary_password.h"


#define NGX_AGENT_CANARY_PASSWORD_MAX  4096


static char *ngx_agent_canary_password_read(ngx_conf_t *cf, ngx_str_t *name,
    ngx_fd_t fd, ngx_str_t *password);


char *
ngx_agent_canary_password(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *password)
{
    char      *rv;
    ngx_fd_t   fd;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " password file \"%V\" failed",
                           name);
        return NGX_CONF_ERROR;
    }

    rv = ngx_agent_canary_password_read(cf, name, fd, password);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    return rv;
}


static char *
ngx_agent_canary_password_read(ngx_conf_t *cf, ngx_str_t *name, ngx_fd_t fd,
    ngx_str_t *password)
{
    u_char           *p, *last;
    ssize_t           n;
    ngx_file_info_t   fi;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", name);
        return NGX_CONF_ERROR;
    }

    if (!ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password file \"%V\" is not a file, expected a "
                           "regular one", name);
        return NGX_CONF_ERROR;
    }

    if (fi.st_mode & S_IROTH) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "password file \"%V\" can be read by everybody",
                           name);
    }

    p = ngx_pnalloc(cf->pool, NGX_AGENT_CANARY_PASSWORD_MAX + 2);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    n = ngx_read_fd(fd, p, NGX_AGENT_CANARY_PASSWORD_MAX + 2);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", name);
        return NGX_CONF_ERROR;
    }

    last = p + n;

    if (last > p && last[-1] == LF) {
        last--;

        if (last > p && last[-1] == CR) {
            last--;
        }
    }

    password->data = p;
    password->len = last - p;

    if (password->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password file \"%V\" is empty, expected one line "
                           "of up to %d bytes", name,
                           NGX_AGENT_CANARY_PASSWORD_MAX);
        return NGX_CONF_ERROR;
    }

    if (password->len > NGX_AGENT_CANARY_PASSWORD_MAX
        || ngx_strlchr(p, last, LF))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password file \"%V\" holds too much, expected one "
                           "line of up to %d bytes", name,
                           NGX_AGENT_CANARY_PASSWORD_MAX);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
