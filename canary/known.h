
/*
 * What a node knows of a flag, and how a reading of Redis changes it.
 *
 * Absent, empty, invalid, outdated and zero are different things; only a
 * valid record or a real deletion changes how users are routed.
 */


#ifndef CANARY_KNOWN_H
#define CANARY_KNOWN_H


#include <stdint.h>
#include "flag.h"
#include "str.h"
#include "trip.h"


typedef enum {
    CANARY_STATE_UNKNOWN = 0,               /* never read */
    CANARY_STATE_OK,
    CANARY_STATE_DELETED,                   /* by an owner: baseline */
    CANARY_STATE_STORE_EMPTY,               /* Redis lost its data: hold */
    CANARY_STATE_INVALID,                   /* a bad value: hold */
    CANARY_STATE_STALE_EPOCH,               /* an older flag: hold */
    CANARY_STATE_NO_MEMORY,                 /* the zone is full: hold */
    CANARY_STATES
} canary_state_e;


extern const canary_str_t  canary_state_names[CANARY_STATES];


typedef struct {
    canary_state_e  state;
    canary_error_t  reason;                 /* "" when there is none */
    uint64_t        epoch;                  /* highest ever accepted */
    canary_str_t    record;                 /* last known good, or empty */
    unsigned        latched;                /* 1: latch holds a trip */
    canary_trip_t   latch;
    canary_str_t    trip;                   /* its JSON, or empty */
} canary_known_t;


typedef struct {
    unsigned        inited:1;               /* agent-canary:inited was there
                                               before and after */
    canary_str_t    record;                 /* empty: no such key */
    canary_str_t    trip;                   /* empty: no such key */
    canary_str_t    error;                  /* Redis refused to read the
                                               flag, e.g. WRONGTYPE */
    canary_str_t    trip_error;
    const canary_flag_t  *parsed;           /* lends unchanged lists, or
                                               NULL */
} canary_reading_t;


/*
 * The next state of knowledge.  Its strings point into prev or reading.  A
 * known trip is never forgotten and never replaced by one it beats.
 */

void canary_known_apply(canary_known_t *next, canary_str_t name,
    const canary_known_t *prev, const canary_reading_t *reading);

/* The same for a trip alone, valid JSON that did not come from Redis. */

void canary_known_trip(canary_known_t *known, canary_str_t name,
    canary_str_t json);

/*
 * The packed form, for shared memory and the state file, all integers
 * little-endian: u32 state, u64 epoch, u32 latched, u64 epoch and u32 percent
 * of the latch, u32 record length, u32 trip length, record, trip.  The reason
 * is not part of it.
 */

size_t canary_known_size(const canary_known_t *known);
void canary_known_pack(char *out, const canary_known_t *known);

/* Returns 0 with strings that point into packed, or -1 for damaged bytes. */

int canary_known_unpack(canary_known_t *known, canary_str_t packed);


#endif /* CANARY_KNOWN_H */
