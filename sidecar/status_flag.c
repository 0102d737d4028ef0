
#include <string.h>
#include "status_flag.h"
#include "text.h"


#define CANARYD_TALLY_FIELDS  23
#define CANARYD_TALLY_ALL     ((1UL << CANARYD_TALLY_FIELDS) - 1)


/* Returns 0; or -1 when the value is not what it should be. */

typedef int (*canaryd_member_pt)(canaryd_reader_t *r,
    canaryd_status_flag_t *f);


typedef struct {
    const char         *name;
    canaryd_member_pt   handler;
} canaryd_member_t;


static void canaryd_status_check(canaryd_status_flag_t *f);
static int canaryd_flag_name(canaryd_reader_t *r, canaryd_status_flag_t *f);
static int canaryd_flag_state(canaryd_reader_t *r, canaryd_status_flag_t *f);
static int canaryd_flag_percent(canaryd_reader_t *r,
    canaryd_status_flag_t *f);
static int canaryd_flag_enabled(canaryd_reader_t *r,
    canaryd_status_flag_t *f);
static int canaryd_flag_epoch(canaryd_reader_t *r, canaryd_status_flag_t *f);
static int canaryd_flag_tripped(canaryd_reader_t *r,
    canaryd_status_flag_t *f);
static int canaryd_flag_trip(canaryd_reader_t *r, canaryd_status_flag_t *f);
static int canaryd_flag_stages(canaryd_reader_t *r,
    canaryd_status_flag_t *f);
static int canaryd_flag_bundle(canaryd_reader_t *r,
    canaryd_status_flag_t *f);
static int canaryd_flag_guardrails(canaryd_reader_t *r,
    canaryd_status_flag_t *f);
static int canaryd_flag_targets(canaryd_reader_t *r,
    canaryd_status_flag_t *f);
static int canaryd_flag_arms(canaryd_reader_t *r, canaryd_status_flag_t *f);
static int canaryd_arm(canaryd_reader_t *r, canaryd_status_flag_t *f,
    canary_arm_e arm);
static int canaryd_arm_field(canaryd_reader_t *r, canary_tally_t *t,
    canary_str_t key, const canary_tally_field_t **hint, uint64_t *seen);


static const canaryd_member_t  canaryd_members[] = {
    { "name", canaryd_flag_name },
    { "epoch", canaryd_flag_epoch },
    { "percent", canaryd_flag_percent },
    { "state", canaryd_flag_state },
    { "enabled", canaryd_flag_enabled },
    { "tripped", canaryd_flag_tripped },
    { "trip", canaryd_flag_trip },
    { "stages", canaryd_flag_stages },
    { "bundle", canaryd_flag_bundle },
    { "guardrails", canaryd_flag_guardrails },
    { "arms", canaryd_flag_arms },
    { "tenants", canaryd_flag_targets },
    { "allow", canaryd_flag_targets },
    { NULL, NULL }
};


#define CANARYD_MEMBER_EPOCH    (1U << 1)
#define CANARYD_MEMBER_PERCENT  (1U << 2)
#define CANARYD_MEMBER_ENABLED  (1U << 4)


int
canaryd_status_flag(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    unsigned          i, n;
    canary_str_t      key, any;
    canaryd_reader_t  before;

    if (!canaryd_reader_open(r, CANARYD_JSON_OBJECT)) {
        return -1;
    }

    n = 0;

    while (canaryd_reader_next(r, &n)) {

        if (canaryd_reader_key(r, &key) != 0) {
            return -1;
        }

        for (i = 0; canaryd_members[i].name; i++) {
            if (canary_str_eq(key, canaryd_str(canaryd_members[i].name))) {
                break;
            }
        }

        before = *r;

        if (canaryd_members[i].name
            && ((f->seen & 1U << i)
                || canaryd_members[i].handler(r, f) != 0))
        {
            f->bad = canaryd_members[i].name;
            *r = before;
        }

        f->seen |= 1U << i;

        /* of what is wrong or unknown at least the form is read */

        if (r->pos == before.pos && !canaryd_reader_value(r, &any)) {
            return -1;
        }
    }

    if (r->failed) {
        return -1;
    }

    canaryd_status_check(f);

    return 0;
}


