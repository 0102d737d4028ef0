
/*
 * The link to Redis, run by worker 0.
 *
 * Two connections to one server.  The first is subscribed to the notices of
 * invalid keys that CLIENT TRACKING redirects to it; the second reads.  The
 * flags are read in full only after the subscription is confirmed: from then
 * on nothing can change unnoticed.  Whatever goes wrong with one of the two
 * closes both, and another attempt begins with another full read.
 *
 *     CONNECTING -> LOADING -> READY
 *          ^            \        /
 *          +--- FAILED <-+------+
 *
 * On any failure the zone keeps what it knows, and tells how old it is.
 */


#include "ngx_agent_canary_link.h"


/* Both connections are asked once a second, and have a second to answer. */
#define NGX_AGENT_CANARY_LINK_BEAT      1000

/* READY for that long, and failures before are forgotten. */
#define NGX_AGENT_CANARY_LINK_SETTLED   3000

/*
 * For how long after a failure a minority of the Sentinels is not believed
 * because the others may only be slow.
 */
#define NGX_AGENT_CANARY_LINK_PATIENCE  1500


static void ngx_agent_canary_link_connect(ngx_agent_canary_link_t *link);
static ngx_int_t ngx_agent_canary_link_find_master(
    ngx_agent_canary_link_t *link);
static void ngx_agent_canary_link_addr_handler(void *data, ngx_addr_t *addr,
    char *error);
