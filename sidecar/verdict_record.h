
/* The JSON of a trip or a notice, with its evidence. */


#ifndef CANARYD_VERDICT_RECORD_H
#define CANARYD_VERDICT_RECORD_H


#include "canaryd.h"


#define CANARYD_BY  "agent-canaryd"


/* Sets text->failed when there is no memory. */

void canaryd_verdict_record(canaryd_text_t *text, const canaryd_t *d,
    const canaryd_flag_t *f, const canary_ruling_t *ruling,
    const canary_trip_t *trip);

/* Non-zero when a sidecar wrote the record: "by" begins with its name. */

int canaryd_record_is_own_kind(canary_str_t json);


#endif /* CANARYD_VERDICT_RECORD_H */
