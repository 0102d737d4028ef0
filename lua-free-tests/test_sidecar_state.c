
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "state.h"
#include "support.h"


#define WINDOW_BOOT  "0123456789abcdef"


static char  dir[] = "/tmp/canaryd-state-XXXXXX";
static char  path[sizeof(dir) + 8];


static int
begin(void **state)
{
    (void) state;

    if (random_setup(state) != 0 || mkdtemp(dir) == NULL) {
        return -1;
    }

    (void) snprintf(path, sizeof(path), "%s/state", dir);

    return 0;
}


static int
end(void **state)
{
    (void) state;
    (void) unlink(path);

    return rmdir(dir);
}


static void
clear(canaryd_t *d)
{
    canaryd_flags_free(d);
    canaryd_events_clear(&d->events);
}


/* Two flags, one of them with a window, and three events. */

static void
fill(canaryd_t *d)
{
    canaryd_flag_t   *f;
    canary_tally_t    arm[CANARY_ARMS];
    canaryd_event_t  *event;

    memset(d, 0, sizeof(canaryd_t));
    memset(arm, 0, sizeof(arm));

    d->options.state = path;
    (void) strcpy(d->writer, "one/0011223344556677");

    f = canaryd_flag_add(d, "support");
    f->saved = strdup("some evidence");
    f->epoch = 7;
    f->notified = 5;
    (void) strcpy(f->told, "support:7:0");

    arm[CANARY_ARM_CANDIDATE].requests = 1000;
    arm[CANARY_ARM_CANDIDATE].cost_known = 3;
    arm[CANARY_ARM_CANDIDATE].cost_usd = 0.1 + 0.2;
    arm[CANARY_ARM_BASELINE].latency_ms[CANARY_LATENCY_BUCKETS - 1] = 4;
    (void) canaryd_fleet_read(&f->fleet, WINDOW_BOOT, 7, arm, 0, NULL);

    f = canaryd_flag_add(d, "billing");
    f->saved = strdup("other evidence");

    event = canaryd_events_add(&d->events, "support:7:0", "support", "trip",
                               7, S("{\n\t\"reason\":\"a b\"}\n"), 0);
    event->own = 1;
    event->audit = CANARYD_AUDIT_WON;
    event->hook = CANARYD_HOOK_DUE;

    event = canaryd_events_add(&d->events, "billing:0:notify:2", "billing",
                               "notify", 0, S("{}"), 0);
    event->audit = CANARYD_AUDIT_DUE;

    (void) canaryd_events_add(&d->events, "billing:0:5", "billing", "trip", 0,
                              S("{\"\x7f\"}"), 0);
}


static void
everything_is_read_back(void **state)
{
    canaryd_t         d;
    canary_error_t    err;
    canaryd_text_t    text = { 0 }, again = { 0 };
    canaryd_flag_t   *f;
    canaryd_event_t  *event;

    (void) state;

    fill(&d);
    canaryd_state_write(&text, &d);
    assert_false(text.failed);
    clear(&d);

    assert_int_equal(canaryd_state_store(path, canaryd_text_str(&text), &err),
                     0);

    memset(&d, 0, sizeof(d));
    d.options.state = path;
    assert_int_equal(canaryd_state_load(&d, &err), 0);

    assert_string_equal(d.writer, "one/0011223344556677");
    assert_int_equal(d.n, 2);

    f = canaryd_flag_find(&d, "support");
    assert_string_equal(f->saved, "some evidence");
    assert_string_equal(f->told, "support:7:0");
    assert_int_equal(f->epoch, 7);
    assert_int_equal(f->notified, 5);
    assert_int_equal(f->fleet.n, 1);
    assert_string_equal(f->fleet.source[0].boot, WINDOW_BOOT);
    assert_int_equal(f->fleet.source[0].epoch, 7);
    assert_int_equal(f->fleet.source[0].arm[CANARY_ARM_CANDIDATE].requests,
                     1000);
    assert_true(f->fleet.source[0].arm[CANARY_ARM_CANDIDATE].cost_usd
                == 0.1 + 0.2);

    assert_int_equal(d.events.n, 3);
    event = canaryd_events_find(&d.events, "support:7:0");
    assert_string_equal(event->record, "{ \t\"reason\":\"a b\"} ");
    assert_int_equal(event->own, 1);
    assert_int_equal(event->audit, CANARYD_AUDIT_WON);
    assert_int_equal(event->hook, CANARYD_HOOK_DUE);
    event = canaryd_events_find(&d.events, "billing:0:notify:2");
    assert_string_equal(event->type, "notify");
    assert_int_equal(event->audit, CANARYD_AUDIT_DUE);

    /* and what is written then is the same */

    canaryd_state_write(&again, &d);
    assert_true(canary_str_eq(canaryd_text_str(&text),
                              canaryd_text_str(&again)));

    clear(&d);
    canaryd_text_free(&text);
    canaryd_text_free(&again);
}