static void ngx_agent_canary_link_sentinel_handler(void *data);
static void ngx_agent_canary_link_push_ready(void *data);
static void ngx_agent_canary_link_id_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_link_tracking_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_link_subscribe_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_link_read_ready(void *data);
static void ngx_agent_canary_link_role_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static ngx_int_t ngx_agent_canary_link_check_role(
    ngx_agent_canary_link_t *link, ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_link_load(ngx_agent_canary_link_t *link);
static void ngx_agent_canary_link_loaded(void *data);
static void ngx_agent_canary_link_push_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_link_beat_handler(ngx_event_t *ev);
static void ngx_agent_canary_link_push_beat_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_link_read_beat_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_link_alive(ngx_agent_canary_link_t *link);
static void ngx_agent_canary_link_retry_handler(ngx_event_t *ev);
static ngx_int_t ngx_agent_canary_link_send(ngx_agent_canary_link_t *link,
    ngx_agent_canary_redis_t *rc, ngx_agent_canary_reply_pt handler,
    ngx_uint_t argc, ngx_str_t *argv);
static void ngx_agent_canary_link_refused(ngx_agent_canary_link_t *link,
    char *command, ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_link_failed(void *data, char *reason);
static void ngx_agent_canary_link_log(ngx_agent_canary_link_t *link,
    char *reason);
static void ngx_agent_canary_link_close(ngx_agent_canary_link_t *link);
static void ngx_agent_canary_link_state(ngx_agent_canary_link_t *link,
    ngx_agent_canary_link_state_e state, u_char *reason);


ngx_int_t
ngx_agent_canary_link_start(ngx_agent_canary_main_conf_t *mcf,
    ngx_cycle_t *cycle)
{
    ngx_agent_canary_link_t       *link;
    ngx_agent_canary_sync_t       *sync;
    ngx_agent_canary_server_t     *server;
    ngx_agent_canary_sentinels_t  *sentinels;

    link = mcf->link;

    if (link == NULL || mcf->zone == NULL) {
        return NGX_OK;
    }

    link->zone = mcf->zone;
    link->log = *cycle->log;
    link->address.data = link->address_buf;

    link->ident.data = link;
    link->ident.fd = (ngx_socket_t) -1;

    link->retry.handler = ngx_agent_canary_link_retry_handler;
    link->retry.data = &link->ident;
    link->retry.log = &link->log;
    link->retry.cancelable = 1;

    link->beat.handler = ngx_agent_canary_link_beat_handler;
    link->beat.data = &link->ident;
    link->beat.log = &link->log;
    link->beat.cancelable = 1;

    sync = &link->sync;

    sync->conf = mcf;
    sync->prefix = link->prefix;
    sync->poll = link->poll;
    sync->log = &link->log;
    sync->data = link;
    sync->on_loaded = ngx_agent_canary_link_loaded;
    sync->on_error = ngx_agent_canary_link_failed;

    if (ngx_agent_canary_sync_init(sync, cycle->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    if (link->master.len) {
        server = link->servers.elts;

        link->target_server.resolver = server->resolver;
        link->target_server.timeout = server->timeout;

        sentinels = &link->sentinels;

        sentinels->name = link->master;
        sentinels->servers = &link->servers;
        sentinels->access = &link->sentinel_access;
        sentinels->log = &link->log;
        sentinels->data = link;
        sentinels->on_answer = ngx_agent_canary_link_sentinel_handler;

        if (ngx_agent_canary_sentinels_start(sentinels, cycle->pool)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_agent_canary_link_state(link, NGX_AGENT_CANARY_LINK_CONNECTING, NULL);

    link->since = ngx_current_msec;

    /* answers of Sentinels begin the first attempt, or this does */

    ngx_add_timer(&link->retry,
                  link->master.len ? NGX_AGENT_CANARY_LINK_PATIENCE : 1);

    return NGX_OK;
}


/* The status stays what it was: another worker 0 may be at work already. */

void
ngx_agent_canary_link_stop(ngx_agent_canary_main_conf_t *mcf)
{
    ngx_agent_canary_link_t  *link;

    link = mcf->link;

    if (link == NULL || link->zone == NULL) {
        return;
    }

    if (link->retry.timer_set) {
        ngx_del_timer(&link->retry);
    }

    ngx_agent_canary_sentinels_stop(&link->sentinels);
    ngx_agent_canary_link_close(link);
}


static void
ngx_agent_canary_link_connect(ngx_agent_canary_link_t *link)
{
    if (link->retry.timer_set) {
        ngx_del_timer(&link->retry);
    }

    (void) ngx_atomic_fetch_add(&link->zone->sh->link.connects, 1);

    /* until it works, what was wrong last stays to be seen */

    ngx_agent_canary_link_state(link, NGX_AGENT_CANARY_LINK_CONNECTING,
                                link->reason);

    if (link->master.len == 0) {
        link->server = link->servers.elts;

    } else if (ngx_agent_canary_link_find_master(link) != NGX_OK) {
        return;
    }

    ngx_agent_canary_server_find(link->server,
                                 ngx_agent_canary_link_addr_handler, link);
}


static ngx_int_t
ngx_agent_canary_link_find_master(ngx_agent_canary_link_t *link)
{
    ngx_uint_t                  patience;
    ngx_agent_canary_master_t  *master;

    patience = ngx_current_msec - link->since < NGX_AGENT_CANARY_LINK_PATIENCE;

    if (ngx_agent_canary_sentinels_master(&link->sentinels, patience, &master)
        != NGX_OK)
    {
        /* the next majority is news, even if it is for the same server */

        link->target.host.len = 0;
        link->target.port = 0;

        ngx_agent_canary_link_failed(link, (char *) link->sentinels.error);
        return NGX_ERROR;
    }

    link->server = &link->target_server;

    if (!ngx_agent_canary_master_same(&link->target, master)) {
        link->target = *master;
        link->target.host.data = link->target.buf;

        ngx_agent_canary_server_set(link->server, &link->target.host,
                                    link->target.port);
    }

    return NGX_OK;
}


static void
ngx_agent_canary_link_addr_handler(void *data, ngx_addr_t *addr, char *error)
{
    ngx_agent_canary_link_t *link = data;

    ngx_addr_t                      peer;
    ngx_agent_canary_redis_conf_t   conf;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link addr handler: %s",
                   error ? error : "found");

    if (addr == NULL) {
        ngx_agent_canary_link_failed(link, error);
        return;
    }

    peer = *addr;
    peer.name = link->address;
    peer.name.len = ngx_sock_ntop(addr->sockaddr, addr->socklen,
                                  peer.name.data, sizeof(link->address_buf),
                                  1);

    link->address = peer.name;

    ngx_cpystrn(link->zone->sh->link.address, peer.name.data,
                ngx_min(peer.name.len + 1,
                        sizeof(link->zone->sh->link.address)));

    ngx_memzero(&conf, sizeof(ngx_agent_canary_redis_conf_t));

    conf.access = &link->access;
    conf.addr = &peer;
    conf.host = link->server->host;
    conf.log = &link->log;
    conf.quiet = (link->failures > 1);
    conf.data = link;
    conf.on_error = ngx_agent_canary_link_failed;

    conf.on_ready = ngx_agent_canary_link_push_ready;
    conf.on_push = ngx_agent_canary_link_push_handler;
    link->push = ngx_agent_canary_redis_connect(&conf);

    conf.on_ready = ngx_agent_canary_link_read_ready;
    conf.on_push = NULL;
    link->read = ngx_agent_canary_redis_connect(&conf);

    if (link->push == NULL || link->read == NULL) {
        ngx_agent_canary_link_failed(link, "out of memory");
    }
}


/*
 * A Sentinel answered.  A link that works is left only when more than half
 * of all Sentinels call another server the master: one that is cut off or
 * lies changes nothing.
 */

static void
ngx_agent_canary_link_sentinel_handler(void *data)
{
    ngx_agent_canary_link_t *link = data;

    ngx_uint_t                  patience;
    ngx_agent_canary_master_t  *master;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link sentinel handler, state:%d",
                   link->state);

    if (ngx_agent_canary_exiting()) {
        return;
    }

    patience = link->state == NGX_AGENT_CANARY_LINK_READY
               || ngx_current_msec - link->since
                  < NGX_AGENT_CANARY_LINK_PATIENCE;

    if (ngx_agent_canary_sentinels_master(&link->sentinels, patience, &master)
        != NGX_OK
        || ngx_agent_canary_master_same(&link->target, master))
    {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, &link->log, 0,
                  "agent canary: Sentinels call %V port %d the master of "
                  "\"%V\"", &master->host, (int) master->port, &link->master);

    ngx_agent_canary_link_close(link);

    if (link->state == NGX_AGENT_CANARY_LINK_READY) {
        link->since = ngx_current_msec;
    }

    link->failures = 0;

    ngx_agent_canary_link_connect(link);
}


/* Connection A: every reply but the last is followed by another command. */

static void
ngx_agent_canary_link_push_ready(void *data)
{
    ngx_agent_canary_link_t *link = data;

    ngx_str_t  argv[] = { ngx_string("CLIENT"), ngx_string("ID") };

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link push ready");

    (void) ngx_agent_canary_link_send(link, link->push,
                                      ngx_agent_canary_link_id_handler,
                                      2, argv);
}


static void
ngx_agent_canary_link_id_handler(void *data, ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_link_t *link = data;

    ngx_str_t  argv[8];
    u_char     id[NGX_INT64_LEN];

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link id: %L", reply->integer);

    if (reply->type != NGX_AGENT_CANARY_REPLY_INTEGER || reply->integer <= 0) {
        ngx_agent_canary_link_refused(link, "CLIENT ID", reply);
        return;
    }

    ngx_str_set(&argv[0], "CLIENT");
    ngx_str_set(&argv[1], "TRACKING");
    ngx_str_set(&argv[2], "ON");
    ngx_str_set(&argv[3], "REDIRECT");
    argv[4].data = id;
    argv[4].len = ngx_sprintf(id, "%L", reply->integer) - id;
    ngx_str_set(&argv[5], "BCAST");
    ngx_str_set(&argv[6], "PREFIX");
    argv[7] = link->prefix;

    if (ngx_agent_canary_link_send(link, link->push,
                                   ngx_agent_canary_link_tracking_handler,
                                   8, argv)
        != NGX_OK)
    {
        return;
    }

    ngx_str_set(&argv[0], "SUBSCRIBE");
    ngx_str_set(&argv[1], "__redis__:invalidate");

    (void) ngx_agent_canary_link_send(link, link->push,
                                      ngx_agent_canary_link_subscribe_handler,
                                      2, argv);
}


static void
ngx_agent_canary_link_tracking_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_link_t *link = data;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link tracking, type:%d", reply->type);

    if (!ngx_agent_canary_reply_is(reply, NGX_AGENT_CANARY_REPLY_STATUS,
                                   "OK"))
    {
        ngx_agent_canary_link_refused(link, "CLIENT TRACKING", reply);
    }
}


static void
ngx_agent_canary_link_subscribe_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_link_t *link = data;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link subscribe, type:%d", reply->type);

    if (reply->type != NGX_AGENT_CANARY_REPLY_ARRAY
        || reply->nelts != 3
        || !ngx_agent_canary_reply_is(reply->elts[0],
                                      NGX_AGENT_CANARY_REPLY_STRING,
                                      "subscribe"))
    {
        ngx_agent_canary_link_refused(link, "SUBSCRIBE", reply);
        return;
    }

    link->subscribed = 1;

    ngx_agent_canary_link_load(link);
}


/* Connection B. */

static void
ngx_agent_canary_link_read_ready(void *data)
{
    ngx_agent_canary_link_t *link = data;

    ngx_str_t  argv[] = { ngx_string("ROLE") };

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link read ready");

    if (link->master.len) {

        /* Sentinels may be late or wrong: the server itself has to agree */

        (void) ngx_agent_canary_link_send(link, link->read,
                                          ngx_agent_canary_link_role_handler,
                                          1, argv);
        return;
    }

    link->readable = 1;

    ngx_agent_canary_link_load(link);
}


static void
ngx_agent_canary_link_role_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_link_t *link = data;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link role, type:%d", reply->type);

    if (ngx_agent_canary_link_check_role(link, reply) == NGX_OK) {
        link->readable = 1;
        ngx_agent_canary_link_load(link);
    }
}


static ngx_int_t
ngx_agent_canary_link_check_role(ngx_agent_canary_link_t *link,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_reply_t  *role;

    if (reply->type == NGX_AGENT_CANARY_REPLY_ARRAY && reply->nelts) {
        role = reply->elts[0];

        if (ngx_agent_canary_reply_is(role, NGX_AGENT_CANARY_REPLY_STRING,
                                      "master"))
        {
            return NGX_OK;
        }

        if (ngx_agent_canary_reply_is(role, NGX_AGENT_CANARY_REPLY_STRING,
                                      "slave"))
        {
            ngx_agent_canary_link_failed(link, "role is not master but slave");
            return NGX_ERROR;
        }
    }

    ngx_agent_canary_link_refused(link, "ROLE", reply);

    return NGX_ERROR;
}


static void
ngx_agent_canary_link_load(ngx_agent_canary_link_t *link)
{
    if (!link->subscribed || !link->readable) {
        return;
    }

    ngx_agent_canary_link_state(link, NGX_AGENT_CANARY_LINK_LOADING,
                                link->reason);

    ngx_add_timer(&link->beat, NGX_AGENT_CANARY_LINK_BEAT);

    ngx_agent_canary_sync_start(&link->sync, link->read);
}


static void
ngx_agent_canary_link_loaded(void *data)
{
    ngx_agent_canary_link_t *link = data;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link loaded");

    link->since = ngx_current_msec;

    ngx_agent_canary_zone_synced(link->zone);
    ngx_agent_canary_link_state(link, NGX_AGENT_CANARY_LINK_READY, NULL);

    ngx_log_error(NGX_LOG_NOTICE, &link->log, 0,
                  "agent canary: following Redis at %V", &link->address);
}


/* ["message", "__redis__:invalidate", nil or keys] */

static void
ngx_agent_canary_link_push_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_link_t *link = data;

    ngx_uint_t                 i;
    ngx_agent_canary_reply_t  *keys;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link push, %ui elements", reply->nelts);

    (void) ngx_atomic_fetch_add(&link->zone->sh->link.pushes, 1);

    if (reply->nelts != 3) {
        ngx_agent_canary_link_failed(link, "protocol error: unexpected "
                                     "message");
        return;
    }

    keys = reply->elts[2];

    /* an error in its place stands for more keys than are kept */

    if (keys->type == NGX_AGENT_CANARY_REPLY_NIL
        || keys->type == NGX_AGENT_CANARY_REPLY_ERROR)
    {
        ngx_agent_canary_sync_invalidate(&link->sync, NULL);
        return;
    }

    for (i = 0; i < keys->nelts; i++) {
        if (keys->elts[i]->type != NGX_AGENT_CANARY_REPLY_STRING) {
            break;
        }
    }

    if (keys->type != NGX_AGENT_CANARY_REPLY_ARRAY || i != keys->nelts) {
        ngx_agent_canary_link_failed(link, "protocol error: unexpected "
                                     "message");
        return;
    }

    for (i = 0; i < keys->nelts; i++) {
        ngx_agent_canary_sync_invalidate(&link->sync, &keys->elts[i]->str);
    }
}


