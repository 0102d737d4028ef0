
/*
 * Posts trips to nginx, apart from the scraper: a trip does not wait behind
 * a reading that hangs.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "canaryd.h"
#include "clock.h"
#include "http.h"
#include "log.h"
#include "threads.h"


#define CANARYD_POST_MAX      65536
#define CANARYD_POST_TIMEOUT  1000          /* ms */


static char *canaryd_poster_next(canaryd_t *d, char *name);
static void canaryd_poster_send(canaryd_t *d, canaryd_http_t *http,
    const char *name, const char *record);


void *
canaryd_poster(void *data)
{
    char             name[CANARY_FLAG_NAME_MAX + 1], *record;
    canaryd_t       *d = data;
    canaryd_http_t   http;

    if (canaryd_http_open(&http, d->options.nginx.socket, CANARYD_POST_MAX,
                          CANARYD_POST_TIMEOUT)
        != 0)
    {
        return NULL;
    }

    (void) pthread_mutex_lock(&d->lock);

    while (!d->stop) {
        record = canaryd_poster_next(d, name);

        if (record == NULL) {
            (void) pthread_cond_wait(&d->poster, &d->lock);
            continue;
        }

        (void) pthread_mutex_unlock(&d->lock);
        canaryd_poster_send(d, &http, name, record);
        free(record);
        (void) pthread_mutex_lock(&d->lock);
    }

    (void) pthread_mutex_unlock(&d->lock);
    canaryd_http_close(&http);

    return NULL;
}


/* The record of a trip that nginx does not show, or NULL. */

static char *
canaryd_poster_next(canaryd_t *d, char *name)
{
    unsigned         i;
    canaryd_flag_t  *f;

    for (i = 0; i < d->n; i++) {
        f = d->flag[i];

        if (!canaryd_flag_latched(f)
            || !canaryd_latch_tell(&f->latch, CANARYD_AT_NGINX,
                                   canaryd_now()))
        {
            continue;
        }

        memcpy(name, f->name, sizeof(f->name));

        return canaryd_dup(canaryd_str(f->latch.record));
    }

    return NULL;
}


static void
canaryd_poster_send(canaryd_t *d, canaryd_http_t *http, const char *name,
    const char *record)
{
    char                url[CANARYD_URL_MAX + CANARYD_ID_MAX];
    long                status;
    canary_str_t        body;
    canary_error_t      err;
    struct curl_slist  *headers;

    headers = curl_slist_append(NULL, "Content-Type: application/json");
    body = canaryd_str(record);

    (void) snprintf(url, sizeof(url), "%strip", d->options.nginx.url);

    status = canaryd_http_send(http, url, &body, headers);

    curl_slist_free_all(headers);

    if (status) {
        (void) snprintf(err.text, sizeof(err.text),
                        "it answered with status %ld%s", status,
                        status == 405 ? ": its location needs "
                                        "\"agent_canary_api trip\"" : "");

    } else {
        (void) snprintf(err.text, sizeof(err.text), "%.150s", http->error);
    }

    (void) pthread_mutex_lock(&d->lock);

    if (status == 200) {
        canaryd_party_ok(&d->post, canaryd_now());
        canaryd_log(CANARYD_LOG_INFO, name, "nginx took the trip");

    } else {
        canaryd_party_fail(&d->post, err.text);
    }

    (void) pthread_mutex_unlock(&d->lock);
}
