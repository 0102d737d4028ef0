
/* What a flag is judged by: its guardrails, and the verdict under them. */


#ifndef CANARYD_RULES_H
#define CANARYD_RULES_H


#include "canaryd.h"


/*
 * With the lock held, by the judge: these are the flag's guardrails, as an
 * owner wrote them, or nothing.  f->verdict stays NULL when there is no memory
 * for it: the next status tries again.
 */

void canaryd_rules_read(canaryd_flag_t *f, canary_str_t json);


#endif /* CANARYD_RULES_H */
