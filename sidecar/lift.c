
#include <inttypes.h>
#include <string.h>
#include "lift.h"


/* Where redis-cli goes when it is not told. */
#define CANARYD_LIFT_HOST  "127.0.0.1"
#define CANARYD_LIFT_PORT  6379


static void canaryd_lift_line(canaryd_text_t *t, const canaryd_t *d,
    const char *options, const char *flag, uint64_t epoch);
static void canaryd_lift_options(canaryd_text_t *t,
    const canaryd_redis_t *addr, const canaryd_options_t *o);
static int canaryd_lift_plain(const char *word);


void
canaryd_lift(canaryd_text_t *t, const canaryd_t *d, const char *flag,
    uint64_t epoch)
{
    canaryd_lift_line(t, d, "", flag, epoch);
}


int
canaryd_lift_here(canaryd_text_t *t, const canaryd_t *d, const char *flag,
    uint64_t epoch)
{
    canaryd_text_t  options;

    options = (canaryd_text_t) { 0 };
    canaryd_lift_options(&options, &d->redis_addr, &d->options);

    if (options.failed || options.len == 0) {
        canaryd_text_free(&options);
        return 0;
    }

    canaryd_lift_line(t, d, options.data, flag, epoch);
    canaryd_text_free(&options);

    return 1;
}


static void
canaryd_lift_line(canaryd_text_t *t, const canaryd_t *d, const char *options,
    const char *flag, uint64_t epoch)
{
    canaryd_text_printf(t, "redis-cli%s HSET %sflag:%s epoch %" PRIu64,
                        options, d->options.prefix, flag, epoch + 1);
}


/*
 * Nothing of who logs in: the user of a sidecar may not write flags.  A host
 * may be what a Sentinel said, and all of it is going to be pasted to a shell.
 */

static void
canaryd_lift_options(canaryd_text_t *t, const canaryd_redis_t *addr,
    const canaryd_options_t *o)
{
    if (!canaryd_lift_plain(addr->socket) || !canaryd_lift_plain(addr->host)
        || (addr->tls && o->tls_ca && !canaryd_lift_plain(o->tls_ca)))
    {
        return;
    }

    if (addr->socket[0]) {
        canaryd_text_printf(t, " -s %s", addr->socket);

    } else if (addr->host[0] == '\0') {
        return;                             /* no Sentinel told a master yet */

    } else {
        if (strcmp(addr->host, CANARYD_LIFT_HOST) != 0) {
            canaryd_text_printf(t, " -h %s", addr->host);
        }

        if (addr->port != CANARYD_LIFT_PORT) {
            canaryd_text_printf(t, " -p %u", (unsigned) addr->port);
        }
    }

    if (addr->db) {
        canaryd_text_printf(t, " -n %" PRIu32, addr->db);
    }

    if (addr->tls) {
        canaryd_text_put(t, " --tls");

        if (o->tls_ca) {
            canaryd_text_printf(t, " --cacert %s", o->tls_ca);
        }
    }
}


/* Whether a shell takes it for one word that means itself. */

static int
canaryd_lift_plain(const char *word)
{
    static const char  plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz"
                                 "0123456789.:_/@%+-";

    return word[0] != '-' && word[strspn(word, plain)] == '\0';
}
