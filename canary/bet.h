
/*
 * A sequential test that may be looked at all the time: ten bets against the
 * claim that the candidate is within its limit.
 *
 * The claim is  mean_C <= ratio * mean_B + increase,  where x is what one
 * request brings, 0 <= x <= cap.  Each bet stakes another part of its capital
 * on a breach; while the claim is true no bet can be expected to grow
 * (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
 * betting", JRSS-B 2024; for two streams Turner, Ly and Gruenwald, JSPI
 * 2024), so that by Ville's inequality a capital of 1/alpha times the initial
 * one is reached with probability alpha at most.
 *
 * A breach may begin at any time: half of the initial capital is there from
 * the start, the other half is paid in over the horizon (an e-detector with a
 * budget: Shin, Ramdas and Rinaldo, NEJSDS 2023).  Three quarters of that come
 * evenly, and one comes as 1/t does: most breaches begin soon after a change.
 */


#ifndef CANARY_BET_H
#define CANARY_BET_H


#define CANARY_BETS         10

#define CANARY_CAPITAL_MAX  1e100


/* Doubles only in what a verdict keeps: it is saved as an array of them. */

/* Of one arm: count, sum of x, sum of x^2. */

typedef struct {
    double           n;
    double           s;
    double           ss;
} canary_sample_t;


/* What a bet has seen since the breach began that it believes in. */

typedef struct {
    double           age;                   /* s */
    canary_sample_t  candidate;
    canary_sample_t  baseline;
} canary_seen_t;


typedef struct {
    double           rollback[CANARY_BETS]; /* capital, starts at 1/2 */
    double           advance[CANARY_BETS];  /* of the opposite bet, at 1 */
    canary_seen_t    seen[CANARY_BETS];

    canary_seen_t    open;                  /* the block being filled */
    double           mean;                  /* baseline, before the block */
    double           age;                   /* s, of all blocks before it */
    double           rise;                  /* see canary_bet_rising() */
} canary_bet_t;


typedef struct {
    double           ratio;                 /* 0: the limit is absolute */
    double           increase;
    double           cap;
    double           horizon;               /* s */
    double           effect;                /* design effect, 1 or more */
} canary_claim_t;


void canary_bet_init(canary_bet_t *bet);

/*
 * Feeds what came within the last dt seconds; mean is the baseline's before
 * them.  One bet is placed for each block: for an absolute limit that is any
 * tick with a request; for a relative one a block is filled until both arms
 * are in it in useful numbers.  Returns 1 when a bet was placed.
 *
 * n >= 0, 0 <= s <= n * cap, s * s / n <= ss <= s * cap, dt >= 0, all finite.
 */

int canary_bet_feed(canary_bet_t *bet, const canary_claim_t *claim,
    const canary_sample_t *candidate, const canary_sample_t *baseline,
    double mean, double dt);

/* Drops the block being filled: no bet was placed in its time. */

void canary_bet_drop(canary_bet_t *bet);

/* The mean capital.  Trip at 1/alpha; proven non-inferior at 1/alpha. */

double canary_bet_evidence(const canary_bet_t *bet);
double canary_bet_proof(const canary_bet_t *bet);

/*
 * Non-zero while the evidence is rising: what it won since it was lowest, as a
 * factor, which drops to 1 when all of it is lost again (Page's CUSUM).  It is
 * over ten seconds after the last bet.
 */

int canary_bet_rising(const canary_bet_t *bet);

/* Starts the proof anew, at a new stage. */

void canary_bet_restart_proof(canary_bet_t *bet);

/* What the evidence rests on: what the bets saw, by their capital. */

void canary_bet_seen(const canary_bet_t *bet, canary_seen_t *seen);


#endif /* CANARY_BET_H */
