
/*
 * Integers and runs of bytes as they are packed: little-endian on every CPU,
 * at any address.
 */


#ifndef CANARY_BYTES_H
#define CANARY_BYTES_H


#include <stdint.h>
#include <string.h>
#include "str.h"


/* All put functions return the end of what they wrote. */

static inline char *
canary_put_u32(char *out, uint32_t n)
{
    unsigned  i;

    for (i = 0; i < 4; i++) {
        *out++ = (char) (n >> (8 * i) & 0xff);
    }

    return out;
}


static inline char *
canary_put_u64(char *out, uint64_t n)
{
    out = canary_put_u32(out, (uint32_t) n);

    return canary_put_u32(out, (uint32_t) (n >> 32));
}


static inline char *
canary_put_str(char *out, canary_str_t s)
{
    if (s.len == 0) {
        return out;
    }

    memcpy(out, s.data, s.len);

    return out + s.len;
}


static inline uint32_t
canary_get_u32(const char *p)
{
    unsigned  i;
    uint32_t  n;

    n = 0;

    for (i = 0; i < 4; i++) {
        n |= (uint32_t) (unsigned char) p[i] << (8 * i);
    }

    return n;
}


static inline uint64_t
canary_get_u64(const char *p)
{
    return canary_get_u32(p) | (uint64_t) canary_get_u32(p + 4) << 32;
}


#endif /* CANARY_BYTES_H */
