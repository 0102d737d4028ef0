
#include <arpa/inet.h>
#include <netinet/in.h>
#include "address.h"
#include "options.h"
#include "sign.h"
#include "support.h"
#include "text.h"


#define GOOD  "--nginx", "http://h/c/", "--redis", "redis://r"
#define TLS   "--nginx", "http://h/c/", "--redis", "rediss://r"


static int
run(canaryd_options_t *o, canary_error_t *err, const char *const *args)
{
    int          argc;
    char        *argv[32];
    const char  *none = "agent-canaryd";

    memcpy(&argv[0], &none, sizeof(none));

    for (argc = 1; args[argc - 1]; argc++) {
        memcpy(&argv[argc], &args[argc - 1], sizeof(args[0]));
    }

    return canaryd_options_parse(o, argc, argv, err);
}


#define parse(o, err, ...)                                                    \
    run(o, err, (const char *const []) { __VA_ARGS__, NULL })


static void
options_are_read(void **state)
{
    canary_error_t     err;
    canaryd_options_t  o;

    (void) state;

    assert_int_equal(parse(&o, &err, "--nginx",
                           "unix:/run/a.sock:/canary/", "--redis",
                           "redis://[::1]:6380/3", "--instance", "n1",
                           "--interval=1s", "--prefix", "x:canary:",
                           "--listen", "[::1]:9145", "--webhook",
                           "https://hooks.example:8443/x?y=1",
                           "--log-format", "json", "--role", "guard"), 0);

    assert_string_equal(o.nginx.socket, "/run/a.sock");
    assert_string_equal(o.nginx.url, "http://localhost/canary/");
    assert_string_equal(o.redis[0].host, "::1");
    assert_int_equal(o.redis[0].port, 6380);
    assert_int_equal(o.redis[0].db, 3);
    assert_int_equal(o.interval, 1000);
    assert_string_equal(o.fleet, "x:canary-fleet:");
    assert_string_equal(o.listen.host, "::1");
    assert_int_equal(o.listen.port, 9145);
    assert_int_equal(o.webhook.loopback, 0);
    assert_int_equal(o.json, 1);

    assert_int_equal(parse(&o, &err, "-t", GOOD, "--instance", "n",
                           "--webhook", "http://127.0.0.1:1/"), 0);
    assert_int_equal(o.command, CANARYD_CHECK);
    assert_int_equal(o.interval, 250);
    assert_string_equal(o.fleet, "agent-canary-fleet:");
    assert_int_equal(o.webhook.loopback, 1);

    assert_int_equal(parse(&o, &err, "--redis", "unix:/r.sock", "--nginx",
                           "http://h/c/", "--instance", "n"), 0);
    assert_string_equal(o.redis[0].socket, "/r.sock");
}


static void
redis_is_reached_in_many_ways(void **state)
{
    canary_error_t     err;
    canaryd_options_t  o;

    (void) state;

    assert_int_equal(parse(&o, &err, TLS, "--instance", "n", "--redis-ca",
                           "ca.pem", "--redis-cert", "c.pem", "--redis-key",
                           "k.pem", "--redis-tls-name", "redis.internal"), 0);
    assert_int_equal(o.redis[0].tls, 1);
    assert_int_equal(o.redis[0].port, 6379);
    assert_string_equal(o.tls_ca, "ca.pem");
    assert_string_equal(o.tls_cert, "c.pem");
    assert_string_equal(o.tls_key, "k.pem");
    assert_string_equal(o.tls_name, "redis.internal");
    assert_int_equal(o.tls_unverified, 0);

    assert_int_equal(parse(&o, &err, TLS, "--instance", "n",
                           "--redis-tls-verify", "off"), 0);
    assert_int_equal(o.tls_unverified, 1);
    assert_null(o.tls_ca);

    assert_int_equal(parse(&o, &err, "--redis", "unix:/r.sock:/7", "--nginx",
                           "http://h/c/", "--instance", "n"), 0);
    assert_string_equal(o.redis[0].socket, "/r.sock");
    assert_int_equal(o.redis[0].db, 7);
    assert_int_equal(o.redis[0].tls, 0);

    /* in any order, the port is that of what it is */

    assert_int_equal(parse(&o, &err, "--redis", "redis://a/2", "--redis",
                           "redis://b:7", "--nginx", "http://h/c/",
                           "--instance", "n", "--sentinel", "main",
                           "--sentinel-user", "u",
                           "--sentinel-password-file", "s.pass"), 0);
    assert_int_equal(o.redis[0].port, 26379);
    assert_int_equal(o.redis[0].db, 2);
    assert_int_equal(o.redis[1].port, 7);
    assert_string_equal(o.sentinel_user, "u");
    assert_string_equal(o.sentinel_password_file, "s.pass");
}


