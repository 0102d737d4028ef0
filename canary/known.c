
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "bytes.h"
#include "known.h"


/* Where the parts of the packed form begin. */

enum {
    CANARY_KNOWN_AT_STATE = 0,
    CANARY_KNOWN_AT_EPOCH = 4,
    CANARY_KNOWN_AT_LATCHED = 12,
    CANARY_KNOWN_AT_LATCH_EPOCH = 16,
    CANARY_KNOWN_AT_LATCH_PERCENT = 24,
    CANARY_KNOWN_AT_RECORD_LEN = 28,
    CANARY_KNOWN_AT_TRIP_LEN = 32,
    CANARY_KNOWN_HEADER = 36
};


static void canary_known_apply_flag(canary_known_t *next, canary_str_t name,
    const canary_reading_t *reading);
static void canary_known_apply_missing(canary_known_t *next,
    const canary_reading_t *reading);
static void canary_known_apply_record(canary_known_t *next, canary_str_t name,
    const canary_reading_t *reading);
static void canary_known_epoch_error(canary_known_t *next, uint64_t epoch);
static void canary_known_apply_trip(canary_known_t *next, canary_str_t name,
    const canary_reading_t *reading);
static void canary_known_trip_invalid(canary_known_t *next,
    const canary_error_t *err);
static void canary_known_set(canary_known_t *next, canary_state_e state);


const canary_str_t  canary_state_names[CANARY_STATES] = {
    canary_str("unknown"),
    canary_str("ok"),
    canary_str("deleted"),
    canary_str("store_empty"),
    canary_str("invalid"),
    canary_str("stale_epoch"),
    canary_str("no_memory")
};


void
canary_known_apply(canary_known_t *next, canary_str_t name,
    const canary_known_t *prev, const canary_reading_t *reading)
{
    *next = *prev;

    canary_known_apply_flag(next, name, reading);
    canary_known_apply_trip(next, name, reading);
}


static void
canary_known_apply_flag(canary_known_t *next, canary_str_t name,
    const canary_reading_t *reading)
{
    if (reading->error.len > 0) {
        next->state = CANARY_STATE_INVALID;
        canary_error(&next->reason, "flag", reading->error,
                     "expected a hash that can be read");
        return;
    }

    if (reading->record.len == 0) {
        canary_known_apply_missing(next, reading);
        return;
    }

    /* a record that did not change was valid, and need not be parsed again */

    if (canary_str_eq(reading->record, next->record)) {
        canary_known_set(next, CANARY_STATE_OK);
        return;
    }

    canary_known_apply_record(next, name, reading);
}


static void
canary_known_apply_missing(canary_known_t *next,
    const canary_reading_t *reading)
{
    static const canary_str_t  empty = canary_str("");

    if (!reading->inited) {
        canary_known_set(next, CANARY_STATE_STORE_EMPTY);
        (void) snprintf(next->reason.text, sizeof(next->reason.text),
                        "neither the flag nor \"inited\" is in Redis");
        return;
    }

    canary_known_set(next, CANARY_STATE_DELETED);
    next->record = empty;
}


static void
canary_known_apply_record(canary_known_t *next, canary_str_t name,
    const canary_reading_t *reading)
{
    uint64_t       epoch;
    canary_flag_t  flag;

    if (canary_flag_parse(&flag, name, reading->record, reading->parsed,
                          &next->reason)
        != 0)
    {
        next->state = CANARY_STATE_INVALID;
        return;
    }

    epoch = flag.epoch;

    canary_flag_clear(&flag);

    if (epoch < next->epoch) {
        next->state = CANARY_STATE_STALE_EPOCH;
        canary_known_epoch_error(next, epoch);
        return;
    }

    canary_known_set(next, CANARY_STATE_OK);
    next->epoch = epoch;
    next->record = reading->record;
}


static void
canary_known_epoch_error(canary_known_t *next, uint64_t epoch)
{
    char          text[sizeof("18446744073709551615")];
    char          expected[CANARY_ERROR_MAX];
    canary_str_t  value;

    (void) snprintf(text, sizeof(text), "%" PRIu64, epoch);
    (void) snprintf(expected, sizeof(expected),
                    "expected at least %" PRIu64 ", the highest epoch known",
                    next->epoch);

    value.data = text;
    value.len = strlen(text);

    canary_error(&next->reason, "epoch", value, expected);
}


