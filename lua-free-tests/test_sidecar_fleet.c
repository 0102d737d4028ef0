
#include <stdio.h>
#include "fleet.h"
#include "support.h"
#include "text.h"
#include "window.h"


typedef struct {
    unsigned      n;
    canary_str_t  pairs[2 * CANARYD_WINDOW_FIELDS];
    char         *copies[2 * CANARYD_WINDOW_FIELDS];
} fields_t;


static canary_tally_t  sum[CANARY_ARMS];


static canaryd_counted_e
read_at(canaryd_fleet_t *fleet, const char *boot, uint64_t epoch,
    uint64_t requests, uint64_t now)
{
    canary_tally_t  arm[CANARY_ARMS];

    memset(arm, 0, sizeof(arm));
    arm[CANARY_ARM_CANDIDATE].requests = requests;

    return canaryd_fleet_read(fleet, boot, epoch, arm, now, sum);
}


static uint64_t
counted(void)
{
    uint64_t  n;

    n = sum[CANARY_ARM_CANDIDATE].requests;
    memset(sum, 0, sizeof(sum));

    return n;
}


static void
differences_count(void **state)
{
    canaryd_fleet_t  f = { 0 };

    (void) state;

    assert_int_equal(read_at(&f, "a", 1, 100, 0), CANARYD_STARTED);
    assert_int_equal(read_at(&f, "b", 1, 500, 0), CANARYD_STARTED);
    assert_int_equal(counted(), 0);

    assert_int_equal(read_at(&f, "a", 1, 110, 1), CANARYD_COUNTED);
    assert_int_equal(read_at(&f, "b", 1, 501, 1), CANARYD_COUNTED);
    assert_int_equal(counted(), 11);

    canaryd_fleet_clear(&f);
}


static void
a_restart_is_another_source(void **state)
{
    canaryd_fleet_t  f = { 0 };

    (void) state;

    (void) read_at(&f, "a", 1, 100, 0);
    assert_int_equal(read_at(&f, "a2", 1, 3, 1), CANARYD_STARTED);
    assert_int_equal(read_at(&f, "a2", 1, 5, 2), CANARYD_COUNTED);
    assert_int_equal(counted(), 2);

    canaryd_fleet_clear(&f);
}


static void
two_reporters_of_one_nginx_count_once(void **state)
{
    unsigned         i;
    uint64_t         total, now;
    canaryd_fleet_t  f = { 0 };

    (void) state;

    (void) read_at(&f, "a", 1, 0, 0);

    for (i = 0, total = 0; i < 1000; i++) {
        now = i;
        (void) read_at(&f, "a", 1, i, now);
        (void) read_at(&f, "a", 1, i > 3 ? i - 3 : 0, now);
        total += counted();
    }

    assert_int_equal(total, 999);

    canaryd_fleet_clear(&f);
}


static void
only_one_epoch_counts(void **state)
{
    canaryd_fleet_t  f = { 0 };

    (void) state;

    (void) read_at(&f, "a", 1, 100, 0);
    assert_int_equal(read_at(&f, "a", 2, 150, 1), CANARYD_STARTED);
    assert_int_equal(read_at(&f, "a", 1, 140, 2), CANARYD_IGNORED);
    assert_int_equal(counted(), 0);
    assert_int_equal(read_at(&f, "a", 2, 151, 3), CANARYD_COUNTED);
    assert_int_equal(counted(), 1);

    canaryd_fleet_clear(&f);
}


static void
a_wild_reading_does_not_last(void **state)
{
    uint64_t         now;
    canaryd_fleet_t  f = { 0 };

    (void) state;

    (void) read_at(&f, "a", 1, 100, 0);
    (void) read_at(&f, "a", 1, 900000000, 1);
    (void) counted();

    for (now = 10; now < CANARYD_BEHIND_MAX + 20; now += 10) {
        (void) read_at(&f, "a", 1, 100 + now, now);
    }

    (void) read_at(&f, "a", 1, 100 + now, now);
    assert_true(counted() > 0);

    canaryd_fleet_clear(&f);
}


