
/* The thread that calls the webhook. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "address.h"
#include "canaryd.h"
#include "clock.h"
#include "http.h"
#include "lift.h"
#include "log.h"
#include "sign.h"
#include "threads.h"


#define CANARYD_HOOK_TIMEOUT  3000          /* ms */
#define CANARYD_HOOK_MAX      65536         /* bytes of its answer */
#define CANARYD_HOOK_TURN     500


static canaryd_event_t *canaryd_webhook_next(canaryd_t *d, uint64_t now);
static void canaryd_webhook_body(canaryd_text_t *body, const canaryd_t *d,
    const canaryd_event_t *event);
static int canaryd_webhook_call(canaryd_t *d, const char *id,
    const canaryd_secret_t *secret, canary_str_t body, canary_error_t *err);
static int canaryd_webhook_refuse(void *data, const struct sockaddr *addr);
static struct curl_slist *canaryd_webhook_headers(const char *id,
    const canaryd_secret_t *secret, canary_str_t body);
static void canaryd_webhook_done(canaryd_t *d, const char *id, int rc,
    const canary_error_t *err);


void *
canaryd_webhook(void *data)
{
    int                rc;
    char               id[CANARYD_ID_MAX];
    canaryd_t         *d = data;
    canaryd_text_t     body = { 0 };
    canary_error_t     err;
    canaryd_event_t   *event;
    canaryd_secret_t   secret;

    (void) pthread_mutex_lock(&d->lock);

    while (!d->stop) {
        event = canaryd_webhook_next(d, canaryd_now());

        if (event == NULL) {
            canaryd_cond_until(&d->webhook, &d->lock,
                               canaryd_now() + CANARYD_HOOK_TURN);
            continue;
        }

        memcpy(id, event->id, sizeof(id));
        secret = d->keys.webhook;
        canaryd_text_reset(&body);
        canaryd_webhook_body(&body, d, event);

        (void) pthread_mutex_unlock(&d->lock);

        rc = body.failed ? -1
             : canaryd_webhook_call(d, id, &secret, canaryd_text_str(&body),
                                    &err);

        (void) pthread_mutex_lock(&d->lock);

        canaryd_webhook_done(d, id, rc, &err);
    }

    (void) pthread_mutex_unlock(&d->lock);
    canaryd_text_free(&body);

    return NULL;
}


static canaryd_event_t *
canaryd_webhook_next(canaryd_t *d, uint64_t now)
{
    canaryd_event_t  *event;

    for (event = d->events.first; event; event = event->next) {
        (void) canaryd_event_hook(event, now);

        if (event->hook == CANARYD_HOOK_DUE && event->retry <= now) {
            return event;
        }
    }

    return NULL;
}


static void
canaryd_webhook_body(canaryd_text_t *body, const canaryd_t *d,
    const canaryd_event_t *event)
{
    canaryd_text_printf(body, "{\"type\":\"%s\",\"id\":\"%s\",\"flag\":\"%s\""
                        ",\"epoch\":%" PRIu64 ",\"instance\":\"%s\"",
                        event->type, event->id, event->flag, event->epoch,
                        d->options.instance);

    if (strcmp(event->type, "trip") == 0) {
        canaryd_text_put(body, ",\"lift\":\"");
        canaryd_lift(body, d, event->flag, event->epoch);
        canaryd_text_put(body, "\"");
    }

    canaryd_text_put(body, ",\"record\":");
    canaryd_text_put(body, event->record);
    canaryd_text_put(body, "}");
}


/* Of its own connection each time: there are few of them in a year. */

static int
canaryd_webhook_call(canaryd_t *d, const char *id,
    const canaryd_secret_t *secret, canary_str_t body, canary_error_t *err)
{
    long                status;
    canaryd_http_t      http;
    struct curl_slist  *headers;

    (void) snprintf(err->text, sizeof(err->text), "out of memory");

    if (canaryd_http_open(&http, "", CANARYD_HOOK_MAX, CANARYD_HOOK_TIMEOUT)
        != 0)
    {
        return -1;
    }

    http.refuse = canaryd_webhook_refuse;
    http.data = &d->options.webhook;

    headers = canaryd_webhook_headers(id, secret, body);
    status = 0;

    if (headers) {
        status = canaryd_http_send(&http, d->options.webhook.url, &body,
                                   headers);

        if (status) {
            (void) snprintf(err->text, sizeof(err->text),
                            "it answered with status %ld", status);

        } else {
            (void) snprintf(err->text, sizeof(err->text), "%.150s",
                            http.error);
        }
    }

    curl_slist_free_all(headers);
    canaryd_http_close(&http);

    return status >= 200 && status < 300 ? 0 : -1;
}


static int
canaryd_webhook_refuse(void *data, const struct sockaddr *addr)
{
    const canaryd_hook_t  *hook = data;

    return canaryd_address_refused(addr, hook->loopback);
}


static struct curl_slist *
canaryd_webhook_headers(const char *id, const canaryd_secret_t *secret,
    canary_str_t body)
{
    char                line[2 * CANARYD_ID_MAX];
    char                signature[CANARYD_SIGNATURE_MAX];
    struct curl_slist  *list, *last;

    list = curl_slist_append(NULL, "Content-Type: application/json");

    if (list == NULL) {
        return NULL;
    }

    /* the same id again is the same event: a delivery may come twice */

    (void) snprintf(line, sizeof(line), "X-Agent-Canary-Id: %s", id);
    last = curl_slist_append(list, line);

    if (last && secret->len) {
        last = NULL;

        if (canaryd_sign(signature, secret, canaryd_unix_time(), body) == 0) {
            (void) snprintf(line, sizeof(line),
                            "X-Agent-Canary-Signature: %s", signature);
            last = curl_slist_append(list, line);
        }
    }

    if (last == NULL) {
        curl_slist_free_all(list);
        return NULL;
    }

    return list;
}


static void
canaryd_webhook_done(canaryd_t *d, const char *id, int rc,
    const canary_error_t *err)
{
    uint64_t          now;
    canaryd_event_t  *event;

    now = canaryd_now();

    if (rc == 0) {
        canaryd_party_ok(&d->hook, now);

    } else {
        canaryd_party_fail(&d->hook, err->text);
    }

    event = canaryd_events_find(&d->events, id);

    if (event == NULL) {
        return;
    }

    if (!canaryd_event_called(event, rc == 0, now)) {
        return;
    }

    if (rc != 0) {
        canaryd_log(CANARYD_LOG_ERROR, event->flag, "the webhook was not "
                    "told of %s in %u tries: %s", id, event->tries,
                    err->text);
    }

    d->save_now = 1;
}
