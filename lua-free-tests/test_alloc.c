
/*
 * Every allocation fails in turn.  Two ways: only the nth one, and all from
 * the nth on, as when memory is really exhausted.
 *
 * jansson 2.14 does not notice when the buffer of a token cannot grow, and
 * would go on with a shortened one if the next allocation succeeded again.
 * So the first way is for tokens that fit the buffer's first 16 bytes.
 */

#include <jansson.h>
#include "known.h"
#include "support.h"


static unsigned long  allocations;
static unsigned long  failing;              /* 0: none */
static int            failing_on;           /* and all after it */


void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);


static int
fails(void)
{
    allocations++;

    return failing && (allocations == failing
                       || (failing_on && allocations > failing));
}


void *
__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}


void *
__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}


void *
__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}


static int
alloc_setup(void **state)
{
    (void) state;

    json_set_alloc_funcs(__wrap_malloc, free);

    return 0;
}


typedef struct {
    canary_str_t    record;
    canary_str_t    trip;
    canary_flag_t   prev;
} torture_t;


/* Returns 0 when nothing failed, and otherwise checks that it was said. */

static int
parse_once(const torture_t *t)
{
    int             rc;
    canary_flag_t   flag;
    canary_error_t  err;

    err.text[0] = '\0';
    rc = canary_flag_parse(&flag, S("support"), t->record, &t->prev, &err);

    if (rc == 0) {
        assert_int_equal(canary_set_count(flag.allow), 3);
        assert_int_equal(canary_set_count(flag.tenants), 2);
        canary_flag_clear(&flag);

    } else {
        assert_true(err.text[0] != '\0');
        assert_null(flag.allow);
    }

    return rc;
}


static int
apply_once(const torture_t *t)
{
    canary_known_t    next, prev = { 0 };
    canary_reading_t  reading = { 0 };

    prev.state = CANARY_STATE_OK;
    prev.record = S("old");
    prev.trip = S("{\"epoch\":1}");

    reading.inited = 1;
    reading.record = t->record;
    reading.trip = t->trip;

    canary_known_apply(&next, S("support"), &prev, &reading);

    if (next.state == CANARY_STATE_OK) {
        assert_true(canary_str_eq(next.record, t->record));

        /* a known trip that memory ran out for gives way to a valid one */

        assert_true(canary_str_eq(next.trip, t->trip));
        return 0;
    }

    assert_int_equal(next.state, CANARY_STATE_INVALID);
    assert_true(next.reason.text[0] != '\0');
    assert_true(canary_str_eq(next.record, prev.record)
                || canary_str_eq(next.record, t->record));

    return -1;
}


static unsigned long
torture(int (*once)(const torture_t *t), const torture_t *t, int on)
{
    int            rc;
    unsigned long  n;

    failing_on = on;

    for (n = 1; /* void */ ; n++) {
        allocations = 0;
        failing = n;

        rc = once(t);

        failing = 0;

        if (allocations < n) {
            assert_int_equal(rc, 0);
            return n - 1;
        }
    }
}


static void
run(int (*once)(const torture_t *t), int on)
{
    buffer_t         b;
    torture_t        t;
    canary_error_t   err;

    b = (buffer_t) { 0 };

    if (on) {
        record_of(&b, "percent=5",
                  "allow=[\"a key longer than a buffer\",\"b\",\"c\"]",
                  "tenants={\"a tenant with a rather long name\":5,\"b\":0.5}",
                  "guardrails={\"rules\":[{\"metric\":\"error_rate\","
                  "\"max\":0.05}]}");

    } else {
        record_of(&b, "percent=5", "allow=[\"alice\",\"bob\",\"carol\"]",
                  "tenants={\"acme\":5,\"b\":0.5}",
                  "guardrails={\"rules\":[{\"metric\":\"error_rate\","
                  "\"max\":0.05}]}");
    }

    t.record = buffer_str(&b);
    t.trip = S("{\"flag\":\"support\",\"epoch\":3,\"percent\":0.5}");

    assert_int_equal(canary_flag_parse(&t.prev, S("support"), t.record, NULL,
                                       &err), 0);
    canary_flag_clear(&t.prev);

    assert_in_range(torture(once, &t, on), 20, 2000);

    buffer_free(&b);
}


static void
flag_parse_survives_one_failure(void **state)
{
    (void) state;
    run(parse_once, 0);
}


static void
flag_parse_survives_exhaustion(void **state)
{
    (void) state;
    run(parse_once, 1);
}


static void
known_apply_survives_one_failure(void **state)
{
    (void) state;
    run(apply_once, 0);
}


static void
known_apply_survives_exhaustion(void **state)
{
    (void) state;
    run(apply_once, 1);
}


static void
a_list_that_cannot_be_made_is_out_of_memory(void **state)
{
    buffer_t        b;
    canary_flag_t   flag;
    canary_error_t  err;

    (void) state;

    b = (buffer_t) { 0 };
    record_of(&b, "percent=5", "allow=[]");

    /* the first is jansson's */

    failing = 1;
    allocations = 0;
    failing_on = 1;
    assert_int_equal(canary_flag_parse(&flag, S("support"), buffer_str(&b),
                                       NULL, &err), -1);
    failing = 0;

    assert_string_equal(err.text, "allow \"[]\": expected a JSON array of "
                                  "keys: out of memory");

    buffer_free(&b);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(flag_parse_survives_one_failure),
        cmocka_unit_test(flag_parse_survives_exhaustion),
        cmocka_unit_test(known_apply_survives_one_failure),
        cmocka_unit_test(known_apply_survives_exhaustion),
        cmocka_unit_test(a_list_that_cannot_be_made_is_out_of_memory)
    };

    return cmocka_run_group_tests(tests, alloc_setup, NULL);
}