static void
sources_are_bounded(void **state)
{
    char             boot[16];
    unsigned         i;
    canaryd_fleet_t  f = { 0 };

    (void) state;

    for (i = 0; i < 3 * CANARYD_SOURCES_MAX; i++) {
        (void) snprintf(boot, sizeof(boot), "b%u", i);
        (void) read_at(&f, boot, 1, i, i);
    }

    assert_int_equal(f.n, CANARYD_SOURCES_MAX);
    assert_int_equal(canaryd_fleet_live(&f, i - 1, 9), 10);

    canaryd_fleet_clear(&f);
}


static void
take(void *data, canary_str_t name, canary_str_t value)
{
    unsigned      i;
    fields_t     *f = data;
    canary_str_t  s;

    for (i = 0; i < 2; i++) {
        s = i ? value : name;
        f->copies[2 * f->n + i] = malloc(s.len + 1);
        canaryd_copy(f->copies[2 * f->n + i], s.len + 1, s);
        f->pairs[2 * f->n + i] = (canary_str_t) { s.len,
                                                  f->copies[2 * f->n + i] };
    }

    f->n++;
}


static void
drop(fields_t *f)
{
    unsigned  i;

    for (i = 0; i < 2 * f->n; i++) {
        free(f->copies[i]);
    }

    f->n = 0;
}


static void
a_window_is_what_was_written(void **state)
{
    unsigned          i;
    fields_t          f = { 0 };
    canaryd_window_t  w, back;

    (void) state;

    memset(&w, 0, sizeof(w));
    (void) snprintf(w.boot, sizeof(w.boot), "abc");
    w.epoch = 12;
    w.percent = 25500;
    w.arm[0].requests = UINT32_MAX;
    w.arm[1].cost_usd = 0.1 + 0.2;
    w.arm[1].latency_ms[0] = 18446744073709551615ULL;
    w.arm[1].latency_ms[89] = 10;
    w.arm[1].first_byte_ms[3] = 100;

    assert_int_equal(canaryd_window_write(&w, NULL, take, &f), 49);
    assert_int_equal(f.n, 49);
    assert_int_equal(canaryd_window_read(&back, f.pairs, f.n), 0);
    assert_memory_equal(&w, &back, sizeof(w));

    /* without any one of its fields it is none, and with one twice */

    for (i = 0; i < f.n; i++) {
        canary_str_t  kept = f.pairs[2 * i];

        f.pairs[2 * i] = S("other");
        assert_int_equal(canaryd_window_read(&back, f.pairs, f.n), -1);
        f.pairs[2 * i] = f.pairs[i ? 0 : 2];
        assert_int_equal(canaryd_window_read(&back, f.pairs, f.n), -1);
        f.pairs[2 * i] = kept;
    }

    drop(&f);
}


static void
only_what_changed_is_written(void **state)
{
    fields_t          f = { 0 };
    canaryd_window_t  w, before;

    (void) state;

    memset(&w, 0, sizeof(w));
    before = w;
    w.arm[1].requests = 1;
    w.arm[1].latency_ms[4] = 1;

    assert_int_equal(canaryd_window_write(&w, &before, take, &f), 2);
    assert_true(canary_str_eq(f.pairs[0], S("candidate.requests")));
    assert_true(canary_str_eq(f.pairs[3], S("0,0,0,0,1")));
    drop(&f);

    assert_int_equal(canaryd_window_write(&w, &w, take, &f), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(differences_count),
        cmocka_unit_test(a_restart_is_another_source),
        cmocka_unit_test(two_reporters_of_one_nginx_count_once),
        cmocka_unit_test(only_one_epoch_counts),
        cmocka_unit_test(a_wild_reading_does_not_last),
        cmocka_unit_test(sources_are_bounded),
        cmocka_unit_test(a_window_is_what_was_written),
        cmocka_unit_test(only_what_changed_is_written)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
