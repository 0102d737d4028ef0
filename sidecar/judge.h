
/* The judge: what was taken in is weighed, and what follows is done. */


#ifndef CANARYD_JUDGE_H
#define CANARYD_JUDGE_H


#include "canaryd.h"


/* With the lock held, by the main thread in each of its turns. */

void canaryd_judge_tick(canaryd_t *d, uint64_t now);


#endif /* CANARYD_JUDGE_H */
