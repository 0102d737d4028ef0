
#include <string.h>
#include "block.h"
#include "stream.h"


typedef enum {
    CANARY_STREAM_START = 0,                /* before a document */
    CANARY_STREAM_VALUE,
    CANARY_STREAM_FIRST_VALUE,              /* or ] */
    CANARY_STREAM_KEY,
    CANARY_STREAM_FIRST_KEY,                /* or } */
    CANARY_STREAM_COLON,
    CANARY_STREAM_NEXT,                     /* a comma, or the end */
    CANARY_STREAM_DONE,                     /* the last between values */
    CANARY_STREAM_IN_STRING,
    CANARY_STREAM_ESCAPE,
    CANARY_STREAM_HEX,
    CANARY_STREAM_LITERAL,
    CANARY_STREAM_MINUS,
    CANARY_STREAM_ZERO,
    CANARY_STREAM_DIGITS,
    CANARY_STREAM_POINT,
    CANARY_STREAM_FRACTION,
    CANARY_STREAM_EXPONENT,
    CANARY_STREAM_EXPONENT_SIGN,
    CANARY_STREAM_EXPONENT_DIGITS,
    CANARY_STREAM_BROKEN
} canary_stream_state_e;


static const char *canary_stream_structure(canary_stream_t *s, const char *p,
    const char *end);
static void canary_stream_start(canary_stream_t *s, char c);
static void canary_stream_value(canary_stream_t *s, char c);
static void canary_stream_push(canary_stream_t *s, unsigned array);
static void canary_stream_pop(canary_stream_t *s, unsigned array);
static void canary_stream_next(canary_stream_t *s, char c);
static void canary_stream_string(canary_stream_t *s, unsigned key);
static const char *canary_stream_in_string(canary_stream_t *s, const char *p,
    const char *end);
static void canary_stream_string_end(canary_stream_t *s);
static unsigned canary_stream_find(const canary_stream_t *s);
static void canary_stream_escape(canary_stream_t *s, char c);
static void canary_stream_hex(canary_stream_t *s, char c);
static void canary_stream_keep(canary_stream_t *s, const char *p, size_t len);
static void canary_stream_number(canary_stream_t *s, char c);
static const char *canary_stream_in_number(canary_stream_t *s, const char *p,
    const char *end);
static unsigned canary_stream_number_next(unsigned state, char c);
static void canary_stream_literal(canary_stream_t *s, const char *rest,
    canary_stream_type_e type);
static void canary_stream_in_literal(canary_stream_t *s, char c);
static void canary_stream_report(canary_stream_t *s,
    canary_stream_type_e type);


void
canary_stream_init(canary_stream_t *s, const canary_stream_path_t *paths,
    canary_stream_value_pt value, void *data)
{
    memset(s, 0, sizeof(canary_stream_t));

    s->paths = paths;
    s->value = value;
    s->data = data;
}


void
canary_stream_reset(canary_stream_t *s)
{
    s->state = CANARY_STREAM_START;
    s->depth = 0;
    s->bom = 0;
    s->node = 0;
}


void
canary_stream_feed(canary_stream_t *s, const char *p, size_t len)
{
    const char  *end;

    end = p + len;

    while (p < end) {

        switch (s->state) {

        case CANARY_STREAM_IN_STRING:
            p = canary_stream_in_string(s, p, end);
            break;

        case CANARY_STREAM_ESCAPE:
            canary_stream_escape(s, *p++);
            break;

        case CANARY_STREAM_HEX:
            canary_stream_hex(s, *p++);
            break;

        case CANARY_STREAM_LITERAL:
            canary_stream_in_literal(s, *p++);
            break;

        case CANARY_STREAM_MINUS:
        case CANARY_STREAM_ZERO:
        case CANARY_STREAM_DIGITS:
        case CANARY_STREAM_POINT:
        case CANARY_STREAM_FRACTION:
        case CANARY_STREAM_EXPONENT:
        case CANARY_STREAM_EXPONENT_SIGN:
        case CANARY_STREAM_EXPONENT_DIGITS:
            p = canary_stream_in_number(s, p, end);
            break;

        case CANARY_STREAM_BROKEN:
            return;

        default:
            p = canary_stream_structure(s, p, end);
        }
    }
}


/* Between values: up to where the next one begins. */