typedef struct {
    const char  *args[9];
    const char  *token;
} usage_case_t;


static const usage_case_t  usages[] = {
    { { "--redis", "redis://r" }, "--nginx" },
    { { "--nginx", "http://h/c/" }, "--redis" },
    { { "--nginx", "http://h/c" }, "with a slash at the end" },
    { { "--nginx", "https://h/c/" }, "https://h/c/" },
    { { "--nginx", "unix:a:/c/" }, "unix:a:/c/" },
    { { "--nginx", "unix:/a" }, "unix:/a" },
    { { "--nginx", "http:///c/" }, "http:///c/" },
    { { "--nginx", "http://h:0/c/" }, "http://h:0/c/" },
    { { "--nginx", "http://h:x/c/" }, "http://h:x/c/" },
    { { "--nginx", "http://u:p@h/" }, "\"http://...@h/\"" },
    { { "--nginx", "http://u:p@h" }, "\"http://...@h\"" },
    { { "--nginx", "http://u:p/@h/" }, "\"http://...@h/\"" },
    { { "--nginx", "https://u:p@h/" }, "\"https://...@h/\"" },
    { { "--nginx", "http://u@h/" }, "no user and no password" },
    { { "--redis", "redis://u:p@h" }, "\"redis://...@h\"" },
    { { "--redis", "redis://u:p/@h" }, "\"redis://...@h\"" },
    { { "--redis", "redis://u:p@x@h" }, "\"redis://...@h\"" },
    { { "--redis", "u:p@h" }, "\"...@h\"" },
    { { "--redis", "unix:/r.sock:" }, "unix:/r.sock:" },
    { { "--redis", "unix:/r.sock:/x" }, "unix:/r.sock:/x" },
    { { "--redis", "unix:r.sock" }, "unix:r.sock" },
    { { "--redis", "rediss:/h" }, "rediss:/h" },
    { { "--redis", "rediss://u@h" }, "--redis-password-file" },
    { { "--redis", "redis://h:0" }, "redis://h:0" },
    { { "--redis", "redis://h:65536" }, "redis://h:65536" },
    { { "--redis", "redis://h/x" }, "redis://h/x" },
    { { "--redis", "h:6379" }, "h:6379" },
    { { GOOD, "--redis", "redis://s" }, "--sentinel" },
    { { "--interval", "49ms" }, "49ms" },
    { { "--interval", "11s" }, "11s" },
    { { "--interval", "250" }, "250" },
    { { "--interval", "-1s" }, "-1s" },
    { { "--prefix", "nocolon" }, "nocolon" },
    { { "--prefix", "a b:" }, "a b:" },
    { { "--instance", "a b" }, "a b" },
    { { "--instance", "a:b" }, "a:b" },
    { { "--listen", "localhost:1" }, "localhost:1" },
    { { "--listen", ":9145" }, ":9145" },
    { { "--webhook", "ftp://h/" }, "ftp://h/" },
    { { "--webhook", "https://u:p@h/" }, "\"https://...@h/\"" },
    { { "--role", "owner" }, "not available in this version" },
    { { "--role", "king" }, "king" },
    { { "--log-format", "xml" }, "xml" },
    { { GOOD, "--redis-user", "u" }, "--redis-password-file" },
    { { GOOD, "--sentinel-user", "u" }, "--sentinel-password-file" },
    { { GOOD, "--sentinel-password-file", "f" }, "--sentinel" },
    { { GOOD, "--redis", "rediss://s", "--sentinel", "n" }, "all rediss://" },
    { { GOOD, "--redis-ca", "f" }, "rediss://" },
    { { GOOD, "--redis-cert", "f", "--redis-key", "f" }, "rediss://" },
    { { GOOD, "--redis-tls-name", "n" }, "rediss://" },
    { { GOOD, "--redis-tls-verify", "off" }, "rediss://" },
    { { GOOD, "--redis-tls-verify", "no" }, "on or off" },
    { { TLS, "--redis-cert", "f" }, "--redis-key" },
    { { TLS, "--redis-key", "f" }, "--redis-cert" },
    { { GOOD, "--webhook-secret-file", "f" }, "--webhook" },
    { { "--nope" }, "--nope" },
    { { "--nginx" }, "--nginx" },
    { { "--nginx=" }, "--nginx" },
    { { "--nginx", "http://h/c/", "--nginx", "http://h/c/" }, "once" },
    { { "stray" }, "stray" }
};


