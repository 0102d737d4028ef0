
#include <string.h>
#include "hurry.h"
#include "judge.h"
#include "log.h"
#include "ruling.h"
#include "trips.h"


/* Without news a flag is judged this often, in ms. */
#define CANARYD_IDLE_TICK  1000


static void canaryd_judge_sight(canaryd_t *d, uint64_t now);
static void canaryd_judge_one(canaryd_t *d, canaryd_flag_t *f, uint64_t now);
static void canaryd_judge_pool(canaryd_flag_t *f, uint64_t now);
static void canaryd_judge_quiet(canaryd_flag_t *f, uint64_t now);


void
canaryd_judge_tick(canaryd_t *d, uint64_t now)
{
    unsigned         i;
    canaryd_flag_t  *f;

    d->ticks++;
    canaryd_judge_sight(d, now);

    for (i = 0; i < d->n; i++) {
        f = d->flag[i];

        if (f->known && (f->fed || now - f->ticked >= CANARYD_IDLE_TICK)) {
            canaryd_judge_one(d, f, now);
        }

        if (f->latch.set) {
            (void) pthread_cond_signal(&d->poster);
        }
    }

    canaryd_trip_overtaken(d);
    canaryd_trip_sweep(d);
}


static void
canaryd_judge_sight(canaryd_t *d, uint64_t now)
{
    unsigned  blind;
    uint64_t  max;

    max = (uint64_t) 4 * d->options.interval;

    if (max < CANARYD_SIGHT_MAX) {
        max = CANARYD_SIGHT_MAX;
    }

    blind = now - (d->read_at ? d->read_at : d->started) > max;

    if (blind && !d->blind) {
        canaryd_log(CANARYD_LOG_ALERT, NULL, "no data: there is no sight of "
                    "nginx, nothing is guarded");

    } else if (!blind && d->blind) {
        canaryd_log(CANARYD_LOG_INFO, NULL, "nginx is in sight again");
    }

    d->blind = blind ? 1 : 0;
}


static void
canaryd_judge_one(canaryd_t *d, canaryd_flag_t *f, uint64_t now)
{
    uint32_t         percent;
    canary_ruling_t  ruling;

    if (f->sum[CANARY_ARM_BASELINE].requests
        || f->sum[CANARY_ARM_CANDIDATE].requests)
    {
        f->traffic = now;
    }

    canaryd_judge_quiet(f, now);
    canaryd_judge_pool(f, now);

    canary_verdict_tick(f->verdict, &f->sum[CANARY_ARM_CANDIDATE],
                        &f->sum[CANARY_ARM_BASELINE],
                        (double) (now - f->ticked) / 1000, &ruling);

    memset(f->sum, 0, sizeof(f->sum));
    f->fed = 0;
    f->ticked = now;

    /* where nothing is left to be taken back, there is no hurry */

    if (ruling.rising
        && canaryd_ruling_target(f, ruling.action, &percent))
    {
        canaryd_hurry_rising(d, f, now);
    }

    if (ruling.trip) {
        canaryd_ruling_apply(d, f, &ruling, now);
    }
}


/* A user's events are followed by each nginx of the fleet by itself. */

static void
canaryd_judge_pool(canaryd_flag_t *f, uint64_t now)
{
    unsigned  arm, live;

    live = canaryd_fleet_live(&f->fleet, now, CANARYD_LIVE_MAX);

    for (arm = 0; arm < CANARY_ARMS; arm++) {
        canary_tally_pool(&f->sum[arm], live ? live : 1);
    }
}


static void
canaryd_judge_quiet(canaryd_flag_t *f, uint64_t now)
{
    unsigned  quiet;

    quiet = f->traffic && now - f->traffic > CANARYD_QUIET_MAX;

    if (quiet && !f->quiet) {
        canaryd_log(CANARYD_LOG_WARN, f->name, "no data: there was no "
                    "request for 5 minutes");

    } else if (!quiet && f->quiet) {
        canaryd_log(CANARYD_LOG_INFO, f->name, "there are requests again");
    }

    f->quiet = quiet ? 1 : 0;
}
