
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


/* Both connections have to answer within a second, once a second. */
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
static void ngx_agent_canary_link_set_master(ngx_agent_canary_link_t *link,
    ngx_agent_canary_master_t *master);
static void ngx_agent_canary_link_addr_handler(void *data, ngx_addr_t *addr,
    ngx_str_t *error);
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
    ngx_uint_t argc, char **args);
static void ngx_agent_canary_link_refused(ngx_agent_canary_link_t *link,
    char *command, ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_link_error(ngx_agent_canary_link_t *link,
    char *text);
static void ngx_agent_canary_link_failed(void *data, ngx_str_t *reason);
static void ngx_agent_canary_link_log(ngx_agent_canary_link_t *link,
    ngx_str_t *reason);
static void ngx_agent_canary_link_close(ngx_agent_canary_link_t *link);
static void ngx_agent_canary_link_state(ngx_agent_canary_link_t *link,
    ngx_agent_canary_link_state_e state, ngx_str_t *reason);


#define ngx_agent_canary_link_exiting()                                       \
    (ngx_exiting || ngx_terminate || ngx_quit)


ngx_int_t
ngx_agent_canary_link_start(ngx_agent_canary_main_conf_t *mcf,
    ngx_cycle_t *cycle)
{
    ngx_agent_canary_link_t       *link;
    ngx_agent_canary_sync_t       *sync;
    ngx_agent_canary_sentinels_t  *sentinels;

    link = mcf->link;

    if (link == NULL || mcf->zone == NULL) {
        return NGX_OK;
    }

    link->zone = mcf->zone;
    link->log = *cycle->log;
    link->reason.data = link->reason_buf;
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

    sync->zone = mcf->zone;
    sync->flags = &mcf->flags;
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

    /* nothing begins before the event loop: until then the clock stands */

    ngx_add_timer(&link->retry, 1);

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
                                &link->reason);

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
    ngx_str_t                   error;
    ngx_uint_t                  patience;
    ngx_agent_canary_master_t  *master;

    patience = ngx_current_msec - link->since < NGX_AGENT_CANARY_LINK_PATIENCE;

    if (ngx_agent_canary_sentinels_master(&link->sentinels, patience,
                                          &master, &error)
        != NGX_OK)
    {
        /* the next majority is news, even if it is for the same server */

        link->target.host.len = 0;
        link->target.port = 0;

        ngx_agent_canary_link_failed(link, &error);
        return NGX_ERROR;
    }

    ngx_agent_canary_link_set_master(link, master);

    return NGX_OK;
}


/* Sentinels usually tell an address; a name has to be resolved. */

static void
ngx_agent_canary_link_set_master(ngx_agent_canary_link_t *link,
    ngx_agent_canary_master_t *master)
{
    in_addr_t                   inaddr;
    struct sockaddr_in         *sin;
    ngx_agent_canary_server_t  *server, *first;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6        *sin6;
#endif

    server = &link->target_server;

    link->server = server;

    if (ngx_agent_canary_master_same(&link->target, master)) {
        return;
    }

    link->target = *master;
    link->target.host.data = link->target.buf;

    first = link->servers.elts;

    ngx_memzero(server, sizeof(ngx_agent_canary_server_t));

    server->host = link->target.host;
    server->name = link->target.host;
    server->port = link->target.port;
    server->resolver = first->resolver;
    server->timeout = link->access.timeout;

    ngx_memzero(&link->target_sockaddr, sizeof(ngx_sockaddr_t));

    link->target_addr.sockaddr = &link->target_sockaddr.sockaddr;

    inaddr = ngx_inet_addr(server->host.data, server->host.len);

    if (inaddr != INADDR_NONE) {
        sin = &link->target_sockaddr.sockaddr_in;
        sin->sin_family = AF_INET;
        sin->sin_addr.s_addr = inaddr;

        link->target_addr.socklen = sizeof(struct sockaddr_in);
        server->naddrs = 1;
    }

#if (NGX_HAVE_INET6)

    sin6 = &link->target_sockaddr.sockaddr_in6;

    if (inaddr == INADDR_NONE
        && ngx_inet6_addr(server->host.data, server->host.len,
                          sin6->sin6_addr.s6_addr)
           == NGX_OK)
    {
        sin6->sin6_family = AF_INET6;

        link->target_addr.socklen = sizeof(struct sockaddr_in6);
        server->naddrs = 1;
    }

#endif

    if (server->naddrs == 0) {
        return;
    }

    ngx_inet_set_port(link->target_addr.sockaddr, server->port);

    server->addrs = &link->target_addr;
}


