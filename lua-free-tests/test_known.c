
#include <stdio.h>
#include "known.h"
#include "support.h"


#define USERS  64


static const canary_str_t  name = canary_str("support");


/* Records live as long as the test, as they do in shared memory. */

typedef struct {
    buffer_t  record[8];
    unsigned  n;
} shelf_t;


static canary_str_t
record(shelf_t *shelf, const char *percent, const char *epoch)
{
    buffer_t  *b;

    assert_true(shelf->n < sizeof(shelf->record) / sizeof(shelf->record[0]));

    b = &shelf->record[shelf->n++];
    *b = (buffer_t) { 0 };

    record_of(b, percent, epoch);

    return buffer_str(b);
}


static void
shelf_free(shelf_t *shelf)
{
    while (shelf->n > 0) {
        buffer_free(&shelf->record[--shelf->n]);
    }
}


static canary_known_t
apply(canary_known_t prev, canary_reading_t reading)
{
    canary_known_t  next;

    memset(&next, 'x', sizeof(next));
    canary_known_apply(&next, name, &prev, &reading);

    assert_true(next.state < CANARY_STATES);
    assert_true(canary_str_is_text(text_str(next.reason.text)));

    return next;
}


static canary_reading_t
reading_of(canary_str_t flag, canary_str_t trip)
{
    canary_reading_t  reading;

    reading = (canary_reading_t) { 0 };
    reading.inited = 1;
    reading.record = flag;
    reading.trip = trip;

    return reading;
}


static void
expect(canary_known_t known, canary_state_e state, canary_str_t flag,
    const char *reason)
{
    assert_string_equal(canary_state_names[known.state].data,
                        canary_state_names[state].data);
    assert_string_equal(known.reason.text, reason);
    assert_true(canary_str_eq(known.record, flag));
}


/* A bit for each user who would be a candidate. */

static uint64_t
share(const canary_known_t *known)
{
    char                key[16];
    uint64_t            users;
    unsigned            i;
    canary_flag_t       flag;
    canary_trip_t       trip;
    canary_error_t      err;
    canary_request_t    request;
    canary_decision_t   d;

    flag = (canary_flag_t) { 0 };
    request = (canary_request_t) { 0 };
    request.override = CANARY_ARM_NONE;
    request.key.data = key;
    users = 0;

    if (known->record.len > 0) {
        assert_int_equal(canary_flag_parse(&flag, name, known->record, NULL,
                                           &err), 0);
    }

    if (known->trip.len > 0) {
        assert_int_equal(canary_trip_parse(&trip, name, known->trip, &err), 0);
    }

    for (i = 0; i < USERS; i++) {
        request.key.len = (size_t) snprintf(key, sizeof(key), "user-%u", i);
        canary_decide(&d, known->record.len ? &flag : NULL,
                      known->trip.len ? &trip : NULL, &request);
        users |= (uint64_t) (d.arm == CANARY_ARM_CANDIDATE) << i;
    }

    canary_flag_clear(&flag);

    return users;
}


static void
a_valid_record_is_accepted(void **state)
{
    shelf_t           shelf = { 0 };
    canary_str_t      five, ten, top;
    canary_known_t    known = { 0 };

    (void) state;

    five = record(&shelf, "percent=5", "epoch=3");
    ten = record(&shelf, "percent=10", "epoch=3");
    top = record(&shelf, "percent=0", "epoch=4");

    known = apply(known, reading_of(five, S("")));
    expect(known, CANARY_STATE_OK, five, "");
    assert_int_equal(known.epoch, 3);

    known = apply(known, reading_of(ten, S("")));
    expect(known, CANARY_STATE_OK, ten, "");

    known = apply(known, reading_of(ten, S("")));
    expect(known, CANARY_STATE_OK, ten, "");

    known = apply(known, reading_of(top, S("")));
    expect(known, CANARY_STATE_OK, top, "");
    assert_int_equal(known.epoch, 4);

    shelf_free(&shelf);
}


