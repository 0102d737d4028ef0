
/*
 * What was read of an nginx becomes evidence: the differences of its tallies
 * are added up in the flag's sum, which the next tick of the judge takes.
 */


#ifndef CANARYD_INTAKE_H
#define CANARYD_INTAKE_H


#include "canaryd.h"


/* Both with the lock held. */

/* By the judge: takes over d->status, which the scraper has filled. */

void canaryd_intake_status(canaryd_t *d, uint64_t now);

/* By the Redis thread: what another sidecar of the fleet reads of its nginx. */

void canaryd_intake_window(canaryd_t *d, canaryd_flag_t *f,
    const canaryd_window_t *w, uint64_t now);


#endif /* CANARYD_INTAKE_H */
