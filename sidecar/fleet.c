
#include <stdlib.h>
#include <string.h>
#include "fleet.h"
#include "text.h"


static canaryd_source_t *canaryd_fleet_room(canaryd_fleet_t *fleet);
static canaryd_counted_e canaryd_source_start(canaryd_source_t *source,
    uint64_t epoch, const canary_tally_t *arm, uint64_t now);
static canaryd_counted_e canaryd_source_behind(canaryd_source_t *source,
    uint64_t epoch, const canary_tally_t *arm, uint64_t now);


canaryd_counted_e
canaryd_fleet_read(canaryd_fleet_t *fleet, const char *boot, uint64_t epoch,
    const canary_tally_t *arm, uint64_t now, canary_tally_t *sum)
{
    unsigned           i;
    canary_tally_t     diff[CANARY_ARMS];
    canaryd_source_t  *source;

    source = canaryd_fleet_source(fleet, boot);

    if (source == NULL) {
        source = canaryd_fleet_room(fleet);

        if (source == NULL) {
            return CANARYD_IGNORED;
        }

        canaryd_copy(source->boot, sizeof(source->boot), canaryd_str(boot));

        return canaryd_source_start(source, epoch, arm, now);
    }

    if (epoch < source->epoch) {
        return canaryd_source_behind(source, epoch, arm, now);
    }

    if (epoch > source->epoch) {
        return canaryd_source_start(source, epoch, arm, now);
    }

    for (i = 0; i < CANARY_ARMS; i++) {
        if (canary_tally_diff(&diff[i], &arm[i], 0, &source->arm[i], 0) != 0) {
            return canaryd_source_behind(source, epoch, arm, now);
        }
    }

    for (i = 0; i < CANARY_ARMS; i++) {
        canary_tally_add(&sum[i], &diff[i]);
    }

    (void) canaryd_source_start(source, epoch, arm, now);

    return CANARYD_COUNTED;
}


static canaryd_counted_e
canaryd_source_start(canaryd_source_t *source, uint64_t epoch,
    const canary_tally_t *arm, uint64_t now)
{
    source->epoch = epoch;
    memcpy(source->arm, arm, sizeof(source->arm));
    source->seen = now;
    source->behind = 0;

    return CANARYD_STARTED;
}


/*
 * Another sidecar of the same nginx may be slower.  But when a source does
 * not come back, what was known of it was wrong, or its flag is another one.
 */

static canaryd_counted_e
canaryd_source_behind(canaryd_source_t *source, uint64_t epoch,
    const canary_tally_t *arm, uint64_t now)
{
    if (source->behind == 0) {
        source->behind = now;
    }

    if (now - source->behind < CANARYD_BEHIND_MAX) {
        return CANARYD_IGNORED;
    }

    return canaryd_source_start(source, epoch, arm, now);
}


canaryd_source_t *
canaryd_fleet_source(canaryd_fleet_t *fleet, const char *boot)
{
    unsigned  i;

    for (i = 0; i < fleet->n; i++) {
        if (strcmp(fleet->source[i].boot, boot) == 0) {
            return &fleet->source[i];
        }
    }

    return NULL;
}


/* A new one; above the limit that one which was silent the longest. */

static canaryd_source_t *
canaryd_fleet_room(canaryd_fleet_t *fleet)
{
    unsigned           i, oldest, size;
    canaryd_source_t  *source;

    if (fleet->n == CANARYD_SOURCES_MAX) {
        oldest = 0;

        for (i = 1; i < fleet->n; i++) {
            if (fleet->source[i].seen < fleet->source[oldest].seen) {
                oldest = i;
            }
        }

        return memset(&fleet->source[oldest], 0, sizeof(canaryd_source_t));
    }

    if (fleet->n == fleet->size) {
        size = fleet->size ? fleet->size * 2 : 1;
        source = realloc(fleet->source, size * sizeof(canaryd_source_t));

        if (source == NULL) {
            return NULL;
        }

        fleet->source = source;
        fleet->size = size;
    }

    return memset(&fleet->source[fleet->n++], 0, sizeof(canaryd_source_t));
}


unsigned
canaryd_fleet_live(const canaryd_fleet_t *fleet, uint64_t now, uint64_t age)
{
    unsigned  i, n;

    for (i = 0, n = 0; i < fleet->n; i++) {
        n += now - fleet->source[i].seen <= age;
    }

    return n;
}


void
canaryd_fleet_clear(canaryd_fleet_t *fleet)
{
    free(fleet->source);
    memset(fleet, 0, sizeof(canaryd_fleet_t));
}
