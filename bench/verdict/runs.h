
/* Many runs of one world, and what they come to. */


#ifndef RUNS_H
#define RUNS_H


#include "sim.h"


#define SIM_RATES_MAX  3


typedef struct {
    unsigned  tripped;
    unsigned  early;
    double    mean;                         /* requests */
    double    error;                        /* standard error of the mean */
    double    median;
    double    p95;
    double    time;                         /* median, s; below 0: never */
    double    time95;
} sim_summary_t;


/* Before all others: in so many processes.  Returns 0, or -1 and tells why. */

int sim_runs_init(unsigned jobs);

/* Results depend on the seeds only, not on the number of jobs. */

void sim_runs(const sim_world_t *w, const double *rates, unsigned n,
    unsigned count);

/* Of the last sim_runs(), which was of count runs. */

void sim_summarize(sim_summary_t *s, unsigned rate, sim_method_e method,
    unsigned count);


#endif /* RUNS_H */
