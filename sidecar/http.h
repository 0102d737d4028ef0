
/* HTTP requests that end in time and do not grow without limit. */


#ifndef CANARYD_HTTP_H
#define CANARYD_HTTP_H


#include <curl/curl.h>
#include "text.h"


/* Called with a resolved address; non-zero refuses it. */

struct sockaddr;

typedef int (*canaryd_http_refuse_pt)(void *data,
    const struct sockaddr *addr);


typedef struct {
    CURL                    *curl;
    const char              *socket;        /* "": by the host of the URLs */
    canaryd_text_t           body;
    size_t                   max;           /* bytes of the answer */
    canaryd_http_refuse_pt   refuse;        /* NULL: none is */
    void                    *data;
    unsigned                 too_long:1;
    char                     error[CURL_ERROR_SIZE];
} canaryd_http_t;


/* socket "": by the host of the URLs.  Returns 0, or -1: no memory. */

int canaryd_http_open(canaryd_http_t *h, const char *socket, size_t max,
    long timeout);
void canaryd_http_close(canaryd_http_t *h);

/*
 * Returns the status of the answer, or 0 and h->error.  post NULL: it is a
 * GET.  headers may be NULL.
 */

long canaryd_http_send(canaryd_http_t *h, const char *url,
    const canary_str_t *post, struct curl_slist *headers);


#endif /* CANARYD_HTTP_H */
