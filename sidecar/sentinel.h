
/* Which Redis is the master, by the Sentinels. */


#ifndef CANARYD_SENTINEL_H
#define CANARYD_SENTINEL_H


#include "options.h"


/*
 * The address that most of those which answer agree on.  Returns 0; or -1
 * and an error.
 */

int canaryd_sentinel_master(const canaryd_options_t *o,
    canaryd_redis_t *master, canary_error_t *err);


#endif /* CANARYD_SENTINEL_H */
