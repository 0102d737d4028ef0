
/* What an owner types to lift a trip. */


#ifndef CANARYD_LIFT_H
#define CANARYD_LIFT_H


#include "canaryd.h"


/* The line that nginx shows in its status, too: for a trip of that epoch. */

void canaryd_lift(canaryd_text_t *t, const canaryd_t *d, const char *flag,
    uint64_t epoch);

/*
 * The same with the options that lead redis-cli from this host to the Redis
 * of the sidecar.  Returns 0 when it needs none, or none that can be told.
 */

int canaryd_lift_here(canaryd_text_t *t, const canaryd_t *d, const char *flag,
    uint64_t epoch);


#endif /* CANARYD_LIFT_H */
