
/*
 * The first line is a key.  What follows is a record: lines of name=value,
 * or, after a line that is only "raw", the packed bytes themselves.
 */

#include <string.h>
#include "decide.h"
#include "fuzz.h"


static void
check_flag(canary_flag_t *flag)
{
    uint32_t  i, last;

    fuzz_check(flag->percent <= CANARY_BUCKETS);
    fuzz_check(flag->shadow <= CANARY_BUCKETS);
    fuzz_check(flag->epoch <= CANARY_EPOCH_MAX);
    fuzz_check(flag->mode < CANARY_MODES);
    fuzz_check(flag->stages.n >= 1 && flag->stages.n <= CANARY_LADDER_MAX);

    for (i = 0, last = 0; i < flag->stages.n; i++) {
        fuzz_check(flag->stages.stage[i] > last);
        last = flag->stages.stage[i];
    }

    fuzz_check(last == CANARY_BUCKETS);

    for (i = 0; i < CANARY_ARMS; i++) {
        fuzz_check(memchr(flag->bundle[i], '\0', sizeof(flag->bundle[i])));
        fuzz_check(canary_str_is_text((canary_str_t) {
                       strlen(flag->bundle[i]), flag->bundle[i] }));
    }

    fuzz_check(memchr(flag->unknown, '\0', sizeof(flag->unknown)));
}


static void
check_decisions(canary_flag_t *flag, canary_str_t key)
{
    unsigned            i, last;
    canary_trip_t       trip;
    canary_request_t    request;
    canary_decision_t   d, tripped;

    static const uint32_t  percents[] = { 0, 1, 1000, 50000, 99999, 100000 };

    request.key = key;
    last = 0;

    for (i = 0; i < 3 * 3; i++) {
        request.tenant = key;
        request.override = (canary_arm_e) (i % 3);
        request.stale = (canary_stale_e) (i / 3);

        trip.epoch = flag->epoch;
        trip.percent = flag->percent / 2;

        canary_decide(&d, flag, NULL, &request);
        canary_decide(&tripped, flag, &trip, &request);

        fuzz_check(d.arm < CANARY_ARMS && d.reason < CANARY_REASONS);
        fuzz_check(d.percent <= CANARY_BUCKETS);
        fuzz_check(tripped.arm <= d.arm);
        fuzz_check(tripped.percent <= d.percent);

        trip.percent = 0;
        canary_decide(&tripped, flag, &trip, &request);
        fuzz_check(tripped.arm == CANARY_ARM_BASELINE);
    }

    request.tenant.len = 0;
    request.override = CANARY_ARM_NONE;
    request.stale = CANARY_STALE_NO;

    for (i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        flag->percent = percents[i];
        canary_decide(&d, flag, NULL, &request);
        fuzz_check(d.arm >= last);
        last = d.arm;
    }
}


static canary_str_t
cut(canary_str_t *rest, char separator)
{
    canary_str_t  s;

    s.data = rest->data;

    for (s.len = 0; s.len < rest->len; s.len++) {
        if (s.data[s.len] == separator) {
            rest->data += s.len + 1;
            rest->len -= s.len + 1;
            return s;
        }
    }

    rest->data += s.len;
    rest->len = 0;

    return s;
}


static char *
pack(canary_str_t lines, size_t *len)
{
    char            *end, *record;
    canary_str_t     line;
    canary_field_t   field;

    /* every line grows by the header of a field */

    record = malloc(lines.len * 9 + 16);

    if (record == NULL) {
        return NULL;
    }

    for (end = record; lines.len > 0; /* void */ ) {
        line = cut(&lines, '\n');
        field.name = cut(&line, '=');
        field.value = line;
        end = canary_record_add(end, &field);
    }

    *len = (size_t) (end - record);

    return record;
}


static void
parse(canary_str_t record, canary_str_t key)
{
    canary_flag_t   flag, again;
    canary_error_t  err;

    static const canary_str_t  name = canary_str("support");

    if (canary_flag_parse(&flag, name, record, NULL, &err) != 0) {
        fuzz_check(memchr(err.text, '\0', sizeof(err.text)));
        fuzz_check(err.text[0] != '\0');
        fuzz_check(canary_str_is_text((canary_str_t) { strlen(err.text),
                                                       err.text }));
        return;
    }

    check_flag(&flag);

    fuzz_check(canary_flag_parse(&again, name, record, &flag, &err) == 0);
    fuzz_check(again.allow == flag.allow && again.deny == flag.deny
               && again.tenants == flag.tenants);
    canary_flag_clear(&again);

    check_decisions(&flag, key);
    canary_flag_clear(&flag);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char          *record;
    canary_str_t   key, rest, s;

    static const canary_str_t  raw = canary_str("raw");

    rest.data = (const char *) data;
    rest.len = size;

    if (size == 0) {
        return 0;
    }

    key = cut(&rest, '\n');
    s = rest;

    if (rest.len > 0 && canary_str_eq(cut(&s, '\n'), raw)) {
        parse(s, key);
        return 0;
    }

    record = pack(rest, &s.len);

    if (record == NULL) {
        return 0;
    }

    s.data = record;
    parse(s, key);
    free(record);

    return 0;
}