static void
an_invalid_record_is_held_off(void **state)
{
    shelf_t           shelf = { 0 };
    canary_str_t      five, bad;
    canary_known_t    known = { 0 };

    (void) state;

    five = record(&shelf, "percent=5", "epoch=3");
    bad = record(&shelf, "percent=nan", "epoch=9");

    known = apply(known, reading_of(five, S("")));
    known = apply(known, reading_of(bad, S("")));
    expect(known, CANARY_STATE_INVALID, five,
           "percent \"nan\": expected 0 to 100 with at most 3 decimals");
    assert_int_equal(known.epoch, 3);

    known = apply(known, reading_of(S("\1"), S("")));
    expect(known, CANARY_STATE_INVALID, five,
           "record \"\": expected fields and values");

    known = apply(known, reading_of(five, S("")));
    expect(known, CANARY_STATE_OK, five, "");

    shelf_free(&shelf);
}


static void
a_refused_read_is_held_off(void **state)
{
    shelf_t            shelf = { 0 };
    canary_str_t       five;
    canary_known_t     known = { 0 };
    canary_reading_t   reading;

    (void) state;

    five = record(&shelf, "percent=5", "epoch=3");
    known = apply(known, reading_of(five, S("{\"epoch\":1}")));

    reading = reading_of(S(""), S("{\"epoch\":2}"));
    reading.error = S("WRONGTYPE Operation against a key holding the wrong "
                      "kind of value");

    known = apply(known, reading);
    expect(known, CANARY_STATE_INVALID, five,
           "flag \"WRONGTYPE Operation against a key holding the wrong kind "
           "of value\": expected a hash that can be read");

    /* a trip still counts */

    assert_true(canary_str_eq(known.trip, S("{\"epoch\":2}")));

    shelf_free(&shelf);
}


static void
deleted_and_lost_are_different(void **state)
{
    shelf_t            shelf = { 0 };
    canary_str_t       five, old;
    canary_known_t     known = { 0 };
    canary_reading_t   lost;

    (void) state;

    five = record(&shelf, "percent=100", "epoch=3");
    old = record(&shelf, "percent=100", "epoch=2");

    lost = reading_of(S(""), S(""));
    lost.inited = 0;

    known = apply(known, lost);
    expect(known, CANARY_STATE_STORE_EMPTY, S(""),
           "neither the flag nor \"inited\" is in Redis");
    assert_int_equal(share(&known), 0);

    known = apply(known, reading_of(five, S("{\"epoch\":1}")));
    known = apply(known, lost);
    expect(known, CANARY_STATE_STORE_EMPTY, five,
           "neither the flag nor \"inited\" is in Redis");
    assert_int_equal(share(&known), UINT64_MAX);
    assert_true(canary_str_eq(known.trip, S("{\"epoch\":1}")));

    known = apply(known, reading_of(S(""), S("")));
    expect(known, CANARY_STATE_DELETED, S(""), "");
    assert_int_equal(share(&known), 0);
    assert_int_equal(known.epoch, 3);
    assert_true(canary_str_eq(known.trip, S("{\"epoch\":1}")));

    /* what was deleted does not come back with the store's loss */

    known = apply(known, lost);
    expect(known, CANARY_STATE_STORE_EMPTY, S(""),
           "neither the flag nor \"inited\" is in Redis");

    /* nor from an older copy of the store */

    known = apply(known, reading_of(old, S("")));
    expect(known, CANARY_STATE_STALE_EPOCH, S(""),
           "epoch \"2\": expected at least 3, the highest epoch known");

    known = apply(known, reading_of(five, S("")));
    expect(known, CANARY_STATE_OK, five, "");

    shelf_free(&shelf);
}


static void
an_older_flag_is_held_off(void **state)
{
    shelf_t           shelf = { 0 };
    canary_str_t      absent, newer, older;
    canary_known_t    known = { 0 };

    (void) state;

    newer = record(&shelf, "percent=5", "epoch=999999999999999");
    older = record(&shelf, "percent=100", "epoch=6");
    absent = record(&shelf, "percent=100", "enabled=1");

    known = apply(known, reading_of(newer, S("")));
    known = apply(known, reading_of(older, S("")));
    expect(known, CANARY_STATE_STALE_EPOCH, newer,
           "epoch \"6\": expected at least 999999999999999, "
           "the highest epoch known");
    assert_int_equal(known.epoch, CANARY_EPOCH_MAX);

    known = apply(known, reading_of(absent, S("")));
    expect(known, CANARY_STATE_STALE_EPOCH, newer,
           "epoch \"0\": expected at least 999999999999999, "
           "the highest epoch known");

    known = apply(known, reading_of(newer, S("")));
    expect(known, CANARY_STATE_OK, newer, "");

    shelf_free(&shelf);
}


