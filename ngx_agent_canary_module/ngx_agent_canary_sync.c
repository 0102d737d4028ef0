
/*
 * Reads flags from Redis and applies them to the zone.
 *
 * A flag is read by four commands in one go:
 *
 *     GET inited, HGETALL flag:<name>, GET trip:<name>, GET inited
 *
 * A missing flag counts as deleted only if "inited" was there before and
 * after: a store that lost its data in between does not look like an owner.
 * A notice that comes while a flag is being read makes it be read again.
 */


#include "ngx_agent_canary_sync.h"
#include "../canary/record.h"


/*
 * What is under way at a time.  It bounds how long a flag that changed waits
 * behind a full read, and what Redis has to buffer for us.
 */
#define NGX_AGENT_CANARY_SYNC_WINDOW  64
#define NGX_AGENT_CANARY_SYNC_BYTES   4194304

#define NGX_AGENT_CANARY_SYNC_BUSY    10

/* Longer buffers are given back when they were used. */
#define NGX_AGENT_CANARY_SYNC_KEEP    65536

#define NGX_AGENT_CANARY_SYNC_KEY     256


static ngx_agent_canary_item_t *ngx_agent_canary_sync_item(
    ngx_agent_canary_sync_t *sync, ngx_str_t *key);
static void ngx_agent_canary_sync_pump(ngx_agent_canary_sync_t *sync);
static ngx_agent_canary_item_t *ngx_agent_canary_sync_next(
    ngx_agent_canary_sync_t *sync);
static ngx_int_t ngx_agent_canary_sync_read(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_item_t *item);
static ngx_int_t ngx_agent_canary_sync_send(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_item_t *item, ngx_agent_canary_reply_pt handler,
    char *cmd, char *kind, ngx_str_t *name);
static void ngx_agent_canary_sync_before_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_sync_record_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_sync_pack(ngx_agent_canary_sync_t *sync,
    canary_field_t *fields, ngx_uint_t n);
static int ngx_libc_cdecl ngx_agent_canary_sync_cmp_fields(const void *one,
    const void *two);
static void ngx_agent_canary_sync_trip_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_sync_after_handler(void *data,
    ngx_agent_canary_reply_t *reply);
static ngx_int_t ngx_agent_canary_sync_inited(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_reply_t *reply);
static void ngx_agent_canary_sync_apply(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_item_t *item);
static void ngx_agent_canary_sync_dirty(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_item_t *item);
static ngx_int_t ngx_agent_canary_sync_refused(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_bytes_t *error, ngx_agent_canary_reply_t *reply);
static ngx_int_t ngx_agent_canary_sync_copy(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_bytes_t *bytes, size_t len);
static void ngx_agent_canary_sync_reset(ngx_agent_canary_bytes_t *bytes);
static canary_str_t ngx_agent_canary_sync_str(ngx_agent_canary_bytes_t *bytes);
static void ngx_agent_canary_sync_poll_handler(ngx_event_t *ev);
static void ngx_agent_canary_sync_busy_handler(ngx_event_t *ev);


ngx_int_t
ngx_agent_canary_sync_init(ngx_agent_canary_sync_t *sync, ngx_pool_t *pool)
{
    ngx_uint_t                 i;
    ngx_agent_canary_flag_t  **flags;
    ngx_agent_canary_item_t   *item;

    flags = sync->conf->flags.elts;

    sync->nitems = sync->conf->flags.nelts;
    sync->cursor = sync->nitems;

    sync->items = ngx_pcalloc(pool, sync->nitems
                                    * sizeof(ngx_agent_canary_item_t));
    if (sync->items == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < sync->nitems; i++) {
        item = &sync->items[i];

        item->sync = sync;
        item->flag = flags[i];
    }

    ngx_queue_init(&sync->dirty);
    ngx_queue_init(&sync->flying);
    ngx_queue_init(&sync->busy);

    sync->ident.data = sync;
    sync->ident.fd = (ngx_socket_t) -1;

    sync->poll_timer.handler = ngx_agent_canary_sync_poll_handler;
    sync->poll_timer.data = &sync->ident;
    sync->poll_timer.log = sync->log;
    sync->poll_timer.cancelable = 1;

    sync->busy_timer.handler = ngx_agent_canary_sync_busy_handler;
    sync->busy_timer.data = &sync->ident;
    sync->busy_timer.log = sync->log;
    sync->busy_timer.cancelable = 1;

    return NGX_OK;
}


