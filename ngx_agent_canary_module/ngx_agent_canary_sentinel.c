
/*
 * Asks Sentinels which server is the master.
 *
 * Every Sentinel is asked twice a second over a connection that stays.  To
 * subscribe to +switch-master would be faster by a quarter of a second on
 * average, but it needs the polling all the same, for a Sentinel that was
 * away meanwhile; and the question is its own heartbeat.
 */


#include "ngx_agent_canary_sentinel.h"


#define NGX_AGENT_CANARY_SENTINEL_POLL   500
#define NGX_AGENT_CANARY_SENTINEL_FRESH  2000


static void ngx_agent_canary_sentinel_init(ngx_agent_canary_sentinel_t *s,
    ngx_agent_canary_sentinels_t *sentinels,
    ngx_agent_canary_server_t *server);
static void ngx_agent_canary_sentinel_timer_handler(ngx_event_t *ev);
static void ngx_agent_canary_sentinel_connect(void *data, ngx_addr_t *addr,
    char *error);
static void ngx_agent_canary_sentinel_ask(void *data);
static void ngx_agent_canary_sentinel_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static ngx_int_t ngx_agent_canary_sentinel_parse(
    ngx_agent_canary_sentinel_t *s, ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_sentinel_failed(void *data, char *reason);
static ngx_uint_t ngx_agent_canary_sentinel_fresh(
    ngx_agent_canary_sentinel_t *s);


ngx_int_t
ngx_agent_canary_sentinels_start(ngx_agent_canary_sentinels_t *sentinels,
    ngx_pool_t *pool)
{
    ngx_uint_t                  i;
    ngx_agent_canary_server_t  *servers;

    servers = sentinels->servers->elts;

    sentinels->elts = ngx_pcalloc(pool, sentinels->servers->nelts
                                        * sizeof(ngx_agent_canary_sentinel_t));
    if (sentinels->elts == NULL) {
        return NGX_ERROR;
    }

    sentinels->nelts = sentinels->servers->nelts;

    for (i = 0; i < sentinels->nelts; i++) {
        ngx_agent_canary_sentinel_init(&sentinels->elts[i], sentinels,
                                       &servers[i]);
    }

    return NGX_OK;
}


static void
ngx_agent_canary_sentinel_init(ngx_agent_canary_sentinel_t *s,
    ngx_agent_canary_sentinels_t *sentinels,
    ngx_agent_canary_server_t *server)
{
    s->sentinels = sentinels;
    s->server = server;

    s->ident.data = s;
    s->ident.fd = (ngx_socket_t) -1;

    s->timer.handler = ngx_agent_canary_sentinel_timer_handler;
    s->timer.data = &s->ident;
    s->timer.log = sentinels->log;
    s->timer.cancelable = 1;

    ngx_add_timer(&s->timer, 1);
}


void
ngx_agent_canary_sentinels_stop(ngx_agent_canary_sentinels_t *sentinels)
{
    ngx_uint_t                    i;
    ngx_agent_canary_sentinel_t  *s;

    for (i = 0; i < sentinels->nelts; i++) {
        s = &sentinels->elts[i];

        if (s->timer.timer_set) {
            ngx_del_timer(&s->timer);
        }

        ngx_agent_canary_server_cancel(s->server);

        if (s->rc) {
            ngx_agent_canary_redis_close(s->rc);
            s->rc = NULL;
        }
    }
}


ngx_int_t
ngx_agent_canary_sentinels_master(ngx_agent_canary_sentinels_t *sentinels,
    ngx_uint_t patience, ngx_agent_canary_master_t **master)
{
    u_char                       *p;
    ngx_uint_t                    i, j, votes, most, answers;
    ngx_agent_canary_sentinel_t  *s, *best;

    best = NULL;
    most = 0;
    answers = 0;

    for (i = 0; i < sentinels->nelts; i++) {
        s = &sentinels->elts[i];

        if (!ngx_agent_canary_sentinel_fresh(s)) {
            continue;
        }

        answers++;
        votes = 0;

        for (j = 0; j < sentinels->nelts; j++) {
            if (ngx_agent_canary_sentinel_fresh(&sentinels->elts[j])
                && ngx_agent_canary_master_same(&s->master,
                                                &sentinels->elts[j].master))
            {
                votes++;
            }
        }

        if (votes > most) {
            most = votes;
            best = s;
        }
    }

    if (best && best->master.host.len
        && most * 2 > (patience ? sentinels->nelts : answers))
    {
        *master = &best->master;
        return NGX_OK;
    }

    p = ngx_snprintf(sentinels->error, sizeof(sentinels->error) - 1,
                     "%ui of %ui Sentinels answer, no majority of them knows "
                     "a master \"%V\"",
                     answers, sentinels->nelts, &sentinels->name);
    *p = '\0';

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_agent_canary_sentinel_fresh(ngx_agent_canary_sentinel_t *s)
{
    return s->known
           && ngx_current_msec - s->answered <= NGX_AGENT_CANARY_SENTINEL_FRESH;
}


ngx_uint_t
ngx_agent_canary_master_same(ngx_agent_canary_master_t *one,
    ngx_agent_canary_master_t *two)
{
    return one->port == two->port
           && one->host.len == two->host.len
           && ngx_strncasecmp(one->host.data, two->host.data, one->host.len)
              == 0;
}


static void
ngx_agent_canary_sentinel_timer_handler(ngx_event_t *ev)
{
    ngx_connection_t             *ident;
    ngx_agent_canary_sentinel_t  *s;

    ident = ev->data;
    s = ident->data;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, s->sentinels->log, 0,
                   "agent canary sentinel timer: \"%V\"", &s->server->name);

    if (ngx_agent_canary_exiting()) {
        return;
    }

    if (s->rc) {
        ngx_agent_canary_sentinel_ask(s);
        return;
    }

    ngx_agent_canary_server_find(s->server, ngx_agent_canary_sentinel_connect,
                                 s);
}


static void
ngx_agent_canary_sentinel_connect(void *data, ngx_addr_t *addr, char *error)
{
    ngx_agent_canary_sentinel_t *s = data;

    ngx_agent_canary_redis_conf_t  conf;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, s->sentinels->log, 0,
                   "agent canary sentinel connect: \"%V\", %s",
                   &s->server->name, error ? error : "found");

    if (addr == NULL) {
        ngx_agent_canary_sentinel_failed(s, error);
        return;
    }

    ngx_memzero(&conf, sizeof(ngx_agent_canary_redis_conf_t));

    conf.access = s->sentinels->access;
    conf.addr = addr;
    conf.host = s->server->host;
    conf.log = s->sentinels->log;
    conf.quiet = (s->failures > 1);
    conf.data = s;
    conf.on_ready = ngx_agent_canary_sentinel_ask;
    conf.on_error = ngx_agent_canary_sentinel_failed;

    s->asking = 0;
    s->rc = ngx_agent_canary_redis_connect(&conf);

    if (s->rc == NULL) {
        ngx_agent_canary_sentinel_failed(s, "out of memory");
    }
}


