
/*
 * The first words to a Redis server: who we are, and which database we want.
 */


#include "ngx_agent_canary_redis_connection.h"


static void ngx_agent_canary_redis_auth_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_redis_auth_failed(ngx_agent_canary_redis_t *rc,
    ngx_str_t *text);
static void ngx_agent_canary_redis_select_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_redis_ping_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_redis_refused(ngx_agent_canary_redis_t *rc,
    char *command, ngx_agent_canary_reply_t *reply);


/* The connection is ready when the server has answered all of this. */

void
ngx_agent_canary_redis_login(ngx_agent_canary_redis_t *rc)
{
    ngx_int_t                   n;
    ngx_str_t                   argv[3];
    ngx_uint_t                  argc;
    ngx_agent_canary_access_t  *access;
    u_char                      buf[NGX_INT_T_LEN];

    access = rc->conf.access;

    rc->greeted = 1;
    rc->log.action = "waiting for the first reply of Redis";

    n = NGX_OK;

    if (access->password.len) {
        argc = 1;

        ngx_str_set(&argv[0], "AUTH");

        if (access->username.len) {
            argv[argc++] = access->username;
        }

        argv[argc++] = access->password;

        n = ngx_agent_canary_redis_queue(rc,
                                         ngx_agent_canary_redis_auth_handler,
                                         rc, argc, argv);
    }

    if (n == NGX_OK && access->database) {
        ngx_str_set(&argv[0], "SELECT");
        argv[1].data = buf;
        argv[1].len = ngx_sprintf(buf, "%ui", access->database) - buf;

        n = ngx_agent_canary_redis_queue(rc,
                                         ngx_agent_canary_redis_select_handler,
                                         rc, 2, argv);
    }

    if (n == NGX_OK) {
        ngx_str_set(&argv[0], "PING");

        n = ngx_agent_canary_redis_queue(rc,
                                         ngx_agent_canary_redis_ping_handler,
                                         rc, 1, argv);
    }

    if (n != NGX_OK) {
        ngx_agent_canary_redis_fail(rc, 0, "out of memory");
    }
}


static void
ngx_agent_canary_redis_auth_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_redis_t *rc = data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis auth handler, type:%d", reply->type);

    if (ngx_agent_canary_reply_is(reply, NGX_AGENT_CANARY_REPLY_STATUS, "OK"))
    {
        return;
    }

    if (reply->type == NGX_AGENT_CANARY_REPLY_ERROR) {
        ngx_agent_canary_redis_auth_failed(rc, &reply->str);
        return;
    }

    ngx_agent_canary_redis_refused(rc, "AUTH", reply);
}


/*
 * A server that does not know AUTH quotes what it was sent: of the texts of
 * errors only the part before the first quote is told, and nothing at all
 * when the password is in it.
 */

static void
ngx_agent_canary_redis_auth_failed(ngx_agent_canary_redis_t *rc,
    ngx_str_t *text)
{
    size_t      i, n;
    ngx_str_t   s, *password;

    s = *text;

    for (n = 0; n < s.len; n++) {
        if (s.data[n] == '`' || s.data[n] == '\'' || s.data[n] == '"') {
            s.len = n;
        }
    }

    password = &rc->conf.access->password;

    for (n = 0; n + password->len <= s.len; n++) {

        for (i = 0; i < password->len; i++) {
            if (s.data[n + i]
                != ngx_agent_canary_reply_printable(password->data[i]))
            {
                break;
            }
        }

        if (i == password->len) {
            s.len = 0;
        }
    }

    ngx_agent_canary_redis_fail(rc, 0, "authentication failed: %V", &s);
}


static void
ngx_agent_canary_redis_select_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_redis_t *rc = data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis select handler, type:%d", reply->type);

    if (!ngx_agent_canary_reply_is(reply, NGX_AGENT_CANARY_REPLY_STATUS, "OK"))
    {
        ngx_agent_canary_redis_refused(rc, "SELECT", reply);
    }
}


static void
ngx_agent_canary_redis_ping_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_redis_t *rc = data;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, &rc->log, 0,
                   "agent canary redis ping handler, type:%d", reply->type);

    if (!ngx_agent_canary_reply_is(reply, NGX_AGENT_CANARY_REPLY_STATUS,
                                   "PONG"))
    {
        ngx_agent_canary_redis_refused(rc, "PING", reply);
        return;
    }

    ngx_agent_canary_redis_ready(rc);
}


static void
ngx_agent_canary_redis_refused(ngx_agent_canary_redis_t *rc, char *command,
    ngx_agent_canary_reply_t *reply)
{
    u_char  buf[NGX_AGENT_CANARY_REPLY_TEXT];

    ngx_agent_canary_redis_fail(rc, 0, "%s",
                                ngx_agent_canary_reply_refused(reply, command,
                                                        buf, sizeof(buf)));
}
