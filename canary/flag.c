
#include <stddef.h>
#include <string.h>
#include "flag.h"
#include "json.h"
#include "trip.h"


typedef struct {
    canary_flag_t        *flag;
    const canary_flag_t  *prev;
    const char           *name;             /* of the field at hand */
    canary_str_t          value;
    canary_error_t       *err;
} canary_flag_parser_t;


typedef int (*canary_flag_set_pt)(canary_flag_parser_t *p);


typedef struct {
    canary_str_t          name;
    canary_flag_set_pt    set;
} canary_flag_field_t;


static int canary_flag_read(canary_flag_parser_t *p, canary_str_t record);
static const canary_flag_field_t *canary_flag_find_field(canary_str_t name);
static void canary_flag_set_unknown(canary_flag_t *flag, canary_str_t name);
static int canary_flag_set_percent(canary_flag_parser_t *p);
static int canary_flag_set_enabled(canary_flag_parser_t *p);
static int canary_flag_set_epoch(canary_flag_parser_t *p);
static int canary_flag_set_salt(canary_flag_parser_t *p);
static int canary_flag_set_stages(canary_flag_parser_t *p);
static int canary_flag_set_allow(canary_flag_parser_t *p);
static int canary_flag_set_deny(canary_flag_parser_t *p);
static int canary_flag_set_tenants(canary_flag_parser_t *p);
static int canary_flag_set_bundle_baseline(canary_flag_parser_t *p);
static int canary_flag_set_bundle_candidate(canary_flag_parser_t *p);
static int canary_flag_set_mode(canary_flag_parser_t *p);
static int canary_flag_set_shadow(canary_flag_parser_t *p);
static int canary_flag_set_guardrails(canary_flag_parser_t *p);
static int canary_flag_check_plan(canary_flag_parser_t *p);
static int canary_flag_parse_percent(canary_flag_parser_t *p,
    uint32_t *percent);
static int canary_flag_copy_text(canary_flag_parser_t *p, char *text);
static int canary_flag_check_text(canary_flag_parser_t *p);


const canary_str_t  canary_arm_names[CANARY_ARMS] = {
    canary_str("baseline"),
    canary_str("candidate")
};


const canary_str_t  canary_mode_names[CANARY_MODES] = {
    canary_str(""),
    canary_str("suggest"),
    canary_str("draft"),
    canary_str("review"),
    canary_str("guarded"),
    canary_str("full")
};


static const canary_flag_field_t  canary_flag_fields[] = {
    { canary_str("percent"), canary_flag_set_percent },
    { canary_str("enabled"), canary_flag_set_enabled },
    { canary_str("epoch"), canary_flag_set_epoch },
    { canary_str("salt"), canary_flag_set_salt },
    { canary_str("stages"), canary_flag_set_stages },
    { canary_str("allow"), canary_flag_set_allow },
    { canary_str("deny"), canary_flag_set_deny },
    { canary_str("tenants"), canary_flag_set_tenants },
    { canary_str("bundle_baseline"), canary_flag_set_bundle_baseline },
    { canary_str("bundle_candidate"), canary_flag_set_bundle_candidate },
    { canary_str("mode"), canary_flag_set_mode },
    { canary_str("shadow"), canary_flag_set_shadow },
    { canary_str("guardrails"), canary_flag_set_guardrails },
    { canary_str("plan"), canary_flag_check_plan },
    { canary_str(""), NULL }
};


canary_arm_e
canary_arm_parse(canary_str_t name)
{
    unsigned  arm;

    for (arm = 0; arm < CANARY_ARMS; arm++) {
        if (canary_str_eq(name, canary_arm_names[arm])) {
            break;
        }
    }

    return (canary_arm_e) arm;
}


int
canary_flag_name_valid(canary_str_t name)
{
    char    c;
    size_t  i;

    if (name.len == 0 || name.len > CANARY_FLAG_NAME_MAX) {
        return 0;
    }

    for (i = 0; i < name.len; i++) {
        c = name.data[i];

        if (!((c >= 'A' && c <= 'Z')
              || (c >= 'a' && c <= 'z')
              || (c >= '0' && c <= '9')
              || c == '.' || c == '_' || c == '-'))
        {
            return 0;
        }
    }

    return 1;
}


