
/*
 * The shared memory zone: what is known of every flag, and the tallies.
 */


#include "ngx_agent_canary_zone.h"


/* a reader that met this many writers in a row keeps what it has */
#define NGX_AGENT_CANARY_READ_TRIES   16

/* how often a trip looks for the mutex, a few milliseconds in all */
#define NGX_AGENT_CANARY_TRIP_TRIES   1000000

/* of the fields in a log line */
#define NGX_AGENT_CANARY_LOG_LEN      512

/* heartbeat, its deadline, and as much again for a busy machine */
#define NGX_AGENT_CANARY_FRESH        4000


#define ngx_agent_canary_slot(node, version)                                  \
    (&(node)->slot[(version) & 1])


static void ngx_agent_canary_zone_known(ngx_agent_canary_slot_t *slot,
    canary_known_t *known);
static ngx_int_t ngx_agent_canary_zone_publish(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, canary_known_t *next);
static void ngx_agent_canary_zone_log(ngx_agent_canary_node_t *node,
    canary_known_t *prev, canary_known_t *next, ngx_uint_t changed);
static ngx_uint_t ngx_agent_canary_zone_trips(canary_known_t *prev,
    canary_known_t *next);
static size_t ngx_agent_canary_zone_describe(canary_known_t *next,
    u_char *text);


ngx_agent_canary_node_t *
ngx_agent_canary_zone_find(ngx_agent_canary_zone_t *zone, ngx_str_t *name)
{
    return (ngx_agent_canary_node_t *)
               ngx_str_rbtree_lookup(&zone->sh->nodes, name,
                                     ngx_crc32_short(name->data, name->len));
}


ngx_int_t
ngx_agent_canary_zone_restore(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, canary_known_t *known)
{
    ngx_int_t  rc;

    ngx_shmtx_lock(&zone->shpool->mutex);

    rc = ngx_agent_canary_zone_publish(zone, node, known);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


ngx_int_t
ngx_agent_canary_zone_apply(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_flag_t *flag, canary_reading_t *reading)
{
    ngx_int_t                 rc;
    ngx_uint_t                changed;
    canary_known_t            prev, next;
    ngx_agent_canary_node_t  *node;
    ngx_agent_canary_slot_t  *slot;

    node = flag->node;

    /* a list of 100,000 is not parsed again because of another percent */

    ngx_agent_canary_zone_refresh(zone, flag);

    reading->parsed = flag->known ? &flag->parsed : NULL;

    if (!ngx_shmtx_trylock(&zone->shpool->mutex)) {
        return NGX_BUSY;
    }

    slot = ngx_agent_canary_slot(node, node->version);

    ngx_agent_canary_zone_known(slot, &prev);

    canary_known_apply(&next, ngx_agent_canary_cstr(&node->sn.str), &prev,
                       reading);

    changed = !canary_str_eq(next.record, prev.record)
              || !canary_str_eq(next.trip, prev.trip)
              || next.latch.percent != prev.latch.percent;

    if (!changed
        && next.state == prev.state
        && ngx_strcmp(next.reason.text, prev.reason.text) == 0)
    {
        ngx_shmtx_unlock(&zone->shpool->mutex);
        return NGX_DECLINED;
    }

    rc = ngx_agent_canary_zone_publish(zone, node, &next);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rc == NGX_OK || prev.state != CANARY_STATE_NO_MEMORY) {
        ngx_agent_canary_zone_log(node, &prev, &next,
                                  rc == NGX_OK && changed);
    }

    return rc;
}


/* A writer is at work for some microseconds: this is worth a little wait. */

