
/* What follows from a ruling of the verdict: a trip, or notices. */


#ifndef CANARYD_RULING_H
#define CANARYD_RULING_H


#include "canaryd.h"


/* Both with the lock held, by the judge. */

/* Trips or tells, unless there is nothing to be taken back. */

void canaryd_ruling_apply(canaryd_t *d, canaryd_flag_t *f,
    const canary_ruling_t *ruling, uint64_t now);

/*
 * The percent that the candidate falls to by this action.  Returns 0 when
 * there is nothing to be taken back.
 */

int canaryd_ruling_target(const canaryd_flag_t *f, canary_action_e action,
    uint32_t *percent);


#endif /* CANARYD_RULING_H */
