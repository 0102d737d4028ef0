
/*
 * What the world has to be told once: a trip, or a notice.  One sidecar of
 * the fleet writes it to the audit stream; that one calls the webhook, or,
 * when Redis is away, each one that decided it, under the same id.
 *
 * Exactly once by a transaction: WATCH the marker of the id; when there is
 * none, MULTI, SET marker, XADD, EXEC.  Both happen or none does, wherever
 * a process dies; of two writers one gets nothing.  When the answer to EXEC
 * is lost, the marker tells afterwards whose entry it is.
 */


#ifndef CANARYD_EVENT_H
#define CANARYD_EVENT_H


#include <stdint.h>
#include "flag.h"


#define CANARYD_EVENTS_MAX  256
#define CANARYD_ID_MAX      128

/* So long the audit entry decides who calls the webhook, in ms. */

#define CANARYD_AUDIT_WAIT  2000

/* The webhook is called so often; the pause in ms is doubled each time. */

#define CANARYD_HOOK_TRIES   8
#define CANARYD_HOOK_PAUSE   1000


typedef enum {
    CANARYD_AUDIT_WAITS = 0,                /* until Redis shows the trip */
    CANARYD_AUDIT_DUE,
    CANARYD_AUDIT_WON,                      /* the entry is from here */
    CANARYD_AUDIT_LOST                      /* somebody else wrote it */
} canaryd_audit_e;


/* What one attempt of the transaction came to. */

typedef enum {
    CANARYD_MARKER_ABSENT = 0,              /* before the transaction */
    CANARYD_MARKER_OWN,
    CANARYD_MARKER_OTHER,
    CANARYD_EXEC_DONE,
    CANARYD_EXEC_NIL,                       /* somebody was faster */
    CANARYD_EXEC_UNKNOWN                    /* no answer, or an error */
} canaryd_attempt_e;


typedef enum {
    CANARYD_HOOK_NONE = 0,
    CANARYD_HOOK_DUE,
    CANARYD_HOOK_DONE                       /* delivered or given up */
} canaryd_hook_e;


typedef struct canaryd_event_s  canaryd_event_t;

struct canaryd_event_s {
    canaryd_event_t  *next;
    char              id[CANARYD_ID_MAX];   /* flag:epoch:what */
    char              flag[CANARY_FLAG_NAME_MAX + 1];
    const char       *type;                 /* "trip" or "notify" */
    uint64_t          epoch;
    char             *record;               /* JSON */
    unsigned          own:1;                /* decided here */
    canaryd_audit_e   audit;
    canaryd_hook_e    hook;
    uint64_t          created;              /* ms */
    uint64_t          retry;                /* ms, of the webhook */
    unsigned          tries;
};


typedef struct {
    unsigned          n;
    canaryd_event_t  *first;
} canaryd_events_t;


/* NULL: there are too many of them, or no memory.  An id is there once. */

canaryd_event_t *canaryd_events_add(canaryd_events_t *events, const char *id,
    const char *flag, const char *type, uint64_t epoch, canary_str_t record,
    uint64_t now);

canaryd_event_t *canaryd_events_find(canaryd_events_t *events,
    const char *id);

/* Takes the outcome of an attempt; returns 1 when the event is decided. */

int canaryd_event_attempt(canaryd_event_t *event, canaryd_attempt_e attempt);

/* Whether the webhook is to be called for it, which is then noted. */

int canaryd_event_hook(canaryd_event_t *event, uint64_t now);

/* The webhook was called.  Returns 1 when there is no other try. */

int canaryd_event_called(canaryd_event_t *event, int ok, uint64_t now);

/* Whether everybody knows of it; hook: there is a webhook at all. */

int canaryd_event_done(const canaryd_event_t *event, int hook);

/* Removes what is done with. */

void canaryd_events_sweep(canaryd_events_t *events, int hook);

void canaryd_events_clear(canaryd_events_t *events);


#endif /* CANARYD_EVENT_H */
