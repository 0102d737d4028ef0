
/*
 * Bytes of a state file: as they are; as a payload under a header that fits
 * it; and as the packed form of one flag.
 */

#include <string.h>
#include "fuzz.h"
#include "known.h"
#include "snapshot.h"


static void
unpack(canary_str_t packed)
{
    char             *again;
    canary_known_t    known, next;
    canary_reading_t  reading;

    static const canary_str_t  name = canary_str("support");

    if (canary_known_unpack(&known, packed) != 0) {
        return;
    }

    fuzz_check(known.state < CANARY_STATES);
    fuzz_check(canary_known_size(&known) == packed.len);

    again = malloc(packed.len);

    if (again == NULL) {
        return;
    }

    canary_known_pack(again, &known);
    fuzz_check(memcmp(again, packed.data, packed.len) == 0);
    free(again);

    memset(&reading, 0, sizeof(reading));
    reading.record = known.record;
    reading.trip = known.trip;
    known.record.len = 0;

    canary_known_apply(&next, name, &known, &reading);
    fuzz_check(canary_known_size(&next) <= packed.len);
}


static void
open_file(canary_str_t file)
{
    int                 rc;
    char                secret[CANARY_SECRET_LEN];
    size_t              total;
    uint32_t            n;
    canary_entry_t      entry;
    canary_error_t      err;
    canary_snapshot_t   s;

    if (canary_snapshot_open(&s, file, secret, &err) != 0) {
        fuzz_check(err.text[0] != '\0');
        return;
    }

    n = 0;
    total = 0;

    while ((rc = canary_snapshot_next(&s, &entry)) == 1) {
        n++;
        total += entry.name.len + entry.packed.len;
        unpack(entry.packed);
    }

    fuzz_check(rc == 0);
    fuzz_check(canary_snapshot_size(n, total) == file.len);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char          *sealed;
    canary_str_t   s;

    s.data = (const char *) data;
    s.len = size;

    open_file(s);
    unpack(s);

    if (size == 0) {
        return 0;
    }

    /* the first byte is the number of entries */

    sealed = malloc(CANARY_SNAPSHOT_HEADER + size - 1);

    if (sealed == NULL) {
        return 0;
    }

    memcpy(sealed + CANARY_SNAPSHOT_HEADER, data + 1, size - 1);
    s.data = sealed;
    s.len = CANARY_SNAPSHOT_HEADER + size - 1;
    canary_snapshot_seal(sealed, sealed + s.len, data[0]);

    open_file(s);
    free(sealed);

    return 0;
}
