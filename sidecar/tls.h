
/* TLS for the connections to Redis and to its Sentinels. */


#ifndef CANARYD_TLS_H
#define CANARYD_TLS_H


#include <openssl/ssl.h>
#include "options.h"


/* Reads the files that the options name.  Returns NULL and an error. */

SSL_CTX *canaryd_tls_context(const canaryd_options_t *o, canary_error_t *err);

/* NULL: no memory.  The server has to be who the name says it is. */

SSL *canaryd_tls_client(SSL_CTX *context, int fd, const char *name);

/* Why the last call for this connection failed; rc is what it returned. */

const char *canaryd_tls_reason(const SSL *ssl, int rc);


#endif /* CANARYD_TLS_H */