ngx_int_t
ngx_agent_canary_zone_trip(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, canary_str_t json)
{
    ngx_int_t       rc;
    ngx_uint_t      i;
    canary_known_t  prev, next;

    for (i = 0; !ngx_shmtx_trylock(&zone->shpool->mutex); i++) {

        if (i == NGX_AGENT_CANARY_TRIP_TRIES) {
            return NGX_BUSY;
        }

        ngx_cpu_pause();
    }

    ngx_agent_canary_zone_known(ngx_agent_canary_slot(node, node->version),
                                &prev);
    next = prev;

    canary_known_trip(&next, ngx_agent_canary_cstr(&node->sn.str), json);

    rc = canary_str_eq(next.trip, prev.trip) ? NGX_DECLINED
         : ngx_agent_canary_zone_publish(zone, node, &next);

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rc == NGX_OK) {
        ngx_agent_canary_zone_log(node, &prev, &next, 1);
    }

    return rc;
}


static void
ngx_agent_canary_zone_known(ngx_agent_canary_slot_t *slot,
    canary_known_t *known)
{
    canary_str_t  packed;

    packed.len = slot->len;
    packed.data = (char *) slot->data;

    if (slot->data == NULL || canary_known_unpack(known, packed) != 0) {
        ngx_memzero(known, sizeof(canary_known_t));
    }

    known->state = slot->state;
    known->reason = slot->reason;
    known->latched = slot->latched;
    known->latch = slot->latch;
}


/*
 * The caller holds the mutex.  Every step leaves the memory such that the
 * process may be killed after it: at worst some bytes are never freed.
 */

static ngx_int_t
ngx_agent_canary_zone_publish(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, canary_known_t *next)
{
    size_t                    size;
    u_char                   *data;
    ngx_int_t                 rc;
    ngx_agent_canary_slot_t  *slot, *current;

    current = ngx_agent_canary_slot(node, node->version);
    slot = ngx_agent_canary_slot(node, node->version + 1);

    data = slot->data;
    slot->data = NULL;

    ngx_memory_barrier();

    if (data && data != current->data) {
        ngx_slab_free_locked(zone->shpool, data);
    }

    rc = NGX_OK;
    size = canary_known_size(next);

    data = ngx_slab_alloc_locked(zone->shpool, size);

    if (data) {
        canary_known_pack((char *) data, next);

    } else {
        rc = NGX_ERROR;

        data = current->data;
        size = current->len;

        next->state = CANARY_STATE_NO_MEMORY;
        ngx_snprintf((u_char *) next->reason.text, CANARY_ERROR_MAX,
                     "agent_canary_zone has no room for %uz bytes%Z",
                     canary_known_size(next));

        (void) ngx_atomic_fetch_add(&zone->sh->refused, 1);
    }

    slot->state = next->state;
    slot->reason = next->reason;
    slot->latched = next->latched;
    slot->latch = next->latch;
    slot->len = size;
    slot->data = data;

    if (rc == NGX_ERROR
        && current->state == CANARY_STATE_NO_MEMORY
        && slot->latched == current->latched
        && slot->latch.epoch == current->latch.epoch
        && slot->latch.percent == current->latch.percent)
    {
        /* still no room: nothing that anybody has to look at again */

        return NGX_ERROR;
    }

    ngx_memory_barrier();

    node->published = ngx_current_msec;
    node->version++;

    (void) ngx_atomic_fetch_add(&zone->sh->changes, 1);

    return rc;
}


/*
 * The line by which an operator follows a rollout in the error log.  A trip
 * that takes effect is there at the usual level, too: it waits for somebody.
 */

static void
ngx_agent_canary_zone_log(ngx_agent_canary_node_t *node, canary_known_t *prev,
    canary_known_t *next, ngx_uint_t changed)
{
    size_t      len;
    u_char      text[NGX_AGENT_CANARY_LOG_LEN];
    ngx_uint_t  level;

    len = changed ? ngx_agent_canary_zone_describe(next, text) : 0;

    level = NGX_LOG_NOTICE;

    if ((next->state != CANARY_STATE_OK && next->state != CANARY_STATE_DELETED)
        || ngx_agent_canary_zone_trips(prev, next))
    {
        level = NGX_LOG_ERR;
    }

    ngx_log_error(level, ngx_cycle->log, 0,
                  "agent canary flag \"%V\" is %s%s%s%*s%s", &node->sn.str,
                  canary_state_names[next->state].data,
                  next->reason.text[0] ? ": " : "", next->reason.text,
                  len, text, changed ? "" : ", routing is unchanged");
}