static void
ngx_agent_canary_sentinel_ask(void *data)
{
    ngx_agent_canary_sentinel_t *s = data;

    ngx_str_t  argv[3];

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, s->sentinels->log, 0,
                   "agent canary sentinel ask: \"%V\", asking:%d",
                   &s->server->name, s->asking);

    ngx_add_timer(&s->timer, NGX_AGENT_CANARY_SENTINEL_POLL);

    if (s->asking) {

        /* the deadline of the connection is at work */

        return;
    }

    s->asking = 1;

    ngx_str_set(&argv[0], "SENTINEL");
    ngx_str_set(&argv[1], "GET-MASTER-ADDR-BY-NAME");
    argv[2] = s->sentinels->name;

    if (ngx_agent_canary_redis_send(s->rc, ngx_agent_canary_sentinel_handler,
                                    s, 3, argv)
        != NGX_OK)
    {
        ngx_agent_canary_sentinel_failed(s, "out of memory");
    }
}


static void
ngx_agent_canary_sentinel_handler(void *data, ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_sentinel_t *s = data;

    u_char  buf[NGX_AGENT_CANARY_REPLY_TEXT];

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, s->sentinels->log, 0,
                   "agent canary sentinel \"%V\" answered, type %d",
                   &s->server->name, reply->type);

    s->asking = 0;

    if (reply->type == NGX_AGENT_CANARY_REPLY_NIL) {

        /* an answer, too: it knows no such master */

        s->master.host.len = 0;
        s->master.port = 0;

    } else if (ngx_agent_canary_sentinel_parse(s, reply) != NGX_OK) {
        ngx_agent_canary_sentinel_failed(s,
                          ngx_agent_canary_reply_refused(reply, "SENTINEL",
                                                         buf, sizeof(buf)));
        return;
    }

    if (s->down) {
        s->down = 0;
        ngx_log_error(NGX_LOG_NOTICE, s->sentinels->log, 0,
                      "agent canary Sentinel %V answers again",
                      &s->server->name);
    }

    s->known = 1;
    s->failures = 0;
    s->answered = ngx_current_msec;

    s->sentinels->on_answer(s->sentinels->data);
}


static ngx_int_t
ngx_agent_canary_sentinel_parse(ngx_agent_canary_sentinel_t *s,
    ngx_agent_canary_reply_t *reply)
{
    ngx_int_t   port;
    ngx_str_t  *host;

    if (reply->type != NGX_AGENT_CANARY_REPLY_ARRAY || reply->nelts != 2
        || reply->elts[0]->type != NGX_AGENT_CANARY_REPLY_STRING
        || reply->elts[1]->type != NGX_AGENT_CANARY_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    host = &reply->elts[0]->str;

    port = ngx_atoi(reply->elts[1]->str.data, reply->elts[1]->str.len);

    /* nothing but a host gets into logs and queries */

    if (port < 1 || port > 65535 || !ngx_agent_canary_server_is_host(host)) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(s->master.buf, host->data, host->len + 1);

    s->master.host.data = s->master.buf;
    s->master.host.len = host->len;
    s->master.port = (in_port_t) port;

    return NGX_OK;
}


static void
ngx_agent_canary_sentinel_failed(void *data, char *reason)
{
    ngx_agent_canary_sentinel_t *s = data;

    ngx_uint_t  level;

    if (!ngx_agent_canary_exiting()) {

        level = s->down ? NGX_LOG_INFO : NGX_LOG_WARN;

        ngx_log_error(level, s->sentinels->log, 0,
                      "agent canary Sentinel %V does not answer: %s",
                      &s->server->name, reason);

        s->down = 1;
        s->failures++;

        ngx_add_timer(&s->timer,
                      ngx_agent_canary_server_backoff(s->failures));

    } else if (s->timer.timer_set) {
        ngx_del_timer(&s->timer);
    }

    s->asking = 0;

    if (s->rc) {
        ngx_agent_canary_redis_close(s->rc);
        s->rc = NULL;
    }
}
