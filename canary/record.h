
/*
 * The raw record of a flag: its Redis hash as it was read, packed into one
 * run of bytes that can be copied, kept in shared memory and in a file.
 *
 * Layout, all integers 32-bit little-endian:
 *     { name length, value length, name bytes, value bytes } ...
 */


#ifndef CANARY_RECORD_H
#define CANARY_RECORD_H


#include <stdint.h>
#include "str.h"


/* What a flag may hold in all: enough for 100,000 UUIDs in a list, twice. */
#define CANARY_RECORD_MAX    8388608

/* The bytes of a field beside its name and its value. */
#define CANARY_FIELD_HEADER  8


typedef struct {
    canary_str_t  name;
    canary_str_t  value;
} canary_field_t;


/* Returns the bytes that canary_record_add() appends. */

size_t canary_record_field_size(const canary_field_t *field);

/* Returns the end of what it wrote; the caller has made room. */

char *canary_record_add(char *out, const canary_field_t *field);

/*
 * Steps through a record from *pos = 0.  Returns 1 and a field that points
 * into the record, 0 at the end, -1 when the bytes are not a record.
 */

int canary_record_next(canary_str_t record, size_t *pos,
    canary_field_t *field);

/* The value of a field, or an empty string. */

canary_str_t canary_record_find(canary_str_t record, const char *name);


#endif /* CANARY_RECORD_H */