int
canary_flag_parse(canary_flag_t *flag, canary_str_t name, canary_str_t record,
    const canary_flag_t *prev, canary_error_t *err)
{
    canary_flag_parser_t  p;

    memset(flag, 0, sizeof(canary_flag_t));

    flag->seed = canary_seed(name);
    flag->enabled = 1;
    flag->stages = canary_ladder_default;
    canary_guardrails_default(&flag->guardrails);

    p.flag = flag;
    p.prev = prev;
    p.err = err;

    if (canary_flag_read(&p, record) != 0) {
        canary_flag_clear(flag);
        return -1;
    }

    return 0;
}


static int
canary_flag_read(canary_flag_parser_t *p, canary_str_t record)
{
    int                         rc;
    size_t                      pos;
    uint32_t                    bit, seen;
    canary_field_t              entry;
    const canary_flag_field_t  *field;

    static const canary_str_t   empty = canary_str("");

    if (record.len > CANARY_RECORD_MAX) {
        canary_error(p->err, "record", empty,
                     "expected at most 8388608 bytes");
        return -1;
    }

    pos = 0;
    seen = 0;

    while ((rc = canary_record_next(record, &pos, &entry)) == 1) {

        field = canary_flag_find_field(entry.name);

        if (field == NULL) {
            canary_flag_set_unknown(p->flag, entry.name);
            continue;
        }

        p->name = field->name.data;
        p->value = entry.value;

        bit = (uint32_t) 1 << (field - canary_flag_fields);

        if (seen & bit) {
            canary_error(p->err, p->name, p->value,
                         "expected once, this is a second value");
            return -1;
        }

        seen |= bit;

        if (field->set(p) != 0) {
            return -1;
        }
    }

    if (rc != 0) {
        canary_error(p->err, "record", empty, "expected fields and values");
        return -1;
    }

    /* the first field is the only one without a default */

    if (!(seen & 1)) {
        canary_error(p->err, canary_flag_fields[0].name.data, empty,
                     "expected 0 to 100 with at most 3 decimals, "
                     "the field is missing");
        return -1;
    }

    return 0;
}


static const canary_flag_field_t *
canary_flag_find_field(canary_str_t name)
{
    const canary_flag_field_t  *field;

    for (field = canary_flag_fields; field->set; field++) {
        if (canary_str_eq(field->name, name)) {
            return field;
        }
    }

    return NULL;
}


static void
canary_flag_set_unknown(canary_flag_t *flag, canary_str_t name)
{
    char    c;
    size_t  i;

    if (flag->unknown[0] != '\0') {
        return;
    }

    for (i = 0; i < name.len && i < CANARY_FLAG_NAME_MAX; i++) {
        c = name.data[i];
        flag->unknown[i] = (char) ((c >= ' ' && c <= '~') ? c : '?');
    }
}


void
canary_flag_clear(canary_flag_t *flag)
{
    canary_set_release(flag->allow);
    canary_set_release(flag->deny);
    canary_set_release(flag->tenants);

    memset(flag, 0, sizeof(canary_flag_t));
}


static int
canary_flag_set_percent(canary_flag_parser_t *p)
{
    return canary_flag_parse_percent(p, &p->flag->percent);
}


static int
canary_flag_set_enabled(canary_flag_parser_t *p)
{
    if (p->value.len != 1
        || (p->value.data[0] != '0' && p->value.data[0] != '1'))
    {
        canary_error(p->err, p->name, p->value, "expected 1 or 0");
        return -1;
    }

    p->flag->enabled = p->value.data[0] == '1';

    return 0;
}


static int
canary_flag_set_epoch(canary_flag_parser_t *p)
{
    if (canary_epoch_parse(p->value, &p->flag->epoch) != 0) {
        canary_error(p->err, p->name, p->value,
                     "expected 0 to 999999999999999");
        return -1;
    }

    return 0;
}


