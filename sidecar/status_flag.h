
/* A flag in the status of nginx. */


#ifndef CANARYD_STATUS_FLAG_H
#define CANARYD_STATUS_FLAG_H


#include "reader.h"
#include "status.h"


/*
 * Reads it into what is zeroed.  Returns -1 when this is no JSON; a flag that
 * is wrong in itself is "bad", and without a name when that is.
 */

int canaryd_status_flag(canaryd_reader_t *r, canaryd_status_flag_t *f);


#endif /* CANARYD_STATUS_FLAG_H */
