
/*
 * The trip of one flag: the highest one that anybody told of, and who has it.
 * As long as nginx or Redis does not show it, it is told to them again.
 */


#ifndef CANARYD_LATCH_H
#define CANARYD_LATCH_H


#include <stdint.h>
#include "trip.h"


/* How often a party is told that does not take it, in ms. */

#define CANARYD_ASSERT_GAP  1000


typedef enum {
    CANARYD_AT_NGINX = 0,
    CANARYD_AT_REDIS,
    CANARYD_AT_OWN,                         /* decided here */
    CANARYD_ATS
} canaryd_at_e;


typedef struct {
    unsigned        set:1;
    unsigned        audited:1;              /* its event was made */
    unsigned        lost:1;                 /* Redis had or has it not */
    unsigned        at;                     /* a bit for each that has it */
    canary_trip_t   trip;
    char           *record;                 /* JSON */
    uint64_t        told[CANARYD_ATS];      /* ms, or 0 */
} canaryd_latch_t;


/*
 * Learns of a trip.  Returns 1 when it is a new one, which beats what was
 * known; 0 when it is not, or when there is no memory for it.
 */

int canaryd_latch_learn(canaryd_latch_t *latch, canaryd_at_e at,
    const canary_trip_t *trip, canary_str_t record);

/* This party shows no trip, or a lesser one. */

void canaryd_latch_lost(canaryd_latch_t *latch, canaryd_at_e at);

/* The flag is at this epoch: a trip of a lower one is over. */

void canaryd_latch_epoch(canaryd_latch_t *latch, uint64_t epoch);

/* Non-zero when it is time to tell this party, which is then noted. */

int canaryd_latch_tell(canaryd_latch_t *latch, canaryd_at_e at, uint64_t now);

void canaryd_latch_clear(canaryd_latch_t *latch);


#endif /* CANARYD_LATCH_H */
