
/* GET /metrics and /healthz, by libmicrohttpd and its thread. */


#ifndef CANARYD_LISTEN_H
#define CANARYD_LISTEN_H


#include <microhttpd.h>
#include "canaryd.h"


/* Returns NULL and an error that quotes the address. */

struct MHD_Daemon *canaryd_listen(canaryd_t *d, canary_error_t *err);


#endif /* CANARYD_LISTEN_H */