void
ngx_agent_canary_sync_start(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_redis_t *rc)
{
    sync->rc = rc;
    sync->cursor = 0;
    sync->left = sync->nitems;
    sync->load++;
    sync->loading = (sync->left != 0);

    ngx_add_timer(&sync->poll_timer, sync->poll);

    if (!sync->loading) {
        sync->on_loaded(sync->data);
        return;
    }

    ngx_agent_canary_sync_pump(sync);
}


void
ngx_agent_canary_sync_stop(ngx_agent_canary_sync_t *sync)
{
    ngx_queue_t              *q, *queues[3];
    ngx_uint_t                i;
    ngx_agent_canary_item_t  *item;

    queues[0] = &sync->dirty;
    queues[1] = &sync->flying;
    queues[2] = &sync->busy;

    for (i = 0; i < 3; i++) {

        for (q = ngx_queue_head(queues[i]);
             q != ngx_queue_sentinel(queues[i]);
             q = ngx_queue_next(q))
        {
            item = ngx_queue_data(q, ngx_agent_canary_item_t, queue);

            item->queued = 0;
            item->flying = 0;
            item->again = 0;
        }

        ngx_queue_init(queues[i]);
    }

    sync->rc = NULL;
    sync->nflying = 0;
    sync->bytes = 0;
    sync->cursor = sync->nitems;

    if (sync->poll_timer.timer_set) {
        ngx_del_timer(&sync->poll_timer);
    }

    if (sync->busy_timer.timer_set) {
        ngx_del_timer(&sync->busy_timer);
    }
}


void
ngx_agent_canary_sync_invalidate(ngx_agent_canary_sync_t *sync,
    ngx_str_t *key)
{
    ngx_str_t                 name;
    ngx_queue_t              *q;
    ngx_agent_canary_item_t  *item;

    if (sync->rc == NULL) {

        /* all flags are read when the link is up again */

        return;
    }

    if (key) {

        if (key->len < sync->prefix.len
            || ngx_memcmp(key->data, sync->prefix.data, sync->prefix.len) != 0)
        {
            return;
        }

        name.data = key->data + sync->prefix.len;
        name.len = key->len - sync->prefix.len;

        if (name.len != 6 || ngx_memcmp(name.data, "inited", 6) != 0) {
            item = ngx_agent_canary_sync_item(sync, &name);

            if (item) {
                ngx_agent_canary_sync_dirty(sync, item);
                ngx_agent_canary_sync_pump(sync);
            }

            return;
        }
    }

    /* what is being read right now may have been read too early */

    for (q = ngx_queue_head(&sync->flying);
         q != ngx_queue_sentinel(&sync->flying);
         q = ngx_queue_next(q))
    {
        item = ngx_queue_data(q, ngx_agent_canary_item_t, queue);
        item->again = 1;
    }

    sync->cursor = 0;

    ngx_agent_canary_sync_pump(sync);
}


/* The flag that a key is of, without the prefix; NULL: none of ours. */

static ngx_agent_canary_item_t *
ngx_agent_canary_sync_item(ngx_agent_canary_sync_t *sync, ngx_str_t *key)
{
    ngx_str_t                 name;
    ngx_agent_canary_flag_t  *flag;

    if (key->len < 5
        || (ngx_memcmp(key->data, "flag:", 5) != 0
            && ngx_memcmp(key->data, "trip:", 5) != 0))
    {
        return NULL;
    }

    name.data = key->data + 5;
    name.len = key->len - 5;

    flag = ngx_agent_canary_flag_find(sync->conf, &name);

    return flag ? &sync->items[flag->index] : NULL;
}


/* Sends as much as may be under way, what changed first. */

static void
ngx_agent_canary_sync_pump(ngx_agent_canary_sync_t *sync)
{
    ngx_agent_canary_item_t  *item;

    while (sync->nflying < NGX_AGENT_CANARY_SYNC_WINDOW
           && (sync->nflying == 0
               || sync->bytes < NGX_AGENT_CANARY_SYNC_BYTES))
    {
        item = ngx_agent_canary_sync_next(sync);

        if (item == NULL) {
            return;
        }

        item->flying = 1;
        ngx_queue_insert_tail(&sync->flying, &item->queue);

        sync->nflying++;
        sync->bytes += item->size;

        if (ngx_agent_canary_sync_read(sync, item) != NGX_OK) {
            sync->on_error(sync->data, "out of memory");
            return;
        }
    }
}


