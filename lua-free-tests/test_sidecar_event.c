
#include <stdio.h>
#include "event.h"
#include "latch.h"
#include "support.h"
#include "text.h"


#define WRITERS  3


/* What Redis is of all this: a key, its version, and a stream. */

typedef struct {
    int       marker;                   /* whose, or -1 */
    unsigned  version;
    unsigned  entries;
} store_t;


typedef struct {
    canaryd_events_t   events;
    int                watching;
    unsigned           version;
    canaryd_attempt_e  seen;
} writer_t;


static canaryd_event_t *
begin(canaryd_events_t *events, int own)
{
    canaryd_event_t  *event;

    event = canaryd_events_add(events, "support:3:0", "support", "trip", 3,
                               S("{}"), 0);
    event->own = own ? 1 : 0;
    event->audit = CANARYD_AUDIT_DUE;

    return event;
}


/* One step of a writer; its connection or itself may die in any of them. */

static void
step(store_t *store, writer_t *w, int id)
{
    unsigned           fate;
    canaryd_event_t   *event;
    canaryd_attempt_e  attempt;

    event = canaryd_events_find(&w->events, "support:3:0");

    if (event == NULL) {
        event = begin(&w->events, id == 0);
    }

    fate = random_below(10);

    if (fate == 0) {                        /* killed, without a state file */
        canaryd_events_clear(&w->events);
        w->watching = 0;
        return;
    }

    if (!w->watching) {
        w->watching = 1;
        w->version = store->version;
        w->seen = store->marker < 0 ? CANARYD_MARKER_ABSENT
                  : store->marker == id ? CANARYD_MARKER_OWN
                  : CANARYD_MARKER_OTHER;

        if (w->seen != CANARYD_MARKER_ABSENT) {
            (void) canaryd_event_attempt(event, w->seen);
            w->watching = 0;
        }

        return;
    }

    w->watching = 0;
    attempt = CANARYD_EXEC_UNKNOWN;

    if (fate != 1) {                        /* else it never arrives */

        attempt = CANARYD_EXEC_NIL;

        if (store->version == w->version) {
            store->marker = id;
            store->version++;
            store->entries++;
            attempt = CANARYD_EXEC_DONE;
        }
    }

    if (fate == 2) {                        /* the answer is lost */
        attempt = CANARYD_EXEC_UNKNOWN;
    }

    (void) canaryd_event_attempt(event, attempt);
}


static void
an_entry_is_written_exactly_once(void **state)
{
    unsigned   run, i;
    store_t    store;
    writer_t   w[WRITERS];

    (void) state;

    for (run = 0; run < 20000; run++) {
        memset(w, 0, sizeof(w));
        store = (store_t) { -1, 0, 0 };

        for (i = 0; i < 60; i++) {
            unsigned  id = random_below(WRITERS);

            step(&store, &w[id], (int) id);
            assert_true(store.entries <= 1);
        }

        assert_int_equal(store.entries, 1);

        for (i = 0; i < WRITERS; i++) {
            canaryd_events_clear(&w[i].events);
        }
    }
}


static void
the_webhook_follows_the_audit(void **state)
{
    canaryd_event_t   *event;
    canaryd_events_t   events = { 0 };

    (void) state;

    event = begin(&events, 1);
    assert_false(canaryd_event_hook(event, 100));
    assert_true(canaryd_event_attempt(event, CANARYD_EXEC_DONE));
    assert_true(canaryd_event_hook(event, 100));
    assert_int_equal(event->hook, CANARYD_HOOK_DUE);
    assert_false(canaryd_event_hook(event, 100));

    canaryd_events_sweep(&events, 1);
    assert_int_equal(events.n, 1);
    event->hook = CANARYD_HOOK_DONE;
    canaryd_events_sweep(&events, 1);
    assert_int_equal(events.n, 0);

    /* somebody else wrote the entry, and calls */

    event = begin(&events, 1);
    assert_true(canaryd_event_attempt(event, CANARYD_MARKER_OTHER));
    assert_false(canaryd_event_hook(event, 9000));
    assert_int_equal(event->hook, CANARYD_HOOK_DONE);
    canaryd_events_clear(&events);

    /* Redis is away: who decided it calls, and nobody else */

    event = begin(&events, 1);
    assert_false(canaryd_event_hook(event, CANARYD_AUDIT_WAIT - 1));
    assert_true(canaryd_event_hook(event, CANARYD_AUDIT_WAIT));
    canaryd_events_clear(&events);

    event = begin(&events, 0);
    assert_false(canaryd_event_hook(event, 900000));
    canaryd_events_clear(&events);
}


