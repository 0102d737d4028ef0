
/*
 * What every fuzz target provides.  libFuzzer calls it, or the main() of
 * replay.c, which needs no clang.
 */


#ifndef CANARY_FUZZ_H
#define CANARY_FUZZ_H


#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* Stays in builds without assert(). */

#define fuzz_check(condition)                                                 \
    if (!(condition)) {                                                       \
        (void) fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__,             \
                       #condition);                                           \
        abort();                                                              \
    }


#endif /* CANARY_FUZZ_H */
