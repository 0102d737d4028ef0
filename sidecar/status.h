
/*
 * The status that nginx answers, read strictly: what is not exactly as it
 * should be is no data, of one flag or of the whole answer, and never zero.
 */


#ifndef CANARYD_STATUS_H
#define CANARYD_STATUS_H


#include "flag.h"
#include "tally.h"
#include "trip.h"


#define CANARYD_FLAGS_MAX   1024
#define CANARYD_BOOT_MAX    64
#define CANARYD_STATE_MAX   32

/* Requests of an arm that nobody has seen: the counter is damaged. */

#define CANARYD_COUNT_MAX   1000000000000000ULL


/* The texts lie in the answer, which has to stay for as long. */

typedef struct {
    char             name[CANARY_FLAG_NAME_MAX + 1];
    char             state[CANARYD_STATE_MAX];
    const char      *bad;                   /* the member that is, or NULL */
    unsigned         known:1;               /* has an epoch and a percent */
    unsigned         enabled:1;
    unsigned         tripped:1;
    unsigned         latched:1;             /* trip is set */
    unsigned         targets:1;             /* tenants or allow */
    uint64_t         epoch;
    uint32_t         percent;               /* buckets */
    canary_ladder_t  stages;
    canary_trip_t    trip;
    canary_str_t     record;                /* JSON of the trip, or empty */
    canary_str_t     guardrails;            /* JSON, or empty */
    canary_str_t     bundle[CANARY_ARMS];   /* JSON, or empty */
    uint64_t         in_flight[CANARY_ARMS];
    canary_tally_t   arm[CANARY_ARMS];
    unsigned         seen;                  /* members, a bit each */
} canaryd_status_flag_t;


typedef struct {
    char                    boot[CANARYD_BOOT_MAX + 1];
    char                    version[CANARYD_STATE_MAX];
    char                    redis[CANARYD_STATE_MAX];
    uint64_t                clock;          /* ms, of nginx */
    unsigned                fresh:1;        /* nginx' view of Redis */
    unsigned                bad;            /* flags without data */
    unsigned                dropped;        /* flags above the limit */
    unsigned                n;
    unsigned                size;
    canaryd_status_flag_t  *flag;
} canaryd_status_t;


/*
 * Reads into a status that was zeroed once, and is to be cleared in the end.
 * Returns 0; or -1 and an error, and there is no data at all.
 */

int canaryd_status_parse(canaryd_status_t *s, canary_str_t text,
    canary_error_t *err);

void canaryd_status_clear(canaryd_status_t *s);


#endif /* CANARYD_STATUS_H */
