
#include <inttypes.h>
#include <string.h>
#include "clock.h"
#include "reader.h"
#include "verdict_record.h"


static void canaryd_record_evidence(canaryd_text_t *t, const canaryd_t *d,
    const canaryd_flag_t *f, const canary_standing_t *st);
static void canaryd_record_number(canaryd_text_t *t, const char *name,
    double number);
static void canaryd_record_percent(canaryd_text_t *t, uint32_t percent);


void
canaryd_verdict_record(canaryd_text_t *t, const canaryd_t *d,
    const canaryd_flag_t *f, const canary_ruling_t *ruling,
    const canary_trip_t *trip)
{
    char                       time[CANARYD_TIME_LEN];
    const canary_standing_t   *st;

    st = &ruling->standing;
    canaryd_time_text(time);

    canaryd_text_printf(t, "{\"flag\":\"%s\",\"epoch\":%" PRIu64
                        ",\"percent\":", f->name, trip->epoch);
    canaryd_record_percent(t, trip->percent);

    canaryd_text_printf(t, ",\"by\":\"" CANARYD_BY "/%s\",\"reason\":",
                        d->options.instance);
    canaryd_text_json(t, canaryd_str(ruling->sentence));

    canaryd_text_printf(t, ",\"action\":\"%s\",\"rule\":%u,\"metric\":\"%s\"",
                        canary_action_names[ruling->action].data,
                        (unsigned) st->rule,
                        canary_metric_names[st->metric].data);
    canaryd_record_number(t, "value", st->value);
    canaryd_record_number(t, "limit", st->limit);

    canaryd_text_put(t, ",\"evidence\":{");
    canaryd_record_evidence(t, d, f, st);
    canaryd_text_printf(t, "},\"at\":\"%s\"}", time);
}


static void
canaryd_record_evidence(canaryd_text_t *t, const canaryd_t *d,
    const canaryd_flag_t *f, const canary_standing_t *st)
{
    unsigned  arm;

    canaryd_text_put(t, "\"from_percent\":");
    canaryd_record_percent(t, f->percent);

    canaryd_record_number(t, "requests", st->n);
    canaryd_record_number(t, "events", st->events);
    canaryd_record_number(t, "baseline_requests", st->baseline_n);
    canaryd_record_number(t, "baseline_events", st->baseline_events);
    canaryd_record_number(t, "baseline_value", st->baseline_value);
    canaryd_record_number(t, "seconds", st->seconds);
    canaryd_record_number(t, "e_value", st->e_value);
    canaryd_record_number(t, "e_limit", st->e_limit);
    canaryd_record_number(t, "design_effect", st->design_effect);

    if (st->edge_ms > 0) {
        canaryd_record_number(t, "slower_than_ms", st->edge_ms);
    }

    canaryd_text_printf(t, ",\"instances\":%u", d->peers + 1);

    for (arm = 0; arm < CANARY_ARMS; arm++) {
        if (f->bundle[arm][0]) {
            canaryd_text_printf(t, ",\"%s\":\"%s\"",
                                canary_arm_names[arm].data, f->bundle[arm]);
        }
    }
}


static void
canaryd_record_number(canaryd_text_t *t, const char *name, double number)
{
    canaryd_text_printf(t, ",\"%s\":", name);
    canaryd_text_number(t, number);
}


static void
canaryd_record_percent(canaryd_text_t *t, uint32_t percent)
{
    char  text[CANARY_PERCENT_LEN];

    canaryd_text_add(t, text, canary_percent_format(text, percent));
}


int
canaryd_record_is_own_kind(canary_str_t json)
{
    unsigned          n;
    canary_str_t      key, value;
    canaryd_json_e    type;
    canaryd_reader_t  r;

    static const size_t  len = sizeof(CANARYD_BY) - 1;

    canaryd_reader_init(&r, json);

    if (!canaryd_reader_open(&r, CANARYD_JSON_OBJECT)) {
        return 0;
    }

    n = 0;

    while (canaryd_reader_next(&r, &n)) {

        if (canaryd_reader_key(&r, &key) != 0) {
            return 0;
        }

        type = canaryd_reader_value(&r, &value);

        if (canary_str_eq(key, canaryd_str("by"))) {
            return type == CANARYD_JSON_STRING && value.len > len
                   && memcmp(value.data, CANARYD_BY "/", len + 1) == 0;
        }

        if (type == CANARYD_JSON_NONE) {
            return 0;
        }
    }

    return 0;
}
