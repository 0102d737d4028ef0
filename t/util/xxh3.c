
/*
 * The oracle's hash.  It calls the system's libxxhash, while the module
 * compiles its own copy of the header in, and leaves the arithmetic of
 * buckets to Perl: the two share no line of code.
 *
 *     xxh3 SALT   for each line of hexadecimal bytes on stdin, prints
 *                 XXH3_64bits_withSeed(bytes, XXH3_64bits(SALT)) in decimal
 *     xxh3        the same with the seed 0
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>


static size_t unhex(char *line, size_t len);


int
main(int argc, char **argv)
{
    char       *line = NULL;
    size_t      size = 0;
    ssize_t     len;
    XXH64_hash_t  seed = 0;

    if (argc > 1) {
        seed = XXH3_64bits(argv[1], strlen(argv[1]));
    }

    while ((len = getline(&line, &size, stdin)) > 0) {
        printf("%llu\n", (unsigned long long)
               XXH3_64bits_withSeed(line, unhex(line, (size_t) len), seed));
    }

    free(line);

    return 0;
}


/* In place: two digits never need less room than one byte. */

static size_t
unhex(char *line, size_t len)
{
    size_t    n;
    unsigned  byte;

    for (n = 0; 2 * n + 1 < len && sscanf(&line[2 * n], "%2x", &byte) == 1;
         n++)
    {
        line[n] = (char) byte;
    }

    return n;
}
