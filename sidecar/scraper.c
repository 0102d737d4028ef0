
/*
 * Reads the status of nginx: of all flags once in an interval, and in between
 * of those whose evidence rises.
 */

#include <inttypes.h>
#include <stdio.h>
#include "canaryd.h"
#include "clock.h"
#include "http.h"
#include "hurry.h"
#include "threads.h"


#define CANARYD_ANSWER_MAX   67108864
#define CANARYD_ANSWER_KEEP  4194304        /* more is given back at once */

#define CANARYD_TIMEOUT_MIN  1000           /* ms */

/* The longest prefix, and what is asked for. */
#define CANARYD_SCRAPER_URL_MAX                                               \
    (CANARYD_URL_MAX + 2 * CANARYD_ID_MAX + CANARYD_HURRY_MAX + 64)

/* All flags, not only those that changed, every so many readings. */
#define CANARYD_FULL_EVERY   40

/* Of a flag whose evidence rises, so many readings come in an interval. */
#define CANARYD_HURRY_TIMES  4


typedef struct {
    canaryd_t       *d;
    canaryd_http_t   http;
    char             boot[CANARYD_BOOT_MAX + 1];
    uint64_t         clock;                 /* of nginx at the last reading of
                                               all flags, 0: not known */
    uint64_t         next;                  /* ms, when they are due again */
    unsigned         turn;
    unsigned         full:1;                /* the last one has all flags */
    unsigned         hurry;                 /* the next one: so many flags, */
    char             names[CANARYD_HURRY_MAX];      /* these; 0: all of them */
} canaryd_scraper_t;


static void canaryd_scraper_wait(canaryd_scraper_t *s, uint64_t start);
static int canaryd_scraper_read(canaryd_scraper_t *s, canary_error_t *err);
static void canaryd_scraper_url(canaryd_scraper_t *s, char *url,
    size_t size);
static void canaryd_scraper_done(canaryd_scraper_t *s, uint64_t clock);


void *
canaryd_scraper(void *data)
{
    int                 rc;
    uint64_t            start, now;
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

        if (s.hurry == 0) {
            s.next = start + d->options.interval;
        }

        (void) pthread_mutex_unlock(&d->lock);
        rc = canaryd_scraper_read(&s, &err);
        (void) pthread_mutex_lock(&d->lock);

        if (rc == 0) {
            d->ready = 1;
            d->full = s.full;
            now = canaryd_now();

            if (s.hurry == 0) {
                d->read_at = now;
            }

            canaryd_party_ok(&d->nginx, now);
            (void) pthread_cond_signal(&d->judge);

        } else {
            canaryd_party_fail(&d->nginx, err.text);
        }

        canaryd_scraper_wait(&s, start);
    }

    (void) pthread_mutex_unlock(&d->lock);
    canaryd_http_close(&s.http);

    return NULL;
}


/* The next reading needs the judge to be done with this one. */

static void
canaryd_scraper_wait(canaryd_scraper_t *s, uint64_t start)
{
    uint64_t    now, when, pace;
    canaryd_t  *d;

    d = s->d;

    /* rounded up, or the last one would come just before all are read */

    pace = (d->options.interval + CANARYD_HURRY_TIMES - 1)
           / CANARYD_HURRY_TIMES;

    while (!d->stop) {
        if (d->ready) {
            (void) pthread_cond_wait(&d->scraper, &d->lock);
            continue;
        }

        now = canaryd_now();
        when = start + pace;

        /* after a failure nothing but the whole status will do */

        s->hurry = s->clock && when < s->next && now < s->next
                   ? canaryd_hurry_names(d, s->names, now) : 0;

        if (s->hurry == 0) {
            when = s->next;
        }

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
    char        url[CANARYD_SCRAPER_URL_MAX];
    long        status;
    uint64_t    clock;
    canaryd_t  *d;

    d = s->d;
    s->full = s->hurry == 0
              && (s->clock == 0 || s->turn++ % CANARYD_FULL_EVERY == 0);

    canaryd_scraper_url(s, url, sizeof(url));

    clock = s->clock;
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

    canaryd_scraper_done(s, clock);

    return 0;
}


/*
 * Of flags that are read in a hurry a change is seen twice: what counts is
 * when all were read, as the others may have changed since.
 */

static void
canaryd_scraper_url(canaryd_scraper_t *s, char *url, size_t size)
{
    char        since[CANARYD_ID_MAX];
    canaryd_t  *d;

    d = s->d;
    since[0] = '\0';

    if (!s->full) {
        (void) snprintf(since, sizeof(since), "&since=%" PRIu64, s->clock);
    }

    (void) snprintf(url, size, "%sstatus?guard=%s%s%s%s",
                    d->options.nginx.url, d->options.instance, since,
                    s->hurry ? "&flag=" : "", s->hurry ? s->names : "");
}


/*
 * What changed since a moment says nothing of an nginx that started after
 * it: the next reading is a full one then, and this one is dropped.
 */

static void
canaryd_scraper_done(canaryd_scraper_t *s, uint64_t clock)
{
    int         another;
    canaryd_t  *d;

    d = s->d;
    another = s->boot[0]
              && !canary_str_eq(canaryd_str(s->boot),
                                canaryd_str(d->status.boot));

    canaryd_copy(s->boot, sizeof(s->boot), canaryd_str(d->status.boot));
    s->clock = s->hurry ? clock : d->status.clock;

    if (another && !s->full) {
        s->clock = 0;
        d->status.n = 0;
    }
}
