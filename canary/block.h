
/*
 * Sixteen bytes compared at once, with the vector types of gcc and clang,
 * which need no particular CPU.  A byte of hits is 0xff where a comparison
 * holds, else 0.
 */


#ifndef CANARY_BLOCK_H
#define CANARY_BLOCK_H


#include <stdint.h>
#include <string.h>


#define CANARY_BLOCK        16
#define CANARY_BLOCK_WORDS  2

typedef unsigned char canary_block_t
    __attribute__ ((vector_size (CANARY_BLOCK)));


static inline canary_block_t
canary_block(const char *p)
{
    canary_block_t  block;

    memcpy(&block, p, sizeof(block));

    return block;
}


static inline int
canary_block_any(canary_block_t hits)
{
    uint64_t  word[CANARY_BLOCK_WORDS];

    memcpy(word, &hits, sizeof(word));

    return (word[0] | word[1]) != 0;
}


/* One bit for each hit of the i-th eight bytes: see canary_block_at(). */

static inline uint64_t
canary_block_bits(canary_block_t hits, unsigned i)
{
    uint64_t  word[CANARY_BLOCK_WORDS];

    memcpy(word, &hits, sizeof(word));

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word[i] = __builtin_bswap64(word[i]);
#endif

    return word[i] & 0x8080808080808080ULL;
}


/* The place of the lowest of such bits, of which there are some. */

static inline unsigned
canary_block_at(uint64_t bits)
{
    return (unsigned) __builtin_ctzll(bits) / 8;
}


/* Of a string of JSON: the first quote, backslash or control byte; or end. */

static inline const char *
canary_block_plain(const char *p, const char *end)
{
    unsigned        i;
    uint64_t        bits;
    unsigned char   c;
    canary_block_t  block, hits;

    for (/* void */; end - p >= CANARY_BLOCK; p += CANARY_BLOCK) {
        block = canary_block(p);
        hits = (canary_block_t) (block == '"')
               | (canary_block_t) (block == '\\')
               | (canary_block_t) (block < 0x20);

        for (i = 0; i < CANARY_BLOCK_WORDS; i++) {
            bits = canary_block_bits(hits, i);

            if (bits) {
                return p + i * sizeof(bits) + canary_block_at(bits);
            }
        }
    }

    for (/* void */; p < end; p++) {
        c = (unsigned char) *p;

        if (c == '"' || c == '\\' || c < 0x20) {
            break;
        }
    }

    return p;
}


#endif /* CANARY_BLOCK_H */
