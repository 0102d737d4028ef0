
#include <string.h>
#include "str.h"


/* What an error shows of a value, at the least so that the rest fits. */
#define CANARY_ERROR_VALUE_MIN  24
#define CANARY_ERROR_VALUE_MAX  80

/* "..." */
#define CANARY_CUT_LEN          3


static size_t canary_char_len(const unsigned char *p, size_t left);
static size_t canary_utf8_len(const unsigned char *p);
static char *canary_error_append(char *p, const char *end, canary_str_t s);


int
canary_str_eq(canary_str_t a, canary_str_t b)
{
    return a.len == b.len
           && (a.len == 0
               || a.data == b.data
               || memcmp(a.data, b.data, a.len) == 0);
}


canary_str_t
canary_str_cut(canary_str_t s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }

    while (s.len > 0
           && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
    {
        s.len--;
    }

    return s;
}


int
canary_str_is_text(canary_str_t s)
{
    size_t                n;
    const unsigned char  *p, *end;

    p = (const unsigned char *) s.data;

    if (s.len == 0) {
        return 1;
    }

    for (end = p + s.len; p < end; p += n) {
        n = canary_char_len(p, (size_t) (end - p));

        if (n == 0) {
            return 0;
        }
    }

    return 1;
}


/* Returns the bytes of the character at p, or 0 when it is not text. */

static size_t
canary_char_len(const unsigned char *p, size_t left)
{
    size_t  i, n;

    if (p[0] < 0x80) {
        return p[0] >= 0x20 && p[0] != 0x7f;
    }

    n = canary_utf8_len(p);

    if (n > left) {
        return 0;
    }

    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    if (n == 0
        || (p[0] == 0xc2 && p[1] < 0xa0)        /* C1 control characters */
        || (p[0] == 0xe0 && p[1] < 0xa0)        /* overlong */
        || (p[0] == 0xed && p[1] > 0x9f)        /* surrogates */
        || (p[0] == 0xf0 && p[1] < 0x90)        /* overlong */
        || (p[0] == 0xf4 && p[1] > 0x8f))       /* above U+10FFFF */
    {
        return 0;
    }

    return n;
}


/* The length that the first byte of a multibyte character announces. */

static size_t
canary_utf8_len(const unsigned char *p)
{
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        return 2;
    }

    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        return 3;
    }

    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        return 4;
    }

    return 0;
}


void
canary_error(canary_error_t *err, const char *what, canary_str_t value,
    const char *expected)
{
    char          *p;
    size_t         room, rest;
    const char    *end;
    canary_str_t   s;

    static const canary_str_t  open = canary_str(" \"");
    static const canary_str_t  close = canary_str("\": ");

    p = err->text;
    end = p + CANARY_ERROR_MAX - 1;

    s.data = what;
    s.len = strlen(what);
    p = canary_error_append(p, end, s);
    p = canary_error_append(p, end, open);

    s.data = expected;
    s.len = strlen(expected);

    room = (size_t) (end - p);
    rest = close.len + s.len;

    if (room > rest + CANARY_ERROR_VALUE_MIN) {
        room -= rest;

    } else if (room > CANARY_ERROR_VALUE_MIN) {
        room = CANARY_ERROR_VALUE_MIN;
    }

    if (room > CANARY_ERROR_VALUE_MAX) {
        room = CANARY_ERROR_VALUE_MAX;
    }

    p = canary_error_append(p, p + room, value);
    p = canary_error_append(p, end, close);
    p = canary_error_append(p, end, s);

    *p = '\0';
}


/* Appends s as text; what does not fit before end is cut to "...". */

static char *
canary_error_append(char *p, const char *end, canary_str_t s)
{
    char                 *cut;
    size_t                n, width;
    const unsigned char  *c, *last;

    static const char  hex[] = "0123456789ABCDEF";

    if (s.len == 0) {
        return p;
    }

    cut = p;
    c = (const unsigned char *) s.data;

    for (last = c + s.len; c < last; c += n) {
        n = canary_char_len(c, (size_t) (last - c));
        width = n ? n : sizeof("\\xHH") - 1;

        if ((size_t) (end - p) < width) {
            if (end - cut < CANARY_CUT_LEN) {
                return p;
            }

            memset(cut, '.', CANARY_CUT_LEN);
            return cut + CANARY_CUT_LEN;
        }

        if (n) {
            memcpy(p, c, n);

        } else {
            p[0] = '\\';
            p[1] = 'x';
            p[2] = hex[*c >> 4];
            p[3] = hex[*c & 0xf];
            n = 1;
        }

        p += width;

        if (end - p >= CANARY_CUT_LEN) {
            cut = p;
        }
    }

    return p;
}