static ngx_uint_t
ngx_agent_canary_zone_trips(canary_known_t *prev, canary_known_t *next)
{
    return next->latched
           && next->latch.epoch >= next->epoch
           && (!prev->latched
               || prev->latch.epoch < next->epoch
               || prev->latch.percent != next->latch.percent);
}


static size_t
ngx_agent_canary_zone_describe(canary_known_t *next, u_char *text)
{
    char             percent[CANARY_PERCENT_LEN];
    size_t           len, pos;
    u_char          *p, *last;
    ngx_uint_t       i;
    canary_field_t   field;

    /* checked fields only: others may hold anything, or user ids */

    static const canary_str_t  told[] = {
        canary_str("percent"),
        canary_str("enabled"),
        canary_str("epoch"),
        canary_str("bundle_candidate")
    };

    p = text;
    last = text + NGX_AGENT_CANARY_LOG_LEN;
    pos = 0;

    while (canary_record_next(next->record, &pos, &field) == 1) {

        for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
            if (canary_str_eq(field.name, told[i])) {
                p = ngx_slprintf(p, last, ", %*s %*s",
                                 field.name.len, field.name.data,
                                 field.value.len, field.value.data);
            }
        }
    }

    if (next->latched && next->latch.epoch >= next->epoch) {
        len = canary_percent_format(percent, next->latch.percent);

        p = ngx_slprintf(p, last, ", TRIPPED to %*s %% at epoch %uL", len,
                         percent, next->latch.epoch);

    } else if (next->latched) {
        p = ngx_slprintf(p, last, ", last trip at epoch %uL",
                         next->latch.epoch);
    }

    return p - text;
}


ngx_int_t
ngx_agent_canary_zone_read(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_node_t *node, ngx_agent_canary_view_t *view)
{
    u_char                   *start, *end;
    ngx_uint_t                i;
    ngx_agent_canary_slot_t  *slot;

    start = zone->shpool->start;
    end = zone->shpool->end;

    slot = &view->slot;

    for (i = 0; i < NGX_AGENT_CANARY_READ_TRIES; i++) {

        view->version = node->version;
        view->buffer = NULL;

        ngx_memory_barrier();

        *slot = *ngx_agent_canary_slot(node, view->version);

        if (slot->data) {

            /* a writer may be at it: look before you believe a pointer */

            if (slot->data < start || slot->data > end
                || slot->len > (size_t) (end - slot->data))
            {
                continue;
            }

            view->buffer = ngx_alloc(slot->len, ngx_cycle->log);
            if (view->buffer == NULL) {
                return NGX_ERROR;
            }

            ngx_memcpy(view->buffer, slot->data, slot->len);
            slot->data = view->buffer;
        }

        ngx_memory_barrier();

        if (node->version == view->version) {
            slot->reason.text[CANARY_ERROR_MAX - 1] = '\0';
            ngx_agent_canary_zone_known(slot, &view->known);
            return NGX_OK;
        }

        if (view->buffer) {
            ngx_free(view->buffer);
        }
    }

    return NGX_AGAIN;
}


ngx_int_t
ngx_agent_canary_zone_peek(ngx_agent_canary_node_t *node,
    ngx_agent_canary_slot_t *slot)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  version;

    for (i = 0; i < NGX_AGENT_CANARY_READ_TRIES; i++) {

        version = node->version;
        ngx_memory_barrier();

        *slot = *ngx_agent_canary_slot(node, version);

        ngx_memory_barrier();

        if (node->version == version) {
            slot->reason.text[CANARY_ERROR_MAX - 1] = '\0';
            return NGX_OK;
        }
    }

    return NGX_AGAIN;
}


