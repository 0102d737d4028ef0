
/*
 * How often a user had an event lately.  The errors of one who tries again
 * and again say less than those of as many users.
 *
 * A table follows a few users at a time: who comes to a place that is free is
 * followed until there was no event for half a minute, and everybody else who
 * comes there is not counted at all.  So those who are followed are a sample,
 * however many events there are; in a crowd they show a little less, as who
 * is late was not seen from the first event on.
 */


#ifndef CANARY_REPEAT_H
#define CANARY_REPEAT_H


#include <stdint.h>
#include "tally.h"


/* Places: with those of both arms what is shared of a flag fits into 1 KB. */

#define CANARY_REPEATS     24

#define CANARY_REPEAT_AGE  30               /* s */


typedef struct {
    uint32_t  user;
    uint32_t  seen;                         /* 0: nobody is followed here */
} canary_repeat_t;


/*
 * Counts an event of a user, known by the hash of its key, at a time in
 * seconds of any clock.  Returns how many it makes of that user, from 1 on,
 * or 0 when that user is not followed.
 *
 * Processes may share a table without a lock: whoever comes between loses
 * a count, and nothing else.
 */

unsigned canary_repeat(volatile canary_repeat_t table[CANARY_REPEATS],
    canary_event_e event, uint64_t user, uint64_t now);


#endif /* CANARY_REPEAT_H */
