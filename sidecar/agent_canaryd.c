
/* agent-canaryd: the guard beside each nginx. */

#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "canaryd.h"
#include "clock.h"
#include "http.h"
#include "intake.h"
#include "judge.h"
#include "listen.h"
#include "log.h"
#include "notify.h"
#include "state.h"
#include "threads.h"


#define CANARYD_THREADS     6
#define CANARYD_STACK       262144
#define CANARYD_SAVE_EVERY  5000            /* ms */
#define CANARYD_SAVE_LEAST  1000            /* ms, after something happened */
#define CANARYD_STOP_MAX    1500            /* ms, for threads to end */


typedef void *(*canaryd_thread_pt)(void *data);


typedef struct {
    canaryd_t          *d;
    canaryd_thread_pt   run;
} canaryd_thread_t;


static int canaryd_command(const canaryd_options_t *o);
static int canaryd_prepare(canaryd_t *d, canary_error_t *err);
static void canaryd_parties(canaryd_t *d);
static void canaryd_writer(canaryd_t *d);
static int canaryd_locks(canaryd_t *d);
static int canaryd_start(canaryd_t *d);
static void *canaryd_thread(void *data);
static void *canaryd_signals(void *data);
static void canaryd_reload(canaryd_t *d);
static void canaryd_run(canaryd_t *d);
static uint64_t canaryd_turn(canaryd_t *d, uint64_t next);
static void canaryd_save(canaryd_t *d, uint64_t now);
static void canaryd_stop(canaryd_t *d);
static void canaryd_stop_wait(canaryd_t *d, unsigned left);


/* Its own: the threads may outlive main() when one of them hangs. */

static canaryd_t         canaryd;
static canaryd_thread_t  canaryd_threads[CANARYD_THREADS];
static unsigned          canaryd_running;
static sigset_t          canaryd_sigset;


int
main(int argc, char **argv)
{
    canary_error_t      err;
    struct MHD_Daemon  *daemon;

    if (canaryd_options_parse(&canaryd.options, argc, argv, &err) != 0) {
        (void) fprintf(stderr, "agent-canaryd: %s\n", err.text);
        return 2;
    }

    if (canaryd.options.command == CANARYD_SHOW_VERSION
        || canaryd.options.command == CANARYD_SHOW_HELP)
    {
        return canaryd_command(&canaryd.options);
    }

    canaryd_log_init((int) canaryd.options.json, canaryd.options.instance);

    if (canaryd_prepare(&canaryd, &err) != 0) {
        (void) fprintf(stderr, "agent-canaryd: %s\n", err.text);
        return 1;
    }

    if (canaryd.options.command == CANARYD_CHECK) {

        /* who runs does without, and goes on trying */

        if (canaryd.options.state
            && canaryd_state_check(canaryd.options.state, &err) != 0)
        {
            (void) fprintf(stderr, "agent-canaryd: %s\n", err.text);
            return 1;
        }

        return canaryd_command(&canaryd.options);
    }

    daemon = NULL;

    if (canaryd.options.listen.port) {
        daemon = canaryd_listen(&canaryd, &err);

        if (daemon == NULL) {
            (void) fprintf(stderr, "agent-canaryd: %s\n", err.text);
            return 1;
        }
    }

    if (canaryd_start(&canaryd) != 0) {
        (void) fprintf(stderr, "agent-canaryd: no threads\n");
        return 1;
    }

    canaryd_run(&canaryd);

    if (daemon) {
        MHD_stop_daemon(daemon);
    }

    canaryd_stop(&canaryd);

    return 0;
}


static int
canaryd_command(const canaryd_options_t *o)
{
    switch (o->command) {

    case CANARYD_SHOW_VERSION:
        (void) puts("agent-canaryd " CANARYD_VERSION);
        break;

    case CANARYD_SHOW_HELP:
        (void) fputs(canaryd_usage, stdout);
        break;

    default:
        (void) fputs("agent-canaryd: options and files are fine\n", stderr);
    }

    return 0;
}


