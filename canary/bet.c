
#include <math.h>
#include <string.h>
#include "bet.h"


/* The largest part of its capital that a bet stakes. */
#define CANARY_STAKE_MAX     0.98

/* A request of the baseline may cost a bet that part of it, see below. */
#define CANARY_BASELINE_MAX  0.9

/* A limit is at least this part of the cap. */
#define CANARY_LIMIT_MIN     1e-6

/* The part of what is paid in that comes evenly, and when the rest begins. */
#define CANARY_PAID_EVENLY   0.75
#define CANARY_PAID_SOON     10             /* s */

/* When a block of a relative limit is worth a bet. */
#define CANARY_BLOCK_RATIO   1
#define CANARY_BLOCK_COUNT   16
#define CANARY_BLOCK_AGE     10             /* s */


/* Evidence that won this factor is rising; so much is remembered of it. */
#define CANARY_RISE          2
#define CANARY_RISE_MAX      8


#define canary_min(a, b)     ((a) < (b) ? (a) : (b))
#define canary_max(a, b)     ((a) > (b) ? (a) : (b))


/* A closed block, as all bets on it need it. */

typedef struct {
    const canary_claim_t  *claim;
    canary_sample_t        candidate;
    canary_sample_t        baseline;
    canary_sample_t        below;           /* the baseline's cap - y */
    double                 mean;
    double                 limit;
    double                 x;               /* the candidate's mean */
    double                 paid;            /* capital paid in */
} canary_block_t;


static int canary_bet_ready(const canary_bet_t *bet,
    const canary_claim_t *claim);
static void canary_bet_block(canary_block_t *b, const canary_bet_t *bet,
    const canary_claim_t *claim);
static double canary_bet_paid(double age, double horizon);
static void canary_bet_rollback(double *capital, const canary_block_t *b,
    double stake);
static void canary_bet_advance(double *capital, const canary_block_t *b,
    double stake);
static double canary_bet_bound(const canary_sample_t *a, double base,
    double slope);
static double canary_bet_grow(double capital, double log_growth,
    double effect);
static double canary_bet_times(double capital, double factor);
static void canary_bet_see(canary_seen_t *seen, const canary_seen_t *open,
    double keep);
static void canary_sample_add(canary_sample_t *a, double weight,
    const canary_sample_t *b);
static double canary_bet_mean(const double *capital);


void
canary_bet_init(canary_bet_t *bet)
{
    int  j;

    memset(bet, 0, sizeof(canary_bet_t));
    bet->rise = 1;

    for (j = 0; j < CANARY_BETS; j++) {
        bet->rollback[j] = 0.5;
        bet->advance[j] = 1;
    }
}


int
canary_bet_feed(canary_bet_t *bet, const canary_claim_t *claim,
    const canary_sample_t *candidate, const canary_sample_t *baseline,
    double mean, double dt)
{
    int             j;
    double          before, capital, f, stake;
    canary_block_t  b;

    if (bet->open.age == 0) {
        bet->mean = mean;
    }

    canary_sample_add(&bet->open.candidate, 1, candidate);
    canary_sample_add(&bet->open.baseline, 1, baseline);
    bet->open.age += dt;

    if (!canary_bet_ready(bet, claim)) {
        return 0;
    }

    canary_bet_block(&b, bet, claim);

    f = CANARY_STAKE_MAX;
    before = canary_bet_evidence(bet) + b.paid;

    for (j = 0; j < CANARY_BETS; j++) {

        stake = canary_min(CANARY_STAKE_MAX, b.candidate.n * f);
        capital = bet->rollback[j] + b.paid;

        /* what is paid in has seen nothing yet */

        canary_bet_see(&bet->seen[j], &bet->open,
                       capital > 0 ? bet->rollback[j] / capital : 0);

        bet->rollback[j] = capital;

        canary_bet_rollback(&bet->rollback[j], &b, stake);
        canary_bet_advance(&bet->advance[j], &b, stake);

        f /= 2;
    }

    bet->age += bet->open.age;
    memset(&bet->open, 0, sizeof(canary_seen_t));

    if (before > 0) {
        bet->rise *= canary_bet_evidence(bet) / before;
    }

    bet->rise = canary_min(canary_max(bet->rise, 1), CANARY_RISE_MAX);

    return 1;
}