static ngx_agent_canary_item_t *
ngx_agent_canary_sync_next(ngx_agent_canary_sync_t *sync)
{
    ngx_queue_t              *q;
    ngx_agent_canary_item_t  *item;

    if (!ngx_queue_empty(&sync->dirty)) {
        q = ngx_queue_head(&sync->dirty);
        ngx_queue_remove(q);

        item = ngx_queue_data(q, ngx_agent_canary_item_t, queue);
        item->queued = 0;

        return item;
    }

    while (sync->cursor < sync->nitems) {
        item = &sync->items[sync->cursor++];

        if (!item->queued && !item->flying) {
            return item;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_agent_canary_sync_read(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_item_t *item)
{
    ngx_str_t  inited = ngx_null_string;

    if (ngx_agent_canary_sync_send(sync, item,
                                   ngx_agent_canary_sync_before_handler,
                                   "GET", "inited", &inited)
        != NGX_OK
        || ngx_agent_canary_sync_send(sync, item,
                                      ngx_agent_canary_sync_record_handler,
                                      "HGETALL", "flag:", &item->flag->sn.str)
           != NGX_OK
        || ngx_agent_canary_sync_send(sync, item,
                                      ngx_agent_canary_sync_trip_handler,
                                      "GET", "trip:", &item->flag->sn.str)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_agent_canary_sync_send(sync, item,
                                      ngx_agent_canary_sync_after_handler,
                                      "GET", "inited", &inited);
}


static ngx_int_t
ngx_agent_canary_sync_send(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_item_t *item, ngx_agent_canary_reply_pt handler,
    char *cmd, char *kind, ngx_str_t *name)
{
    u_char     *p;
    ngx_str_t   argv[2];
    u_char      key[NGX_AGENT_CANARY_SYNC_KEY];

    argv[0].data = (u_char *) cmd;
    argv[0].len = ngx_strlen(cmd);

    p = ngx_snprintf(key, sizeof(key), "%V%s%V", &sync->prefix, kind, name);

    argv[1].data = key;
    argv[1].len = p - key;

    return ngx_agent_canary_redis_send(sync->rc, handler, item, 2, argv);
}


static void
ngx_agent_canary_sync_before_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_item_t *item = data;

    ngx_agent_canary_sync_t  *sync;

    sync = item->sync;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, sync->log, 0,
                   "agent canary sync before: \"%V\"", &item->flag->sn.str);

    sync->inited = 1;

    ngx_agent_canary_sync_reset(&sync->record);
    ngx_agent_canary_sync_reset(&sync->trip);
    ngx_agent_canary_sync_reset(&sync->error);
    ngx_agent_canary_sync_reset(&sync->trip_error);

    (void) ngx_agent_canary_sync_inited(sync, reply);
}


static void
ngx_agent_canary_sync_record_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_item_t *item = data;

    ngx_uint_t                i;
    canary_field_t           *fields;
    ngx_agent_canary_sync_t  *sync;

    sync = item->sync;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, sync->log, 0,
                   "agent canary sync record: \"%V\", %ui elements",
                   &item->flag->sn.str, reply->nelts);

    if (reply->type == NGX_AGENT_CANARY_REPLY_ERROR) {
        (void) ngx_agent_canary_sync_refused(sync, &sync->error, reply);
        return;
    }

    if (reply->type != NGX_AGENT_CANARY_REPLY_ARRAY || reply->nelts % 2) {
        sync->on_error(sync->data, "protocol error: unexpected reply to "
                       "HGETALL");
        return;
    }

    for (i = 0; i < reply->nelts; i++) {

        if (reply->elts[i]->type == NGX_AGENT_CANARY_REPLY_ERROR) {
            (void) ngx_agent_canary_sync_refused(sync, &sync->error,
                                                 reply->elts[i]);
            return;
        }

        if (reply->elts[i]->type != NGX_AGENT_CANARY_REPLY_STRING) {
            sync->on_error(sync->data, "protocol error: HGETALL with other "
                           "than strings");
            return;
        }
    }

    if (reply->nelts == 0) {
        return;
    }

    fields = ngx_alloc(reply->nelts / 2 * sizeof(canary_field_t), sync->log);
    if (fields == NULL) {
        sync->on_error(sync->data, "out of memory");
        return;
    }

    for (i = 0; i < reply->nelts / 2; i++) {
        fields[i].name = ngx_agent_canary_cstr(&reply->elts[2 * i]->str);
        fields[i].value = ngx_agent_canary_cstr(&reply->elts[2 * i + 1]->str);
    }

    ngx_agent_canary_sync_pack(sync, fields, reply->nelts / 2);

    ngx_free(fields);
}


/*
 * Redis may give the fields in another order after a restart or a failover:
 * sorted, a flag that did not change is the same bytes.
 */