static int
canaryd_prepare(canaryd_t *d, canary_error_t *err)
{
    /* secrets leave no core; one heap is enough for a few threads */

    (void) prctl(PR_SET_DUMPABLE, 0);
    (void) mallopt(M_ARENA_MAX, 1);
    (void) signal(SIGPIPE, SIG_IGN);

    /*
     * Signals are for the thread that waits for them: every other one, also
     * of a library, has to be started with them blocked.
     */

    (void) sigemptyset(&canaryd_sigset);
    (void) sigaddset(&canaryd_sigset, SIGTERM);
    (void) sigaddset(&canaryd_sigset, SIGINT);
    (void) sigaddset(&canaryd_sigset, SIGHUP);
    (void) pthread_sigmask(SIG_BLOCK, &canaryd_sigset, NULL);

    d->started = canaryd_now();
    canaryd_parties(d);

    if (d->options.sentinel == NULL) {
        d->redis_addr = d->options.redis[0];
    }

    srandom((unsigned) (canaryd_unix_time() ^ getpid()));
    canaryd_writer(d);

    if (canaryd_keys_read(&d->keys, &d->options, err) != 0) {
        return -1;
    }

    if (d->options.state && canaryd_state_load(d, err) != 0) {
        canaryd_log(CANARYD_LOG_WARN, NULL, "%s: starting without evidence",
                    err->text);
    }

    if (canaryd_locks(d) != 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        (void) snprintf(err->text, sizeof(err->text), "out of memory");
        return -1;
    }

    return 0;
}


static void
canaryd_parties(canaryd_t *d)
{
    d->nginx.name = "nginx";
    d->nginx.up = "nginx answers";
    d->nginx.down = "nginx is lost";

    d->post.name = "post";
    d->post.up = "nginx takes trips";
    d->post.down = "nginx takes no trips";

    d->redis_party.name = "redis";
    d->redis_party.up = "Redis answers";
    d->redis_party.down = "Redis is lost";

    d->hook.name = "webhook";
    d->hook.up = "the webhook takes calls";
    d->hook.down = "the webhook takes no calls";

    d->file.name = "state";
    d->file.up = "the state file is written";
    d->file.down = "the state file is not written";
}


/* Of audit markers; the one in the state file, if any, replaces it. */

static void
canaryd_writer(canaryd_t *d)
{
    (void) snprintf(d->writer, sizeof(d->writer), "%s/%08lx%08lx",
                    d->options.instance, (unsigned long) random(),
                    (unsigned long) random());
}


static int
canaryd_locks(canaryd_t *d)
{
    return pthread_mutex_init(&d->lock, NULL) != 0
           || canaryd_cond_init(&d->judge) != 0
           || canaryd_cond_init(&d->scraper) != 0
           || canaryd_cond_init(&d->poster) != 0
           || canaryd_cond_init(&d->redis) != 0
           || canaryd_cond_init(&d->webhook) != 0
           || canaryd_cond_init(&d->saver) != 0 ? -1 : 0;
}


static int
canaryd_start(canaryd_t *d)
{
    unsigned        i, n;
    pthread_t       id;
    pthread_attr_t  attr;

    n = 0;
    canaryd_threads[n++].run = canaryd_signals;
    canaryd_threads[n++].run = canaryd_scraper;
    canaryd_threads[n++].run = canaryd_poster;
    canaryd_threads[n++].run = canaryd_redis;

    if (d->options.webhook.url[0]) {
        canaryd_threads[n++].run = canaryd_webhook;
    }

    if (d->options.state) {
        canaryd_threads[n++].run = canaryd_saver;
    }

    if (pthread_attr_init(&attr) != 0
        || pthread_attr_setstacksize(&attr, CANARYD_STACK) != 0
        || pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) != 0)
    {
        return -1;
    }

    canaryd_running = n - 1;                /* the first one just waits */

    for (i = 0; i < n; i++) {
        canaryd_threads[i].d = d;

        if (pthread_create(&id, &attr, canaryd_thread, &canaryd_threads[i])
            != 0)
        {
            return -1;
        }
    }

    (void) pthread_attr_destroy(&attr);

    return 0;
}


static void *
canaryd_thread(void *data)
{
    canaryd_thread_t  *thread = data;

    (void) thread->run(thread->d);

    (void) pthread_mutex_lock(&thread->d->lock);
    canaryd_running--;
    (void) pthread_cond_signal(&thread->d->judge);
    (void) pthread_mutex_unlock(&thread->d->lock);

    return NULL;
}


static void *
canaryd_signals(void *data)
{
    int         sig;
    canaryd_t  *d = data;

    for ( ;; ) {
        if (sigwait(&canaryd_sigset, &sig) != 0) {
            continue;
        }

        if (sig == SIGHUP) {
            canaryd_reload(d);
            continue;
        }

        (void) pthread_mutex_lock(&d->lock);
        d->stop = 1;
        (void) pthread_cond_signal(&d->judge);
        (void) pthread_mutex_unlock(&d->lock);
    }

    return NULL;
}


/* Here, and not by the judge: a file may be on a disk that hangs. */

