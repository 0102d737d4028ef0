
#include <stdint.h>
#include <string.h>
#include "needle.h"


/*
 * All that matters begins with a quote and one of the letters r s u (or m,
 * for a model), or has "rr", or is spelled with an escape.  Blocks are
 * compared at once with the vector types of gcc and clang, which need no
 * particular CPU; the few places that are left are looked at one by one.
 */

#define CANARY_NEEDLE_BLOCK  16
#define CANARY_NEEDLE_GROUP  4              /* blocks */

typedef unsigned char  canary_needle_block_t
    __attribute__ ((vector_size (CANARY_NEEDLE_BLOCK)));

/* Every place in a block has a byte in its hits: the high bit is set. */
#define CANARY_NEEDLE_HIGHS  0x8080808080808080ULL


/* What is made twice, for either value of model. */
#define canary_needle_inline                                                  \
    static inline __attribute__ ((always_inline))

#define canary_needle_len(literal)  (sizeof(literal) - 1)

#define canary_needle_is(p, left, literal)                                    \
    ((left) >= canary_needle_len(literal)                                     \
     && memcmp(p, literal, canary_needle_len(literal)) == 0)


static const char *canary_needle_check(const char *p, const uint64_t *word,
    unsigned blocks, const char *end, unsigned model);
static const char *canary_needle_bytes(const char *p, const char *end,
    unsigned model);
static int canary_needle_at(const char *p, const char *end, unsigned model);
static int canary_needle_not_null(const char *p, const char *end);
static int canary_needle_failed(const char *p, const char *end);
static const char *canary_needle_value(const char *p, const char *end);


canary_needle_inline canary_needle_block_t
canary_needle_hits(const char *p, unsigned model)
{
    canary_needle_block_t  a, b, letter;

    memcpy(&a, p, sizeof(a));
    memcpy(&b, p + 1, sizeof(b));

    /* the mask makes an r of an s */

    letter = (canary_needle_block_t) (((b & 0xfe) == 'r') | (b == 'u'));

    if (model) {
        letter |= (canary_needle_block_t) (b == 'm');
    }

    return ((canary_needle_block_t) (a == '"') & letter)
           | (canary_needle_block_t) ((a == 'r') & (b == 'r'))
           | (canary_needle_block_t) (a == '\\');
}


/* Where a place of one block is hit, that of every block is looked at. */

canary_needle_inline const char *
canary_needle_group(const char *p, const char *end, unsigned model)
{
    uint64_t               word[2];
    canary_needle_block_t  hits;

    static const ptrdiff_t  block = CANARY_NEEDLE_BLOCK;

    hits = canary_needle_hits(p, model)
           | canary_needle_hits(p + block, model)
           | canary_needle_hits(p + 2 * block, model)
           | canary_needle_hits(p + 3 * block, model);

    memcpy(word, &hits, sizeof(word));

    if ((word[0] | word[1]) == 0) {
        return NULL;
    }

    return canary_needle_check(p, word, CANARY_NEEDLE_GROUP, end, model);
}


canary_needle_inline const char *
canary_needle_block(const char *p, const char *end, unsigned model)
{
    uint64_t               word[2];
    canary_needle_block_t  hits;

    hits = canary_needle_hits(p, model);

    memcpy(word, &hits, sizeof(word));

    return canary_needle_check(p, word, 1, end, model);
}


/* A block is looked at together with the byte after it. */

canary_needle_inline const char *
canary_needle_scan(const char *p, const char *end, unsigned model)
{
    const char  *found;

    static const ptrdiff_t  block = CANARY_NEEDLE_BLOCK;
    static const ptrdiff_t  group = (ptrdiff_t) CANARY_NEEDLE_BLOCK
                                    * CANARY_NEEDLE_GROUP;

    for (/* void */; end - p > group; p += group) {
        found = canary_needle_group(p, end, model);

        if (found) {
            return found;
        }
    }

    for (/* void */; end - p > block; p += block) {
        found = canary_needle_block(p, end, model);

        if (found) {
            return found;
        }
    }

    return canary_needle_bytes(p, end, model);
}


