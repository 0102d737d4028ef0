
/* Writes the state file, so that a slow disk does not keep the judge. */

#include "canaryd.h"
#include "clock.h"
#include "state.h"
#include "threads.h"


void *
canaryd_saver(void *data)
{
    int              rc;
    canaryd_t       *d = data;
    canary_error_t   err;
    canaryd_text_t   text;

    (void) pthread_mutex_lock(&d->lock);

    while (!d->last || d->saving.len) {
        if (d->saving.len == 0) {
            (void) pthread_cond_wait(&d->saver, &d->lock);
            continue;
        }

        text = d->saving;
        d->saving = (canaryd_text_t) { 0 };

        (void) pthread_mutex_unlock(&d->lock);
        rc = canaryd_state_store(d->options.state, canaryd_text_str(&text),
                                 &err);
        canaryd_text_free(&text);
        (void) pthread_mutex_lock(&d->lock);

        if (rc == 0) {
            canaryd_party_ok(&d->file, canaryd_now());

        } else {
            canaryd_party_fail(&d->file, err.text);
        }
    }

    (void) pthread_mutex_unlock(&d->lock);

    return NULL;
}
