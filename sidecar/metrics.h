
/* What the sidecar tells of itself. */


#ifndef CANARYD_METRICS_H
#define CANARYD_METRICS_H


#include "canaryd.h"


/* Both with the lock held. */

/* The Prometheus text format. */

void canaryd_metrics(canaryd_text_t *text, const canaryd_t *d, uint64_t now);

/*
 * JSON with the reasons.  Returns 200, or 503 when something is not guarded.
 * Redis away is no such reason: then the own evidence decides.
 */

unsigned canaryd_health(canaryd_text_t *text, const canaryd_t *d);


#endif /* CANARYD_METRICS_H */
