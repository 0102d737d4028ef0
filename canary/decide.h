
/*
 * The decision for one request: which arm, and why.
 */


#ifndef CANARY_DECIDE_H
#define CANARY_DECIDE_H


#include <stdint.h>
#include "flag.h"
#include "str.h"
#include "trip.h"


/* In the order in which they apply; the words are OpenFeature's. */

typedef enum {
    CANARY_REASON_DEFAULT = 0,
    CANARY_REASON_KEY_MISSING,
    CANARY_REASON_DISABLED,
    CANARY_REASON_TRIPPED,
    CANARY_REASON_OVERRIDE,
    CANARY_REASON_TARGETING_MATCH,
    CANARY_REASON_SPLIT,
    CANARY_REASON_STALE,
    CANARY_REASONS
} canary_reason_e;


/* What a node does that has lost sight of Redis, or of its sidecar. */

typedef enum {
    CANARY_STALE_NO = 0,                    /* it has not */
    CANARY_STALE_HOLD,
    CANARY_STALE_BASELINE
} canary_stale_e;


/* What one request brings. */

typedef struct {
    canary_str_t      key;                  /* as received */
    canary_str_t      tenant;               /* empty: none */
    canary_arm_e      override;             /* CANARY_ARM_NONE: none */
    canary_stale_e    stale;
} canary_request_t;


typedef struct {
    canary_arm_e      arm;
    canary_reason_e   reason;
    uint64_t          hash;                 /* of the key, if there is one */
    uint32_t          bucket;               /* CANARY_BUCKETS: no key */
    uint32_t          percent;              /* in effect, buckets */
} canary_decision_t;


extern const canary_str_t  canary_reason_names[CANARY_REASONS];


/* flag NULL: no such flag is known.  trip NULL: no trip is known. */

void canary_decide(canary_decision_t *d, const canary_flag_t *flag,
    const canary_trip_t *trip, const canary_request_t *request);


#endif /* CANARY_DECIDE_H */
