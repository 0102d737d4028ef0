
/*
 * Flags whose evidence rises: between two readings of all flags nginx is asked
 * for them alone.
 */


#ifndef CANARYD_HURRY_H
#define CANARYD_HURRY_H


#include "canaryd.h"


/*
 * So many at once, those with the most evidence.  Three more readings of 8
 * flags cost a quarter of one of 100.  Where more than that go wrong at the
 * same time, the others are read as often as ever, and follow when these are
 * tripped.
 */

#define CANARYD_HURRY_FLAGS  8

/* Their names, with commas between them. */

#define CANARYD_HURRY_MAX    (CANARYD_HURRY_FLAGS * (CANARY_FLAG_NAME_MAX + 1))


/* Both with the lock held. */

/* The verdict of the flag says so, for a while. */

void canaryd_hurry_rising(canaryd_t *d, canaryd_flag_t *f, uint64_t now);

/* Writes CANARYD_HURRY_MAX bytes at most.  Returns how many flags they are. */

unsigned canaryd_hurry_names(const canaryd_t *d, char *names, uint64_t now);


#endif /* CANARYD_HURRY_H */
