
/*
 * The window of a flag: the cumulative tallies of one nginx as fields of a
 * Redis hash, "boot_id", "epoch", "percent" and "<arm>.<tally field>".
 */


#ifndef CANARYD_WINDOW_H
#define CANARYD_WINDOW_H


#include "flag.h"
#include "status.h"
#include "tally.h"


/* Fields of a window: those of both arms, and three. */

#define CANARYD_WINDOW_FIELDS  64
#define CANARYD_FIELD_MAX      64           /* of its name */


typedef struct {
    char            boot[CANARYD_BOOT_MAX + 1];
    uint64_t        epoch;
    uint32_t        percent;
    canary_tally_t  arm[CANARY_ARMS];
} canaryd_window_t;


/* Called with the fields to be written; data is what was given. */

typedef void (*canaryd_window_pt)(void *data, canary_str_t name,
    canary_str_t value);


/*
 * Calls put for each field that differs from before, or for all of them when
 * before is NULL.  Returns their number.
 */

unsigned canaryd_window_write(const canaryd_window_t *w,
    const canaryd_window_t *before, canaryd_window_pt put, void *data);

/*
 * Reads n pairs of name and value.  Returns 0; or -1 when a field is missing,
 * is there twice or is not what was written: there is no data then.  Fields
 * of another version are ignored.
 */

int canaryd_window_read(canaryd_window_t *w, const canary_str_t *pairs,
    unsigned n);


#endif /* CANARYD_WINDOW_H */