static const char *
canary_stream_structure(canary_stream_t *s, const char *p, const char *end)
{
    char  c;

    while (p < end && s->state <= CANARY_STREAM_DONE) {
        c = *p++;

        if ((unsigned char) c <= ' '
            && (c == ' ' || c == '\n' || c == '\t' || c == '\r'))
        {
            continue;
        }

        switch (s->state) {

        case CANARY_STREAM_NEXT:
            canary_stream_next(s, c);
            break;

        case CANARY_STREAM_COLON:
            s->state = c == ':' ? CANARY_STREAM_VALUE : CANARY_STREAM_BROKEN;
            break;

        case CANARY_STREAM_FIRST_KEY:
        case CANARY_STREAM_KEY:

            if (c == '"') {
                canary_stream_string(s, 1);

            } else if (c == '}' && s->state == CANARY_STREAM_FIRST_KEY) {
                canary_stream_pop(s, 0);

            } else {
                s->state = CANARY_STREAM_BROKEN;
            }

            break;

        case CANARY_STREAM_FIRST_VALUE:

            if (c == ']') {
                canary_stream_pop(s, 1);
                break;
            }

            /* fall through */

        case CANARY_STREAM_VALUE:
            canary_stream_value(s, c);
            break;

        case CANARY_STREAM_START:
            canary_stream_start(s, c);
            break;

        default: /* CANARY_STREAM_DONE */
            s->state = CANARY_STREAM_BROKEN;
        }
    }

    return p;
}


static void
canary_stream_start(canary_stream_t *s, char c)
{
    static const char  bom[] = "\xEF\xBB\xBF";

    if (s->bom < sizeof(bom) - 1 && c == bom[s->bom]) {
        s->bom++;
        return;
    }

    if (s->bom > 0 && s->bom < sizeof(bom) - 1) {
        s->state = CANARY_STREAM_BROKEN;
        return;
    }

    canary_stream_value(s, c);
}


static void
canary_stream_value(canary_stream_t *s, char c)
{
    switch (c) {

    case '"':
        canary_stream_string(s, 0);
        break;

    case '{':
        canary_stream_push(s, 0);
        break;

    case '[':
        canary_stream_push(s, 1);
        break;

    case 't':
        canary_stream_literal(s, "rue", CANARY_STREAM_TRUE);
        break;

    case 'f':
        canary_stream_literal(s, "alse", CANARY_STREAM_FALSE);
        break;

    case 'n':
        canary_stream_literal(s, "ull", CANARY_STREAM_NULL);
        break;

    default:
        canary_stream_number(s, c);
    }
}


static void
canary_stream_push(canary_stream_t *s, unsigned array)
{
    uint8_t   bit;
    unsigned  depth;

    depth = s->depth;

    if (depth == CANARY_STREAM_DEPTH) {
        s->state = CANARY_STREAM_BROKEN;
        return;
    }

    canary_stream_report(s, array ? CANARY_STREAM_ARRAY
                                  : CANARY_STREAM_OBJECT);

    bit = (uint8_t) (1 << (depth % 8));

    if (array) {
        s->arrays[depth / 8] |= bit;

        /* what is in an array has no path, but for one at the top */

        if (depth > 0) {
            s->node = CANARY_STREAM_NOWHERE;
        }

    } else {
        s->arrays[depth / 8] &= (uint8_t) ~bit;
    }

    s->depth = (uint16_t) ++depth;

    if (depth <= CANARY_STREAM_PATH) {
        s->nodes[depth] = s->node;

    } else {
        s->node = CANARY_STREAM_NOWHERE;
    }

    s->state = array ? CANARY_STREAM_FIRST_VALUE : CANARY_STREAM_FIRST_KEY;
}


static unsigned
canary_stream_in_array(const canary_stream_t *s)
{
    unsigned  depth;

    depth = s->depth - 1U;

    return s->arrays[depth / 8] >> (depth % 8) & 1;
}


/* The node of the container at hand. */

static uint8_t
canary_stream_container(const canary_stream_t *s)
{
    return s->depth <= CANARY_STREAM_PATH ? s->nodes[s->depth]
                                          : CANARY_STREAM_NOWHERE;
}


static void
canary_stream_pop(canary_stream_t *s, unsigned array)
{
    if (canary_stream_in_array(s) != array) {
        s->state = CANARY_STREAM_BROKEN;
        return;
    }

    s->node = canary_stream_container(s);

    if (!array) {
        canary_stream_report(s, CANARY_STREAM_OBJECT_END);
    }

    s->depth--;
    s->state = s->depth ? CANARY_STREAM_NEXT : CANARY_STREAM_DONE;
}