void
ngx_agent_canary_zone_refresh(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_flag_t *flag)
{
    int                      rc;
    canary_flag_t            parsed;
    canary_error_t           err;
    ngx_agent_canary_view_t  view;

    if (flag->version == flag->node->version) {
        return;
    }

    if (ngx_agent_canary_zone_read(zone, flag->node, &view) != NGX_OK) {

        /* the next request tries again */

        return;
    }

    /* of the two parts the latch must not wait for the other */

    flag->latched = view.slot.latched;
    flag->trip = view.slot.latch;

    flag->epoch = view.known.epoch;

    if (view.known.record.len == 0) {
        canary_flag_clear(&flag->parsed);
        flag->known = 0;
        flag->version = view.version;

    } else {
        rc = canary_flag_parse(&parsed, ngx_agent_canary_cstr(&flag->sn.str),
                               view.known.record,
                               flag->known ? &flag->parsed : NULL, &err);

        if (rc == 0) {
            canary_flag_clear(&flag->parsed);
            flag->parsed = parsed;
            flag->known = 1;
            flag->version = view.version;

        } else {
            ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                          "agent canary flag \"%V\" stays as it was: %s",
                          &flag->sn.str, err.text);
        }
    }

    if (view.buffer) {
        ngx_free(view.buffer);
    }
}


ngx_msec_int_t
ngx_agent_canary_zone_age(ngx_agent_canary_zone_t *zone)
{
    ngx_msec_int_t  age;

    if (zone->sh->synced == 0) {
        return -1;
    }

    /* the clock of the worker that wrote may be ahead of ours by a little */

    age = (ngx_msec_int_t) (ngx_current_msec - zone->sh->confirmed);

    return ngx_max(age, 0);
}


void
ngx_agent_canary_zone_set_link(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_link_state_e state, const u_char *reason)
{
    ngx_agent_canary_link_status_t  *link;

    if (ngx_agent_canary_zone_outdated(zone)) {
        return;
    }

    link = &zone->sh->link;

    if (reason) {
        ngx_cpystrn(link->reason, (u_char *) reason, CANARY_ERROR_MAX);

    } else {
        link->reason[0] = '\0';
    }

    link->state = state;

    ngx_agent_canary_zone_renew(zone);
}


void
ngx_agent_canary_zone_synced(ngx_agent_canary_zone_t *zone)
{
    if (ngx_agent_canary_zone_age(zone) > NGX_AGENT_CANARY_FRESH / 2) {
        ngx_agent_canary_zone_renew(zone);
    }

    zone->sh->confirmed = ngx_current_msec;
    zone->sh->synced = 1;
}


ngx_uint_t
ngx_agent_canary_zone_fresh(ngx_agent_canary_zone_t *zone)
{
    ngx_msec_int_t  age;

    age = ngx_agent_canary_zone_age(zone);

    return zone->sh->link.state == NGX_AGENT_CANARY_LINK_READY
           && age >= 0
           && age <= NGX_AGENT_CANARY_FRESH;
}


canary_str_t
ngx_agent_canary_flag_state_name(ngx_agent_canary_zone_t *zone,
    canary_state_e state)
{
    static const canary_str_t  stale = canary_str("stale");

    if (state == CANARY_STATE_OK && !ngx_agent_canary_zone_fresh(zone)) {
        return stale;
    }

    return canary_state_names[state];
}


ngx_uint_t
ngx_agent_canary_flag_tripped(ngx_agent_canary_flag_t *flag)
{
    return flag->latched && flag->trip.epoch >= flag->epoch;
}


ngx_msec_int_t
ngx_agent_canary_zone_guard_age(ngx_agent_canary_zone_t *zone)
{
    ngx_msec_int_t  age;

    if (zone->sh->guarded == 0) {
        return -1;
    }

    age = (ngx_msec_int_t) (ngx_current_msec - zone->sh->guarded);

    return ngx_max(age, 0);
}


void
ngx_agent_canary_zone_guarded(ngx_agent_canary_zone_t *zone, ngx_str_t *name)
{
    ngx_cpystrn(zone->sh->guard, name->data,
                ngx_min(name->len + 1, sizeof(zone->sh->guard)));

    zone->sh->guarded = ngx_current_msec ? ngx_current_msec : 1;
}
