
/*
 * The two small types every rule shares: a borrowed run of bytes, and the
 * text of an error.  Nothing here allocates.
 */


#ifndef CANARY_STR_H
#define CANARY_STR_H


#include <stddef.h>


/* Bytes as they are, not terminated, owned by somebody else. */

typedef struct {
    size_t       len;
    const char  *data;
} canary_str_t;


#define CANARY_ERROR_MAX  192


/* Always valid UTF-8 without control bytes, and terminated. */

typedef struct {
    char         text[CANARY_ERROR_MAX];
} canary_error_t;


#define canary_str(s)  { sizeof(s) - 1, s }


int canary_str_eq(canary_str_t a, canary_str_t b);

/* What canary_str_trim() does when there may be something to trim. */

canary_str_t canary_str_cut(canary_str_t s);

/* Non-zero when the bytes are valid UTF-8 and hold no control byte. */

int canary_str_is_text(canary_str_t s);

/*
 * Writes  <what> "<value>": <expected>  to err.  Control bytes and bytes that
 * are not valid UTF-8 appear as \xHH, and a long value is cut and ends in
 * "...", so that the text can be logged and shown anywhere.
 */

void canary_error(canary_error_t *err, const char *what, canary_str_t value,
    const char *expected);


/*
 * The bytes without SP and HTAB at either end.  Of every request a key comes
 * here, and nearly always it needs nothing.
 */

static inline canary_str_t
canary_str_trim(canary_str_t s)
{
    if (s.len > 0
        && (unsigned char) s.data[0] > ' '
        && (unsigned char) s.data[s.len - 1] > ' ')
    {
        return s;
    }

    return canary_str_cut(s);
}


#endif /* CANARY_STR_H */