static void
usage_errors_quote_the_token(void **state)
{
    size_t             i;
    canary_error_t     err;
    canaryd_options_t  o;

    (void) state;

    for (i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        err.text[0] = '\0';

        if (run(&o, &err, usages[i].args) == 0
            || strstr(err.text, usages[i].token) == NULL
            || strstr(err.text, "expected") == NULL)
        {
            fail_msg("%s: \"%s\"", usages[i].token, err.text);
        }
    }
}


static int
refused(const char *text, int loopback)
{
    struct sockaddr_in   in;
    struct sockaddr_in6  in6;

    memset(&in, 0, sizeof(in));
    memset(&in6, 0, sizeof(in6));
    in.sin_family = AF_INET;
    in6.sin6_family = AF_INET6;

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        return canaryd_address_refused((struct sockaddr *) &in, loopback);
    }

    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);

    return canaryd_address_refused((struct sockaddr *) &in6, loopback);
}


static void
webhooks_do_not_reach_metadata(void **state)
{
    size_t  i;

    static const char  *never[] = {
        "169.254.169.254", "169.254.0.1", "0.0.0.0", "100.100.100.200",
        "224.0.0.1", "255.255.255.255", "fe80::1", "::", "ff02::1",
        "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"
    };

    static const char  *fine[] = {
        "10.1.2.3", "192.168.1.1", "203.0.113.9", "2001:db8::1", "fd12::1"
    };

    static const char  *own[] = {
        "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"
    };

    (void) state;

    for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        assert_true(refused(never[i], 0) && refused(never[i], 1));
    }

    for (i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        assert_false(refused(fine[i], 0) || refused(fine[i], 1));
    }

    for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        assert_true(refused(own[i], 0));
        assert_false(refused(own[i], 1));
    }
}


/* As the hmac module of Python has it. */

static void
signatures_are_hmac_sha256(void **state)
{
    char              text[CANARYD_SIGNATURE_MAX];
    canaryd_secret_t  secret = { 3, "key" };

    (void) state;

    assert_int_equal(canaryd_sign(text, &secret, 1700000000, S("{}")), 0);
    assert_string_equal(text, "t=1700000000,v1="
                        "9d713ed406bb7076d4123f0dc2c39d2d"
                        "f5c654ed4b0cd56b52c8b4c940bd63ae");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(options_are_read),
        cmocka_unit_test(redis_is_reached_in_many_ways),
        cmocka_unit_test(usage_errors_quote_the_token),
        cmocka_unit_test(webhooks_do_not_reach_metadata),
        cmocka_unit_test(signatures_are_hmac_sha256)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
