
#include <string.h>
#include "bytes.h"
#include "record.h"


size_t
canary_record_field_size(const canary_field_t *field)
{
    return CANARY_FIELD_HEADER + field->name.len + field->value.len;
}


char *
canary_record_add(char *out, const canary_field_t *field)
{
    out = canary_put_u32(out, (uint32_t) field->name.len);
    out = canary_put_u32(out, (uint32_t) field->value.len);
    out = canary_put_str(out, field->name);

    return canary_put_str(out, field->value);
}


int
canary_record_next(canary_str_t record, size_t *pos, canary_field_t *field)
{
    size_t       left;
    const char  *p;

    if (*pos == record.len) {
        return 0;
    }

    p = record.data + *pos;
    left = record.len - *pos;

    if (left < CANARY_FIELD_HEADER) {
        return -1;
    }

    field->name.len = canary_get_u32(p);
    field->value.len = canary_get_u32(p + 4);

    p += CANARY_FIELD_HEADER;
    left -= CANARY_FIELD_HEADER;

    if (field->name.len > left || field->value.len > left - field->name.len) {
        return -1;
    }

    field->name.data = p;
    field->value.data = p + field->name.len;

    *pos += canary_record_field_size(field);

    return 1;
}


canary_str_t
canary_record_find(canary_str_t record, const char *name)
{
    size_t          pos;
    canary_str_t    wanted, none = { 0, "" };
    canary_field_t  field;

    wanted.data = name;
    wanted.len = strlen(name);
    pos = 0;

    while (canary_record_next(record, &pos, &field) == 1) {
        if (canary_str_eq(field.name, wanted)) {
            return field.value;
        }
    }

    return none;
}