static void
refused(const char *data, size_t len)
{
    canaryd_t  d;

    memset(&d, 0, sizeof(d));
    assert_int_equal(canaryd_state_parse(&d, (canary_str_t) { len, data }),
                     -1);
    assert_int_equal(d.n, 0);
    assert_null(d.events.first);
}


static void
whatever_is_damaged_is_refused(void **state)
{
    size_t           i;
    canaryd_t        d;
    canaryd_text_t   text = { 0 };

    (void) state;

    fill(&d);
    canaryd_state_write(&text, &d);
    clear(&d);

    for (i = 0; i < text.len; i++) {
        refused(text.data, i);
    }

    for (i = 0; i < text.len * 8; i++) {
        flip_bit(text.data, i);
        refused(text.data, text.len);
        flip_bit(text.data, i);
    }

    canaryd_text_add(&text, "\n", 1);
    refused(text.data, text.len);

    canaryd_text_free(&text);
}


static void
refused_file(const char *reason)
{
    canaryd_t       d;
    canary_error_t  err;

    memset(&d, 0, sizeof(d));
    d.options.state = path;

    assert_int_equal(canaryd_state_load(&d, &err), -1);
    assert_non_null(strstr(err.text, path));

    if (strstr(err.text, reason) == NULL) {
        fail_msg("\"%s\", expected \"%s\"", err.text, reason);
    }

    assert_int_equal(d.n, 0);
}


static void
only_a_file_is_one(void **state)
{
    int             fd;
    char            target[sizeof(path) + 8];
    canaryd_t       d;
    canary_error_t  err;
    struct stat     st;

    (void) state;

    (void) unlink(path);
    memset(&d, 0, sizeof(d));
    d.options.state = path;
    assert_int_equal(canaryd_state_load(&d, &err), 0);

    assert_int_equal(mkfifo(path, 0600), 0);
    refused_file("regular file");           /* and does not wait for it */
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkdir(path, 0700), 0);
    refused_file("regular file");
    assert_int_equal(canaryd_state_store(path, S("x"), &err), -1);
    assert_non_null(strstr(err.text, strerror(EISDIR)));
    assert_int_equal(rmdir(path), 0);

    (void) snprintf(target, sizeof(target), "%s.tmp", path);
    assert_int_equal(symlink(target, path), 0);
    refused_file(strerror(ELOOP));
    assert_int_equal(unlink(path), 0);

    /* 64 MB of nothing, and one byte more */

    fd = creat(path, 0600);
    assert_int_equal(ftruncate(fd, 67108865), 0);
    (void) close(fd);
    refused_file("fewer bytes");

    /* it is replaced as a whole, and is nobody else's */

    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(canaryd_state_store(path, S("short"), &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 5);
    refused_file("the whole");
    assert_int_equal(unlink(target), -1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(everything_is_read_back),
        cmocka_unit_test(whatever_is_damaged_is_refused),
        cmocka_unit_test(only_a_file_is_one)
    };

    return cmocka_run_group_tests(tests, begin, end);
}
