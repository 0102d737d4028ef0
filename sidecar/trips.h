
/*
 * The trip of a flag as it is known here: decided by this sidecar, or shown
 * by nginx or by Redis.  Each new one makes an event, see event.h, which waits
 * until Redis shows the trip.
 */


#ifndef CANARYD_TRIPS_H
#define CANARYD_TRIPS_H


#include "canaryd.h"


/* All of these with the lock held. */

/* By the judge and the Redis thread: that party shows this trip. */

void canaryd_trip_learn(canaryd_t *d, canaryd_flag_t *f, canaryd_at_e at,
    const canary_trip_t *trip, canary_str_t record, uint64_t now);

/* By the Redis thread: what it has read there; json.data NULL: no trip. */

void canaryd_trip_redis(canaryd_t *d, canaryd_flag_t *f, canary_str_t json,
    uint64_t now);

/* By the judge, of a trip that is in the latch; own: it was decided here. */

void canaryd_trip_event(canaryd_t *d, canaryd_flag_t *f, int own,
    uint64_t now);

/* Logs what an owner types to lift it. */

void canaryd_trip_lift(const canaryd_t *d, const canaryd_flag_t *f);

/* By the judge in each of its turns: what has become of the events. */

void canaryd_trip_overtaken(canaryd_t *d);
void canaryd_trip_sweep(canaryd_t *d);


#endif /* CANARYD_TRIPS_H */
