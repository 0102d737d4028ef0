
#include <string.h>
#include "block.h"
#include "cohort.h"
#include "reader.h"
#include "text.h"
#include "trip.h"


static canaryd_json_e canaryd_reader_fail(canaryd_reader_t *r);
static void canaryd_reader_space(canaryd_reader_t *r);
static int canaryd_reader_string(canaryd_reader_t *r, canary_str_t *raw);
static const char *canaryd_reader_escape(const char *p, const char *end);
static int canaryd_reader_number(canaryd_reader_t *r);
static size_t canaryd_reader_digits(canaryd_reader_t *r);
static int canaryd_reader_word(canaryd_reader_t *r, const char *word);
static int canaryd_reader_nested(canaryd_reader_t *r, canaryd_json_e type);


void
canaryd_reader_init(canaryd_reader_t *r, canary_str_t text)
{
    r->pos = text.data;
    r->end = text.data + text.len;
    r->depth = 0;
    r->objects = 0;
    r->failed = 0;
}


static canaryd_json_e
canaryd_reader_fail(canaryd_reader_t *r)
{
    r->failed = 1;
    r->pos = r->end;

    return CANARYD_JSON_NONE;
}


static void
canaryd_reader_space(canaryd_reader_t *r)
{
    while (r->pos < r->end && (*r->pos == ' ' || *r->pos == '\n'
                               || *r->pos == '\t' || *r->pos == '\r'))
    {
        r->pos++;
    }
}


canaryd_json_e
canaryd_reader_peek(canaryd_reader_t *r)
{
    canaryd_reader_space(r);

    if (r->failed || r->pos == r->end) {
        return canaryd_reader_fail(r);
    }

    switch (*r->pos) {

    case '{':
        return CANARYD_JSON_OBJECT;

    case '[':
        return CANARYD_JSON_ARRAY;

    case '"':
        return CANARYD_JSON_STRING;

    case 't':
        return CANARYD_JSON_TRUE;

    case 'f':
        return CANARYD_JSON_FALSE;

    case 'n':
        return CANARYD_JSON_NULL;

    default:
        return CANARYD_JSON_NUMBER;
    }
}


int
canaryd_reader_open(canaryd_reader_t *r, canaryd_json_e type)
{
    if (canaryd_reader_peek(r) != type) {
        return 0;
    }

    if (++r->depth > CANARYD_DEPTH_MAX) {
        (void) canaryd_reader_fail(r);
        return 0;
    }

    r->objects &= ~(1U << r->depth);

    if (type == CANARYD_JSON_OBJECT) {
        r->objects |= 1U << r->depth;
    }

    r->pos++;

    return 1;
}


int
canaryd_reader_next(canaryd_reader_t *r, unsigned *n)
{
    canaryd_reader_space(r);

    if (r->failed || r->pos == r->end) {
        (void) canaryd_reader_fail(r);
        return 0;
    }

    if (*r->pos == (r->objects & 1U << r->depth ? '}' : ']')) {
        r->pos++;
        r->depth--;
        return 0;
    }

    if ((*n)++ == 0) {
        return 1;
    }

    if (*r->pos != ',') {
        (void) canaryd_reader_fail(r);
        return 0;
    }

    r->pos++;
    canaryd_reader_space(r);

    if (r->pos == r->end || *r->pos == '}' || *r->pos == ']') {
        (void) canaryd_reader_fail(r);
        return 0;
    }

    return 1;
}


int
canaryd_reader_key(canaryd_reader_t *r, canary_str_t *key)
{
    canaryd_reader_space(r);

    if (canaryd_reader_string(r, key) != 0) {
        return -1;
    }

    canaryd_reader_space(r);

    if (r->pos == r->end || *r->pos != ':') {
        (void) canaryd_reader_fail(r);
        return -1;
    }

    r->pos++;

    if (key->len && memchr(key->data, '\\', key->len)) {
        key->len = 0;
    }

    return 0;
}


canaryd_json_e
canaryd_reader_value(canaryd_reader_t *r, canary_str_t *raw)
{
    int             rc;
    canaryd_json_e  type;

    type = canaryd_reader_peek(r);
    raw->data = r->pos;

    switch (type) {

    case CANARYD_JSON_NONE:
        rc = -1;
        break;

    case CANARYD_JSON_NULL:
        rc = canaryd_reader_word(r, "null");
        break;

    case CANARYD_JSON_TRUE:
        rc = canaryd_reader_word(r, "true");
        break;

    case CANARYD_JSON_FALSE:
        rc = canaryd_reader_word(r, "false");
        break;

    case CANARYD_JSON_NUMBER:
        rc = canaryd_reader_number(r);
        break;

    case CANARYD_JSON_STRING:
        return canaryd_reader_string(r, raw) == 0 ? type : CANARYD_JSON_NONE;

    default:
        rc = canaryd_reader_nested(r, type);
    }

    if (rc != 0) {
        raw->len = 0;
        return canaryd_reader_fail(r);
    }

    raw->len = (size_t) (r->pos - raw->data);

    return type;
}