/*
 * Nothing but a question shows that a server has stopped: the kernel keeps
 * its connections alive.  Connection B asks for the role where that matters.
 */

static void
ngx_agent_canary_link_beat_handler(ngx_event_t *ev)
{
    ngx_str_t                 argv[1];
    ngx_connection_t         *ident;
    ngx_agent_canary_link_t  *link;

    ident = ev->data;
    link = ident->data;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link beat");

    if (ngx_agent_canary_exiting()) {
        return;
    }

    ngx_add_timer(&link->beat, NGX_AGENT_CANARY_LINK_BEAT);

    if (!link->push_beat) {
        ngx_str_set(&argv[0], "PING");

        if (ngx_agent_canary_link_send(link, link->push,
                                       ngx_agent_canary_link_push_beat_handler,
                                       1, argv)
            != NGX_OK)
        {
            return;
        }

        link->push_beat = 1;
    }

    if (!link->read_beat) {
        if (link->master.len) {
            ngx_str_set(&argv[0], "ROLE");

        } else {
            ngx_str_set(&argv[0], "PING");
        }

        if (ngx_agent_canary_link_send(link, link->read,
                                       ngx_agent_canary_link_read_beat_handler,
                                       1, argv)
            != NGX_OK)
        {
            return;
        }

        link->read_beat = 1;
    }
}