static void
canary_stream_next(canary_stream_t *s, char c)
{
    if (c == '}' || c == ']') {
        canary_stream_pop(s, c == ']');
        return;
    }

    if (c != ',') {
        s->state = CANARY_STREAM_BROKEN;
        return;
    }

    if (canary_stream_in_array(s)) {
        s->node = canary_stream_container(s);
        s->state = CANARY_STREAM_VALUE;
        return;
    }

    s->state = CANARY_STREAM_KEY;
}


static void
canary_stream_string(canary_stream_t *s, unsigned key)
{
    uint8_t  node;

    node = key ? canary_stream_container(s) : s->node;

    s->key = (uint8_t) key;
    s->keep = node != CANARY_STREAM_NOWHERE;
    s->cut = 0;
    s->text_len = 0;
    s->state = CANARY_STREAM_IN_STRING;
}


static const char *
canary_stream_in_string(canary_stream_t *s, const char *p, const char *end)
{
    const char  *start;

    start = p;
    p = canary_block_plain(p, end);

    if (s->keep) {
        canary_stream_keep(s, start, (size_t) (p - start));
    }

    if (p == end) {
        return p;
    }

    switch (*p) {

    case '"':
        canary_stream_string_end(s);
        break;

    case '\\':
        s->state = CANARY_STREAM_ESCAPE;
        break;

    default:
        s->state = CANARY_STREAM_BROKEN;
    }

    return p + 1;
}


static void
canary_stream_keep(canary_stream_t *s, const char *p, size_t len)
{
    size_t  left;

    left = CANARY_STREAM_TEXT_MAX - s->text_len;

    if (len > left) {
        len = left;
        s->cut = 1;
    }

    memcpy(s->text + s->text_len, p, len);
    s->text_len = (uint8_t) (s->text_len + len);
}


static void
canary_stream_string_end(canary_stream_t *s)
{
    if (s->key) {
        s->node = (uint8_t) canary_stream_find(s);
        s->state = CANARY_STREAM_COLON;
        return;
    }

    s->state = s->depth ? CANARY_STREAM_NEXT : CANARY_STREAM_DONE;

    canary_stream_report(s, CANARY_STREAM_STRING);
}


/* The node of the key that was read. */

static unsigned
canary_stream_find(const canary_stream_t *s)
{
    uint8_t                      parent;
    canary_str_t                 key;
    const canary_stream_path_t  *path;

    parent = canary_stream_container(s);

    if (parent == CANARY_STREAM_NOWHERE || s->cut) {
        return CANARY_STREAM_NOWHERE;
    }

    key.data = s->text;
    key.len = s->text_len;

    for (path = s->paths; path->parent <= parent; path++) {

        if (path->parent == CANARY_STREAM_NOWHERE) {
            break;
        }

        if (path->parent == parent && canary_str_eq(path->key, key)) {
            return path->node;
        }
    }

    return CANARY_STREAM_NOWHERE;
}


static void
canary_stream_escape(canary_stream_t *s, char c)
{
    char         *found;

    static char   names[] = "\"\\/bfnrt";
    static char   bytes[] = "\"\\/\b\f\n\r\t";

    if (c == 'u') {
        s->code = 0;
        s->hex = 4;
        s->state = CANARY_STREAM_HEX;
        return;
    }

    found = memchr(names, c, sizeof(names) - 1);

    if (found == NULL) {
        s->state = CANARY_STREAM_BROKEN;
        return;
    }

    if (s->keep) {
        canary_stream_keep(s, bytes + (found - names), 1);
    }

    s->state = CANARY_STREAM_IN_STRING;
}


/*
 * Half of a surrogate pair is kept as what it would be in UTF-8: no key and
 * no name has one, and canary_str_is_text() says that it is not text.
 */

static void
canary_stream_hex(canary_stream_t *s, char c)
{
    char      text[3];
    size_t    len;
    uint32_t  digit;

    if (c >= '0' && c <= '9') {
        digit = (uint32_t) (c - '0');

    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        digit = (uint32_t) ((c | 0x20) - 'a' + 10);

    } else {
        s->state = CANARY_STREAM_BROKEN;
        return;
    }

    s->code = s->code << 4 | digit;

    if (--s->hex > 0) {
        return;
    }

    s->state = CANARY_STREAM_IN_STRING;

    if (!s->keep) {
        return;
    }

    if (s->code < 0x80) {
        text[0] = (char) s->code;
        len = 1;

    } else if (s->code < 0x800) {
        text[0] = (char) (0xc0 | s->code >> 6);
        text[1] = (char) (0x80 | (s->code & 0x3f));
        len = 2;

    } else {
        text[0] = (char) (0xe0 | s->code >> 12);
        text[1] = (char) (0x80 | (s->code >> 6 & 0x3f));
        text[2] = (char) (0x80 | (s->code & 0x3f));
        len = 3;
    }

    canary_stream_keep(s, text, len);
}