void
canary_bet_drop(canary_bet_t *bet)
{
    memset(&bet->open, 0, sizeof(canary_seen_t));
    bet->rise = 1;
}


static int
canary_bet_ready(const canary_bet_t *bet, const canary_claim_t *claim)
{
    double  c, b;

    c = bet->open.candidate.n;
    b = bet->open.baseline.n;

    if (c == 0 || claim->ratio == 0) {
        return c > 0;
    }

    return b > 0 && (b >= CANARY_BLOCK_RATIO * c
                     || c + b >= CANARY_BLOCK_COUNT
                     || bet->open.age >= CANARY_BLOCK_AGE);
}


static void
canary_bet_block(canary_block_t *b, const canary_bet_t *bet,
    const canary_claim_t *claim)
{
    double                  cap;
    const canary_sample_t  *y;

    y = &bet->open.baseline;
    cap = claim->cap;

    b->claim = claim;
    b->candidate = bet->open.candidate;
    b->baseline = *y;
    b->mean = claim->ratio > 0 ? canary_min(bet->mean, cap) : 0;
    b->limit = canary_max(claim->ratio * b->mean + claim->increase,
                    CANARY_LIMIT_MIN * cap);
    b->x = canary_min(b->candidate.s / b->candidate.n, cap);
    b->paid = canary_bet_paid(bet->age + bet->open.age, claim->horizon)
              - canary_bet_paid(bet->age, claim->horizon);

    b->below.n = y->n;
    b->below.s = canary_max(0, y->n * cap - y->s);
    b->below.ss = canary_max(0, y->n * cap * cap - 2 * cap * y->s + y->ss);
}


/* What was paid in until then; half of the budget at the horizon. */

static double
canary_bet_paid(double age, double horizon)
{
    double  evenly, soon;

    evenly = age / horizon;
    soon = log1p(age / CANARY_PAID_SOON) / log1p(horizon / CANARY_PAID_SOON);

    return 0.5 * (CANARY_PAID_EVENLY * evenly
                  + (1 - CANARY_PAID_EVENLY) * soon);
}


/*
 * S = (1 + stake * (x / limit - 1)) * product over the baseline's requests y
 * of (1 - e * (y - mean)): the second factor takes back what both arms share.
 * E[S] <= 1 for any mean that was known before the block.
 */

static void
canary_bet_rollback(double *capital, const canary_block_t *b, double stake)
{
    double  e, room, s;

    if (b->claim->ratio == 0) {
        s = 1 + stake * (b->x / b->limit - 1);

        *capital = b->claim->effect > 1
                   ? canary_bet_grow(*capital, log(s), b->claim->effect)
                   : canary_bet_times(*capital, s);
        return;
    }

    e = b->claim->ratio * stake / (b->limit * b->baseline.n);
    room = b->claim->cap - b->mean;

    if (e * room > CANARY_BASELINE_MAX) {
        stake *= CANARY_BASELINE_MAX / (e * room);
        e = CANARY_BASELINE_MAX / room;
    }

    s = log1p(stake * (b->x / b->limit - 1))
        + canary_bet_bound(&b->below, 1 - e * room, e);

    *capital = canary_bet_grow(*capital, s, b->claim->effect);
}


/*
 * The opposite bet: that the candidate is better than its limit.  Nothing is
 * staked while the limit is out of reach anyway.
 */

static void
canary_bet_advance(double *capital, const canary_block_t *b, double stake)
{
    double  e, room, s;

    room = b->claim->cap - b->limit;

    if (!(room > CANARY_LIMIT_MIN * b->claim->cap)) {
        return;
    }

    stake /= room;

    if (b->claim->ratio == 0) {
        s = 1 - stake * (b->x - b->limit);

        *capital = b->claim->effect > 1
                   ? canary_bet_grow(*capital, log(s), b->claim->effect)
                   : canary_bet_times(*capital, s);
        return;
    }

    e = b->claim->ratio * stake / b->baseline.n;

    if (e * b->mean > CANARY_BASELINE_MAX) {
        stake *= CANARY_BASELINE_MAX / (e * b->mean);
        e = CANARY_BASELINE_MAX / b->mean;
    }

    s = log1p(-stake * (b->x - b->limit))
        + canary_bet_bound(&b->baseline, 1 - e * b->mean, e);

    *capital = canary_bet_grow(*capital, s, b->claim->effect);
}


