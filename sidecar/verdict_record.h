
/* The JSON of a trip or a notice, with its evidence. */


#ifndef CANARYD_VERDICT_RECORD_H
#define CANARYD_VERDICT_RECORD_H


#include "canaryd.h"


#define CANARYD_BY  "agent-canaryd"


/* percent: what stays allowed.  Sets text->failed when there is no memory. */

void canaryd_verdict_record(canaryd_text_t *text, const canaryd_t *d,
    const canaryd_flag_t *f, const canary_ruling_t *ruling, uint32_t percent);

/* Non-zero when a sidecar wrote the record: "by" begins with its name. */

int canaryd_record_is_own_kind(canary_str_t json);


#endif /* CANARYD_VERDICT_RECORD_H */
