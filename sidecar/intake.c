
#include <inttypes.h>
#include <string.h>
#include "intake.h"
#include "log.h"
#include "rules.h"
#include "trips.h"


static void canaryd_intake_flag(canaryd_t *d, canaryd_status_flag_t *s,
    unsigned hint, uint64_t now);
static void canaryd_intake_known(canaryd_t *d, canaryd_flag_t *f,
    const canaryd_status_flag_t *s, uint64_t now);
static void canaryd_intake_copy(canaryd_flag_t *f,
    const canaryd_status_flag_t *s);
static void canaryd_intake_epoch(canaryd_flag_t *f, uint64_t epoch);
static void canaryd_intake_own(canaryd_t *d, canaryd_flag_t *f,
    const canaryd_status_flag_t *s, uint64_t now);
static void canaryd_intake_count(canaryd_flag_t *f, const char *boot,
    uint64_t epoch, const canary_tally_t *arm, uint64_t now);
static void canaryd_intake_absent(canaryd_t *d);
static void canaryd_intake_dropped(canaryd_t *d);


void
canaryd_intake_status(canaryd_t *d, uint64_t now)
{
    unsigned  i;

    if (strcmp(d->boot, d->status.boot) != 0) {
        if (d->boot[0]) {
            canaryd_log(CANARYD_LOG_WARN, NULL, "nginx started anew: its "
                        "counters begin at zero");
        }

        canaryd_copy(d->boot, sizeof(d->boot), canaryd_str(d->status.boot));
    }

    canaryd_copy(d->nginx_version, sizeof(d->nginx_version),
                 canaryd_str(d->status.version));

    d->nginx_fresh = d->status.fresh;
    d->bad_flags += d->status.bad;

    if (d->full) {
        for (i = 0; i < d->n; i++) {
            d->flag[i]->present = 0;
        }
    }

    for (i = 0; i < d->status.n; i++) {
        canaryd_intake_flag(d, &d->status.flag[i], i, now);
    }

    if (d->full) {
        canaryd_intake_absent(d);
        canaryd_intake_dropped(d);
    }
}


/* hint: the flags come in the same order, most of the time. */

static void
canaryd_intake_flag(canaryd_t *d, canaryd_status_flag_t *s, unsigned hint,
    uint64_t now)
{
    canaryd_flag_t  *f;

    f = hint < d->n && strcmp(d->flag[hint]->name, s->name) == 0
        ? d->flag[hint] : canaryd_flag_find(d, s->name);

    if (f == NULL) {
        f = canaryd_flag_add(d, s->name);
    }

    if (f == NULL) {
        d->bad_flags++;
        return;
    }

    f->present = 1;

    if (s->bad) {
        if (!f->bad) {
            canaryd_log(CANARYD_LOG_ERROR, f->name, "no data: nginx shows a "
                        "\"%s\" that cannot be right", s->bad);
        }

        f->bad = 1;
        return;
    }

    if (f->bad) {
        canaryd_log(CANARYD_LOG_INFO, f->name, "there is data again");
    }

    f->bad = 0;
    canaryd_copy(f->state, sizeof(f->state), canaryd_str(s->state));

    if (s->known) {
        canaryd_intake_known(d, f, s, now);
    }
}


static void
canaryd_intake_known(canaryd_t *d, canaryd_flag_t *f,
    const canaryd_status_flag_t *s, uint64_t now)
{
    int       first;
    uint32_t  percent;

    first = !f->known;
    percent = f->percent;

    /* also of a flag that nginx did not know for a while */

    if (f->verdict && s->epoch != f->epoch) {
        canaryd_intake_epoch(f, s->epoch);

    } else if (s->epoch != f->epoch) {
        f->notified = 0;
    }

    canaryd_intake_copy(f, s);
    canaryd_rules_read(f, s->guardrails);

    if (f->verdict == NULL) {
        return;                             /* out of memory: try again */
    }

    if (first) {
        f->known = 1;
        f->ticked = now;

    } else if (percent != f->percent) {
        canary_verdict_restart_proof(f->verdict);
    }

    canaryd_latch_epoch(&f->latch, f->epoch);

    if (s->latched && s->trip.epoch >= f->epoch) {
        canaryd_trip_learn(d, f, CANARYD_AT_NGINX, &s->trip, s->record,
                           now);

    } else {
        canaryd_latch_lost(&f->latch, CANARYD_AT_NGINX);
    }

    canaryd_intake_own(d, f, s, now);
}