static void
ngx_agent_canary_sync_pack(ngx_agent_canary_sync_t *sync,
    canary_field_t *fields, ngx_uint_t n)
{
    char        *out;
    size_t       size;
    u_char      *p;
    ngx_uint_t   i;

    ngx_qsort(fields, n, sizeof(canary_field_t),
              ngx_agent_canary_sync_cmp_fields);

    size = 0;

    for (i = 0; i < n; i++) {
        size += canary_record_field_size(&fields[i]);

        if (i && canary_str_eq(fields[i - 1].name, fields[i].name)) {
            sync->on_error(sync->data, "protocol error: HGETALL with a field "
                           "twice");
            return;
        }
    }

    if (size > CANARY_RECORD_MAX) {

        if (ngx_agent_canary_sync_copy(sync, &sync->error, 64) != NGX_OK) {
            return;
        }

        p = ngx_sprintf(sync->error.data, "TOOBIG a flag of %uz bytes", size);
        sync->error.len = p - sync->error.data;

        return;
    }

    if (ngx_agent_canary_sync_copy(sync, &sync->record, size) != NGX_OK) {
        return;
    }

    out = (char *) sync->record.data;

    for (i = 0; i < n; i++) {
        out = canary_record_add(out, &fields[i]);
    }
}


static int ngx_libc_cdecl
ngx_agent_canary_sync_cmp_fields(const void *one, const void *two)
{
    int                    rc;
    const canary_field_t  *first, *second;

    first = one;
    second = two;

    rc = ngx_memcmp(first->name.data, second->name.data,
                    ngx_min(first->name.len, second->name.len));

    if (rc) {
        return rc;
    }

    return (first->name.len > second->name.len)
           - (first->name.len < second->name.len);
}


static void
ngx_agent_canary_sync_trip_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_item_t *item = data;

    ngx_str_t                 text;
    ngx_agent_canary_sync_t  *sync;

    sync = item->sync;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, sync->log, 0,
                   "agent canary sync trip: \"%V\", type %d",
                   &item->flag->sn.str, reply->type);

    if (reply->type == NGX_AGENT_CANARY_REPLY_NIL) {
        return;
    }

    if (reply->type == NGX_AGENT_CANARY_REPLY_ERROR) {
        (void) ngx_agent_canary_sync_refused(sync, &sync->trip_error, reply);
        return;
    }

    if (reply->type != NGX_AGENT_CANARY_REPLY_STRING) {
        sync->on_error(sync->data, "protocol error: unexpected reply to "
                       "GET");
        return;
    }

    text = reply->str;

    if (text.len == 0) {

        /* somebody meant to trip: to be told that this is no trip */

        ngx_str_set(&text, "\"\"");
    }

    if (ngx_agent_canary_sync_copy(sync, &sync->trip, text.len) == NGX_OK) {
        ngx_memcpy(sync->trip.data, text.data, text.len);
    }
}


static void
ngx_agent_canary_sync_after_handler(void *data,
    ngx_agent_canary_reply_t *reply)
{
    ngx_agent_canary_item_t *item = data;

    ngx_agent_canary_sync_t  *sync;

    sync = item->sync;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, sync->log, 0,
                   "agent canary sync after: \"%V\"", &item->flag->sn.str);

    if (ngx_agent_canary_sync_inited(sync, reply) != NGX_OK) {
        return;
    }

    ngx_queue_remove(&item->queue);
    item->flying = 0;

    sync->nflying--;
    sync->bytes -= item->size;

    item->size = sync->record.len + sync->trip.len;

    ngx_agent_canary_sync_apply(sync, item);

    if (sync->loading && sync->left == 0) {
        sync->loading = 0;
        sync->on_loaded(sync->data);
    }

    if (sync->rc) {
        ngx_agent_canary_sync_pump(sync);
    }
}


static ngx_int_t
ngx_agent_canary_sync_inited(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_reply_t *reply)
{
    if (reply->type == NGX_AGENT_CANARY_REPLY_STRING) {
        return NGX_OK;
    }

    sync->inited = 0;

    if (reply->type == NGX_AGENT_CANARY_REPLY_NIL) {
        return NGX_OK;
    }

    if (reply->type == NGX_AGENT_CANARY_REPLY_ERROR) {

        /* a key of another type is not what an owner would have made */

        return ngx_agent_canary_sync_refused(sync, NULL, reply);
    }

    sync->on_error(sync->data, "protocol error: unexpected reply to "
                       "GET");

    return NGX_ERROR;
}


