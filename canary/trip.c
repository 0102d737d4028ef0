
#include "json.h"
#include "trip.h"


static int canary_trip_read(canary_trip_t *trip, canary_str_t name,
    const json_t *json, canary_error_t *err);


int
canary_epoch_parse(canary_str_t text, uint64_t *epoch)
{
    size_t    i;
    uint64_t  n;

    if (text.len == 0 || text.len > CANARY_EPOCH_LEN
        || (text.len > 1 && text.data[0] == '0'))
    {
        return -1;
    }

    n = 0;

    for (i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }

        n = n * 10 + (uint64_t) (text.data[i] - '0');
    }

    *epoch = n;

    return 0;
}


int
canary_trip_parse(canary_trip_t *trip, canary_str_t name, canary_str_t json,
    canary_error_t *err)
{
    int            rc;
    json_t        *root;
    canary_trip_t  parsed;

    if (json.len > CANARY_TRIP_MAX) {
        canary_error(err, "trip", json, "expected at most 65536 bytes");
        return -1;
    }

    root = canary_json_load("trip", json, "expected a JSON object", err);

    if (root == NULL) {
        return -1;
    }

    rc = canary_trip_read(&parsed, name, root, err);

    json_decref(root);

    if (rc == 0) {
        *trip = parsed;
    }

    return rc;
}


static int
canary_trip_read(canary_trip_t *trip, canary_str_t name, const json_t *json,
    canary_error_t *err)
{
    canary_str_t   flag;
    const json_t  *value;

    static const char  expected_flag[] = "expected the name of the flag";

    if (!json_is_object(json)) {
        canary_json_error(err, "trip", json, "expected a JSON object");
        return -1;
    }

    value = json_object_get(json, "flag");

    if (value) {
        flag.data = json_string_value(value);
        flag.len = json_string_length(value);

        if (flag.data == NULL) {
            canary_json_error(err, "trip flag", value, expected_flag);
            return -1;
        }

        if (!canary_str_eq(flag, name)) {
            canary_error(err, "trip flag", flag, expected_flag);
            return -1;
        }
    }

    value = json_object_get(json, "epoch");

    if (!json_is_integer(value)
        || json_integer_value(value) < 0
        || json_integer_value(value) > (json_int_t) CANARY_EPOCH_MAX)
    {
        canary_json_error(err, "trip epoch", value,
                          "expected 0 to 999999999999999");
        return -1;
    }

    trip->epoch = (uint64_t) json_integer_value(value);
    trip->percent = 0;

    value = json_object_get(json, "percent");

    if (value && canary_json_percent(value, &trip->percent) != 0) {
        canary_json_error(err, "trip percent", value,
                          "expected 0 to 100 with at most 3 decimals");
        return -1;
    }

    return 0;
}


int
canary_trip_beats(const canary_trip_t *a, const canary_trip_t *b)
{
    if (a->epoch != b->epoch) {
        return a->epoch > b->epoch;
    }

    return a->percent < b->percent;
}


int
canary_trip_latch(canary_trip_t *latch, const canary_trip_t *trip,
    uint64_t epoch)
{
    int            changed;
    canary_trip_t  join;

    join = canary_trip_beats(trip, latch) ? *trip : *latch;

    if (trip->epoch >= epoch && latch->epoch >= epoch) {
        join.percent = trip->percent < latch->percent ? trip->percent
                                                      : latch->percent;
    }

    changed = join.epoch != latch->epoch || join.percent != latch->percent;

    *latch = join;

    return changed;
}