static void
canaryd_intake_copy(canaryd_flag_t *f, const canaryd_status_flag_t *s)
{
    unsigned  arm;

    f->enabled = s->enabled;
    f->tripped = s->tripped;
    f->targets = s->targets;
    f->epoch = s->epoch;
    f->percent = s->percent;
    f->stages = s->stages.n ? s->stages : canary_ladder_default;

    for (arm = 0; arm < CANARY_ARMS; arm++) {
        f->in_flight[arm] = s->in_flight[arm];
        f->bundle[arm][0] = '\0';

        if (s->bundle[arm].len < CANARYD_BUNDLE_MAX) {
            canaryd_copy(f->bundle[arm], CANARYD_BUNDLE_MAX, s->bundle[arm]);
        }
    }
}


static void
canaryd_intake_epoch(canaryd_flag_t *f, uint64_t epoch)
{
    canaryd_log(CANARYD_LOG_INFO, f->name, "epoch %" PRIu64 ", was %" PRIu64
                ": the evidence starts anew", epoch, f->epoch);

    canary_verdict_renew(f->verdict, epoch);

    memset(f->sum, 0, sizeof(f->sum));
    f->fed = 0;
    f->notified = 0;

    if (epoch < f->epoch) {
        canaryd_latch_clear(&f->latch);     /* the flag was made anew */
    }
}


static void
canaryd_intake_own(canaryd_t *d, canaryd_flag_t *f,
    const canaryd_status_flag_t *s, uint64_t now)
{
    if (f->version == 0 || strcmp(f->window.boot, d->boot) != 0
        || f->window.epoch != s->epoch || f->window.percent != s->percent
        || memcmp((const char *) f->window.arm, (const char *) s->arm,
                  sizeof(s->arm))
           != 0)
    {
        f->version++;
    }

    canaryd_copy(f->window.boot, sizeof(f->window.boot),
                 canaryd_str(d->boot));

    f->window.epoch = s->epoch;
    f->window.percent = s->percent;
    memcpy(f->window.arm, s->arm, sizeof(s->arm));

    canaryd_intake_count(f, d->boot, s->epoch, s->arm, now);
}


void
canaryd_intake_window(canaryd_t *d, canaryd_flag_t *f,
    const canaryd_window_t *w, uint64_t now)
{
    /* the own nginx is read at first hand */

    if (f->known && strcmp(w->boot, d->boot) != 0) {
        canaryd_intake_count(f, w->boot, w->epoch, w->arm, now);
    }
}


/* Of another epoch than the flag's, it is kept and not counted. */

static void
canaryd_intake_count(canaryd_flag_t *f, const char *boot, uint64_t epoch,
    const canary_tally_t *arm, uint64_t now)
{
    canary_tally_t   any[CANARY_ARMS];
    canary_tally_t  *sum;

    memset(any, 0, sizeof(any));

    sum = epoch == f->epoch ? f->sum : any;

    if (canaryd_fleet_read(&f->fleet, boot, epoch, arm, now, sum)
        == CANARYD_COUNTED && sum == f->sum)
    {
        f->fed = 1;
    }
}


static void
canaryd_intake_absent(canaryd_t *d)
{
    unsigned         i;
    canaryd_flag_t  *f;

    for (i = 0; i < d->n; i++) {
        f = d->flag[i];

        if (!f->present && f->known) {
            canaryd_log(CANARYD_LOG_WARN, f->name, "nginx does not know it "
                        "any more");
            f->known = 0;
            canaryd_latch_clear(&f->latch);
        }
    }
}


static void
canaryd_intake_dropped(canaryd_t *d)
{
    if (d->status.dropped && d->status.dropped != d->dropped) {
        canaryd_log(CANARYD_LOG_ALERT, NULL, "%u flags are not guarded: nginx "
                    "has %u, expected up to %u", d->status.dropped,
                    d->status.n + d->status.dropped,
                    (unsigned) CANARYD_FLAGS_MAX);
    }

    d->dropped = d->status.dropped;
}
