
/* Which Redis is the master, by the Sentinels. */


#ifndef CANARYD_SENTINEL_H
#define CANARYD_SENTINEL_H


#include "link.h"
#include "options.h"


/*
 * The address that most of those which answer agree on.  Returns 0; or -1
 * and an error.
 */

int canaryd_sentinel_master(const canaryd_options_t *o,
    const canaryd_access_t *access, canaryd_redis_t *master,
    canary_error_t *err);

/* Whether the i-th of them names another one.  A quick look, no vote. */

int canaryd_sentinel_doubts(const canaryd_options_t *o,
    const canaryd_access_t *access, unsigned i,
    const canaryd_redis_t *master);


#endif /* CANARYD_SENTINEL_H */
