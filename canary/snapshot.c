
#include <string.h>
#include "bytes.h"
#include "record.h"
#include "snapshot.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


#define CANARY_SNAPSHOT_VERSION  1


/* Where the parts of the header begin. */

enum {
    CANARY_SNAPSHOT_AT_VERSION = 8,
    CANARY_SNAPSHOT_AT_ENTRIES = 12,
    CANARY_SNAPSHOT_AT_LENGTH = 16,
    CANARY_SNAPSHOT_AT_HASH = 24
};


static const char *canary_snapshot_damage(canary_str_t file);
static int canary_snapshot_walk(canary_snapshot_t s);


static const canary_str_t  canary_snapshot_magic = canary_str("acanary\n");


size_t
canary_snapshot_size(uint32_t entries, size_t total)
{
    return CANARY_SNAPSHOT_HEADER + CANARY_SECRET_LEN
           + (size_t) entries * CANARY_FIELD_HEADER + total;
}


char *
canary_snapshot_put(char *start, const char secret[CANARY_SECRET_LEN])
{
    canary_str_t  s;

    s.data = secret;
    s.len = CANARY_SECRET_LEN;

    return canary_put_str(start + CANARY_SNAPSHOT_HEADER, s);
}


char *
canary_snapshot_add(char *out, const canary_entry_t *entry)
{
    canary_field_t  field;

    field.name = entry->name;
    field.value = entry->packed;

    return canary_record_add(out, &field);
}


void
canary_snapshot_seal(char *start, const char *end, uint32_t entries)
{
    size_t       len;
    const char  *payload;

    payload = start + CANARY_SNAPSHOT_HEADER;
    len = (size_t) (end - payload);

    start = canary_put_str(start, canary_snapshot_magic);
    start = canary_put_u32(start, CANARY_SNAPSHOT_VERSION);
    start = canary_put_u32(start, entries);
    start = canary_put_u64(start, len);
    (void) canary_put_u64(start, XXH3_64bits(payload, len));
}


int
canary_snapshot_open(canary_snapshot_t *s, canary_str_t file,
    char secret[CANARY_SECRET_LEN], canary_error_t *err)
{
    const char    *damage, *payload;
    canary_str_t   empty = canary_str("");

    damage = canary_snapshot_damage(file);

    if (damage == NULL) {
        payload = file.data + CANARY_SNAPSHOT_HEADER;

        s->rest.data = payload + CANARY_SECRET_LEN;
        s->rest.len = file.len - CANARY_SNAPSHOT_HEADER - CANARY_SECRET_LEN;
        s->left = canary_get_u32(file.data + CANARY_SNAPSHOT_AT_ENTRIES);

        if (canary_snapshot_walk(*s) == 0) {
            memcpy(secret, payload, CANARY_SECRET_LEN);
            return 0;
        }

        damage = "expected as many entries as its header says";
    }

    canary_error(err, "snapshot", empty, damage);

    return -1;
}


/* What is wrong with the file apart from its entries, or NULL. */

static const char *
canary_snapshot_damage(canary_str_t file)
{
    size_t        len;
    canary_str_t  magic;

    if (file.len < CANARY_SNAPSHOT_HEADER + CANARY_SECRET_LEN) {
        return "expected a header and a secret";
    }

    len = file.len - CANARY_SNAPSHOT_HEADER;

    magic.data = file.data;
    magic.len = canary_snapshot_magic.len;

    if (!canary_str_eq(magic, canary_snapshot_magic)) {
        return "expected a state file, this is another kind of file";
    }

    if (canary_get_u32(file.data + CANARY_SNAPSHOT_AT_VERSION)
        != CANARY_SNAPSHOT_VERSION)
    {
        return "expected format version 1";
    }

    if (canary_get_u64(file.data + CANARY_SNAPSHOT_AT_LENGTH) != len) {
        return "expected the length that its header says";
    }

    if (canary_get_u64(file.data + CANARY_SNAPSHOT_AT_HASH)
        != XXH3_64bits(file.data + CANARY_SNAPSHOT_HEADER, len))
    {
        return "expected the checksum that its header says";
    }

    return NULL;
}


static int
canary_snapshot_walk(canary_snapshot_t s)
{
    int             rc;
    canary_entry_t  entry;

    do {
        rc = canary_snapshot_next(&s, &entry);
    } while (rc == 1);

    return rc;
}


int
canary_snapshot_next(canary_snapshot_t *s, canary_entry_t *entry)
{
    size_t          pos;
    canary_field_t  field;

    if (s->left == 0) {
        return s->rest.len == 0 ? 0 : -1;
    }

    pos = 0;

    if (canary_record_next(s->rest, &pos, &field) != 1) {
        return -1;
    }

    entry->name = field.name;
    entry->packed = field.value;

    s->rest.data += pos;
    s->rest.len -= pos;
    s->left--;

    return 1;
}