static void
canary_known_apply_trip(canary_known_t *next, canary_str_t name,
    const canary_reading_t *reading)
{
    canary_trip_t   trip;
    canary_error_t  err;

    err.text[0] = '\0';

    if (reading->trip_error.len > 0) {
        canary_error(&err, "trip", reading->trip_error,
                     "expected a string that can be read");
        canary_known_trip_invalid(next, &err);
        return;
    }

    if (reading->trip.len == 0) {
        return;
    }

    if (next->latched && canary_str_eq(reading->trip, next->trip)) {
        return;
    }

    if (canary_trip_parse(&trip, name, reading->trip, &err) != 0) {
        canary_known_trip_invalid(next, &err);
        return;
    }

    if (!next->latched) {
        next->latched = 1;
        next->latch = trip;
        next->trip = reading->trip;

    } else if (canary_trip_latch(&next->latch, &trip, next->epoch)) {
        next->trip = reading->trip;
    }
}


void
canary_known_trip(canary_known_t *known, canary_str_t name, canary_str_t json)
{
    canary_reading_t  reading;

    memset(&reading, 0, sizeof(canary_reading_t));

    reading.trip = json;

    canary_known_apply_trip(known, name, &reading);
}


/* What is wrong with the flag itself is more important to its owner. */

static void
canary_known_trip_invalid(canary_known_t *next, const canary_error_t *err)
{
    if (next->state == CANARY_STATE_OK
        || next->state == CANARY_STATE_DELETED)
    {
        next->state = CANARY_STATE_INVALID;
        next->reason = *err;
    }
}


static void
canary_known_set(canary_known_t *next, canary_state_e state)
{
    next->state = state;
    next->reason.text[0] = '\0';
}


size_t
canary_known_size(const canary_known_t *known)
{
    return CANARY_KNOWN_HEADER + known->record.len + known->trip.len;
}


void
canary_known_pack(char *out, const canary_known_t *known)
{
    out = canary_put_u32(out, (uint32_t) known->state);
    out = canary_put_u64(out, known->epoch);
    out = canary_put_u32(out, known->latched);
    out = canary_put_u64(out, known->latch.epoch);
    out = canary_put_u32(out, known->latch.percent);
    out = canary_put_u32(out, (uint32_t) known->record.len);
    out = canary_put_u32(out, (uint32_t) known->trip.len);
    out = canary_put_str(out, known->record);
    (void) canary_put_str(out, known->trip);
}


int
canary_known_unpack(canary_known_t *known, canary_str_t packed)
{
    uint32_t     state;
    const char  *p;

    if (packed.len < CANARY_KNOWN_HEADER) {
        return -1;
    }

    p = packed.data;

    state = canary_get_u32(p + CANARY_KNOWN_AT_STATE);
    known->epoch = canary_get_u64(p + CANARY_KNOWN_AT_EPOCH);
    known->latched = canary_get_u32(p + CANARY_KNOWN_AT_LATCHED);
    known->latch.epoch = canary_get_u64(p + CANARY_KNOWN_AT_LATCH_EPOCH);
    known->latch.percent = canary_get_u32(p + CANARY_KNOWN_AT_LATCH_PERCENT);
    known->record.len = canary_get_u32(p + CANARY_KNOWN_AT_RECORD_LEN);
    known->trip.len = canary_get_u32(p + CANARY_KNOWN_AT_TRIP_LEN);

    if (state >= CANARY_STATES
        || known->epoch > CANARY_EPOCH_MAX
        || known->latched > 1
        || known->latch.epoch > CANARY_EPOCH_MAX
        || known->latch.percent > CANARY_BUCKETS
        || known->record.len > CANARY_RECORD_MAX
        || known->trip.len > CANARY_TRIP_MAX
        || packed.len != canary_known_size(known))
    {
        return -1;
    }

    known->record.data = p + CANARY_KNOWN_HEADER;
    known->trip.data = known->record.data + known->record.len;

    canary_known_set(known, (canary_state_e) state);

    return 0;
}