static void
canaryd_reload(canaryd_t *d)
{
    char            text[64];
    canary_error_t  err;
    canaryd_keys_t  fresh = { 0 };

    (void) snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%"
                    PRIu64, canaryd_now() * 1000);
    canaryd_notify(text);

    if (canaryd_keys_read(&fresh, &d->options, &err) == 0) {
        (void) pthread_mutex_lock(&d->lock);
        canaryd_keys_copy(&d->keys, &fresh);
        (void) pthread_mutex_unlock(&d->lock);

        canaryd_keys_clear(&fresh);
        canaryd_log(CANARYD_LOG_INFO, NULL, "the secrets were read again");

    } else {
        canaryd_log(CANARYD_LOG_ERROR, NULL, "%s; the ones before stay",
                    err.text);
    }

    canaryd_notify("READY=1");
}


static void
canaryd_run(canaryd_t *d)
{
    uint64_t  next;

    canaryd_log(CANARYD_LOG_INFO, NULL, "agent-canaryd " CANARYD_VERSION
                " as \"%s\" watches %s%s%s", d->options.instance,
                d->options.nginx.url,
                d->options.nginx.socket[0] ? " at unix:" : "",
                d->options.nginx.socket);
    canaryd_notify("READY=1");

    (void) pthread_mutex_lock(&d->lock);
    next = canaryd_now() + d->options.interval;

    while (!d->stop) {
        while (!d->stop && !d->ready && canaryd_now() < next) {
            canaryd_cond_until(&d->judge, &d->lock, next);
        }

        next = canaryd_turn(d, next);
    }

    (void) pthread_mutex_unlock(&d->lock);
    canaryd_notify("STOPPING=1");
}


static uint64_t
canaryd_turn(canaryd_t *d, uint64_t next)
{
    uint64_t  now;

    now = canaryd_now();

    if (now > next + d->options.interval / 2) {
        d->late++;
    }

    if (d->ready) {
        canaryd_intake_status(d, now);
        d->ready = 0;
        (void) pthread_cond_signal(&d->scraper);
    }

    canaryd_judge_tick(d, now);
    canaryd_save(d, now);

    (void) pthread_mutex_unlock(&d->lock);
    canaryd_notify("WATCHDOG=1");
    (void) pthread_mutex_lock(&d->lock);

    return now + d->options.interval;
}


/* After each trip at once, else now and then: nginx has the rest. */

static void
canaryd_save(canaryd_t *d, uint64_t now)
{
    uint64_t  least;

    least = d->save_now ? CANARYD_SAVE_LEAST : CANARYD_SAVE_EVERY;

    if (d->options.state == NULL || d->saving.len
        || (d->saved_at && now - d->saved_at < least))
    {
        return;
    }

    d->saved_at = now;
    d->save_now = 0;

    canaryd_state_write(&d->saving, d);

    if (d->saving.failed) {
        canaryd_text_free(&d->saving);
        return;
    }

    (void) pthread_cond_signal(&d->saver);
}


static void
canaryd_stop(canaryd_t *d)
{
    unsigned  saver;

    saver = d->options.state ? 1 : 0;

    (void) pthread_mutex_lock(&d->lock);

    (void) pthread_cond_broadcast(&d->scraper);
    (void) pthread_cond_broadcast(&d->poster);
    (void) pthread_cond_broadcast(&d->redis);
    (void) pthread_cond_broadcast(&d->webhook);

    canaryd_stop_wait(d, saver);

    /* what the others have come to is in the last state */

    if (saver) {
        canaryd_judge_tick(d, canaryd_now());
        canaryd_text_free(&d->saving);
        canaryd_state_write(&d->saving, d);

        if (d->saving.failed) {
            canaryd_text_free(&d->saving);
        }

        d->last = 1;
        (void) pthread_cond_broadcast(&d->saver);

        canaryd_stop_wait(d, 0);
    }

    if (canaryd_running) {
        canaryd_log(CANARYD_LOG_WARN, NULL, "stopped, but %u threads hang",
                    canaryd_running);
        _exit(0);
    }

    canaryd_log(CANARYD_LOG_INFO, NULL, "stopped");

    canaryd_keys_clear(&d->keys);

    (void) pthread_mutex_unlock(&d->lock);

    canaryd_status_clear(&d->status);
    canaryd_events_clear(&d->events);
    canaryd_flags_free(d);
    canaryd_text_free(&d->saving);
    curl_global_cleanup();
}


/* Until so many threads are left, or the time is over. */

static void
canaryd_stop_wait(canaryd_t *d, unsigned left)
{
    uint64_t  until;

    until = canaryd_now() + CANARYD_STOP_MAX;

    while (canaryd_running > left && canaryd_now() < until) {
        canaryd_cond_until(&d->judge, &d->lock, until);
    }
}
