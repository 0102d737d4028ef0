
#include <stdlib.h>
#include <string.h>
#include "event.h"
#include "text.h"


static void canaryd_event_free(canaryd_event_t *event);


canaryd_event_t *
canaryd_events_add(canaryd_events_t *events, const char *id, const char *flag,
    const char *type, uint64_t epoch, canary_str_t record, uint64_t now)
{
    canaryd_event_t  *event, **last;

    event = canaryd_events_find(events, id);

    if (event) {
        return event;
    }

    if (events->n == CANARYD_EVENTS_MAX) {
        return NULL;
    }

    event = calloc(1, sizeof(canaryd_event_t));

    if (event == NULL) {
        return NULL;
    }

    event->record = canaryd_dup(record);

    if (event->record == NULL) {
        free(event);
        return NULL;
    }

    canaryd_copy(event->id, sizeof(event->id), canaryd_str(id));
    canaryd_copy(event->flag, sizeof(event->flag), canaryd_str(flag));

    event->type = type;
    event->epoch = epoch;
    event->created = now;

    for (last = &events->first; *last; last = &(*last)->next) { /* void */ }

    *last = event;
    events->n++;

    return event;
}


canaryd_event_t *
canaryd_events_find(canaryd_events_t *events, const char *id)
{
    canaryd_event_t  *event;

    for (event = events->first; event; event = event->next) {
        if (strcmp(event->id, id) == 0) {
            return event;
        }
    }

    return NULL;
}


int
canaryd_event_attempt(canaryd_event_t *event, canaryd_attempt_e attempt)
{
    if (event->audit != CANARYD_AUDIT_DUE) {
        return 0;
    }

    switch (attempt) {

    case CANARYD_MARKER_OWN:
    case CANARYD_EXEC_DONE:
        event->audit = CANARYD_AUDIT_WON;
        return 1;

    case CANARYD_MARKER_OTHER:
        event->audit = CANARYD_AUDIT_LOST;
        return 1;

    case CANARYD_MARKER_ABSENT:
    case CANARYD_EXEC_NIL:
    case CANARYD_EXEC_UNKNOWN:
        break;
    }

    /* the marker is asked again: it alone knows */

    return 0;
}


int
canaryd_event_hook(canaryd_event_t *event, uint64_t now)
{
    if (event->hook != CANARYD_HOOK_NONE) {
        return 0;
    }

    switch (event->audit) {

    case CANARYD_AUDIT_WON:
        event->hook = CANARYD_HOOK_DUE;
        return 1;

    case CANARYD_AUDIT_LOST:
        event->hook = CANARYD_HOOK_DONE;
        return 0;

    default:
        break;
    }

    if (event->own && now - event->created >= CANARYD_AUDIT_WAIT) {
        event->hook = CANARYD_HOOK_DUE;
        return 1;
    }

    return 0;
}


int
canaryd_event_called(canaryd_event_t *event, int ok, uint64_t now)
{
    event->tries++;

    if (!ok && event->tries < CANARYD_HOOK_TRIES) {
        event->retry = now + ((uint64_t) CANARYD_HOOK_PAUSE
                              << (event->tries - 1));
        return 0;
    }

    event->hook = CANARYD_HOOK_DONE;

    return 1;
}


int
canaryd_event_done(const canaryd_event_t *event, int hook)
{
    if (event->audit != CANARYD_AUDIT_WON
        && event->audit != CANARYD_AUDIT_LOST)
    {
        return 0;
    }

    return !hook || event->hook == CANARYD_HOOK_DONE;
}


void
canaryd_events_sweep(canaryd_events_t *events, int hook)
{
    canaryd_event_t  *event, **link;

    link = &events->first;

    while (*link) {
        event = *link;

        if (!canaryd_event_done(event, hook)) {
            link = &event->next;
            continue;
        }

        *link = event->next;
        canaryd_event_free(event);
        events->n--;
    }
}


static void
canaryd_event_free(canaryd_event_t *event)
{
    free(event->record);
    free(event);
}


void
canaryd_events_clear(canaryd_events_t *events)
{
    canaryd_event_t  *event;

    while (events->first) {
        event = events->first;
        events->first = event->next;
        canaryd_event_free(event);
    }

    events->n = 0;
}
