
/* What is read from files at start, and again on SIGHUP. */


#ifndef CANARYD_KEYS_H
#define CANARYD_KEYS_H


#include "options.h"
#include "secret.h"
#include "tls.h"


typedef struct {
    canaryd_secret_t   redis;               /* of length 0: there is none */
    canaryd_secret_t   sentinel;
    canaryd_secret_t   webhook;
    SSL_CTX           *tls;                 /* NULL: plain text */
} canaryd_keys_t;


/* Returns 0; or -1, an error, and leaves the keys alone. */

int canaryd_keys_read(canaryd_keys_t *keys, const canaryd_options_t *o,
    canary_error_t *err);

/* These free what there was before. */

void canaryd_keys_copy(canaryd_keys_t *keys, const canaryd_keys_t *from);
void canaryd_keys_clear(canaryd_keys_t *keys);


#endif /* CANARYD_KEYS_H */
