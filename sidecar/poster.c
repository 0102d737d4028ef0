
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

/* Whether nginx takes trips is tried this often, in ms. */
#define CANARYD_TRY_EVERY     60000
#define CANARYD_TRY_AGAIN     5000          /* it did not, or is another one */

#define CANARYD_POST_TURN     1000          /* ms, to look what is due */


typedef struct {
    canaryd_t       *d;
    canaryd_http_t   http;
    char             boot[CANARYD_BOOT_MAX + 1];
    uint64_t         tried;                 /* ms */
} canaryd_poster_t;


static char *canaryd_poster_next(canaryd_t *d, char *name);
static int canaryd_poster_due(canaryd_poster_t *p);
static int canaryd_poster_waits(const canaryd_t *d);
static void canaryd_poster_try(canaryd_poster_t *p);
static void canaryd_poster_send(canaryd_poster_t *p, const char *name,
    const char *record);
static long canaryd_poster_post(canaryd_poster_t *p, const char *record);
static void canaryd_poster_fail(canaryd_poster_t *p, long status);


void *
canaryd_poster(void *data)
{
    char               name[CANARY_FLAG_NAME_MAX + 1], *record;
    canaryd_t         *d = data;
    canaryd_poster_t   p = { 0 };

    p.d = d;

    if (canaryd_http_open(&p.http, d->options.nginx.socket, CANARYD_POST_MAX,
                          CANARYD_POST_TIMEOUT)
        != 0)
    {
        return NULL;
    }

    (void) pthread_mutex_lock(&d->lock);

    while (!d->stop) {
        record = canaryd_poster_next(d, name);

        if (record) {
            (void) pthread_mutex_unlock(&d->lock);
            canaryd_poster_send(&p, name, record);
            free(record);
            (void) pthread_mutex_lock(&d->lock);

        } else if (canaryd_poster_due(&p)) {
            (void) pthread_mutex_unlock(&d->lock);
            canaryd_poster_try(&p);
            (void) pthread_mutex_lock(&d->lock);

        } else {
            canaryd_cond_until(&d->poster, &d->lock,
                               canaryd_now() + CANARYD_POST_TURN);
        }
    }

    (void) pthread_mutex_unlock(&d->lock);
    canaryd_http_close(&p.http);

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


/*
 * An nginx that does not answer is told of by who reads it, and one that
 * refuses a trip by the trip.
 */

static int
canaryd_poster_due(canaryd_poster_t *p)
{
    int         another;
    uint64_t    every;
    canaryd_t  *d;

    d = p->d;

    if (d->nginx.state != CANARYD_PARTY_UP || canaryd_poster_waits(d)) {
        return 0;
    }

    another = !canary_str_eq(canaryd_str(p->boot), canaryd_str(d->boot));
    every = another || d->post.state != CANARYD_PARTY_UP
            ? CANARYD_TRY_AGAIN : CANARYD_TRY_EVERY;

    if (p->tried && canaryd_now() - p->tried < every) {
        return 0;
    }

    memcpy(p->boot, d->boot, sizeof(p->boot));

    return 1;
}


static int
canaryd_poster_waits(const canaryd_t *d)
{
    unsigned  i;

    for (i = 0; i < d->n; i++) {
        if (canaryd_flag_latched(d->flag[i])
            && !(d->flag[i]->latch.at & 1U << CANARYD_AT_NGINX))
        {
            return 1;
        }
    }

    return 0;
}


/*
 * That a location has no "trip", or that something in front of it refuses a
 * POST, is to be known before there is a trip: this one names no flag, and
 * whoever takes trips says that it is a bad request.
 */

static void
canaryd_poster_try(canaryd_poster_t *p)
{
    long  status;

    status = canaryd_poster_post(p, "{}");

    (void) pthread_mutex_lock(&p->d->lock);

    if (status == 400) {
        canaryd_party_ok(&p->d->post, canaryd_now());

    } else {
        canaryd_poster_fail(p, status);
    }

    (void) pthread_mutex_unlock(&p->d->lock);
}


static void
canaryd_poster_send(canaryd_poster_t *p, const char *name,
    const char *record)
{
    long        status;
    canaryd_t  *d;

    d = p->d;
    status = canaryd_poster_post(p, record);

    (void) pthread_mutex_lock(&d->lock);

    if (status == 200) {
        canaryd_party_ok(&d->post, canaryd_now());
        canaryd_log(CANARYD_LOG_INFO, name, "nginx took the trip");

    } else {
        canaryd_poster_fail(p, status);
    }

    (void) pthread_mutex_unlock(&d->lock);
}


/* Returns the status, or 0. */

static long
canaryd_poster_post(canaryd_poster_t *p, const char *record)
{
    char                url[CANARYD_URL_MAX + CANARYD_ID_MAX];
    long                status;
    canary_str_t        body;
    struct curl_slist  *headers;

    headers = curl_slist_append(NULL, "Content-Type: application/json");
    body = canaryd_str(record);

    (void) snprintf(url, sizeof(url), "%strip", p->d->options.nginx.url);

    status = canaryd_http_send(&p->http, url, &body, headers);

    curl_slist_free_all(headers);

    p->tried = canaryd_now();

    return status;
}


static void
canaryd_poster_fail(canaryd_poster_t *p, long status)
{
    const char      *hint;
    canary_error_t   err;

    switch (status) {

    case 0:
        (void) snprintf(err.text, sizeof(err.text), "%.150s", p->http.error);
        canaryd_party_fail(&p->d->post, err.text);
        return;

    case 403:
        hint = ": its location forbids a POST";
        break;

    case 405:
        hint = ": its location needs \"agent_canary_api trip\"";
        break;

    default:
        hint = "";
    }

    (void) snprintf(err.text, sizeof(err.text),
                    "it answered with status %ld%s", status, hint);
    canaryd_party_fail(&p->d->post, err.text);
}
