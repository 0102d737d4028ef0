
#include <math.h>
#include <string.h>
#include "clump.h"


/*
 * Long enough for a clump to lie within one block, short enough for a pair
 * of blocks to be over before the rate drifts away.
 */
#define CANARY_CLUMP_BLOCK  30              /* s */

#define CANARY_CLUMP_HOUR   3600            /* s, memory */

#define CANARY_CLUMP_PAIRS  9               /* five minutes */

/* Events that the unknown effect counts for, and that say too little. */
#define CANARY_CLUMP_PRIOR  1
#define CANARY_CLUMP_FEW    8

/* The largest effect that users who are followed can show. */
#define CANARY_CLUMP_EARLY  8.0

/* After so long without a baseline its five minutes may never come. */
#define CANARY_CLUMP_ALONE  300             /* s */


static void canary_clump_pair(canary_clump_t *clump);
static double canary_clump_early(const canary_clump_t *clump);


void
canary_clump_feed(canary_clump_t *clump, const canary_sample_t *baseline,
    double dt)
{
    clump->open.n += baseline->n;
    clump->open.s += baseline->s;
    clump->open.ss += baseline->ss;
    clump->age += dt;

    if (clump->age < CANARY_CLUMP_BLOCK || clump->open.n == 0) {
        return;
    }

    if (clump->last.n > 0) {
        canary_clump_pair(clump);
    }

    clump->last = clump->open;
    clump->age = 0;
    memset(&clump->open, 0, sizeof(canary_sample_t));
}


/*
 * If the N = n + m requests of two neighbouring blocks were exchangeable, the
 * sum of one would have the variance v * n * m / N around its share, where v
 * is the variance of all of them.  Neighbours, not the mean of the hour: an
 * outage that both arms share must not pass for a clump, and its two edges
 * are bounded.
 */

static void
canary_clump_pair(canary_clump_t *clump)
{
    double                  all, d, expected, fade, m, n, squares;
    const canary_sample_t  *a, *b;

    a = &clump->last;
    b = &clump->open;

    n = a->n;
    m = b->n;
    all = n + m;

    fade = exp(-clump->age / CANARY_CLUMP_HOUR);

    clump->found *= fade;
    clump->expected *= fade;
    clump->pairs = clump->pairs * fade + 1;

    if (all < 2) {
        return;
    }

    squares = a->ss + b->ss - (a->s + b->s) * (a->s + b->s) / all;
    expected = squares / (all - 1) * (n * m / all);
    d = a->s - n * (a->s + b->s) / all;

    if (!(expected > 0 && expected < CANARY_CAPITAL_MAX)) {
        return;
    }

    clump->expected += expected;
    clump->found += fmin(d * d, CANARY_CLUMP_MAX * expected);
}


void
canary_clump_follow(canary_clump_t *clump, canary_arm_e arm, double events,
    double squares)
{
    clump->events[arm] += events;
    clump->squares[arm] += fmax(squares, events);
}


double
canary_clump_effect(const canary_clump_t *clump)
{
    double  effect;

    if (clump->pairs < CANARY_CLUMP_PAIRS) {
        return canary_clump_early(clump);
    }

    if (!(clump->expected > 0)) {
        return 1;
    }

    effect = clump->found / clump->expected;

    /* two standard errors: what independent requests show by chance */

    if (!(effect > 1 + 2 * sqrt(3 / clump->pairs))) {
        return 1;
    }

    return fmin(effect, CANARY_CLUMP_MAX);
}


/*
 * A user's k events add k squared to the variance, and k to the mean: the
 * effect is the ratio of their sums while events are rare.  A candidate that
 * fails makes a clump of every user, so that it is asked only as long as the
 * baseline has nothing to say, and not believed in all.
 */

static double
canary_clump_early(const canary_clump_t *clump)
{
    double  events, squares;

    events = CANARY_CLUMP_PRIOR + clump->events[CANARY_ARM_BASELINE];
    squares = CANARY_CLUMP_PRIOR * CANARY_CLUMP_UNKNOWN
              + clump->squares[CANARY_ARM_BASELINE];

    if (clump->events[CANARY_ARM_BASELINE] < CANARY_CLUMP_FEW) {
        events += clump->events[CANARY_ARM_CANDIDATE];
        squares += clump->squares[CANARY_ARM_CANDIDATE];
    }

    return fmin(squares / events, clump->age < CANARY_CLUMP_ALONE
                                  ? CANARY_CLUMP_EARLY
                                  : CANARY_CLUMP_UNKNOWN);
}
