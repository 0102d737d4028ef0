
/* How it stands with an outside party, and since when. */


#ifndef CANARYD_PARTY_H
#define CANARYD_PARTY_H


#include <stdint.h>
#include "str.h"


/* An error, and where it was met. */

#define CANARYD_REASON_MAX  512


typedef enum {
    CANARYD_PARTY_UNKNOWN = 0,              /* not asked yet */
    CANARYD_PARTY_UP,
    CANARYD_PARTY_DOWN
} canaryd_party_e;


typedef struct {
    const char       *name;                 /* in metrics */
    const char       *up;                   /* how it stands, in the log */
    const char       *down;
    canaryd_party_e   state;
    uint64_t          ok_at;                /* ms, of the last success */
    uint64_t          quiet;                /* ms, no other line until then */
    uint64_t          ok;
    uint64_t          failed;
    char              reason[CANARYD_REASON_MAX];
} canaryd_party_t;


/* A change is logged, once; so is another reason, but not all the time. */

void canaryd_party_ok(canaryd_party_t *party, uint64_t now);
void canaryd_party_fail(canaryd_party_t *party, const char *reason);


#endif /* CANARYD_PARTY_H */