static void
canaryd_status_check(canaryd_status_flag_t *f)
{
    unsigned  i, must;

    must = CANARYD_MEMBER_EPOCH | CANARYD_MEMBER_PERCENT
           | CANARYD_MEMBER_ENABLED;

    if ((f->seen & must) == must) {
        f->known = 1;

    } else if (f->seen & must) {
        f->bad = "epoch, percent, enabled";
    }

    for (i = 0; i < CANARY_ARMS; i++) {
        if (f->arm[i].requests > CANARYD_COUNT_MAX
            || canary_tally_errors(&f->arm[i]) > CANARYD_COUNT_MAX)
        {
            f->bad = "arms";
        }
    }
}


static int
canaryd_flag_name(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    if (canaryd_reader_text(r, f->name, sizeof(f->name)) == 0
        && canary_flag_name_valid(canaryd_str(f->name)))
    {
        return 0;
    }

    f->name[0] = '\0';

    return -1;
}


static int
canaryd_flag_state(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    return canaryd_reader_text(r, f->state, sizeof(f->state));
}


static int
canaryd_flag_percent(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    return canaryd_reader_percent(r, &f->percent);
}


static int
canaryd_flag_enabled(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    int  value;

    if (canaryd_reader_bool(r, &value) != 0) {
        return -1;
    }

    f->enabled = value ? 1 : 0;

    return 0;
}


static int
canaryd_flag_epoch(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    return canaryd_reader_epoch(r, &f->epoch);
}


static int
canaryd_flag_tripped(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    int  value;

    if (canaryd_reader_bool(r, &value) != 0) {
        return -1;
    }

    f->tripped = value ? 1 : 0;

    return 0;
}


static int
canaryd_flag_trip(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    int           rc;
    unsigned      n, seen;
    canary_str_t  key, any;

    if (canaryd_reader_peek(r) == CANARYD_JSON_NULL) {
        return canaryd_reader_value(r, &any) ? 0 : -1;
    }

    if (!canaryd_reader_open(r, CANARYD_JSON_OBJECT)) {
        return -1;
    }

    n = 0;
    seen = 0;

    while (canaryd_reader_next(r, &n)) {

        if (canaryd_reader_key(r, &key) != 0) {
            return -1;
        }

        if (canary_str_eq(key, canaryd_str("epoch"))) {
            rc = canaryd_reader_epoch(r, &f->trip.epoch);
            seen |= 1;

        } else if (canary_str_eq(key, canaryd_str("percent"))) {
            rc = canaryd_reader_percent(r, &f->trip.percent);
            seen |= 2;

        } else if (canary_str_eq(key, canaryd_str("record"))) {
            rc = canaryd_reader_value(r, &f->record) == CANARYD_JSON_OBJECT
                 ? 0 : -1;

        } else {
            rc = canaryd_reader_value(r, &any) ? 0 : -1;
        }

        if (rc != 0) {
            return -1;
        }
    }

    f->latched = 1;

    return seen == 3 && !r->failed ? 0 : -1;
}


static int
canaryd_flag_stages(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    unsigned  n;
    uint32_t  percent, last;

    if (!canaryd_reader_open(r, CANARYD_JSON_ARRAY)) {
        return -1;
    }

    n = 0;
    last = 0;
    f->stages.n = 0;

    while (canaryd_reader_next(r, &n)) {
        if (f->stages.n == CANARY_LADDER_MAX
            || canaryd_reader_percent(r, &percent) != 0 || percent <= last)
        {
            return -1;
        }

        f->stages.stage[f->stages.n++] = percent;
        last = percent;
    }

    return r->failed ? -1 : 0;
}


static int
canaryd_flag_bundle(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    unsigned        n, arm;
    canary_str_t    key, value;
    canaryd_json_e  type;

    if (!canaryd_reader_open(r, CANARYD_JSON_OBJECT)) {
        return -1;
    }

    n = 0;

    while (canaryd_reader_next(r, &n)) {

        if (canaryd_reader_key(r, &key) != 0) {
            return -1;
        }

        type = canaryd_reader_value(r, &value);

        if (type == CANARYD_JSON_NONE) {
            return -1;
        }

        for (arm = 0; arm < CANARY_ARMS; arm++) {
            if (type == CANARYD_JSON_STRING
                && canary_str_eq(key, canary_arm_names[arm])
                && canary_str_is_text(value))
            {
                f->bundle[arm] = value;
            }
        }
    }

    return r->failed ? -1 : 0;
}