const char *
canary_needle_find(const char *p, size_t len, unsigned model)
{
    if (len == 0) {
        return NULL;
    }

    return model ? canary_needle_scan(p, p + len, 1)
                 : canary_needle_scan(p, p + len, 0);
}


/* Returns the first needle of those that the hits may be. */

static const char *
canary_needle_check(const char *p, const uint64_t *word, unsigned blocks,
    const char *end, unsigned model)
{
    unsigned     i, k;
    uint64_t     hits;
    const char  *at, *first;

    first = NULL;

    for (i = 0; i < 2; i++, p += sizeof(hits)) {

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        hits = __builtin_bswap64(word[i]);
#else
        hits = word[i];
#endif

        for (hits &= CANARY_NEEDLE_HIGHS; hits; hits &= hits - 1) {
            at = p + __builtin_ctzll(hits) / 8;

            for (k = 0; k < blocks; k++, at += CANARY_NEEDLE_BLOCK) {
                if ((*at == '"' || *at == '\\' || *at == 'r')
                    && canary_needle_at(at, end, model)
                    && (first == NULL || at < first))
                {
                    first = at;
                }
            }
        }
    }

    return first;
}


static const char *
canary_needle_bytes(const char *p, const char *end, unsigned model)
{
    for (/* void */; p < end; p++) {
        if (canary_needle_at(p, end, model)) {
            return p;
        }
    }

    return NULL;
}


static int
canary_needle_at(const char *p, const char *end, unsigned model)
{
    size_t  left;

    left = (size_t) (end - p);

    switch (*p) {

    case '\\':

        /* \u of a character of ASCII, which may be part of any of them */

        return left > canary_needle_len("\\u00")
               && memcmp(p, "\\u00", canary_needle_len("\\u00")) == 0
               && p[4] >= '2' && p[4] <= '7';

    case 'r':

        /* the end of "error" and of "isError" */

        return canary_needle_is(p, left, "rror")
               && canary_needle_not_null(p + canary_needle_len("rror"), end);

    case '"':
        break;

    default:
        return 0;
    }

    switch (left > 1 ? p[1] : '\0') {

    case 'm':
        return model && canary_needle_is(p, left, "\"model");

    case 'r':
        return canary_needle_is(p, left, "\"response.failed\"");

    case 's':

        if (canary_needle_is(p, left, "\"state\"")) {
            return canary_needle_failed(p + canary_needle_len("\"state\""),
                                        end);
        }

        return canary_needle_is(p, left, "\"status\"")
               && canary_needle_failed(p + canary_needle_len("\"status\""),
                                       end);

    case 'u':
        return canary_needle_is(p, left, "\"usage")
               && canary_needle_not_null(p + canary_needle_len("\"usage"),
                                         end);

    default:
        return 0;
    }
}


/* p is at the quote that closes a key: zero when its value is null. */

static int
canary_needle_not_null(const char *p, const char *end)
{
    if (p == end || *p != '"') {
        return 1;
    }

    p = canary_needle_value(p + 1, end);

    return p == NULL || !canary_needle_is(p, (size_t) (end - p), "null");
}


/* p follows a key: zero when its value is a state that is no failure. */

static int
canary_needle_failed(const char *p, const char *end)
{
    size_t  left;

    p = canary_needle_value(p, end);

    if (p == NULL) {
        return 1;
    }

    left = (size_t) (end - p);

    return canary_needle_is(p, left, "\"failed\"")
           || canary_needle_is(p, left, "\"rejected\"")
           || canary_needle_is(p, left, "\"TASK_STATE_FAILED\"")
           || canary_needle_is(p, left, "\"TASK_STATE_REJECTED\"");
}


/* What may be the value of the key before p; NULL: not in this line. */

static const char *
canary_needle_value(const char *p, const char *end)
{
    for (/* void */; p < end && *p != '\n' && *p != '\r'; p++) {
        if (*p != ':' && *p != ' ' && *p != '\t') {
            return p;
        }
    }

    return NULL;
}
