
/*
 * How much events come in clumps: one user who tries again and again makes
 * many errors out of one.  The design effect is the factor by which the
 * variance of counts exceeds that of independent requests.
 *
 * Five minutes of the baseline show it, whatever it comes from.  Until then
 * the users who are followed do, from the first event on.
 */


#ifndef CANARY_CLUMP_H
#define CANARY_CLUMP_H


#include "bet.h"
#include "flag.h"


/* The largest effect that is believed in, and bound of what a pair says. */

#define CANARY_CLUMP_MAX      30.0

/* What is taken for it before anything was seen. */

#define CANARY_CLUMP_UNKNOWN  2.0


typedef struct {
    canary_sample_t  open;                  /* the block being filled */
    double           age;                   /* s, of it */
    canary_sample_t  last;                  /* the block before */
    double           found;                 /* squares of differences */
    double           expected;              /* of independent requests */
    double           pairs;                 /* of blocks, as they count */
    double           events[CANARY_ARMS];   /* of users that are followed */
    double           squares[CANARY_ARMS];  /* each user's, then summed */
} canary_clump_t;


/* Feeds what the baseline did within the last dt seconds. */

void canary_clump_feed(canary_clump_t *clump, const canary_sample_t *baseline,
    double dt);

/* Feeds what users did who are followed, see canary_by_user_t. */

void canary_clump_follow(canary_clump_t *clump, canary_arm_e arm,
    double events, double squares);

/* The design effect, from 1 to CANARY_CLUMP_MAX. */

double canary_clump_effect(const canary_clump_t *clump);


#endif /* CANARY_CLUMP_H */
