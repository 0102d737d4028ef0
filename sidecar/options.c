
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "options.h"
#include "text.h"


#define CANARYD_REDIS_PORT     6379
#define CANARYD_SENTINEL_PORT  26379


typedef int (*canaryd_option_pt)(canaryd_options_t *o, const char *value,
    canary_error_t *err);


typedef struct {
    const char         *name;
    canaryd_option_pt   handler;
    size_t              offset;
    unsigned            repeats:1;
} canaryd_option_t;


static int canaryd_options_one(canaryd_options_t *o, int *i, int argc,
    char *const *argv, unsigned *seen, canary_error_t *err);
static int canaryd_options_command(canaryd_options_t *o, const char *name);
static int canaryd_options_check(canaryd_options_t *o, canary_error_t *err);
static int canaryd_options_redis(canaryd_options_t *o, canary_error_t *err);
static int canaryd_options_tls(const canaryd_options_t *o,
    canary_error_t *err);
static int canaryd_options_needs(canary_error_t *err, const char *name,
    const char *value, int met, const char *expected);
static void canaryd_options_fleet(canaryd_options_t *o);
static int canaryd_options_instance(canaryd_options_t *o,
    canary_error_t *err);
static int canaryd_option_nginx(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_redis(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_sentinel(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_tls_verify(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_prefix(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_instance(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_interval(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_webhook(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_listen(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_role(canaryd_options_t *o, const char *value,
    canary_error_t *err);
static int canaryd_option_format(canaryd_options_t *o, const char *value,
    canary_error_t *err);


/* Those without a handler are texts. */

#define canaryd_text_option(name, field)                                      \
    { name, NULL, offsetof(canaryd_options_t, field), 0 }


static const canaryd_option_t  canaryd_options[] = {
    { "--nginx", canaryd_option_nginx, 0, 0 },
    { "--redis", canaryd_option_redis, 0, 1 },
    canaryd_text_option("--redis-user", redis_user),
    canaryd_text_option("--redis-password-file", redis_password_file),
    canaryd_text_option("--redis-ca", tls_ca),
    canaryd_text_option("--redis-cert", tls_cert),
    canaryd_text_option("--redis-key", tls_key),
    canaryd_text_option("--redis-tls-name", tls_name),
    { "--redis-tls-verify", canaryd_option_tls_verify, 0, 0 },
    { "--sentinel", canaryd_option_sentinel, 0, 0 },
    canaryd_text_option("--sentinel-user", sentinel_user),
    canaryd_text_option("--sentinel-password-file", sentinel_password_file),
    { "--prefix", canaryd_option_prefix, 0, 0 },
    { "--instance", canaryd_option_instance, 0, 0 },
    { "--interval", canaryd_option_interval, 0, 0 },
    canaryd_text_option("--state", state),
    { "--webhook", canaryd_option_webhook, 0, 0 },
    canaryd_text_option("--webhook-secret-file", webhook_secret_file),
    { "--listen", canaryd_option_listen, 0, 0 },
    { "--role", canaryd_option_role, 0, 0 },
    { "--log-format", canaryd_option_format, 0, 0 },
    { NULL, NULL, 0, 0 }
};


const char  canaryd_usage[] =
"Usage: agent-canaryd --nginx URL --redis URL [options]\n"
"\n"
"Watches both arms of every canary of one nginx and trips a rollback.\n"
"\n"
"  --nginx URL                   the module's API: unix:/run/a.sock:/canary/\n"
"                                or http://127.0.0.1:8080/canary/\n"
"  --redis URL                   redis://host[:port][/db], or rediss:// for\n"
"                                TLS, or unix:/path[:/db]; repeat it for\n"
"                                several Sentinels\n"
"  --redis-user NAME             with --redis-password-file\n"
"  --redis-password-file FILE\n"
"  --redis-ca FILE               signs the server's certificate, default: the\n"
"                                system's\n"
"  --redis-cert FILE             of this client, with --redis-key FILE\n"
"  --redis-tls-name NAME         in the certificate, default: the host\n"
"  --redis-tls-verify on|off     off accepts any certificate, default on\n"
"  --sentinel NAME               the URLs are Sentinels, NAME is the master\n"
"  --sentinel-user NAME          with --sentinel-password-file\n"
"  --sentinel-password-file FILE\n"
"  --prefix TEXT                 of the keys, default agent-canary:\n"
"  --instance NAME               of this sidecar, default: the host's name\n"
"  --interval TIME               50ms to 10s, default 250ms\n"
"  --state FILE                  keeps the evidence across restarts\n"
"  --webhook URL                 is told of every trip, https or http\n"
"  --webhook-secret-file FILE    signs what it is told\n"
"  --listen ADDRESS:PORT         own /metrics and /healthz\n"
"  --log-format text|json        default text\n"
"  -t                            check options and files, then exit\n"
"  --version, --help\n"
"\n"
"SIGHUP reads the files of passwords, secrets and TLS again.\n"
"Exit codes: 0 ok, 1 failed, 2 usage.\n";


int
canaryd_options_parse(canaryd_options_t *o, int argc, char *const *argv,
    canary_error_t *err)
{
    int       i;
    unsigned  seen;

    memset(o, 0, sizeof(canaryd_options_t));

    o->interval = 250;
    (void) snprintf(o->prefix, sizeof(o->prefix), "agent-canary:");

    seen = 0;

    for (i = 1; i < argc; i++) {
        if (canaryd_options_one(o, &i, argc, argv, &seen, err) != 0) {
            return -1;
        }

        if (o->command == CANARYD_SHOW_VERSION
            || o->command == CANARYD_SHOW_HELP)
        {
            return 0;
        }
    }

    return canaryd_options_check(o, err);
}


/* "--name value", "--name=value", or a command. */

static int
canaryd_options_one(canaryd_options_t *o, int *i, int argc,
    char *const *argv, unsigned *seen, canary_error_t *err)
{
    size_t                   len;
    unsigned                 n;
    const char              *name, *value;
    const canaryd_option_t  *option;

    name = argv[*i];

    if (canaryd_options_command(o, name)) {
        return 0;
    }

    len = strcspn(name, "=");

    for (n = 0; canaryd_options[n].name; n++) {
        option = &canaryd_options[n];

        if (strlen(option->name) != len
            || memcmp(option->name, name, len) != 0)
        {
            continue;
        }

        value = name[len] == '=' ? name + len + 1 : NULL;

        if (value == NULL && *i + 1 < argc) {
            value = argv[++*i];
        }

        if (value == NULL || value[0] == '\0') {
            canary_error(err, "option", canaryd_str(name),
                         "expected a value after it");
            return -1;
        }

        if ((*seen & 1U << n) && !option->repeats) {
            canary_error(err, "option", canaryd_str(option->name),
                         "expected once");
            return -1;
        }

        *seen |= 1U << n;

        if (option->handler) {
            return option->handler(o, value, err);
        }

        memcpy((char *) o + option->offset, (const char *) &value,
               sizeof(value));

        return 0;
    }

    canary_error(err, "option", canaryd_str(name),
                 "expected one of those that --help lists");
    return -1;
}


static int
canaryd_options_command(canaryd_options_t *o, const char *name)
{
    if (strcmp(name, "-t") == 0) {
        o->command = CANARYD_CHECK;

    } else if (strcmp(name, "--version") == 0) {
        o->command = CANARYD_SHOW_VERSION;

    } else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        o->command = CANARYD_SHOW_HELP;

    } else {
        return 0;
    }

    return 1;
}


/* What depends on more than one option. */

static int
canaryd_options_check(canaryd_options_t *o, canary_error_t *err)
{
    if (o->nginx.url[0] == '\0') {
        canary_error(err, "--nginx", canaryd_str(""),
                     "expected the address of the module's API, like "
                     "unix:/run/agent-canary.sock:/canary/");
        return -1;
    }

    if (o->nredis == 0) {
        canary_error(err, "--redis", canaryd_str(""),
                     "expected the address of Redis, like "
                     "redis://127.0.0.1:6379");
        return -1;
    }

    if (canaryd_options_redis(o, err) != 0
        || canaryd_options_tls(o, err) != 0)
    {
        return -1;
    }

    if (canaryd_options_needs(err, "--webhook-secret-file",
                              o->webhook_secret_file,
                              o->webhook.url[0] != '\0',
                              "expected --webhook with it")
        != 0)
    {
        return -1;
    }

    canaryd_options_fleet(o);

    return o->instance[0] ? 0 : canaryd_options_instance(o, err);
}


static int
canaryd_options_redis(canaryd_options_t *o, canary_error_t *err)
{
    unsigned  i;

    for (i = 0; i < o->nredis; i++) {
        if (o->redis[i].port == 0) {
            o->redis[i].port = o->sentinel ? CANARYD_SENTINEL_PORT
                                           : CANARYD_REDIS_PORT;
        }

        if (o->redis[i].tls != o->redis[0].tls) {
            canary_error(err, "--redis", canaryd_str(o->redis[i].host),
                         "expected either all rediss:// or none");
            return -1;
        }
    }

    if (o->nredis > 1 && o->sentinel == NULL) {
        canary_error(err, "--redis", canaryd_str("several"),
                     "expected --sentinel NAME with more than one");
        return -1;
    }

    return canaryd_options_needs(err, "--redis-user", o->redis_user,
                                 o->redis_password_file != NULL,
                                 "expected --redis-password-file with it")
           || canaryd_options_needs(err, "--sentinel-user", o->sentinel_user,
                                    o->sentinel_password_file != NULL,
                                    "expected --sentinel-password-file with "
                                    "it")
           || canaryd_options_needs(err, "--sentinel-password-file",
                                    o->sentinel_password_file,
                                    o->sentinel != NULL,
                                    "expected --sentinel with it")
           ? -1 : 0;
}


static int
canaryd_options_tls(const canaryd_options_t *o, canary_error_t *err)
{
    int  tls;

    static const char  needs[] = "expected rediss:// with it";

    tls = o->redis[0].tls;

    return canaryd_options_needs(err, "--redis-ca", o->tls_ca, tls, needs)
           || canaryd_options_needs(err, "--redis-cert", o->tls_cert, tls,
                                    needs)
           || canaryd_options_needs(err, "--redis-cert", o->tls_cert,
                                    o->tls_key != NULL,
                                    "expected --redis-key with it")
           || canaryd_options_needs(err, "--redis-key", o->tls_key,
                                    o->tls_cert != NULL,
                                    "expected --redis-cert with it")
           || canaryd_options_needs(err, "--redis-tls-name", o->tls_name, tls,
                                    needs)
           || canaryd_options_needs(err, "--redis-tls-verify",
                                    o->tls_unverified ? "off" : NULL, tls,
                                    needs)
           ? -1 : 0;
}


/* value NULL: the option is not there, and needs nothing. */

static int
canaryd_options_needs(canary_error_t *err, const char *name,
    const char *value, int met, const char *expected)
{
    if (value == NULL || met) {
        return 0;
    }

    canary_error(err, name, canaryd_str(value), expected);

    return -1;
}


/* "agent-canary:" gives "agent-canary-fleet:", outside the tracked prefix. */

static void
canaryd_options_fleet(canaryd_options_t *o)
{
    size_t  len;

    len = strlen(o->prefix);

    if (len && o->prefix[len - 1] == ':') {
        len--;
    }

    (void) snprintf(o->fleet, sizeof(o->fleet), "%.*s-fleet:", (int) len,
                    o->prefix);
}


static int
canaryd_options_instance(canaryd_options_t *o, canary_error_t *err)
{
    char  host[CANARYD_HOST_MAX];

    if (gethostname(host, sizeof(host)) != 0) {
        host[0] = '\0';
    }

    host[sizeof(host) - 1] = '\0';

    return canaryd_option_instance(o, host, err);
}


static int
canaryd_option_nginx(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    return canaryd_api_parse(&o->nginx, canaryd_str(value), err);
}


static int
canaryd_option_redis(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    if (o->nredis == CANARYD_REDIS_MAX) {
        canary_error(err, "--redis", canaryd_str(value),
                     "expected at most 8 of them");
        return -1;
    }

    return canaryd_redis_parse(&o->redis[o->nredis++], canaryd_str(value),
                               err);
}


static int
canaryd_option_sentinel(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    if (!canary_flag_name_valid(canaryd_str(value))) {
        canary_error(err, "--sentinel", canaryd_str(value),
                     "expected the name of a master, of up to 64 characters "
                     "out of A-Z a-z 0-9 . _ -");
        return -1;
    }

    o->sentinel = value;

    return 0;
}


static int
canaryd_option_tls_verify(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    if (strcmp(value, "off") == 0) {
        o->tls_unverified = 1;

    } else if (strcmp(value, "on") != 0) {
        canary_error(err, "--redis-tls-verify", canaryd_str(value),
                     "expected on or off");
        return -1;
    }

    return 0;
}


static int
canaryd_option_prefix(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    size_t  len;

    len = strlen(value);

    if (len > CANARYD_PREFIX_MAX || value[len - 1] != ':'
        || len < 2
        || strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789._:-") != len)
    {
        canary_error(err, "--prefix", canaryd_str(value),
                     "expected up to 64 characters out of A-Z a-z 0-9 . _ - "
                     ": with a colon at the end");
        return -1;
    }

    (void) snprintf(o->prefix, sizeof(o->prefix), "%s", value);

    return 0;
}


static int
canaryd_option_instance(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    if (!canary_flag_name_valid(canaryd_str(value))) {
        canary_error(err, "--instance", canaryd_str(value),
                     "expected 1 to 64 characters out of A-Z a-z 0-9 . _ -");
        return -1;
    }

    (void) snprintf(o->instance, sizeof(o->instance), "%s", value);

    return 0;
}


static int
canaryd_option_interval(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    size_t    digits;
    uint32_t  n;

    n = 0;

    for (digits = 0; digits < 6 && value[digits] >= '0'
                     && value[digits] <= '9'; digits++)
    {
        n = n * 10 + (uint32_t) (value[digits] - '0');
    }

    if (digits && strcmp(value + digits, "s") == 0) {
        n *= 1000;

    } else if (strcmp(value + digits, "ms") != 0) {
        n = 0;
    }

    if (n < CANARYD_INTERVAL_MIN || n > CANARYD_INTERVAL_MAX) {
        canary_error(err, "--interval", canaryd_str(value),
                     "expected 50ms to 10s, like 250ms");
        return -1;
    }

    o->interval = n;

    return 0;
}


static int
canaryd_option_webhook(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    return canaryd_hook_parse(&o->webhook, canaryd_str(value), err);
}


static int
canaryd_option_listen(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    return canaryd_listen_parse(&o->listen, canaryd_str(value), err);
}


static int
canaryd_option_role(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    (void) o;

    if (strcmp(value, "guard") == 0) {
        return 0;
    }

    canary_error(err, "--role", canaryd_str(value),
                 strcmp(value, "owner") == 0
                 ? "expected guard: owner is not available in this version"
                 : "expected guard");
    return -1;
}


static int
canaryd_option_format(canaryd_options_t *o, const char *value,
    canary_error_t *err)
{
    if (strcmp(value, "json") == 0) {
        o->json = 1;

    } else if (strcmp(value, "text") != 0) {
        canary_error(err, "--log-format", canaryd_str(value),
                     "expected text or json");
        return -1;
    }

    return 0;
}
