
#include <stdio.h>
#include "support.h"
#include "repeat.h"


#define USERS  400


static void
a_user_is_counted_while_events_go_on(void **state)
{
    uint64_t         now;
    unsigned         i;
    canary_repeat_t  table[CANARY_REPEATS] = { 0 };

    (void) state;

    now = 1763647188;

    for (i = 1; i <= 50; i++) {
        assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, now), i);
        now += CANARY_REPEAT_AGE - 1;
    }

    /* events of another kind are counted by themselves */

    assert_int_equal(canary_repeat(table, CANARY_EVENT_DENIED, 7, now), 1);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, now), i);
}


static void
half_a_minute_of_peace_is_forgotten(void **state)
{
    canary_repeat_t  table[CANARY_REPEATS] = { 0 };

    (void) state;

    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 0), 1);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 29), 2);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 59), 1);

    /* the clock wraps around, within what is kept of it and as a whole */

    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 8, 1048570), 1);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 8, 1048580), 2);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 9, UINT64_MAX),
                     1);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 9, 5), 2);
}


/* Workers look at the time when they wake up, each by itself. */

static void
a_clock_that_is_behind_forgets_nobody(void **state)
{
    uint64_t         another;
    canary_repeat_t  table[CANARY_REPEATS] = { 0 };

    (void) state;

    another = 7 + 5 * CANARY_REPEATS;

    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 1000), 1);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 999), 2);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 1000), 3);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, another, 998),
                     0);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 1001), 4);

    /* also when one of them is past the wrap already */

    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 8, 1048576), 1);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 8, 1048575), 2);

    /* a clock that is started anew is another one */

    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, another, 969),
                     1);
}


static void
who_finds_a_place_taken_is_not_followed(void **state)
{
    uint64_t         another;
    canary_repeat_t  table[CANARY_REPEATS] = { 0 };

    (void) state;

    another = 7 + 5 * CANARY_REPEATS;

    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 100), 1);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, another, 101),
                     0);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 102), 2);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, another, 131),
                     0);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, another, 132),
                     1);
    assert_int_equal(canary_repeat(table, CANARY_EVENT_ERROR, 7, 133), 0);
}


static void
a_count_stops_at_its_largest(void **state)
{
    unsigned         i, count;
    canary_repeat_t  table[CANARY_REPEATS] = { 0 };

    (void) state;

    for (i = 0, count = 0; i < 10000; i++) {
        count = canary_repeat(table, CANARY_EVENT_ESCALATED, UINT64_MAX,
                              1000000);
        assert_int_equal(count, i < 4095 ? i + 1 : 4095);
    }
}


/*
 * Users come one time in "seldom", each fails one to seven times: the ratio of
 * squares and events is that of all of them.  Returns the one that was found
 * as a part of the true one.
 */

static double
found_among(unsigned seldom, double *followed)
{
    double           all, squares;
    unsigned         i, k, n;
    uint64_t         now;
    canary_tally_t   t = { 0 };
    canary_repeat_t  table[CANARY_REPEATS] = { 0 };

    struct {
        uint64_t  user;
        unsigned  left;
    } active[USERS] = { 0 };

    all = 0;
    squares = 0;

    for (now = 0; now < 20000; now++) {
        for (i = 0; i < USERS; i++) {

            if (active[i].left == 0 && random_below(seldom) == 0) {
                n = 1 + random_below(7);
                active[i].user = random_u64();
                active[i].left = n;
                all += n;
                squares += n * n;
            }

            if (active[i].left && random_below(3) == 0) {
                active[i].left--;
                k = canary_repeat(table, CANARY_EVENT_ERROR, active[i].user,
                                  now);
                canary_tally_event(&t, CANARY_EVENT_ERROR, k);
            }
        }
    }

    *followed = (double) t.by_user[CANARY_EVENT_ERROR].events / all;

    return (double) t.by_user[CANARY_EVENT_ERROR].squares
           / (double) t.by_user[CANARY_EVENT_ERROR].events / (squares / all);
}


static void
those_who_are_followed_are_a_sample(void **state)
{
    double  found, followed;

    (void) state;

    found = found_among(20000, &followed);
    printf("%g of all are followed, and show %g\n", followed, found);
    assert_true(followed > 0.6 && found > 0.93 && found < 1.07);

    /* some of a crowd were there before their place was free */

    found = found_among(100, &followed);
    printf("%g of a crowd are followed, and show %g\n", followed, found);
    assert_true(followed < 0.2 && found > 0.7 && found < 1.05);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_user_is_counted_while_events_go_on),
        cmocka_unit_test(half_a_minute_of_peace_is_forgotten),
        cmocka_unit_test(a_clock_that_is_behind_forgets_nobody),
        cmocka_unit_test(who_finds_a_place_taken_is_not_followed),
        cmocka_unit_test(a_count_stops_at_its_largest),
        cmocka_unit_test(those_who_are_followed_are_a_sample)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