static void
a_bad_trip_holds_the_known_one_and_lets_the_flag_in(void **state)
{
    shelf_t            shelf = { 0 };
    canary_str_t       five, ten;
    canary_known_t     known = { 0 };
    canary_reading_t   reading;

    (void) state;

    five = record(&shelf, "percent=5", "epoch=3");
    ten = record(&shelf, "percent=10", "epoch=3");

    known = apply(known, reading_of(five, S("{\"epoch\":3}")));
    expect(known, CANARY_STATE_OK, five, "");

    known = apply(known, reading_of(ten, S("{\"epoch\":\"4\"}")));
    expect(known, CANARY_STATE_INVALID, ten,
           "trip epoch \"\"4\"\": expected 0 to 999999999999999");
    assert_true(canary_str_eq(known.trip, S("{\"epoch\":3}")));

    reading = reading_of(five, S(""));
    reading.trip_error = S("WRONGTYPE");
    known = apply(known, reading);
    expect(known, CANARY_STATE_INVALID, five,
           "trip \"WRONGTYPE\": expected a string that can be read");
    assert_true(canary_str_eq(known.trip, S("{\"epoch\":3}")));

    /* the flag's own error comes first */

    reading.record = S("\1");
    known = apply(known, reading);
    expect(known, CANARY_STATE_INVALID, five,
           "record \"\": expected fields and values");

    /* a bad trip is noticed when the flag is gone, too */

    reading.record = S("");
    known = apply(known, reading);
    expect(known, CANARY_STATE_INVALID, S(""),
           "trip \"WRONGTYPE\": expected a string that can be read");

    shelf_free(&shelf);
}


static void
a_trip_is_kept_until_one_beats_it(void **state)
{
    size_t          i;
    canary_known_t  known = { .epoch = 3 };

    static const struct {
        const char  *read;
        const char  *kept;
    } steps[] = {
        { "{\"epoch\":3,\"percent\":5}", "{\"epoch\":3,\"percent\":5}" },
        { "", "{\"epoch\":3,\"percent\":5}" },
        { "{\"epoch\":2}", "{\"epoch\":3,\"percent\":5}" },
        { "{\"epoch\":3,\"percent\":6}", "{\"epoch\":3,\"percent\":5}" },
        { "{\"epoch\":3,\"percent\":5,\"by\":1}",
          "{\"epoch\":3,\"percent\":5}" },
        { "{\"epoch\":3}", "{\"epoch\":3}" },
        { "{\"epoch\":3,\"percent\":5}", "{\"epoch\":3}" },
        { "{\"epoch\":4,\"percent\":50}", "{\"epoch\":4,\"percent\":50}" },
        { "{\"flag\":\"checkout\",\"epoch\":9}",
          "{\"epoch\":4,\"percent\":50}" },
        { "", "{\"epoch\":4,\"percent\":50}" }
    };

    (void) state;

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        known = apply(known, reading_of(S(""), text_str(steps[i].read)));
        assert_true(canary_str_eq(known.trip, text_str(steps[i].kept)));
        assert_int_equal(known.latched, 1);
    }

    /* both trips hold for epoch 3: the second gave nothing back */

    assert_true(known.latch.epoch == 4);
    assert_int_equal(known.latch.percent, 0);
}