static int
canary_flag_set_salt(canary_flag_parser_t *p)
{
    if (canary_flag_check_text(p) != 0) {
        return -1;
    }

    p->flag->seed = canary_seed(p->value);

    return 0;
}


static int
canary_flag_set_stages(canary_flag_parser_t *p)
{
    if (canary_ladder_parse(p->value, &p->flag->stages) != 0) {
        canary_error(p->err, p->name, p->value,
                     "expected up to 16 ascending percents that end in 100, "
                     "like 1,5,25,50,100");
        return -1;
    }

    return 0;
}


static int
canary_flag_set_allow(canary_flag_parser_t *p)
{
    p->flag->allow = canary_set_parse_list(p->name, p->value,
                                           p->prev ? p->prev->allow : NULL,
                                           p->err);

    return p->flag->allow ? 0 : -1;
}


static int
canary_flag_set_deny(canary_flag_parser_t *p)
{
    p->flag->deny = canary_set_parse_list(p->name, p->value,
                                          p->prev ? p->prev->deny : NULL,
                                          p->err);

    return p->flag->deny ? 0 : -1;
}


static int
canary_flag_set_tenants(canary_flag_parser_t *p)
{
    p->flag->tenants = canary_set_parse_percents(p->name, p->value,
                                            p->prev ? p->prev->tenants : NULL,
                                            p->err);

    return p->flag->tenants ? 0 : -1;
}


static int
canary_flag_set_bundle_baseline(canary_flag_parser_t *p)
{
    return canary_flag_copy_text(p, p->flag->bundle[CANARY_ARM_BASELINE]);
}


static int
canary_flag_set_bundle_candidate(canary_flag_parser_t *p)
{
    return canary_flag_copy_text(p, p->flag->bundle[CANARY_ARM_CANDIDATE]);
}


static int
canary_flag_set_mode(canary_flag_parser_t *p)
{
    unsigned  mode;

    for (mode = CANARY_MODE_NONE + 1; mode < CANARY_MODES; mode++) {
        if (canary_str_eq(p->value, canary_mode_names[mode])) {
            p->flag->mode = (canary_mode_e) mode;
            return 0;
        }
    }

    canary_error(p->err, p->name, p->value,
                 "expected suggest, draft, review, guarded or full");

    return -1;
}


static int
canary_flag_set_shadow(canary_flag_parser_t *p)
{
    return canary_flag_parse_percent(p, &p->flag->shadow);
}


static int
canary_flag_set_guardrails(canary_flag_parser_t *p)
{
    return canary_guardrails_parse(&p->flag->guardrails, p->value, p->err);
}


static int
canary_flag_check_plan(canary_flag_parser_t *p)
{
    json_t  *json;

    json = canary_json_load(p->name, p->value,
                            "expected a JSON array or object", p->err);

    if (json == NULL) {
        return -1;
    }

    json_decref(json);

    return 0;
}


static int
canary_flag_parse_percent(canary_flag_parser_t *p, uint32_t *percent)
{
    if (canary_percent_parse(p->value, percent) != 0) {
        canary_error(p->err, p->name, p->value,
                     "expected 0 to 100 with at most 3 decimals");
        return -1;
    }

    return 0;
}


static int
canary_flag_copy_text(canary_flag_parser_t *p, char *text)
{
    if (canary_flag_check_text(p) != 0) {
        return -1;
    }

    /* the flag was zeroed, and so is the end of the text */

    memcpy(text, p->value.data, p->value.len);

    return 0;
}


static int
canary_flag_check_text(canary_flag_parser_t *p)
{
    if (p->value.len == 0
        || p->value.len > CANARY_TEXT_MAX
        || !canary_str_is_text(p->value))
    {
        canary_error(p->err, p->name, p->value,
                     "expected 1 to 128 bytes of text");
        return -1;
    }

    return 0;
}
