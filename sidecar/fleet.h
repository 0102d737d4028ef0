
/*
 * What all nginx of the fleet counted for one flag, as differences of their
 * cumulative tallies.
 *
 * A source is one nginx, known by its boot_id: who reports it, how often and
 * in which order does not matter, and a restart is another source.  Only what
 * lies between two readings of the same epoch counts.
 */


#ifndef CANARYD_FLEET_H
#define CANARYD_FLEET_H


#include "flag.h"
#include "status.h"
#include "tally.h"


#define CANARYD_SOURCES_MAX  256

/* A source that only goes backwards for this long starts anew, in ms. */

#define CANARYD_BEHIND_MAX   30000


typedef struct {
    char            boot[CANARYD_BOOT_MAX + 1];
    uint64_t        epoch;
    canary_tally_t  arm[CANARY_ARMS];
    uint64_t        seen;                   /* ms */
    uint64_t        behind;                 /* ms since when, or 0 */
} canaryd_source_t;


typedef struct {
    unsigned           n;
    unsigned           size;
    canaryd_source_t  *source;
} canaryd_fleet_t;


typedef enum {
    CANARYD_COUNTED = 0,
    CANARYD_STARTED,                        /* nothing to compare it with */
    CANARYD_IGNORED                         /* older than what is known */
} canaryd_counted_e;


/* Adds what is new since the last reading of the same source to sum. */

canaryd_counted_e canaryd_fleet_read(canaryd_fleet_t *fleet, const char *boot,
    uint64_t epoch, const canary_tally_t *arm, uint64_t now,
    canary_tally_t *sum);

/* NULL: it was never read. */

canaryd_source_t *canaryd_fleet_source(canaryd_fleet_t *fleet,
    const char *boot);

/* The sources that were read within the last age ms. */

unsigned canaryd_fleet_live(const canaryd_fleet_t *fleet, uint64_t now,
    uint64_t age);

void canaryd_fleet_clear(canaryd_fleet_t *fleet);


#endif /* CANARYD_FLEET_H */