static void
shuffle(unsigned *order, unsigned n)
{
    unsigned  i, j, swap;

    for (i = 0; i < n; i++) {
        order[i] = i;
    }

    for (i = n; i > 1; i--) {
        j = random_below(i);
        swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}


/*
 * Nodes that see the same trips in different orders, some of them twice,
 * between faults, end with the same latch.
 */

static void
the_latch_does_not_depend_on_the_order(void **state)
{
    char            trips[6][64];
    unsigned        i, node, order[6], round;
    canary_trip_t   latch[2];
    canary_known_t  known;

    (void) state;

    for (round = 0; round < 5000; round++) {

        for (i = 0; i < 6; i++) {
            if (random_below(4) == 0) {
                (void) snprintf(trips[i], sizeof(trips[i]), "{\"epoch\":-%u}",
                                i);

            } else {
                (void) snprintf(trips[i], sizeof(trips[i]),
                                "{\"epoch\":%u,\"percent\":%u}",
                                random_below(3), random_below(3));
            }
        }

        (void) snprintf(trips[0], sizeof(trips[0]), "{\"epoch\":0}");

        for (node = 0; node < 2; node++) {
            known = (canary_known_t) { 0 };
            shuffle(order, 6);

            for (i = 0; i < 6; i++) {
                known = apply(known, reading_of(S(""),
                                                text_str(trips[order[i]])));

                if (random_below(2)) {
                    known = apply(known, reading_of(S(""),
                                      text_str(trips[order[random_below(i + 1)]
                                               ])));
                }
            }

            assert_int_equal(known.latched, 1);
            latch[node] = known.latch;
        }

        assert_int_equal(latch[0].epoch, latch[1].epoch);
        assert_int_equal(latch[0].percent, latch[1].percent);
    }
}


static void
permute(const canary_reading_t *readings, unsigned *order, unsigned depth,
    unsigned n, unsigned *runs)
{
    unsigned        i, swap, tripped;
    canary_known_t  known = { 0 };

    if (depth < n) {
        for (i = depth; i < n; i++) {
            swap = order[depth];
            order[depth] = order[i];
            order[i] = swap;

            permute(readings, order, depth + 1, n, runs);

            order[i] = order[depth];
            order[depth] = swap;
        }

        return;
    }

    for (i = 0, tripped = 0; i < n; i++) {
        known = apply(known, readings[order[i]]);
        tripped |= readings[order[i]].trip.len > 0;

        if (tripped) {
            assert_int_equal(share(&known), 0);
        }
    }

    (*runs)++;
}


/*
 * Owners write percents, a guard trips their epoch, and Redis fails in
 * several ways: in every order nobody is a candidate once the trip was seen.
 */

static void
the_trip_wins_in_every_order(void **state)
{
    shelf_t            shelf = { 0 };
    unsigned           n, order[7], runs;
    canary_reading_t   readings[7];

    (void) state;

    readings[0] = reading_of(record(&shelf, "percent=25", "epoch=3"), S(""));
    readings[1] = reading_of(record(&shelf, "percent=100", "epoch=3"), S(""));
    readings[2] = reading_of(record(&shelf, "percent=100", "epoch=2"), S(""));
    readings[3] = reading_of(S(""), S(""));
    readings[3].inited = 0;
    readings[4] = reading_of(S(""), S(""));
    readings[5] = reading_of(record(&shelf, "percent=100", "epoch=3"),
                             S("{\"epoch\":3}"));
    readings[6] = reading_of(record(&shelf, "percent=inf", "epoch=7"),
                             S(""));

    for (n = 0; n < 7; n++) {
        order[n] = n;
    }

    runs = 0;
    permute(readings, order, 0, 7, &runs);
    assert_int_equal(runs, 5040);

    shelf_free(&shelf);
}


/* One user whom the latch alone keeps away: the flag is at 100 %. */

static int
lets_in(const canary_known_t *known)
{
    canary_flag_t      flag;
    canary_error_t     err;
    canary_request_t   request;
    canary_decision_t  d;

    if (known->record.len == 0) {
        return 0;
    }

    request = (canary_request_t) { 0 };
    request.override = CANARY_ARM_NONE;
    request.key = S("user-1");

    assert_int_equal(canary_flag_parse(&flag, name, known->record, NULL,
                                       &err), 0);
    canary_decide(&d, &flag, known->latched ? &known->latch : NULL, &request);
    canary_flag_clear(&flag);

    return d.arm == CANARY_ARM_CANDIDATE;
}


/*
 * An owner who writes blindly, and deletes and overwrites the trip, races a
 * guard who sets it in Redis or posts it to the node, while the link fails
 * now and then: once the node has seen the trip, nobody is let in until the
 * epoch is raised.
 */

static void
the_trip_never_loses_a_race(void **state)
{
    shelf_t            shelf = { 0 };
    unsigned           round, step, seen, seen_rounds;
    canary_str_t       records[6], higher, stored, trip;
    canary_known_t     known;
    canary_reading_t   reading;

    static const canary_str_t  latch = canary_str("{\"epoch\":3}");

    static const canary_str_t  trips[] = {
        canary_str(""),
        canary_str("{\"epoch\":3}"),
        canary_str("{\"epoch\":2}"),
        canary_str("{\"epoch\":3,\"percent\":100}"),
        canary_str("{\"epoch\":-3}"),
    };

    (void) state;

    records[0] = record(&shelf, "percent=100", "epoch=3");
    records[1] = record(&shelf, "percent=25", "epoch=3");
    records[2] = record(&shelf, "percent=100", "epoch=2");
    records[3] = record(&shelf, "percent=101", "epoch=4");
    records[4] = record(&shelf, "percent=100", "allow=[\"user-1\"]");
    records[5] = S("");
    higher = record(&shelf, "percent=100", "epoch=4");

    seen_rounds = 0;

    for (round = 0; round < 100000; round++) {
        known = apply((canary_known_t) { 0 }, reading_of(records[0], S("")));
        assert_true(lets_in(&known));

        stored = records[0];
        trip = S("");
        seen = 0;

        for (step = 4 + random_below(9); step > 0; step--) {

            switch (random_below(6)) {

            case 0:
                stored = records[random_below(6)];
                break;

            case 1:
                trip = trips[random_below(5)];
                break;

            case 2:
                trip = latch;
                break;

            case 3:
                canary_known_trip(&known, name, latch);
                seen = 1;
                break;

            default:
                reading = reading_of(stored, trip);
                reading.inited = random_below(4) > 0;

                if (random_below(8) == 0) {
                    reading.error = S("WRONGTYPE");
                }

                if (random_below(8) == 0) {
                    reading.trip_error = S("WRONGTYPE");

                } else if (canary_str_eq(trip, latch)) {
                    seen = 1;
                }

                known = apply(known, reading);
            }

            if (seen) {
                assert_int_equal(known.latched, 1);
                assert_true(known.latch.epoch >= known.epoch);
                assert_int_equal(known.latch.percent, 0);
            }
        }

        if (seen) {
            assert_false(lets_in(&known));
            seen_rounds++;
        }

        known = apply(known, reading_of(higher, trip));
        assert_true(lets_in(&known));
    }

    assert_true(seen_rounds > 50000);

    shelf_free(&shelf);
}


/*
 * After any history, a reading that is faulty in its flag, in its trip or in
 * both makes nobody a candidate who was none.
 */

static void
a_fault_never_raises_the_share(void **state)
{
    shelf_t             shelf = { 0 };
    uint64_t            before;
    unsigned            i, round;
    canary_str_t        bad, good[5];
    canary_known_t      known;
    canary_reading_t    reading;

    static const canary_str_t  trips[] = {
        canary_str(""),
        canary_str("{\"epoch\":1}"),
        canary_str("{\"epoch\":2}"),
        canary_str("{\"epoch\":2,\"percent\":20}"),
        canary_str("{\"epoch\":3,\"percent\":50}")
    };

    static const canary_str_t  bad_trips[] = {
        canary_str(""), canary_str("{}"), canary_str("nan"),
        canary_str("{\"epoch\":1e9}"), canary_str("{\"epoch\":0}")
    };

    (void) state;

    good[0] = record(&shelf, "percent=5", "epoch=1");
    good[1] = record(&shelf, "percent=60", "epoch=2");
    good[2] = record(&shelf, "percent=100", "epoch=2");
    good[3] = record(&shelf, "percent=30", "epoch=3");
    good[4] = record(&shelf, "percent=0", "epoch=0");
    bad = record(&shelf, "percent=101", "epoch=9");

    for (round = 0; round < 20000; round++) {
        known = (canary_known_t) { 0 };

        for (i = random_below(4); i > 0; i--) {
            known = apply(known, reading_of(good[random_below(5)],
                                            trips[random_below(5)]));
        }

        before = share(&known);
        reading = reading_of(known.record, bad_trips[random_below(5)]);

        switch (random_below(6)) {

        case 0:
            reading.error = S("WRONGTYPE");
            break;

        case 1:
            reading.record = bad;
            break;

        case 2:
            reading.record = S("");
            reading.inited = 0;
            break;

        case 3:
            reading.record = S("");
            break;

        case 4:
            reading.record = known.epoch > 1 ? good[0] : S("damaged");
            break;

        default:
            reading.trip_error = S("WRONGTYPE");
            break;
        }

        known = apply(known, reading);
        assert_int_equal(share(&known) & ~before, 0);
    }

    shelf_free(&shelf);
}


static canary_known_t
random_known(char *bytes, size_t size)
{
    canary_known_t  known;

    known = (canary_known_t) { 0 };
    random_bytes(bytes, size);

    known.state = (canary_state_e) random_below(CANARY_STATES);
    known.epoch = random_u64() % (CANARY_EPOCH_MAX + 1);
    known.record.data = bytes;
    known.record.len = random_below((uint32_t) size);
    known.trip.data = bytes + known.record.len;
    known.trip.len = random_below((uint32_t) (size - known.record.len));
    known.latched = random_below(2);
    known.latch.epoch = random_below(1000);
    known.latch.percent = random_below(CANARY_BUCKETS + 1);

    return known;
}


static void
packing_keeps_everything(void **state)
{
    char             bytes[300], packed[400];
    unsigned         i;
    canary_str_t     s;
    canary_known_t   known, again;

    (void) state;

    for (i = 0; i < 5000; i++) {
        known = random_known(bytes, sizeof(bytes));
        canary_known_pack(packed, &known);

        s.data = packed;
        s.len = canary_known_size(&known);

        assert_int_equal(canary_known_unpack(&again, s), 0);
        assert_int_equal(again.state, known.state);
        assert_true(again.epoch == known.epoch);
        assert_int_equal(again.latched, known.latched);
        assert_true(again.latch.epoch == known.latch.epoch);
        assert_int_equal(again.latch.percent, known.latch.percent);
        assert_true(canary_str_eq(again.record, known.record));
        assert_true(canary_str_eq(again.trip, known.trip));
        assert_string_equal(again.reason.text, "");
    }
}


static void
the_packed_layout_is_fixed(void **state)
{
    char            packed[64];
    canary_known_t  known = { 0 };

    (void) state;

    known.state = CANARY_STATE_INVALID;
    known.epoch = 0x102;
    known.latched = 1;
    known.latch.epoch = 0x203;
    known.latch.percent = 0x5;
    known.record = S("abc");
    known.trip = S("{}");

    assert_int_equal(canary_known_size(&known), 41);
    canary_known_pack(packed, &known);
    assert_memory_equal(packed, "\4\0\0\0\2\1\0\0\0\0\0\0"
                                "\1\0\0\0\3\2\0\0\0\0\0\0\5\0\0\0"
                                "\3\0\0\0\2\0\0\0abc{}", 41);
}


/* From the heap, so that the sanitizer sees a step over the end. */

static void
damaged_packed_bytes_are_refused(void **state)
{
    char            bytes[40], *copy, packed[400];
    size_t          bit, len, size;
    canary_str_t    s;
    canary_known_t  known, again;

    (void) state;

    known = random_known(bytes, sizeof(bytes));
    size = canary_known_size(&known);
    canary_known_pack(packed, &known);

    for (len = 0; len < size; len++) {
        copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, packed, len);

        s.data = copy;
        s.len = len;
        assert_int_equal(canary_known_unpack(&again, s), -1);
        free(copy);
    }

    s.data = packed;
    s.len = size + 1;
    assert_int_equal(canary_known_unpack(&again, s), -1);
    s.len = size;

    /* any bit of a length; other bits are values that could be true */

    for (bit = 8 * 28L; bit < 8 * 36L; bit++) {
        flip_bit(packed, bit);
        assert_int_equal(canary_known_unpack(&again, s), -1);
        flip_bit(packed, bit);
    }

    /* no such epoch, no such state */

    flip_bit(packed, 8 * 12L - 1);
    assert_int_equal(canary_known_unpack(&again, s), -1);
    flip_bit(packed, 8 * 12L - 1);

    packed[0] = CANARY_STATES;
    assert_int_equal(canary_known_unpack(&again, s), -1);
    packed[0] = CANARY_STATE_OK;

    /* neither latched nor not, no such epoch or percent of a latch */

    flip_bit(packed, 8 * 12L + 1);
    assert_int_equal(canary_known_unpack(&again, s), -1);
    flip_bit(packed, 8 * 12L + 1);

    flip_bit(packed, 8 * 24L - 1);
    assert_int_equal(canary_known_unpack(&again, s), -1);
    flip_bit(packed, 8 * 24L - 1);

    flip_bit(packed, 8 * 28L - 1);
    assert_int_equal(canary_known_unpack(&again, s), -1);
    flip_bit(packed, 8 * 28L - 1);

    assert_int_equal(canary_known_unpack(&again, s), 0);
}