static void
canary_stream_number(canary_stream_t *s, char c)
{
    s->keep = s->node != CANARY_STREAM_NOWHERE;
    s->cut = 0;
    s->text_len = 0;

    if (c == '-') {
        s->state = CANARY_STREAM_MINUS;

    } else if (c == '0') {
        s->state = CANARY_STREAM_ZERO;

    } else if (c >= '1' && c <= '9') {
        s->state = CANARY_STREAM_DIGITS;

    } else {
        s->state = CANARY_STREAM_BROKEN;
        return;
    }

    if (s->keep) {
        canary_stream_keep(s, &c, 1);
    }
}


/* Only the byte after a number says that it is over: that byte is left. */

static const char *
canary_stream_in_number(canary_stream_t *s, const char *p, const char *end)
{
    unsigned     state;
    const char  *start;

    start = p;

    do {
        state = canary_stream_number_next(s->state, *p);

        if (state == CANARY_STREAM_NEXT || state == CANARY_STREAM_BROKEN) {
            break;
        }

        s->state = (uint8_t) state;
        p++;

        /* any number of digits is the same as one */

        if (state == CANARY_STREAM_DIGITS
            || state == CANARY_STREAM_FRACTION
            || state == CANARY_STREAM_EXPONENT_DIGITS)
        {
            while (p < end && *p >= '0' && *p <= '9') {
                p++;
            }
        }

    } while (p < end);

    if (s->keep) {
        canary_stream_keep(s, start, (size_t) (p - start));
    }

    if (p == end) {
        return p;
    }

    if (state == CANARY_STREAM_NEXT && s->depth == 0) {
        state = CANARY_STREAM_DONE;
    }

    s->state = (uint8_t) state;

    if (state != CANARY_STREAM_BROKEN) {
        canary_stream_report(s, CANARY_STREAM_NUMBER);
    }

    return p;
}


static unsigned
canary_stream_number_next(unsigned state, char c)
{
    if (c >= '0' && c <= '9') {

        switch (state) {

        case CANARY_STREAM_MINUS:
            return c == '0' ? CANARY_STREAM_ZERO : CANARY_STREAM_DIGITS;

        case CANARY_STREAM_ZERO:
            return CANARY_STREAM_BROKEN;

        case CANARY_STREAM_DIGITS:
            return CANARY_STREAM_DIGITS;

        case CANARY_STREAM_POINT:
        case CANARY_STREAM_FRACTION:
            return CANARY_STREAM_FRACTION;

        default:
            return CANARY_STREAM_EXPONENT_DIGITS;
        }
    }

    if ((c == '+' || c == '-') && state == CANARY_STREAM_EXPONENT) {
        return CANARY_STREAM_EXPONENT_SIGN;
    }

    switch (state) {

    case CANARY_STREAM_ZERO:
    case CANARY_STREAM_DIGITS:

        if (c == '.') {
            return CANARY_STREAM_POINT;
        }

        /* fall through */

    case CANARY_STREAM_FRACTION:

        if (c == 'e' || c == 'E') {
            return CANARY_STREAM_EXPONENT;
        }

        /* fall through */

    case CANARY_STREAM_EXPONENT_DIGITS:
        return CANARY_STREAM_NEXT;

    default:
        return CANARY_STREAM_BROKEN;
    }
}


static void
canary_stream_literal(canary_stream_t *s, const char *rest,
    canary_stream_type_e type)
{
    s->literal = rest;
    s->type = (uint8_t) type;
    s->state = CANARY_STREAM_LITERAL;
}


static void
canary_stream_in_literal(canary_stream_t *s, char c)
{
    if (c != *s->literal) {
        s->state = CANARY_STREAM_BROKEN;
        return;
    }

    s->literal++;

    if (*s->literal == '\0') {
        s->state = s->depth ? CANARY_STREAM_NEXT : CANARY_STREAM_DONE;
        s->text_len = 0;
        s->cut = 0;

        canary_stream_report(s, (canary_stream_type_e) s->type);
    }
}


static void
canary_stream_report(canary_stream_t *s, canary_stream_type_e type)
{
    canary_str_t  text;

    if (s->node == CANARY_STREAM_NOWHERE) {
        return;
    }

    text.data = s->text;
    text.len = s->text_len;

    s->value(s->data, s->node, type, text, s->cut);
}
