
/* JSON of a trip, alone and as the next reading after a known one. */

#include <string.h>
#include "fuzz.h"
#include "known.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                rc;
    canary_str_t       json;
    canary_trip_t      trip, told;
    canary_error_t     err;
    canary_known_t     next, prev;
    canary_reading_t   reading;

    static const canary_str_t   name = canary_str("support");
    static const canary_str_t   known =
                                   canary_str("{\"epoch\":5,\"percent\":1}");
    static const canary_trip_t  latch = { 5, 1000 };

    json.data = (const char *) data;
    json.len = size;

    rc = canary_trip_parse(&trip, name, json, &err);

    if (rc == 0) {
        fuzz_check(trip.epoch <= CANARY_EPOCH_MAX);
        fuzz_check(trip.percent <= CANARY_BUCKETS);
        fuzz_check(!canary_trip_beats(&trip, &trip));

    } else {
        fuzz_check(err.text[0] != '\0');
        fuzz_check(canary_str_is_text((canary_str_t) { strlen(err.text),
                                                       err.text }));
    }

    memset(&prev, 0, sizeof(prev));
    memset(&reading, 0, sizeof(reading));
    prev.latched = 1;
    prev.latch = latch;
    prev.trip = known;
    reading.trip = json;

    canary_known_apply(&next, name, &prev, &reading);

    fuzz_check(canary_trip_parse(&told, name, next.trip, &err) == 0);
    fuzz_check(next.latched);

    /* at epoch 0 of the flag every trip holds, and the lower percent counts */

    if (rc == 0) {
        fuzz_check(!canary_trip_beats(&latch, &next.latch));
        fuzz_check(!canary_trip_beats(&trip, &next.latch));
        fuzz_check(next.latch.percent <= latch.percent);
        fuzz_check(next.latch.percent <= trip.percent);

    } else {
        fuzz_check(next.latch.epoch == latch.epoch);
        fuzz_check(next.latch.percent == latch.percent);
    }

    return 0;
}
