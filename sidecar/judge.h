
/* The judge: what was read becomes evidence, and evidence a trip. */


#ifndef CANARYD_JUDGE_H
#define CANARYD_JUDGE_H


#include "canaryd.h"


/* All of these with the lock held. */

/* Takes over d->status, which the scraper has filled. */

void canaryd_judge_status(canaryd_t *d, uint64_t now);

/* What another sidecar of the fleet reads of its nginx. */

void canaryd_judge_window(canaryd_t *d, canaryd_flag_t *f,
    const canaryd_window_t *w, uint64_t now);

void canaryd_judge_tick(canaryd_t *d, uint64_t now);


#endif /* CANARYD_JUDGE_H */