/* A subscribed connection answers ["pong", ""]. */

static void
ngx_agent_canary_link_push_beat_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_link_t *link = data;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link push beat, type:%d", reply->type);

    if (reply->type != NGX_AGENT_CANARY_REPLY_ARRAY
        || reply->nelts != 2
        || !ngx_agent_canary_reply_is(reply->elts[0],
                                      NGX_AGENT_CANARY_REPLY_STRING, "pong"))
    {
        ngx_agent_canary_link_refused(link, "PING", reply);
        return;
    }

    link->push_beat = 0;

    ngx_agent_canary_link_alive(link);
}


static void
ngx_agent_canary_link_read_beat_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_link_t *link = data;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link read beat, type:%d", reply->type);

    if (link->master.len) {

        if (ngx_agent_canary_link_check_role(link, reply) != NGX_OK) {
            return;
        }

    } else if (!ngx_agent_canary_reply_is(reply,
                                          NGX_AGENT_CANARY_REPLY_STATUS,
                                          "PONG"))
    {
        ngx_agent_canary_link_refused(link, "PING", reply);
        return;
    }

    link->read_beat = 0;

    ngx_agent_canary_link_alive(link);
}


/*
 * Both have answered since the last beat: all notices that were sent before
 * are here, and what was asked for because of earlier ones is applied.
 */

