
/*
 * The trip: the latch that takes a candidate back.
 *
 * A trip names the epoch of the flag it was made for.  It holds while
 * trip.epoch >= flag.epoch, so that no write to the flag but a higher epoch
 * lifts it, in whatever order the two arrive.
 */


#ifndef CANARY_TRIP_H
#define CANARY_TRIP_H


#include <stdint.h>
#include "str.h"


#define CANARY_EPOCH_MAX  999999999999999ULL    /* exact in JSON numbers */
#define CANARY_EPOCH_LEN  15                  /* its digits */
#define CANARY_TRIP_MAX   65536               /* bytes of JSON */


typedef struct {
    uint64_t  epoch;
    uint32_t  percent;                      /* what stays allowed, buckets */
} canary_trip_t;


/* Digits without a leading zero, up to CANARY_EPOCH_MAX.  Returns 0 or -1. */

int canary_epoch_parse(canary_str_t text, uint64_t *epoch);

/*
 * JSON {"flag", "epoch", "percent", ...}: "flag", when present, must be
 * name; "epoch" is required; "percent" defaults to 0.  Returns 0, or -1 and
 * an error.
 */

int canary_trip_parse(canary_trip_t *trip, canary_str_t name,
    canary_str_t json, canary_error_t *err);

/*
 * The join of two trips is the one with the higher epoch, at equal epochs
 * the one with the lower percent.  Non-zero when a is the join and differs
 * from b: order of arrival never matters.
 */

int canary_trip_beats(const canary_trip_t *a, const canary_trip_t *b);

/*
 * Takes a trip into the latch of a flag that is at epoch.  The latch becomes
 * the join, but for one thing: of two trips that both hold for this epoch the
 * lower percent counts, so that no trip ever gives the candidate more.
 * Returns non-zero when the latch changed.
 */

int canary_trip_latch(canary_trip_t *latch, const canary_trip_t *trip,
    uint64_t epoch);


#endif /* CANARY_TRIP_H */