/* Leaves raw at what is between the quotes. */

static int
canaryd_reader_string(canaryd_reader_t *r, canary_str_t *raw)
{
    const char  *p;

    raw->data = r->pos;
    raw->len = 0;

    if (r->failed || r->pos == r->end || *r->pos != '"') {
        (void) canaryd_reader_fail(r);
        return -1;
    }

    for (p = r->pos + 1; p < r->end; p++) {
        p = canary_block_plain(p, r->end);

        if (p == r->end || (unsigned char) *p < ' ') {
            break;
        }

        if (*p == '"') {
            raw->data = r->pos + 1;
            raw->len = (size_t) (p - raw->data);
            r->pos = p + 1;
            return 0;
        }

        p = canaryd_reader_escape(p, r->end);

        if (p == NULL) {
            break;
        }
    }

    (void) canaryd_reader_fail(r);

    return -1;
}


/* The last byte of an escape, or NULL when it is none. */

static const char *
canaryd_reader_escape(const char *p, const char *end)
{
    int  i;

    if (end - p < 2) {
        return NULL;
    }

    if (p[1] != 'u') {
        return p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) ? p + 1 : NULL;
    }

    if (end - p < 6) {
        return NULL;
    }

    for (i = 2; i < 6; i++) {
        if (p[i] == '\0' || strchr("0123456789abcdefABCDEF", p[i]) == NULL) {
            return NULL;
        }
    }

    return p + 5;
}


static int
canaryd_reader_number(canaryd_reader_t *r)
{
    size_t       n;
    const char  *first;

    if (*r->pos == '-') {
        r->pos++;
    }

    first = r->pos;
    n = canaryd_reader_digits(r);

    if (n == 0 || (n > 1 && *first == '0')) {
        return -1;
    }

    if (r->pos < r->end && *r->pos == '.') {
        r->pos++;

        if (canaryd_reader_digits(r) == 0) {
            return -1;
        }
    }

    if (r->pos < r->end && (*r->pos == 'e' || *r->pos == 'E')) {
        r->pos++;

        if (r->pos < r->end && (*r->pos == '+' || *r->pos == '-')) {
            r->pos++;
        }

        if (canaryd_reader_digits(r) == 0) {
            return -1;
        }
    }

    return 0;
}


static size_t
canaryd_reader_digits(canaryd_reader_t *r)
{
    const char  *first;

    for (first = r->pos; r->pos < r->end; r->pos++) {
        if (*r->pos < '0' || *r->pos > '9') {
            break;
        }
    }

    return (size_t) (r->pos - first);
}


static int
canaryd_reader_word(canaryd_reader_t *r, const char *word)
{
    size_t  len;

    len = strlen(word);

    if ((size_t) (r->end - r->pos) < len || memcmp(r->pos, word, len) != 0) {
        return -1;
    }

    r->pos += len;

    return 0;
}


/* Goes through everything inside; the depth is bounded. */

static int
canaryd_reader_nested(canaryd_reader_t *r, canaryd_json_e type)
{
    unsigned      n;
    canary_str_t  any;

    if (!canaryd_reader_open(r, type)) {
        return -1;
    }

    n = 0;

    while (canaryd_reader_next(r, &n)) {
        if (type == CANARYD_JSON_OBJECT && canaryd_reader_key(r, &any) != 0) {
            return -1;
        }

        if (canaryd_reader_value(r, &any) == CANARYD_JSON_NONE) {
            return -1;
        }
    }

    return r->failed ? -1 : 0;
}


int
canaryd_reader_bool(canaryd_reader_t *r, int *value)
{
    canary_str_t    raw;
    canaryd_json_e  type;

    type = canaryd_reader_value(r, &raw);

    if (type != CANARYD_JSON_TRUE && type != CANARYD_JSON_FALSE) {
        return -1;
    }

    *value = type == CANARYD_JSON_TRUE;

    return 0;
}


int
canaryd_reader_percent(canaryd_reader_t *r, uint32_t *percent)
{
    canary_str_t  raw;

    return canaryd_reader_value(r, &raw) == CANARYD_JSON_NUMBER
           ? canary_percent_parse(raw, percent) : -1;
}


int
canaryd_reader_epoch(canaryd_reader_t *r, uint64_t *epoch)
{
    canary_str_t  raw;

    return canaryd_reader_value(r, &raw) == CANARYD_JSON_NUMBER
           ? canary_epoch_parse(raw, epoch) : -1;
}


int
canaryd_reader_text(canaryd_reader_t *r, char *text, size_t size)
{
    canary_str_t  raw;

    if (canaryd_reader_value(r, &raw) != CANARYD_JSON_STRING
        || raw.len >= size || !canary_str_is_text(raw)
        || (raw.len && memchr(raw.data, '\\', raw.len)))
    {
        return -1;
    }

    canaryd_copy(text, size, raw);

    return 0;
}


int
canaryd_reader_done(canaryd_reader_t *r)
{
    canaryd_reader_space(r);

    return !r->failed && r->pos == r->end && r->depth == 0;
}