static void
the_webhook_is_tried_so_often(void **state)
{
    unsigned          i;
    uint64_t          now, pause;
    canaryd_event_t  *event;
    canaryd_events_t  events = { 0 };

    (void) state;

    event = begin(&events, 1);
    (void) canaryd_event_attempt(event, CANARYD_EXEC_DONE);
    (void) canaryd_event_hook(event, 0);

    now = 5000;
    pause = CANARYD_HOOK_PAUSE;

    for (i = 1; i < CANARYD_HOOK_TRIES; i++) {
        assert_int_equal(canaryd_event_called(event, 0, now), 0);
        assert_int_equal(event->hook, CANARYD_HOOK_DUE);
        assert_int_equal(event->retry, now + pause);
        assert_false(canaryd_event_done(event, 1));
        now = event->retry;
        pause *= 2;
    }

    assert_int_equal(canaryd_event_called(event, 0, now), 1);
    assert_int_equal(event->hook, CANARYD_HOOK_DONE);
    assert_true(canaryd_event_done(event, 1));
    canaryd_events_clear(&events);

    event = begin(&events, 1);
    (void) canaryd_event_attempt(event, CANARYD_EXEC_DONE);
    (void) canaryd_event_hook(event, 0);
    assert_int_equal(canaryd_event_called(event, 0, 0), 0);
    assert_int_equal(canaryd_event_called(event, 1, 1000), 1);
    assert_true(canaryd_event_done(event, 1));
    canaryd_events_clear(&events);
}


static void
events_are_bounded(void **state)
{
    char              id[32];
    unsigned          i;
    canaryd_events_t  events = { 0 };

    (void) state;

    for (i = 0; i < CANARYD_EVENTS_MAX + 5; i++) {
        (void) snprintf(id, sizeof(id), "f:%u:0", i);
        assert_int_equal(canaryd_events_add(&events, id, "f", "trip", i,
                                            S("{}"), 0) == NULL,
                         i >= CANARYD_EVENTS_MAX);
    }

    assert_ptr_equal(canaryd_events_add(&events, "f:3:0", "f", "trip", 3,
                                        S("{}"), 0),
                     canaryd_events_find(&events, "f:3:0"));

    canaryd_events_clear(&events);
}


static void
a_latch_is_told_until_it_is_seen(void **state)
{
    canary_trip_t    trip;
    canaryd_latch_t  l = { 0 };

    (void) state;

    trip = (canary_trip_t) { 3, 5000 };
    assert_false(canaryd_latch_tell(&l, CANARYD_AT_NGINX, 1));
    assert_true(canaryd_latch_learn(&l, CANARYD_AT_OWN, &trip, S("{1}")));
    assert_true(canaryd_latch_tell(&l, CANARYD_AT_NGINX, 1));
    assert_true(canaryd_latch_tell(&l, CANARYD_AT_REDIS, 1));
    assert_false(canaryd_latch_tell(&l, CANARYD_AT_NGINX, 2));
    assert_true(canaryd_latch_tell(&l, CANARYD_AT_NGINX,
                                   1 + CANARYD_ASSERT_GAP));

    assert_false(canaryd_latch_learn(&l, CANARYD_AT_NGINX, &trip, S("{2}")));
    assert_string_equal(l.record, "{1}");
    assert_false(canaryd_latch_tell(&l, CANARYD_AT_NGINX, 90000));

    /* Redis has a lesser one, and is told; then a stronger one wins */

    trip = (canary_trip_t) { 2, 0 };
    assert_false(canaryd_latch_learn(&l, CANARYD_AT_REDIS, &trip, S("{3}")));
    assert_true(canaryd_latch_tell(&l, CANARYD_AT_REDIS, 90000));

    trip = (canary_trip_t) { 3, 0 };
    assert_true(canaryd_latch_learn(&l, CANARYD_AT_REDIS, &trip, S("{4}")));
    assert_string_equal(l.record, "{4}");
    assert_true(canaryd_latch_tell(&l, CANARYD_AT_NGINX, 90001));

    canaryd_latch_lost(&l, CANARYD_AT_REDIS);
    assert_true(canaryd_latch_tell(&l, CANARYD_AT_REDIS, 99999));

    /* what Redis has lost is written to its audit again, if it has to be */

    assert_false(canaryd_latch_learn(&l, CANARYD_AT_REDIS, &trip, S("{4}")));
    l.audited = 1;
    canaryd_latch_lost(&l, CANARYD_AT_NGINX);
    assert_true(l.audited);
    canaryd_latch_lost(&l, CANARYD_AT_REDIS);
    assert_false(l.audited);
    assert_true(l.lost);

    canaryd_latch_epoch(&l, 3);
    assert_true(l.set);
    canaryd_latch_epoch(&l, 4);
    assert_false(l.set);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(an_entry_is_written_exactly_once),
        cmocka_unit_test(the_webhook_follows_the_audit),
        cmocka_unit_test(the_webhook_is_tried_so_often),
        cmocka_unit_test(events_are_bounded),
        cmocka_unit_test(a_latch_is_told_until_it_is_seen)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
