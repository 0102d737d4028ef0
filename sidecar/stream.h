
/*
 * A connection, with TLS or without, whose every step ends at a deadline.
 * After a failure it is closed.
 */


#ifndef CANARYD_STREAM_H
#define CANARYD_STREAM_H


#include <openssl/ssl.h>
#include <stdint.h>
#include "url.h"


typedef struct {
    int              fd;
    unsigned         open:1;
    SSL             *ssl;                   /* NULL: plain text */
    uint64_t         deadline;              /* ms */
    canary_error_t   error;
} canaryd_stream_t;


/*
 * tls NULL: plain text.  name is what the certificate has to be for.  These
 * return 0, or -1 and stream->error.
 */

int canaryd_stream_open(canaryd_stream_t *stream, const canaryd_redis_t *addr,
    SSL_CTX *tls, const char *name);

/* All of it. */

int canaryd_stream_write(canaryd_stream_t *stream, const char *data,
    size_t len);

/* At least one byte; *len is the room for them, and then their number. */

int canaryd_stream_read(canaryd_stream_t *stream, char *data, size_t *len);

/* Nothing was said that is not read yet, and it is open still. */

int canaryd_stream_silent(canaryd_stream_t *stream);

void canaryd_stream_close(canaryd_stream_t *stream);


#endif /* CANARYD_STREAM_H */
