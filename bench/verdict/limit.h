
/* What no rule can do better, and what chance allows. */


#ifndef LIMIT_H
#define LIMIT_H


#include "sim.h"


#define SIM_ALPHA    0.01
#define SIM_HORIZON  (48 * SIM_HOUR)


/* Kullback and Leibler's divergence of two error rates, in nats. */

double sim_divergence(double p, double q);

/* The same when the baseline has to be learned, with a margin. */

double sim_divergence_relative(double p, double base, double split,
    double margin);

/*
 * Requests that any rule needs: Wald 1945 from the start; Lorden 1971 and
 * Lai 1998 for a change at an unknown time.
 */

double sim_limit(double nats, double rate, double before);

/* Of n runs, as many as chance allows one time in a thousand. */

double sim_allowed(unsigned n, double p);


#endif /* LIMIT_H */