static void
ngx_agent_canary_link_addr_handler(void *data, ngx_addr_t *addr,
    ngx_str_t *error)
{
    ngx_agent_canary_link_t *link = data;

    ngx_addr_t                      peer;
    ngx_agent_canary_redis_conf_t   conf;

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
        ngx_agent_canary_link_error(link, "out of memory");
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

    ngx_str_t                   error;
    ngx_uint_t                  patience;
    ngx_agent_canary_master_t  *master;

    if (ngx_agent_canary_link_exiting()) {
        return;
    }

    patience = link->state == NGX_AGENT_CANARY_LINK_READY
               || ngx_current_msec - link->since
                  < NGX_AGENT_CANARY_LINK_PATIENCE;

    if (ngx_agent_canary_sentinels_master(&link->sentinels, patience,
                                          &master, &error)
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

    char  *args[] = { "CLIENT", "ID" };

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link push ready");

    (void) ngx_agent_canary_link_send(link, link->push,
                                      ngx_agent_canary_link_id_handler,
                                      2, args);
}


static void
ngx_agent_canary_link_id_handler(void *data, ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_link_t *link = data;

    char    *args[8];
    u_char   id[NGX_INT64_LEN + 1], prefix[NGX_AGENT_CANARY_PREFIX_MAX + 1];

    if (reply->type != NGX_AGENT_CANARY_REPLY_INTEGER || reply->integer <= 0) {
        ngx_agent_canary_link_refused(link, "CLIENT ID", reply);
        return;
    }

    ngx_sprintf(id, "%L%Z", reply->integer);
    ngx_sprintf(prefix, "%V%Z", &link->prefix);

    args[0] = "CLIENT";
    args[1] = "TRACKING";
    args[2] = "ON";
    args[3] = "REDIRECT";
    args[4] = (char *) id;
    args[5] = "BCAST";
    args[6] = "PREFIX";
    args[7] = (char *) prefix;

    if (ngx_agent_canary_link_send(link, link->push,
                                   ngx_agent_canary_link_tracking_handler,
                                   8, args)
        != NGX_OK)
    {
        return;
    }

    args[0] = "SUBSCRIBE";
    args[1] = "__redis__:invalidate";

    (void) ngx_agent_canary_link_send(link, link->push,
                                      ngx_agent_canary_link_subscribe_handler,
                                      2, args);
}


static void
ngx_agent_canary_link_tracking_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_link_t *link = data;

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

    char  *args[] = { "ROLE" };

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link read ready");

    if (link->master.len) {

        /* Sentinels may be late or wrong: the server itself has to agree */

        (void) ngx_agent_canary_link_send(link, link->read,
                                          ngx_agent_canary_link_role_handler,
                                          1, args);
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

    if (ngx_agent_canary_link_check_role(link, reply) == NGX_OK) {
        link->readable = 1;
        ngx_agent_canary_link_load(link);
    }
}


static ngx_int_t
ngx_agent_canary_link_check_role(ngx_agent_canary_link_t *link,
    ngx_agent_canary_reply_t *reply)
{
    u_char  *p;
    u_char   buf[64];

    if (reply->type != NGX_AGENT_CANARY_REPLY_ARRAY
        || reply->nelts == 0
        || reply->elts[0]->type != NGX_AGENT_CANARY_REPLY_STRING)
    {
        ngx_agent_canary_link_refused(link, "ROLE", reply);
        return NGX_ERROR;
    }

    if (ngx_agent_canary_reply_is(reply->elts[0],
                                  NGX_AGENT_CANARY_REPLY_STRING, "master"))
    {
        return NGX_OK;
    }

    p = ngx_cpymem(buf, "role is not master but ", 23);
    p = ngx_agent_canary_redis_text(p, buf + sizeof(buf) - 1,
                                    &reply->elts[0]->str);
    *p = '\0';

    ngx_agent_canary_link_error(link, (char *) buf);

    return NGX_ERROR;
}


static void
ngx_agent_canary_link_load(ngx_agent_canary_link_t *link)
{
    if (!link->subscribed || !link->readable) {
        return;
    }

    ngx_agent_canary_link_state(link, NGX_AGENT_CANARY_LINK_LOADING,
                                &link->reason);

    ngx_add_timer(&link->beat, NGX_AGENT_CANARY_LINK_BEAT);

    ngx_agent_canary_sync_start(&link->sync, link->read);
}


static void
ngx_agent_canary_link_loaded(void *data)
{
    ngx_agent_canary_link_t *link = data;

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
        ngx_agent_canary_link_error(link, "protocol error: unexpected "
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
        ngx_agent_canary_link_error(link, "protocol error: unexpected "
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
    char                     *args[1];
    ngx_connection_t         *ident;
    ngx_agent_canary_link_t  *link;

    ident = ev->data;
    link = ident->data;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, &link->log, 0,
                   "agent canary link beat");

    if (ngx_agent_canary_link_exiting()) {
        return;
    }

    ngx_add_timer(&link->beat, NGX_AGENT_CANARY_LINK_BEAT);

    if (!link->push_beat) {
        args[0] = "PING";

        if (ngx_agent_canary_link_send(link, link->push,
                                       ngx_agent_canary_link_push_beat_handler,
                                       1, args)
            != NGX_OK)
        {
            return;
        }

        link->push_beat = 1;
    }

    if (!link->read_beat) {
        args[0] = link->master.len ? "ROLE" : "PING";

        if (ngx_agent_canary_link_send(link, link->read,
                                       ngx_agent_canary_link_read_beat_handler,
                                       1, args)
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
        link->reason.len = 0;
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

    if (ngx_agent_canary_link_exiting()) {
        return;
    }

    if (!link->started) {
        link->started = 1;
        link->since = ngx_current_msec;

        if (link->master.len) {

            /* answers of Sentinels begin the first attempt, or this does */

            ngx_add_timer(&link->retry, NGX_AGENT_CANARY_LINK_PATIENCE);
            return;
        }
    }

    ngx_agent_canary_link_connect(link);
}


static ngx_int_t
ngx_agent_canary_link_send(ngx_agent_canary_link_t *link,
    ngx_agent_canary_redis_t *rc, ngx_agent_canary_reply_pt handler,
    ngx_uint_t argc, char **args)
{
    ngx_str_t   argv[8];
    ngx_uint_t  i;

    for (i = 0; i < argc; i++) {
        argv[i].data = (u_char *) args[i];
        argv[i].len = ngx_strlen(args[i]);
    }

    if (ngx_agent_canary_redis_send(rc, handler, link, argc, argv) != NGX_OK) {
        ngx_agent_canary_link_error(link, "out of memory");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_agent_canary_link_refused(ngx_agent_canary_link_t *link, char *command,
    ngx_agent_canary_reply_t *reply)
{
    u_char  *p, *last;
    u_char   buf[160];

    last = buf + sizeof(buf) - 1;

    if (reply->type == NGX_AGENT_CANARY_REPLY_ERROR) {
        p = ngx_slprintf(buf, last, "%s: ", command);
        p = ngx_agent_canary_redis_text(p, last, &reply->str);

    } else {
        p = ngx_slprintf(buf, last, "protocol error: unexpected reply to %s",
                         command);
    }

    *p = '\0';

    ngx_agent_canary_link_error(link, (char *) buf);
}


static void
ngx_agent_canary_link_error(ngx_agent_canary_link_t *link, char *text)
{
    ngx_str_t  reason;

    reason.data = (u_char *) text;
    reason.len = ngx_strlen(text);

    ngx_agent_canary_link_failed(link, &reason);
}


/* Every failure ends here, whatever part of the link met it. */

static void
ngx_agent_canary_link_failed(void *data, ngx_str_t *reason)
{
    ngx_agent_canary_link_t *link = data;

    if (ngx_agent_canary_link_exiting()) {
        ngx_agent_canary_link_close(link);
        return;
    }

    (void) ngx_atomic_fetch_add(&link->zone->sh->link.failures, 1);

    if (link->state == NGX_AGENT_CANARY_LINK_READY) {
        link->since = ngx_current_msec;
    }

    ngx_agent_canary_link_state(link, NGX_AGENT_CANARY_LINK_FAILED, reason);
    ngx_agent_canary_link_log(link, reason);

    /* reason may live in what is closed now */

    ngx_agent_canary_link_close(link);

    link->failures++;

    ngx_add_timer(&link->retry,
                  ngx_agent_canary_server_backoff(link->failures));
}


/* The same reason again is no news. */

static void
ngx_agent_canary_link_log(ngx_agent_canary_link_t *link, ngx_str_t *reason)
{
    size_t      len;
    ngx_uint_t  level;

    len = ngx_min(reason->len, sizeof(link->reason_buf));

    level = NGX_LOG_ERR;

    if (len == link->reason.len
        && ngx_memcmp(link->reason.data, reason->data, len) == 0)
    {
        level = NGX_LOG_INFO;
    }

    ngx_memcpy(link->reason.data, reason->data, len);
    link->reason.len = len;

    ngx_log_error(level, &link->log, 0,
                  "agent canary: link to Redis%s%V failed: %V, "
                  "flags stay as they are", link->address.len ? " at " : "",
                  &link->address, reason);
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
    ngx_agent_canary_link_state_e state, ngx_str_t *reason)
{
    link->state = state;

    ngx_agent_canary_zone_link(link->zone, state, reason);
}
