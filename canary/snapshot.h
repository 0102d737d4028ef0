
/*
 * The bytes of the state file: what a node knows of its flags.
 *
 * Layout, all integers little-endian:
 *     8 bytes   "acanary\n"
 *     u32       format version, 1
 *     u32       number of entries
 *     u64       length of the payload
 *     u64       XXH3_64bits of the payload
 *     payload   32 bytes of secret, then the entries: see record.h, of
 *               each the name of a flag and what is known of it
 *
 * A damaged, shortened or lengthened file is refused as a whole.
 */


#ifndef CANARY_SNAPSHOT_H
#define CANARY_SNAPSHOT_H


#include <stdint.h>
#include "str.h"


#define CANARY_SECRET_LEN       32
#define CANARY_SNAPSHOT_HEADER  32


typedef struct {
    canary_str_t  name;                     /* of a flag */
    canary_str_t  packed;                   /* see canary_known_pack() */
} canary_entry_t;


typedef struct {
    canary_str_t  rest;
    uint32_t      left;
} canary_snapshot_t;


/* Bytes of a snapshot whose entries' names and packed parts sum to total. */

size_t canary_snapshot_size(uint32_t entries, size_t total);

/*
 * To write: reserve the size, put the secret, add every entry, then seal.
 * put and add return the end of what they wrote.
 */

char *canary_snapshot_put(char *start, const char secret[CANARY_SECRET_LEN]);
char *canary_snapshot_add(char *out, const canary_entry_t *entry);
void canary_snapshot_seal(char *start, const char *end, uint32_t entries);

/*
 * To read: open checks everything that can be checked at once and gives the
 * secret; next returns 1 and an entry, 0 at the end, -1 for damaged bytes.
 */

int canary_snapshot_open(canary_snapshot_t *s, canary_str_t file,
    char secret[CANARY_SECRET_LEN], canary_error_t *err);
int canary_snapshot_next(canary_snapshot_t *s, canary_entry_t *entry);


#endif /* CANARY_SNAPSHOT_H */
