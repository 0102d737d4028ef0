
/* The signature of what the webhook is told. */


#ifndef CANARYD_SIGN_H
#define CANARYD_SIGN_H


#include <stdint.h>
#include "secret.h"


#define CANARYD_SIGNATURE_MAX  128


/*
 * "t=<unix time>,v1=<hex>", HMAC-SHA256 of "<unix time>.<body>".  Returns 0,
 * or -1: OpenSSL refuses.
 */

int canaryd_sign(char text[CANARYD_SIGNATURE_MAX],
    const canaryd_secret_t *secret, int64_t time, canary_str_t body);


#endif /* CANARYD_SIGN_H */
