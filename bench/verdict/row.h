
/* The rows of the tables, and the goals in them. */


#ifndef ROW_H
#define ROW_H


#include "sim.h"


extern unsigned  sim_reduced;               /* few runs: bounds are wider */
extern unsigned  sim_missed;                /* goals, so far */


/* The head of a table of breaches; others: with the common methods. */

void sim_row_head(const char *title, unsigned others);

/* Of the last runs; rate: 0.5 for a row without a goal of its own. */

void sim_row_breach(const char *what, const sim_world_t *w, unsigned i,
    double rate, double nats, unsigned count);

/* Runs a healthy world: bound is the largest share that may be tripped. */

void sim_row_false(const char *what, const sim_world_t *w, unsigned count,
    double bound);

/* Of the last runs, of a flag that is new. */

void sim_row_young(const sim_world_t *w, unsigned count);


#endif /* ROW_H */