static void
ngx_agent_canary_link_alive(ngx_agent_canary_link_t *link)
{
    if (link->push_beat || link->read_beat
        || link->state != NGX_AGENT_CANARY_LINK_READY)
    {
        return;
    }

    ngx_agent_canary_zone_synced(link->zone);

    if (ngx_current_msec - link->since >= NGX_AGENT_CANARY_LINK_SETTLED) {
        link->failures = 0;
        link->reason[0] = '\0';
    }
}


static void
ngx_agent_canary_link_retry_handler(ngx_event_t *ev)
{
    ngx_connection_t         *ident;
    ngx_agent_canary_link_t  *link;

    ident = ev->data;
    link = ident->data;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link retry, failures:%ui", link->failures);

    if (ngx_agent_canary_exiting()) {
        return;
    }

    ngx_agent_canary_link_connect(link);
}


static ngx_int_t
ngx_agent_canary_link_send(ngx_agent_canary_link_t *link,
    ngx_agent_canary_redis_t *rc, ngx_agent_canary_reply_pt handler,
    ngx_uint_t argc, ngx_str_t *argv)
{
    if (ngx_agent_canary_redis_send(rc, handler, link, argc, argv) != NGX_OK) {
        ngx_agent_canary_link_failed(link, "out of memory");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_agent_canary_link_refused(ngx_agent_canary_link_t *link, char *command,
    ngx_agent_canary_reply_t *reply)
{
    u_char  buf[NGX_AGENT_CANARY_REPLY_TEXT];

    ngx_agent_canary_link_failed(link,
                          ngx_agent_canary_reply_refused(reply, command,
                                                         buf, sizeof(buf)));
}


/* Every failure ends here, whatever part of the link met it. */

static void
ngx_agent_canary_link_failed(void *data, char *reason)
{
    ngx_agent_canary_link_t *link = data;

    if (ngx_agent_canary_exiting()) {
        ngx_agent_canary_link_close(link);
        return;
    }

    (void) ngx_atomic_fetch_add(&link->zone->sh->link.failures, 1);

    if (link->state == NGX_AGENT_CANARY_LINK_READY) {
        link->since = ngx_current_msec;
    }

    ngx_agent_canary_link_log(link, reason);
    ngx_agent_canary_link_state(link, NGX_AGENT_CANARY_LINK_FAILED,
                                link->reason);

    /* reason may live in what is closed now */

    ngx_agent_canary_link_close(link);

    link->failures++;

    ngx_add_timer(&link->retry,
                  ngx_agent_canary_server_backoff(link->failures));
}


/* The same reason again is no news. */

static void
ngx_agent_canary_link_log(ngx_agent_canary_link_t *link, char *reason)
{
    ngx_uint_t  level;

    level = NGX_LOG_ERR;

    /* told already, or by a worker that a newer one has taken over from */

    if (ngx_strncmp(link->reason, reason, CANARY_ERROR_MAX - 1) == 0
        || ngx_agent_canary_zone_outdated(link->zone))
    {
        level = NGX_LOG_INFO;
    }

    (void) ngx_cpystrn(link->reason, (u_char *) reason, CANARY_ERROR_MAX);

    ngx_log_error(level, &link->log, 0,
                  "agent canary: link to Redis%s%V failed: %s, "
                  "flags stay as they are", link->address.len ? " at " : "",
                  &link->address, link->reason);
}


static void
ngx_agent_canary_link_close(ngx_agent_canary_link_t *link)
{
    ngx_agent_canary_redis_t  *rc;

    if (link->server) {
        ngx_agent_canary_server_cancel(link->server);
    }

    if (link->beat.timer_set) {
        ngx_del_timer(&link->beat);
    }

    rc = link->push;
    link->push = NULL;

    if (rc) {
        ngx_agent_canary_redis_close(rc);
    }

    rc = link->read;
    link->read = NULL;

    if (rc) {
        ngx_agent_canary_redis_close(rc);
    }

    ngx_agent_canary_sync_stop(&link->sync);

    link->subscribed = 0;
    link->readable = 0;
    link->push_beat = 0;
    link->read_beat = 0;
}


static void
ngx_agent_canary_link_state(ngx_agent_canary_link_t *link,
    ngx_agent_canary_link_state_e state, u_char *reason)
{
    link->state = state;

    ngx_agent_canary_zone_set_link(link->zone, state, reason);
}
