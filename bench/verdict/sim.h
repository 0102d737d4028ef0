
/*
 * Simulated rollouts, judged by the shipped verdict and by what is commonly
 * used instead, on the same requests.
 */


#ifndef SIM_H
#define SIM_H


#include <stdint.h>
#include "verdict.h"


#define SIM_HOUR  3600.0


typedef enum {
    SIM_VERDICT = 0,
    SIM_THRESHOLD,              /* 60 s rate above limit, 5 times */
    SIM_WINDOW,                 /* rate of 60 s, 50 requests or more */
    SIM_Z,                      /* z-test every second, alpha 1 % */
    SIM_MANN_WHITNEY,           /* of one-minute rates, every minute, 1 % */
    SIM_METHODS
} sim_method_e;


/* Rates are per second, times in seconds; a rate of 0...1 is of errors. */

typedef struct {
    double       candidate;
    double       baseline;
    double       healthy;       /* error rate of both arms, or factor of */
    double       limit_rate;    /* what the common methods test against */
    double       outage;        /* 2 minutes of this in both arms, every 6 h */
    double       burst;         /* mean errors of a clump, 1: independent */
    double       spread;        /* s over which a clump comes */
    double       before;        /* s until the breach */
    double       after;         /* s of it, at most */
    unsigned     cold;          /* nothing is known of the baseline */
    unsigned     ticks;         /* of a healthy second, 0: one */
    unsigned     cost;          /* lognormal costs instead of errors */
    unsigned     others;        /* the common methods too */
    const char  *guardrails;
} sim_world_t;


/* Of one run and one method; both are from the breach on. */

typedef struct {
    double       time;          /* s, below 0: never */
    double       requests;      /* of the candidate */
    unsigned     early;         /* tripped before the breach */
} sim_result_t;


/*
 * Simulates a rollout up to the breach, and from there with each of the
 * given rates.  result[i] is of rate i.  The run depends on seed only.
 */

void sim_run(const sim_world_t *w, const double *rates, unsigned n,
    uint64_t seed, sim_result_t result[][SIM_METHODS]);


#endif /* SIM_H */
