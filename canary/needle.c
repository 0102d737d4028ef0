
#include <string.h>
#include "block.h"
#include "needle.h"


/*
 * All that matters begins with a quote and one of the letters r s u (or m,
 * for a model), or has "rr", or is spelled with an escape.  The few places
 * that are left by this are looked at one by one.
 */

#define CANARY_NEEDLE_GROUP  4              /* blocks */

/* What is made twice, for either value of model. */
#define canary_needle_inline                                                  \
    static inline __attribute__ ((always_inline))

#define canary_needle_len(literal)  (sizeof(literal) - 1)

#define canary_needle_is(p, left, literal)                                    \
    ((left) >= canary_needle_len(literal)                                     \
     && memcmp(p, literal, canary_needle_len(literal)) == 0)


static const char *canary_needle_check(const char *p,
    const canary_block_t *hits, size_t blocks, const char *end,
    unsigned model);
static const char *canary_needle_bytes(const char *p, const char *end,
    unsigned model);
static int canary_needle_at(const char *p, const char *end, unsigned model);
static int canary_needle_not_null(const char *p, const char *end);
static int canary_needle_failed(const char *p, const char *end);
static const char *canary_needle_value(const char *p, const char *end);


canary_needle_inline canary_block_t
canary_needle_hits(const char *p, unsigned model)
{
    canary_block_t  a, b, letter;

    a = canary_block(p);
    b = canary_block(p + 1);

    /* the mask makes an r of an s */

    letter = (canary_block_t) (((b & 0xfe) == 'r') | (b == 'u'));

    if (model) {
        letter |= (canary_block_t) (b == 'm');
    }

    return ((canary_block_t) (a == '"') & letter)
           | (canary_block_t) ((a == 'r') & (b == 'r'))
           | (canary_block_t) (a == '\\');
}


/* Looks at that many blocks. */

canary_needle_inline const char *
canary_needle_look(const char *p, size_t blocks, const char *end,
    unsigned model)
{
    size_t          i;
    canary_block_t  any, hits[CANARY_NEEDLE_GROUP];

    any = hits[0] = canary_needle_hits(p, model);

    for (i = 1; i < blocks; i++) {
        hits[i] = canary_needle_hits(p + i * CANARY_BLOCK, model);
        any |= hits[i];
    }

    return canary_block_any(any)
           ? canary_needle_check(p, hits, blocks, end, model) : NULL;
}


/*
 * A block is looked at together with the byte after it, and the last one may
 * overlap the one before.
 */

canary_needle_inline const char *
canary_needle_scan(const char *p, const char *end, unsigned model)
{
    const char  *found, *last;

    static const ptrdiff_t  block = CANARY_BLOCK;
    static const ptrdiff_t  group = (ptrdiff_t) CANARY_BLOCK
                                    * CANARY_NEEDLE_GROUP;

    if (end - p <= block) {
        return canary_needle_bytes(p, end, model);
    }

    last = end - block - 1;

    for (/* void */; last - p >= group - block; p += group) {
        found = canary_needle_look(p, CANARY_NEEDLE_GROUP, end, model);

        if (found) {
            return found;
        }
    }

    for (/* void */; p < last; p += block) {
        found = canary_needle_look(p, 1, end, model);

        if (found) {
            return found;
        }
    }

    return canary_needle_look(last, 1, end, model);
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
canary_needle_check(const char *p, const canary_block_t *hits, size_t blocks,
    const char *end, unsigned model)
{
    size_t       i;
    unsigned     k;
    uint64_t     bits;
    const char  *at;

    for (i = 0; i < blocks; i++, p += CANARY_BLOCK) {

        if (!canary_block_any(hits[i])) {
            continue;
        }

        for (k = 0; k < CANARY_BLOCK_WORDS; k++) {
            bits = canary_block_bits(hits[i], k);

            for (/* void */; bits; bits &= bits - 1) {
                at = p + k * sizeof(bits) + canary_block_at(bits);

                if (canary_needle_at(at, end, model)) {
                    return at;
                }
            }
        }
    }

    return NULL;
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
