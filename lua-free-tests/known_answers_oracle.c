
/*
 * Hashes standard input with the xxHash library of the system, which the
 * code under test does not link: it compiles the header in.  The command
 * xxhsum has no option for a seed.
 *
 *     known_answers_oracle seed(hex)    prints hash and bucket
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>


int
main(int argc, char **argv)
{
    size_t      len;
    uint64_t    hash, seed;

    static char  key[1024 * 1024];

    if (argc != 2) {
        return 2;
    }

    seed = strtoull(argv[1], NULL, 16);
    len = fread(key, 1, sizeof(key), stdin);
    hash = XXH3_64bits_withSeed(key, len, seed);

    printf("%016" PRIx64 "\t%u\n", hash,
           (unsigned) ((unsigned __int128) hash * 100000 >> 64));

    return 0;
}
