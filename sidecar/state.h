
/*
 * The state file: the evidence of each flag, the reading it goes up to, and
 * the events that are not done with.  After a restart nothing is counted
 * twice, and nothing that nginx still knows is lost.
 */


#ifndef CANARYD_STATE_H
#define CANARYD_STATE_H


#include "canaryd.h"


/* With the lock held, right after a tick. */

void canaryd_state_write(canaryd_text_t *text, const canaryd_t *d);

/*
 * Before there are other threads.  Returns 0; or -1 and an error when the
 * file is damaged, and there is no state then.  No file is no error.
 */

int canaryd_state_load(canaryd_t *d, canary_error_t *err);

/* The same with what is in the file.  Returns 0, or -1: it is damaged. */

int canaryd_state_parse(canaryd_t *d, canary_str_t text);

/* Whether it could be replaced.  Returns 0, or -1 and an error. */

int canaryd_state_check(const char *path, canary_error_t *err);

/* Replaces the file, in one step.  Returns 0, or -1 and an error. */

int canaryd_state_store(const char *path, canary_str_t text,
    canary_error_t *err);


#endif /* CANARYD_STATE_H */