/*
 * A trip for a later epoch may allow more.  While the flag at hand is one for
 * which both hold, it must not give back what the first took.
 */

static void
a_later_trip_gives_nothing_back(void **state)
{
    canary_trip_t  latch = { 2, 0 };

    static const canary_trip_t  later = { 3, 50000 }, earlier = { 1, 0 };

    (void) state;

    assert_int_equal(canary_trip_latch(&latch, &later, 2), 1);
    assert_true(latch.epoch == 3);
    assert_int_equal(latch.percent, 0);

    /* the owner lifted the first: the second alone holds */

    latch.epoch = 2;
    latch.percent = 0;
    assert_int_equal(canary_trip_latch(&latch, &later, 3), 1);
    assert_true(latch.epoch == 3);
    assert_int_equal(latch.percent, 50000);

    /* one that does not hold any more changes nothing */

    assert_int_equal(canary_trip_latch(&latch, &earlier, 3), 0);
    assert_true(latch.epoch == 3);
    assert_int_equal(latch.percent, 50000);

    /* of two that hold the lower percent counts, the older one too */

    assert_int_equal(canary_trip_latch(&latch, &earlier, 1), 1);
    assert_true(latch.epoch == 3);
    assert_int_equal(latch.percent, 0);
}


static void
the_words_are_those_of_the_contract(void **state)
{
    unsigned  i;

    static const char  *states[] = {
        "unknown", "ok", "deleted", "store_empty", "invalid", "stale_epoch",
        "no_memory"
    };

    (void) state;

    for (i = 0; i < CANARY_STATES; i++) {
        assert_string_equal(canary_state_names[i].data, states[i]);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_valid_record_is_accepted),
        cmocka_unit_test(an_invalid_record_is_held_off),
        cmocka_unit_test(a_refused_read_is_held_off),
        cmocka_unit_test(deleted_and_lost_are_different),
        cmocka_unit_test(an_older_flag_is_held_off),
        cmocka_unit_test(a_bad_trip_holds_the_known_one_and_lets_the_flag_in),
        cmocka_unit_test(a_trip_is_kept_until_one_beats_it),
        cmocka_unit_test(the_latch_does_not_depend_on_the_order),
        cmocka_unit_test(the_trip_wins_in_every_order),
        cmocka_unit_test(the_trip_never_loses_a_race),
        cmocka_unit_test(a_fault_never_raises_the_share),
        cmocka_unit_test(a_later_trip_gives_nothing_back),
        cmocka_unit_test(packing_keeps_everything),
        cmocka_unit_test(the_packed_layout_is_fixed),
        cmocka_unit_test(damaged_packed_bytes_are_refused),
        cmocka_unit_test(the_words_are_those_of_the_contract)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