static void
ngx_agent_canary_sync_apply(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_item_t *item)
{
    ngx_int_t         rc;
    canary_reading_t  reading;

    (void) ngx_atomic_fetch_add(&sync->conf->zone->sh->link.reads, 1);

    reading.inited = sync->inited;
    reading.record = ngx_agent_canary_sync_str(&sync->record);
    reading.trip = ngx_agent_canary_sync_str(&sync->trip);
    reading.error = ngx_agent_canary_sync_str(&sync->error);
    reading.trip_error = ngx_agent_canary_sync_str(&sync->trip_error);

    rc = ngx_agent_canary_zone_apply(sync->conf->zone, item->flag,
                                     &reading);

    if (rc == NGX_BUSY) {
        item->again = 0;
        item->queued = 1;
        ngx_queue_insert_tail(&sync->busy, &item->queue);

        if (!sync->busy_timer.timer_set) {
            ngx_add_timer(&sync->busy_timer, NGX_AGENT_CANARY_SYNC_BUSY);
        }

        return;
    }

    if (item->loaded != sync->load) {
        item->loaded = sync->load;
        sync->left--;
    }

    if (item->again) {
        item->again = 0;
        ngx_agent_canary_sync_dirty(sync, item);
    }
}


static void
ngx_agent_canary_sync_dirty(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_item_t *item)
{
    if (item->flying) {
        item->again = 1;
        return;
    }

    if (!item->queued) {
        item->queued = 1;
        ngx_queue_insert_tail(&sync->dirty, &item->queue);
    }
}


/*
 * An error that concerns this key is kept for the zone, where error is not
 * NULL; any other one ends the link: Redis is loading, the user lost its
 * permissions, the server is a replica without a master...
 */

static ngx_int_t
ngx_agent_canary_sync_refused(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_bytes_t *error, ngx_agent_canary_reply_t *reply)
{
    ngx_str_t  *s;

    s = &reply->str;

    if (ngx_strncmp(s->data, "WRONGTYPE ", 10) != 0
        && ngx_strncmp(s->data, "TOOBIG ", 7) != 0)
    {
        sync->on_error(sync->data, (char *) s->data);
        return NGX_ERROR;
    }

    if (error == NULL) {
        return NGX_OK;
    }

    if (ngx_agent_canary_sync_copy(sync, error, s->len) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memcpy(error->data, s->data, s->len);

    return NGX_OK;
}


/* Makes room for len bytes, or ends the link. */

static ngx_int_t
ngx_agent_canary_sync_copy(ngx_agent_canary_sync_t *sync,
    ngx_agent_canary_bytes_t *bytes, size_t len)
{
    if (bytes->size < len) {

        if (bytes->data) {
            ngx_free(bytes->data);
        }

        bytes->size = 0;

        bytes->data = ngx_alloc(len, sync->log);
        if (bytes->data == NULL) {
            sync->on_error(sync->data, "out of memory");
            return NGX_ERROR;
        }

        bytes->size = len;
    }

    bytes->len = len;

    return NGX_OK;
}


static void
ngx_agent_canary_sync_reset(ngx_agent_canary_bytes_t *bytes)
{
    bytes->len = 0;

    if (bytes->size > NGX_AGENT_CANARY_SYNC_KEEP) {
        ngx_free(bytes->data);
        bytes->data = NULL;
        bytes->size = 0;
    }
}


static canary_str_t
ngx_agent_canary_sync_str(ngx_agent_canary_bytes_t *bytes)
{
    canary_str_t  s;

    s.len = bytes->len;
    s.data = (char *) bytes->data;

    return s;
}


static void
ngx_agent_canary_sync_poll_handler(ngx_event_t *ev)
{
    ngx_connection_t         *ident;
    ngx_agent_canary_sync_t  *sync;

    ident = ev->data;
    sync = ident->data;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, sync->log, 0,
                   "agent canary sync poll, at %ui of %ui",
                   sync->cursor, sync->nitems);

    if (sync->rc == NULL || ngx_agent_canary_exiting()) {
        return;
    }

    ngx_add_timer(&sync->poll_timer, sync->poll);

    /* a read that takes longer than a poll is not begun again */

    if (sync->cursor == sync->nitems) {
        sync->cursor = 0;
        ngx_agent_canary_sync_pump(sync);
    }
}


static void
ngx_agent_canary_sync_busy_handler(ngx_event_t *ev)
{
    ngx_connection_t         *ident;
    ngx_agent_canary_sync_t  *sync;

    ident = ev->data;
    sync = ident->data;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, sync->log, 0,
                   "agent canary sync busy handler");

    if (sync->rc == NULL) {
        return;
    }

    if (!ngx_queue_empty(&sync->busy)) {
        ngx_queue_add(&sync->dirty, &sync->busy);
        ngx_queue_init(&sync->busy);
    }

    ngx_agent_canary_sync_pump(sync);
}
