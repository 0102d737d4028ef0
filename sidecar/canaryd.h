
/*
 * What the threads of agent-canaryd share, under one lock.
 *
 * The main thread is the judge.  Each outside party has a thread of its own:
 * one reads nginx, one posts trips to it, one talks to Redis, one calls the
 * webhook, one writes the state file.  Nobody reads, writes or waits for
 * anything outside with the lock held, so that who hangs delays nobody else.
 */


#ifndef CANARYD_H
#define CANARYD_H


#include <pthread.h>
#include <stdint.h>
#include "event.h"
#include "fleet.h"
#include "keys.h"
#include "latch.h"
#include "options.h"
#include "party.h"
#include "status.h"
#include "text.h"
#include "verdict.h"
#include "window.h"


#define CANARYD_BUNDLE_MAX  192

/* Without a reading for this long there is no sight of nginx, in ms. */

#define CANARYD_SIGHT_MAX   2000

/* Without a request for this long a flag that had some has none, in ms. */

#define CANARYD_QUIET_MAX   300000

/* A sidecar of the fleet that was not heard of for this long is none, ms. */

#define CANARYD_LIVE_MAX    30000


typedef struct {
    char               name[CANARY_FLAG_NAME_MAX + 1];
    unsigned           index;               /* among all */

    unsigned           present:1;           /* nginx has it */
    unsigned           known:1;             /* the flag was read */
    unsigned           bad:1;               /* the last reading was */
    unsigned           enabled:1;
    unsigned           tripped:1;           /* in nginx' view */
    unsigned           targets:1;
    unsigned           guardrails_bad:1;
    unsigned           quiet:1;             /* no traffic any more */
    char               state[CANARYD_STATE_MAX];
    char               bundle[CANARY_ARMS][CANARYD_BUNDLE_MAX];
    uint64_t           epoch;
    uint32_t           percent;
    canary_ladder_t    stages;

    canary_verdict_t  *verdict;             /* NULL: known is 0 */
    char              *guardrails;          /* JSON as owned, or NULL */
    char              *saved;               /* a verdict from the file */
    canaryd_fleet_t    fleet;
    canary_tally_t     sum[CANARY_ARMS];    /* since the last tick */
    unsigned           fed:1;               /* there is something in it */
    uint64_t           ticked;              /* ms */
    uint64_t           traffic;             /* ms, of the last request */
    uint64_t           hurry;               /* ms, evidence rises until then */
    double             evidence;            /* 1 is enough; while it rises */

    canaryd_latch_t    latch;
    char               told[CANARYD_ID_MAX];        /* the last event */
    uint32_t           notified;            /* rules, a bit each */
    uint64_t           trips;

    canaryd_window_t   window;              /* of the own nginx */
    uint64_t           version;             /* of the window, 0: none */
    uint64_t           in_flight[CANARY_ARMS];
} canaryd_flag_t;


typedef struct {
    canaryd_options_t   options;
    char                writer[CANARYD_ID_MAX];     /* of audit markers */

    pthread_mutex_t     lock;
    pthread_cond_t      judge;              /* a status was read, or stop */
    pthread_cond_t      scraper;
    pthread_cond_t      poster;
    pthread_cond_t      redis;
    pthread_cond_t      webhook;
    pthread_cond_t      saver;

    unsigned            stop:1;
    unsigned            urgent:1;           /* something for Redis now, */
    unsigned            news:1;             /* or soon */
    canaryd_keys_t      keys;

    canaryd_status_t    status;             /* owned by the scraper, but */
    unsigned            ready:1;            /* the judge's when ready */
    unsigned            full:1;             /* it has all flags */
    uint64_t            read_at;            /* ms, all flags */

    char                boot[CANARYD_BOOT_MAX + 1];
    char                nginx_version[CANARYD_STATE_MAX];
    unsigned            nginx_fresh:1;
    unsigned            blind:1;            /* no sight of nginx */

    canaryd_flag_t    **flag;               /* in the order they came */
    canaryd_flag_t    **sorted;             /* by name */
    unsigned            n;

    canaryd_events_t    events;

    canaryd_party_t     nginx;
    canaryd_party_t     post;
    canaryd_party_t     redis_party;
    canaryd_party_t     hook;
    canaryd_party_t     file;

    canaryd_redis_t     redis_addr;         /* the last one that answered */
    unsigned            peers;              /* live, the own one apart */
    unsigned            refusing:1;         /* Redis takes no writes */
    char                refusal[CANARY_ERROR_MAX];
    uint64_t            windows_bad;

    canaryd_text_t      saving;             /* for the saver, when len > 0 */
    unsigned            last:1;             /* it may end after this one */
    uint64_t            saved_at;           /* ms */
    unsigned            save_now:1;

    uint64_t            started;            /* ms */
    uint64_t            ticks;
    uint64_t            late;
    uint64_t            bad_flags;          /* readings without data */
    unsigned            dropped;            /* flags above the limit */
    uint64_t            trips;
    uint64_t            notices;
    uint64_t            audits;
} canaryd_t;


/* NULL: there is none of that name, and no room for it. */

canaryd_flag_t *canaryd_flag_find(canaryd_t *d, const char *name);
canaryd_flag_t *canaryd_flag_add(canaryd_t *d, const char *name);

void canaryd_flags_free(canaryd_t *d);

/* Non-zero when the flag is under a trip of its epoch. */

int canaryd_flag_latched(const canaryd_flag_t *f);


#endif /* CANARYD_H */
