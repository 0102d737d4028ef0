
/* Reads the status of nginx, once in an interval or faster. */

#include <inttypes.h>
#include <stdio.h>
#include "canaryd.h"
#include "clock.h"
#include "http.h"
#include "threads.h"


#define CANARYD_ANSWER_MAX   67108864
#define CANARYD_ANSWER_KEEP  4194304        /* more is given back at once */

#define CANARYD_TIMEOUT_MIN  1000           /* ms */

/* All flags, not only those that changed, every so many readings. */
#define CANARYD_FULL_EVERY   40

/* While evidence is rising, so many readings come in an interval. */
#define CANARYD_HURRY_TIMES  4


typedef struct {
    canaryd_t       *d;
    canaryd_http_t   http;
    char             boot[CANARYD_BOOT_MAX + 1];
    uint64_t         clock;                 /* of nginx, 0: not known */
    unsigned         turn;
    unsigned         full:1;                /* the last one has all flags */
} canaryd_scraper_t;


static void canaryd_scraper_wait(canaryd_t *d, uint64_t start);
static int canaryd_scraper_read(canaryd_scraper_t *s, canary_error_t *err);
static int canaryd_scraper_full(canaryd_scraper_t *s);


void *
canaryd_scraper(void *data)
{
    int                 rc;
    uint64_t            start;
    canaryd_t          *d = data;
    canary_error_t      err;
    canaryd_scraper_t   s = { 0 };

    s.d = d;

    if (canaryd_http_open(&s.http, d->options.nginx.socket,
                          CANARYD_ANSWER_MAX,
                          d->options.interval > CANARYD_TIMEOUT_MIN
                          ? (long) d->options.interval : CANARYD_TIMEOUT_MIN)
        != 0)
    {
        return NULL;
    }

    (void) pthread_mutex_lock(&d->lock);

    while (!d->stop) {
        start = canaryd_now();

        (void) pthread_mutex_unlock(&d->lock);
        rc = canaryd_scraper_read(&s, &err);
        (void) pthread_mutex_lock(&d->lock);

        if (rc == 0) {
            d->ready = 1;
            d->full = s.full;
            d->read_at = canaryd_now();
            canaryd_party_ok(&d->nginx, d->read_at);
            (void) pthread_cond_signal(&d->judge);

        } else {
            canaryd_party_fail(&d->nginx, err.text);
        }

        canaryd_scraper_wait(d, start);
    }

    (void) pthread_mutex_unlock(&d->lock);
    canaryd_http_close(&s.http);

    return NULL;
}


/* The next reading needs the judge to be done with this one. */

static void
canaryd_scraper_wait(canaryd_t *d, uint64_t start)
{
    uint64_t  now, when;

    while (!d->stop) {
        if (d->ready) {
            (void) pthread_cond_wait(&d->scraper, &d->lock);
            continue;
        }

        now = canaryd_now();
        when = start + (now < d->hurry
                        ? d->options.interval / CANARYD_HURRY_TIMES
                        : d->options.interval);

        if (now >= when) {
            return;
        }

        canaryd_cond_until(&d->scraper, &d->lock, when);
    }
}


/* Nothing is ready now, so that the status is the scraper's. */

static int
canaryd_scraper_read(canaryd_scraper_t *s, canary_error_t *err)
{
    char         url[CANARYD_URL_MAX + CANARYD_ID_MAX];
    long         status;
    unsigned     full;
    canaryd_t   *d;

    d = s->d;
    full = s->clock == 0 || s->turn++ % CANARYD_FULL_EVERY == 0;

    (void) snprintf(url, sizeof(url), "%sstatus?guard=%s",
                    d->options.nginx.url, d->options.instance);

    if (!full) {
        (void) snprintf(url, sizeof(url), "%sstatus?guard=%s&since=%" PRIu64,
                        d->options.nginx.url, d->options.instance, s->clock);
    }

    s->clock = 0;

    if (s->http.body.size > CANARYD_ANSWER_KEEP) {
        canaryd_text_free(&s->http.body);
    }

    status = canaryd_http_send(&s->http, url, NULL, NULL);

    if (status == 0) {
        (void) snprintf(err->text, sizeof(err->text), "%.150s",
                        s->http.error);
        return -1;
    }

    if (status != 200) {
        (void) snprintf(err->text, sizeof(err->text),
                        "it answered with status %ld", status);
        return -1;
    }

    if (canaryd_status_parse(&d->status, canaryd_text_str(&s->http.body),
                             err)
        != 0)
    {
        return -1;
    }

    s->full = full ? 1 : 0;

    return canaryd_scraper_full(s);
}


/*
 * What changed since a moment says nothing of an nginx that started after
 * it: the next reading is a full one then, and this one is dropped.
 */

static int
canaryd_scraper_full(canaryd_scraper_t *s)
{
    int         another;
    canaryd_t  *d;

    d = s->d;
    another = s->boot[0]
              && !canary_str_eq(canaryd_str(s->boot),
                                canaryd_str(d->status.boot));

    canaryd_copy(s->boot, sizeof(s->boot), canaryd_str(d->status.boot));
    s->clock = d->status.clock;

    if (another && !s->full) {
        s->clock = 0;
        d->status.n = 0;
    }

    return 0;
}
