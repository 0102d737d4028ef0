
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "bytes.h"
#include "text.h"
#include "window.h"


#define CANARYD_WINDOW_BOOT     0
#define CANARYD_WINDOW_EPOCH    1
#define CANARYD_WINDOW_PERCENT  2
#define CANARYD_WINDOW_ARMS     3


static unsigned canaryd_window_arm(const canaryd_window_t *w,
    const canaryd_window_t *before, canary_arm_e arm, canaryd_window_pt put,
    void *data);
static int canaryd_window_field(canaryd_window_t *w, canary_str_t name,
    canary_str_t value);
static int canaryd_window_tally(canaryd_window_t *w, canary_str_t name,
    canary_str_t value);


unsigned
canaryd_window_write(const canaryd_window_t *w,
    const canaryd_window_t *before, canaryd_window_pt put, void *data)
{
    int       len;
    char      text[CANARYD_FIELD_MAX];
    unsigned  n;

    n = 0;

    if (before == NULL || strcmp(w->boot, before->boot) != 0) {
        put(data, canaryd_str("boot_id"), canaryd_str(w->boot));
        n++;
    }

    if (before == NULL || w->epoch != before->epoch) {
        len = snprintf(text, sizeof(text), "%" PRIu64, w->epoch);
        put(data, canaryd_str("epoch"),
            (canary_str_t) { (size_t) len, text });
        n++;
    }

    if (before == NULL || w->percent != before->percent) {
        put(data, canaryd_str("percent"), (canary_str_t) {
            canary_percent_format(text, w->percent), text });
        n++;
    }

    n += canaryd_window_arm(w, before, CANARY_ARM_BASELINE, put, data);
    n += canaryd_window_arm(w, before, CANARY_ARM_CANDIDATE, put, data);

    return n;
}


static unsigned
canaryd_window_arm(const canaryd_window_t *w, const canaryd_window_t *before,
    canary_arm_e arm, canaryd_window_pt put, void *data)
{
    char                        *end, name[CANARYD_FIELD_MAX];
    char                         text[CANARY_TALLY_TEXT_MAX];
    size_t                       size;
    unsigned                     n;
    const canary_tally_field_t  *field;

    n = 0;

    for (field = canary_tally_fields; field->n; field++) {

        if (before
            && memcmp((const char *) &w->arm[arm] + field->offset,
                      (const char *) &before->arm[arm] + field->offset,
                      field->n * sizeof(uint64_t))
               == 0)
        {
            continue;
        }

        end = canary_put_str(name, canary_arm_names[arm]);
        *end++ = '.';
        end = canary_put_str(end, field->name);

        size = canary_tally_format(text, field, &w->arm[arm]);

        put(data, (canary_str_t) { (size_t) (end - name), name },
            (canary_str_t) { size, text });
        n++;
    }

    return n;
}


int
canaryd_window_read(canaryd_window_t *w, const canary_str_t *pairs,
    unsigned n)
{
    int       field;
    unsigned  i, fields;
    uint64_t  seen, all;

    memset(w, 0, sizeof(canaryd_window_t));

    for (fields = 0; canary_tally_fields[fields].n; fields++) { /* void */ }

    all = ((uint64_t) 1 << (CANARYD_WINDOW_ARMS + CANARY_ARMS * fields)) - 1;
    seen = 0;

    for (i = 0; i < n; i++) {
        field = canaryd_window_field(w, pairs[(size_t) 2 * i],
                                     pairs[(size_t) 2 * i + 1]);

        if (field == -2) {
            continue;
        }

        if (field < 0 || (seen & (uint64_t) 1 << field)) {
            return -1;
        }

        seen |= (uint64_t) 1 << field;
    }

    for (i = 0; i < CANARY_ARMS; i++) {
        if (w->arm[i].requests > CANARYD_COUNT_MAX
            || canary_tally_errors(&w->arm[i]) > CANARYD_COUNT_MAX)
        {
            return -1;
        }
    }

    return seen == all ? 0 : -1;
}


/* Its number, -1 when the value is wrong, -2 when there is no such field. */

static int
canaryd_window_field(canaryd_window_t *w, canary_str_t name,
    canary_str_t value)
{
    if (canary_str_eq(name, canaryd_str("boot_id"))) {
        if (!canary_flag_name_valid(value)) {
            return -1;
        }

        canaryd_copy(w->boot, sizeof(w->boot), value);
        return CANARYD_WINDOW_BOOT;
    }

    if (canary_str_eq(name, canaryd_str("epoch"))) {
        return canary_epoch_parse(value, &w->epoch) == 0
               ? CANARYD_WINDOW_EPOCH : -1;
    }

    if (canary_str_eq(name, canaryd_str("percent"))) {
        return canary_percent_parse(value, &w->percent) == 0
               ? CANARYD_WINDOW_PERCENT : -1;
    }

    return canaryd_window_tally(w, name, value);
}


static int
canaryd_window_tally(canaryd_window_t *w, canary_str_t name,
    canary_str_t value)
{
    int                          fields;
    unsigned                     arm;
    canary_str_t                 rest;
    const canary_tally_field_t  *field;

    for (fields = 0; canary_tally_fields[fields].n; fields++) { /* void */ }

    for (arm = 0; arm < CANARY_ARMS; arm++) {
        rest = name;

        if (rest.len <= canary_arm_names[arm].len + 1
            || memcmp(rest.data, canary_arm_names[arm].data,
                      canary_arm_names[arm].len)
               != 0
            || rest.data[canary_arm_names[arm].len] != '.')
        {
            continue;
        }

        rest.data += canary_arm_names[arm].len + 1;
        rest.len -= canary_arm_names[arm].len + 1;

        field = canary_tally_field(rest);

        if (field == NULL) {
            return -2;
        }

        if (canary_tally_parse(&w->arm[arm], field, value) != 0) {
            return -1;
        }

        return CANARYD_WINDOW_ARMS + (int) arm * fields
               + (int) (field - canary_tally_fields);
    }

    return -2;
}