/*
 * The least that the sum of log(base + slope * x) can be over all x >= 0 of
 * these moments: the extremal distribution has two points (Karlin and
 * Studden, "Tchebycheff Systems", 1966).  Exact when x is 0 or 1.
 */

static double
canary_bet_bound(const canary_sample_t *a, double base, double slope)
{
    double  h;

    if (!(a->ss > 0 && a->s > 0)) {
        return a->n * log(base);
    }

    h = canary_min(a->n, a->s * a->s / a->ss);

    return (a->n - h) * log(base) + h * log(base + slope * a->ss / a->s);
}


/*
 * Evidence of requests that come in clumps counts for less (Rao and Scott,
 * "A simple method for the analysis of clustered binary data", Biometrics
 * 1992).
 */

static double
canary_bet_grow(double capital, double log_growth, double effect)
{
    return canary_bet_times(capital, exp(log_growth / effect));
}


/* Not even a damaged state makes a capital of what is no number. */

static double
canary_bet_times(double capital, double factor)
{
    double  grown;

    grown = capital * factor;

    if (!(grown >= 0)) {
        return capital;
    }

    return canary_min(grown, CANARY_CAPITAL_MAX);
}


static void
canary_bet_see(canary_seen_t *seen, const canary_seen_t *open, double keep)
{
    seen->age = seen->age * keep + open->age;
    canary_sample_add(&seen->candidate, keep, &open->candidate);
    canary_sample_add(&seen->baseline, keep, &open->baseline);
}


/* a = a * weight + b */

static void
canary_sample_add(canary_sample_t *a, double weight, const canary_sample_t *b)
{
    a->n = a->n * weight + b->n;
    a->s = a->s * weight + b->s;
    a->ss = a->ss * weight + b->ss;
}


double
canary_bet_evidence(const canary_bet_t *bet)
{
    return canary_bet_mean(bet->rollback);
}


double
canary_bet_proof(const canary_bet_t *bet)
{
    return canary_bet_mean(bet->advance);
}


/* What was won and not bet again since is old news. */

int
canary_bet_rising(const canary_bet_t *bet)
{
    return bet->rise >= CANARY_RISE && bet->open.age <= CANARY_BLOCK_AGE;
}


static double
canary_bet_mean(const double *capital)
{
    int     j;
    double  sum;

    sum = 0;

    for (j = 0; j < CANARY_BETS; j++) {
        sum += capital[j];
    }

    return sum / CANARY_BETS;
}


void
canary_bet_restart_proof(canary_bet_t *bet)
{
    int  j;

    for (j = 0; j < CANARY_BETS; j++) {
        bet->advance[j] = 1;
    }
}


void
canary_bet_seen(const canary_bet_t *bet, canary_seen_t *seen)
{
    int     j;
    double  sum, weight;

    memset(seen, 0, sizeof(canary_seen_t));

    sum = canary_bet_mean(bet->rollback) * CANARY_BETS;

    for (j = 0; j < CANARY_BETS && sum > 0; j++) {
        weight = bet->rollback[j] / sum;

        seen->age += weight * bet->seen[j].age;
        canary_sample_add(&seen->candidate, 1, &(canary_sample_t) {
                              weight * bet->seen[j].candidate.n,
                              weight * bet->seen[j].candidate.s,
                              weight * bet->seen[j].candidate.ss });
        canary_sample_add(&seen->baseline, 1, &(canary_sample_t) {
                              weight * bet->seen[j].baseline.n,
                              weight * bet->seen[j].baseline.s,
                              weight * bet->seen[j].baseline.ss });
    }
}
