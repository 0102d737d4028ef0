
/* Runs a fuzz target over files: its corpus, and what it ever failed on. */

#include <string.h>
#include "fuzz.h"


#define REPLAY_MAX  1048576


static int
replay(const char *path)
{
    FILE     *file;
    size_t    size;
    uint8_t  *all, *data;

    file = fopen(path, "rb");

    if (file == NULL) {
        perror(path);
        return -1;
    }

    all = malloc(REPLAY_MAX);

    if (all == NULL) {
        (void) fclose(file);
        return -1;
    }

    size = fread(all, 1, REPLAY_MAX, file);
    (void) fclose(file);

    /* of the exact size, so that the sanitizer sees a step over the end */

    data = malloc(size ? size : 1);

    if (data) {
        memcpy(data, all, size);
        (void) LLVMFuzzerTestOneInput(data, size);
    }

    free(data);
    free(all);

    return data ? 0 : -1;
}


int
main(int argc, char **argv)
{
    int  i;

    for (i = 1; i < argc; i++) {
        if (replay(argv[i]) != 0) {
            return 1;
        }
    }

    printf("%d files replayed\n", argc - 1);

    return argc > 1 ? 0 : 1;
}
