
#include "lift.h"
#include "support.h"


#define LINE  "HSET agent-canary:flag:support epoch 8"


/* The daemon that was started with one --redis, or with more options. */

static void
redis_at(canaryd_t *d, const char *url)
{
    canary_error_t  err;

    memset(d, 0, sizeof(canaryd_t));
    (void) snprintf(d->options.prefix, sizeof(d->options.prefix),
                    "agent-canary:");

    assert_int_equal(canaryd_redis_parse(&d->redis_addr, canaryd_str(url),
                                         &err), 0);

    if (d->redis_addr.port == 0) {
        d->redis_addr.port = 6379;
    }
}


/* NULL: nothing is told. */

static void
here_is(const canaryd_t *d, const char *expected)
{
    canaryd_text_t  line = { 0 };

    if (expected == NULL) {
        assert_int_equal(canaryd_lift_here(&line, d, "support", 7), 0);
        assert_int_equal(line.len, 0);
        return;
    }

    assert_int_equal(canaryd_lift_here(&line, d, "support", 7), 1);
    assert_string_equal(line.data, expected);
    canaryd_text_free(&line);
}


static void
the_line_is_the_same_for_all(void **state)
{
    canaryd_t       d;
    canaryd_text_t  line = { 0 };

    (void) state;

    redis_at(&d, "rediss://r.internal:7000/3");
    canaryd_lift(&line, &d, "support", 7);
    assert_string_equal(line.data, "redis-cli " LINE);
    canaryd_text_free(&line);
}


static void
here_it_has_the_address(void **state)
{
    unsigned   i;
    canaryd_t  d;

    static const struct {
        const char  *url;
        const char  *expected;
    } cases[] = {
        { "redis://127.0.0.1", NULL },
        { "redis://127.0.0.1:6379/0", NULL },
        { "redis://10.1.2.3", "redis-cli -h 10.1.2.3 " LINE },
        { "redis://127.0.0.1:7000", "redis-cli -p 7000 " LINE },
        { "redis://[::1]:7000/3", "redis-cli -h ::1 -p 7000 -n 3 " LINE },
        { "redis://127.0.0.1/3", "redis-cli -n 3 " LINE },
        { "rediss://127.0.0.1", "redis-cli --tls " LINE },
        { "unix:/run/redis.sock", "redis-cli -s /run/redis.sock " LINE },
        { "unix:/run/redis.sock:/2",
          "redis-cli -s /run/redis.sock -n 2 " LINE }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        redis_at(&d, cases[i].url);
        here_is(&d, cases[i].expected);
    }

    redis_at(&d, "rediss://r");
    d.options.tls_ca = "/etc/ca.pem";
    d.options.tls_key = "/etc/sidecar.key";
    d.options.redis_user = "canary-sidecar";
    here_is(&d, "redis-cli -h r --tls --cacert /etc/ca.pem " LINE);
}


/* It is pasted to a shell: a Sentinel must not have a say in it. */

static void
what_is_no_word_is_not_told(void **state)
{
    unsigned   i;
    canaryd_t  d;

    static const char  *hosts[] = {
        "r; rm -rf x", "$(id)", "`id`", "a b", "a'b", "a&b", "-x", "a|b",
        "a>b", "a\\b", "\xc3\xa4"
    };

    (void) state;

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        redis_at(&d, "redis://r:7000");
        canaryd_copy(d.redis_addr.host, sizeof(d.redis_addr.host),
                     canaryd_str(hosts[i]));
        here_is(&d, NULL);
    }

    redis_at(&d, "unix:/run/redis.sock");
    canaryd_copy(d.redis_addr.socket, sizeof(d.redis_addr.socket),
                 canaryd_str("/run/it's.sock"));
    here_is(&d, NULL);

    redis_at(&d, "rediss://r");
    d.options.tls_ca = "/etc/my ca.pem";
    here_is(&d, NULL);

    /* the Sentinels have not told of a master yet */

    memset(&d.redis_addr, 0, sizeof(d.redis_addr));
    here_is(&d, NULL);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(the_line_is_the_same_for_all),
        cmocka_unit_test(here_it_has_the_address),
        cmocka_unit_test(what_is_no_word_is_not_told)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