static int
canaryd_flag_guardrails(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    canary_str_t  raw;

    switch (canaryd_reader_value(r, &raw)) {

    case CANARYD_JSON_NULL:
        return 0;

    case CANARYD_JSON_OBJECT:
        f->guardrails = raw;
        return 0;

    default:
        return -1;
    }
}


/* Numbers of keys that are candidates whatever the percent. */

static int
canaryd_flag_targets(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    uint64_t  n;

    if (canaryd_reader_epoch(r, &n) != 0) {
        return -1;
    }

    if (n > 0) {
        f->targets = 1;
    }

    return 0;
}


static int
canaryd_flag_arms(canaryd_reader_t *r, canaryd_status_flag_t *f)
{
    int           rc;
    unsigned      n, arm, seen;
    canary_str_t  key, any;

    if (!canaryd_reader_open(r, CANARYD_JSON_OBJECT)) {
        return -1;
    }

    n = 0;
    seen = 0;

    while (canaryd_reader_next(r, &n)) {

        if (canaryd_reader_key(r, &key) != 0) {
            return -1;
        }

        for (arm = 0; arm < CANARY_ARMS; arm++) {
            if (canary_str_eq(key, canary_arm_names[arm])) {
                break;
            }
        }

        if (arm == CANARY_ARMS) {
            rc = canaryd_reader_value(r, &any) ? 0 : -1;

        } else if (seen & 1U << arm) {
            rc = -1;

        } else {
            rc = canaryd_arm(r, f, (canary_arm_e) arm);
            seen |= 1U << arm;
        }

        if (rc != 0) {
            return -1;
        }
    }

    return seen == (1U << CANARY_ARMS) - 1 && !r->failed ? 0 : -1;
}


static int
canaryd_arm(canaryd_reader_t *r, canaryd_status_flag_t *f, canary_arm_e arm)
{
    unsigned                     n;
    uint64_t                     seen;
    canary_str_t                 key;
    const canary_tally_field_t  *hint;

    if (!canaryd_reader_open(r, CANARYD_JSON_OBJECT)) {
        return -1;
    }

    n = 0;
    seen = 0;
    hint = canary_tally_fields;

    while (canaryd_reader_next(r, &n)) {

        if (canaryd_reader_key(r, &key) != 0) {
            return -1;
        }

        if (canary_str_eq(key, canaryd_str("in_flight"))) {
            if (canaryd_reader_epoch(r, &f->in_flight[arm]) != 0) {
                return -1;
            }

        } else if (canaryd_arm_field(r, &f->arm[arm], key, &hint, &seen)
                   != 0)
        {
            return -1;
        }
    }

    return seen == CANARYD_TALLY_ALL && !r->failed ? 0 : -1;
}


/* The fields come in the order of the list, most of the time. */

static int
canaryd_arm_field(canaryd_reader_t *r, canary_tally_t *t, canary_str_t key,
    const canary_tally_field_t **hint, uint64_t *seen)
{
    uint64_t                     bit;
    canary_str_t                 raw;
    canaryd_json_e               type;
    const canary_tally_field_t  *field;

    field = *hint;

    if (field->n == 0 || !canary_str_eq(field->name, key)) {
        field = key.len ? canary_tally_field(key) : NULL;
    }

    type = canaryd_reader_value(r, &raw);

    if (field == NULL) {
        return type == CANARYD_JSON_NONE ? -1 : 0;
    }

    *hint = field + 1;
    bit = (uint64_t) 1 << (field - canary_tally_fields);

    if (*seen & bit) {
        return -1;
    }

    *seen |= bit;

    if (type != (field->n > 1 ? CANARYD_JSON_STRING : CANARYD_JSON_NUMBER)) {
        return -1;
    }

    return canary_tally_parse(t, field, raw);
}
