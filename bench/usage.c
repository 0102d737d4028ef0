
/*
 * Feeds an answer to the usage reader as it comes from a model: each event,
 * or each piece of that many bytes, by itself.  Run under callgrind: what it
 * executes for TIMES more readings is the reader's.
 *
 * Usage: usage FILE TYPE PIECE TIMES       PIECE 0: an event
 */


#define _GNU_SOURCE                         /* memmem() */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "usage.h"


#define USAGE_BYTES_MAX   1048576
#define USAGE_PIECES_MAX  65536


int
main(int argc, char **argv)
{
    char                  *blank;
    FILE                  *in;
    size_t                 i, len, n, piece, times;
    canary_str_t           type;
    canary_usage_t         usage;
    canary_usage_kind_e    kind;

    static char                   bytes[USAGE_BYTES_MAX];
    static size_t                 end[USAGE_PIECES_MAX];
    static canary_usage_reader_t  reader;

    if (argc != 5) {
        fprintf(stderr, "usage: usage FILE TYPE PIECE TIMES\n");
        return 2;
    }

    in = fopen(argv[1], "r");
    if (in == NULL) {
        perror(argv[1]);
        return 1;
    }

    len = fread(bytes, 1, sizeof(bytes), in);
    (void) fclose(in);

    type.data = argv[2];
    type.len = strlen(argv[2]);
    kind = canary_usage_kind(type);

    piece = strtoul(argv[3], NULL, 10);
    times = strtoul(argv[4], NULL, 10);

    for (n = 0, i = 0; i < len && n < USAGE_PIECES_MAX; i = end[n++]) {
        blank = piece ? NULL : memmem(bytes + i, len - i, "\n\n", 2);
        end[n] = blank ? (size_t) (blank - bytes) + 2
                 : piece && len - i > piece ? i + piece : len;
    }

    while (times-- > 0) {
        canary_usage_init(&reader, kind);

        for (i = 0; i < n; i++) {
            canary_usage_feed(&reader, bytes + (i ? end[i - 1] : 0),
                              end[i] - (i ? end[i - 1] : 0));
        }

        canary_usage_finish(&reader, &usage);
    }

    return 0;
}
