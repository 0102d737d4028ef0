
#include <string.h>
#include "block.h"
#include "needle.h"
#include "usage.h"
#include "usage_document.h"


typedef enum {
    CANARY_LINE_START = 0,
    CANARY_LINE_FIELD,
    CANARY_LINE_DATA_SPACE,
    CANARY_LINE_DATA,
    CANARY_LINE_EVENT_SPACE,
    CANARY_LINE_EVENT,
    CANARY_LINE_IGNORE
} canary_line_e;


/* The ends of lines in the bytes at hand: each is searched for once. */

typedef struct {
    const char  *end;
    const char  *lf;
    const char  *cr;
} canary_usage_ends_t;


typedef struct {
    canary_str_t         name;
    canary_usage_kind_e  kind;
} canary_usage_media_t;


static canary_str_t canary_usage_trim_type(canary_str_t s);
static int canary_usage_same_type(canary_str_t a, canary_str_t b);

static void canary_usage_feed_events(canary_usage_reader_t *r, const char *p,
    const char *end);
static const char *canary_usage_carry(canary_usage_reader_t *r, const char *p,
    const char *end);
static int canary_usage_between(const canary_usage_reader_t *r);
static void canary_usage_passed(canary_usage_reader_t *r);
static int canary_usage_is_end(const canary_usage_reader_t *r,
    const char *start, const char *p);
static const char *canary_usage_event_ends(const canary_usage_reader_t *r,
    const char *start, const char *p, const char *end);
static const char *canary_usage_last_end(const canary_usage_reader_t *r,
    const char *start, const char *end);
static const char *canary_usage_last_lf(const char *start, const char *p);
static void canary_usage_read_all(canary_usage_reader_t *r, const char *p,
    const char *end);
static const char *canary_usage_read(canary_usage_reader_t *r, const char *p,
    canary_usage_ends_t *ends);
static const char *canary_usage_read_line(canary_usage_reader_t *r,
    const char *p, const char *end);
static const char *canary_usage_read_event(canary_usage_reader_t *r,
    const char *p, canary_usage_ends_t *ends);
static void canary_usage_ends_init(canary_usage_ends_t *ends,
    const char *end);
static const char *canary_usage_eol(canary_usage_ends_t *ends, const char *p);
static void canary_usage_line(canary_usage_reader_t *r, const char *p,
    const char *eol);
static const char *canary_usage_line_field(canary_usage_reader_t *r,
    const char *p, const char *eol);
static void canary_usage_field(canary_usage_reader_t *r);
static void canary_usage_field_add(canary_usage_reader_t *r, const char *p,
    size_t len);
static void canary_usage_line_end(canary_usage_reader_t *r);
static void canary_usage_event_end(canary_usage_reader_t *r);


static const canary_usage_media_t  canary_usage_media[] = {
    { canary_str("text/event-stream"), CANARY_USAGE_SSE },
    { canary_str("application/json"), CANARY_USAGE_JSON },
    { canary_str("text/json"), CANARY_USAGE_JSON },
    { canary_str("application/x-ndjson"), CANARY_USAGE_NDJSON },
    { canary_str("application/ndjson"), CANARY_USAGE_NDJSON },
    { canary_str("application/jsonl"), CANARY_USAGE_NDJSON },
    { canary_str("application/x-jsonlines"), CANARY_USAGE_NDJSON },
    { canary_str("application/jsonlines"), CANARY_USAGE_NDJSON },
    { canary_str(""), CANARY_USAGE_NONE }
};


canary_usage_kind_e
canary_usage_kind(canary_str_t content_type)
{
    canary_str_t                 type, suffix;
    const canary_usage_media_t  *media;

    static const canary_str_t    json = canary_str("+json");

    type = canary_usage_trim_type(content_type);

    for (media = canary_usage_media; media->name.len > 0; media++) {
        if (canary_usage_same_type(type, media->name)) {
            return media->kind;
        }
    }

    if (type.len > json.len) {
        suffix.data = type.data + type.len - json.len;
        suffix.len = json.len;

        if (canary_usage_same_type(suffix, json)) {
            return CANARY_USAGE_JSON;
        }
    }

    return CANARY_USAGE_NONE;
}


/* Without parameters and white space. */

static canary_str_t
canary_usage_trim_type(canary_str_t s)
{
    const char  *semicolon;

    semicolon = s.len > 0 ? memchr(s.data, ';', s.len) : NULL;

    if (semicolon) {
        s.len = (size_t) (semicolon - s.data);
    }

    return canary_str_trim(s);
}


/* b is in lower case. */

static int
canary_usage_same_type(canary_str_t a, canary_str_t b)
{
    char    c;
    size_t  i;

    if (a.len != b.len) {
        return 0;
    }

    for (i = 0; i < a.len; i++) {
        c = a.data[i];

        if (c >= 'A' && c <= 'Z') {
            c = (char) (c | 0x20);
        }

        if (c != b.data[i]) {
            return 0;
        }
    }

    return 1;
}


void
canary_usage_init(canary_usage_reader_t *r, canary_usage_kind_e kind)
{
    memset(r, 0, sizeof(canary_usage_reader_t));

    r->kind = kind;

    canary_stream_init(&r->stream, canary_usage_paths, canary_usage_value, r);
}


void
canary_usage_feed(canary_usage_reader_t *r, const char *p, size_t len)
{
    if (len == 0) {
        return;
    }

    switch (r->kind) {

    case CANARY_USAGE_JSON:
        canary_stream_feed(&r->stream, p, len);
        break;

    case CANARY_USAGE_NDJSON:
    case CANARY_USAGE_SSE:
        canary_usage_feed_events(r, p, p + len);
        break;

    default: /* CANARY_USAGE_NONE */
        break;
    }
}


/*
 * Events that are here as a whole and cannot matter are passed over: reading
 * them would change nothing.
 */

static void
canary_usage_feed_events(canary_usage_reader_t *r, const char *p,
    const char *end)
{
    size_t                left;
    const char           *found, *last, *next;
    canary_usage_ends_t   ends;

    found = NULL;
    last = NULL;

    canary_usage_ends_init(&ends, end);

    while (p < end) {

        if (r->carry_len > 0) {
            p = canary_usage_carry(r, p, end);
            continue;
        }

        if (!canary_usage_between(r) || (found && p <= found)) {
            p = canary_usage_read(r, p, &ends);
            continue;
        }

        if (last == NULL) {
            last = canary_usage_last_end(r, p, end);
        }

        left = (size_t) (end - p);

        if (p >= last) {

            if (left > CANARY_USAGE_CARRY_MAX) {
                p = canary_usage_read(r, p, &ends);
                continue;
            }

            memcpy(r->carry, p, left);
            r->carry_len = (uint16_t) left;
            return;
        }

        found = canary_needle_find(p, (size_t) (last - p), r->model_len == 0);
        next = found ? canary_usage_last_end(r, p, found) : last;

        if (next > p) {
            canary_usage_passed(r);
            p = next;
        }
    }
}


/* Goes on with the event that was kept.  Returns what is after it. */

static const char *
canary_usage_carry(canary_usage_reader_t *r, const char *p, const char *end)
{
    size_t       kept, len;
    const char  *next;

    kept = r->carry_len;
    len = sizeof(r->carry) - kept;

    if (len > (size_t) (end - p)) {
        len = (size_t) (end - p);
    }

    memcpy(r->carry + kept, p, len);

    next = canary_usage_event_ends(r, r->carry, r->carry + kept,
                                   r->carry + kept + len);

    if (next == NULL && kept + len < sizeof(r->carry)) {
        r->carry_len = (uint16_t) (kept + len);
        return end;
    }

    r->carry_len = 0;

    if (next == NULL) {
        canary_usage_read_all(r, r->carry, r->carry + kept + len);
        return p + len;
    }

    if (canary_needle_find(r->carry, (size_t) (next - r->carry),
                           r->model_len == 0))
    {
        canary_usage_read_all(r, r->carry, next);

    } else {
        canary_usage_passed(r);
    }

    return p + (next - r->carry - (ptrdiff_t) kept);
}


/* Nothing of the event at hand was read, or nothing that matters. */

static int
canary_usage_between(const canary_usage_reader_t *r)
{
    return r->line == CANARY_LINE_START && !r->has_data && !r->is_error;
}


static void
canary_usage_passed(canary_usage_reader_t *r)
{
    r->not_first = 1;
    r->after_cr = 0;
}


/*
 * Non-zero if an event ends with the line feed at p: in SSE, if it makes a
 * blank line.  Those that are made with a carriage return alone are left to
 * be found by reading.
 */

static int
canary_usage_is_end(const canary_usage_reader_t *r, const char *start,
    const char *p)
{
    if (r->kind == CANARY_USAGE_NDJSON) {
        return 1;
    }

    if (p > start && p[-1] == '\r') {
        p--;
    }

    return p > start && p[-1] == '\n';
}


/* What follows the first event that ends at p or later, or NULL. */

static const char *
canary_usage_event_ends(const canary_usage_reader_t *r, const char *start,
    const char *p, const char *end)
{
    for (/* void */; p < end; p++) {
        p = memchr(p, '\n', (size_t) (end - p));

        if (p == NULL) {
            return NULL;
        }

        if (canary_usage_is_end(r, start, p)) {
            return p + 1;
        }
    }

    return NULL;
}


/* What follows the last event that ends before end, or start. */

static const char *
canary_usage_last_end(const canary_usage_reader_t *r, const char *start,
    const char *end)
{
    const char  *p;

    for (p = end; p > start; p--) {
        p = canary_usage_last_lf(start, p);

        if (p == start || canary_usage_is_end(r, start, p - 1)) {
            return p;
        }
    }

    return start;
}


/* What follows the last line feed before p, or start. */

static const char *
canary_usage_last_lf(const char *start, const char *p)
{
    static const ptrdiff_t  block = CANARY_BLOCK;

    while (p - start >= block
           && !canary_block_any((canary_block_t)
                                (canary_block(p - block) == '\n')))
    {
        p -= block;
    }

    while (p > start && p[-1] != '\n') {
        p--;
    }

    return p;
}


static void
canary_usage_read_all(canary_usage_reader_t *r, const char *p,
    const char *end)
{
    canary_usage_ends_t  ends;

    canary_usage_ends_init(&ends, end);

    while (p < end) {
        p = canary_usage_read(r, p, &ends);
    }
}


/* Returns after the event at hand, or the end. */

static const char *
canary_usage_read(canary_usage_reader_t *r, const char *p,
    canary_usage_ends_t *ends)
{
    return r->kind == CANARY_USAGE_SSE
           ? canary_usage_read_event(r, p, ends)
           : canary_usage_read_line(r, p, ends->end);
}


static const char *
canary_usage_read_line(canary_usage_reader_t *r, const char *p,
    const char *end)
{
    const char  *lf;

    lf = memchr(p, '\n', (size_t) (end - p));

    if (lf == NULL) {
        canary_stream_feed(&r->stream, p, (size_t) (end - p));
        r->line = CANARY_LINE_DATA;

        return end;
    }

    canary_stream_feed(&r->stream, p, (size_t) (lf - p));
    canary_stream_reset(&r->stream);
    r->line = CANARY_LINE_START;

    return lf + 1;
}


static const char *
canary_usage_read_event(canary_usage_reader_t *r, const char *p,
    canary_usage_ends_t *ends)
{
    unsigned     blank;
    const char  *eol;

    while (p < ends->end) {

        if (r->after_cr) {
            r->after_cr = 0;

            if (*p == '\n') {
                p++;
                continue;
            }
        }

        eol = canary_usage_eol(ends, p);

        canary_usage_line(r, p, eol);

        if (eol == ends->end) {
            return eol;
        }

        blank = r->line == CANARY_LINE_START;

        canary_usage_line_end(r);

        r->after_cr = *eol == '\r';
        p = eol + 1;

        if (blank) {
            break;
        }
    }

    return p;
}


static void
canary_usage_ends_init(canary_usage_ends_t *ends, const char *end)
{
    ends->end = end;
    ends->lf = NULL;
    ends->cr = NULL;
}


static const char *
canary_usage_eol(canary_usage_ends_t *ends, const char *p)
{
    size_t  left;

    left = (size_t) (ends->end - p);

    if (ends->lf == NULL || ends->lf < p) {
        ends->lf = memchr(p, '\n', left);

        if (ends->lf == NULL) {
            ends->lf = ends->end;
        }
    }

    if (ends->cr == NULL || ends->cr < p) {
        ends->cr = memchr(p, '\r', left);

        if (ends->cr == NULL) {
            ends->cr = ends->end;
        }
    }

    return ends->lf < ends->cr ? ends->lf : ends->cr;
}


/* A part of a line, without its end. */

static void
canary_usage_line(canary_usage_reader_t *r, const char *p, const char *eol)
{
    while (p < eol) {

        switch (r->line) {

        case CANARY_LINE_START:
            r->line = CANARY_LINE_FIELD;
            r->field_len = 0;
            break;

        case CANARY_LINE_FIELD:
            p = canary_usage_line_field(r, p, eol);
            break;

        case CANARY_LINE_DATA_SPACE:
        case CANARY_LINE_EVENT_SPACE:

            if (*p == ' ') {
                p++;
            }

            r->line++;
            break;

        case CANARY_LINE_DATA:
            canary_stream_feed(&r->stream, p, (size_t) (eol - p));
            return;

        case CANARY_LINE_EVENT:
            canary_usage_field_add(r, p, (size_t) (eol - p));
            return;

        default: /* CANARY_LINE_IGNORE */
            return;
        }
    }
}


static const char *
canary_usage_line_field(canary_usage_reader_t *r, const char *p,
    const char *eol)
{
    const char  *colon;

    colon = memchr(p, ':', (size_t) (eol - p));

    if (colon == NULL) {
        canary_usage_field_add(r, p, (size_t) (eol - p));
        return eol;
    }

    canary_usage_field_add(r, p, (size_t) (colon - p));
    canary_usage_field(r);

    return colon + 1;
}


/* The name of a field is known. */

static void
canary_usage_field(canary_usage_reader_t *r)
{
    canary_str_t  name;

    static const canary_str_t  bom = canary_str("\xEF\xBB\xBF");
    static const canary_str_t  data = canary_str("data");
    static const canary_str_t  event = canary_str("event");

    name.data = r->field;
    name.len = r->field_len;

    if (!r->not_first
        && name.len >= bom.len
        && memcmp(name.data, bom.data, bom.len) == 0)
    {
        name.data += bom.len;
        name.len -= bom.len;
    }

    if (canary_str_eq(name, data)) {

        /* the lines of an event are lines of its data */

        if (r->has_data) {
            canary_stream_feed(&r->stream, "\n", 1);
        }

        r->has_data = 1;
        r->line = CANARY_LINE_DATA_SPACE;
        return;
    }

    if (canary_str_eq(name, event)) {
        r->field_len = 0;
        r->line = CANARY_LINE_EVENT_SPACE;
        return;
    }

    r->line = CANARY_LINE_IGNORE;
}


/* What does not fit is too long to be anything that is compared with. */

static void
canary_usage_field_add(canary_usage_reader_t *r, const char *p, size_t len)
{
    size_t  left;

    left = sizeof(r->field) - r->field_len;

    if (len > left) {
        len = left;
    }

    memcpy(r->field + r->field_len, p, len);
    r->field_len = (uint8_t) (r->field_len + len);
}


static void
canary_usage_line_end(canary_usage_reader_t *r)
{
    canary_str_t               name;

    static const canary_str_t  error = canary_str("error");

    switch (r->line) {

    case CANARY_LINE_START:
        canary_usage_event_end(r);
        break;

    case CANARY_LINE_FIELD:
        canary_usage_field(r);

        if (r->line != CANARY_LINE_EVENT_SPACE) {
            break;
        }

        /* fall through */

    case CANARY_LINE_EVENT_SPACE:
    case CANARY_LINE_EVENT:
        name.data = r->field;
        name.len = r->field_len;

        r->is_error = (uint8_t) canary_str_eq(name, error);
        break;

    default:
        break;
    }

    r->line = CANARY_LINE_START;
    r->not_first = 1;
}


/* Whatever the data was: the next event begins anew. */

static void
canary_usage_event_end(canary_usage_reader_t *r)
{
    if (r->has_data) {
        canary_stream_reset(&r->stream);

        if (r->is_error && r->failure == CANARY_FAILURE_NONE) {
            r->failure = CANARY_FAILURE_EVENT;
        }
    }

    r->has_data = 0;
    r->is_error = 0;
}


void
canary_usage_finish(canary_usage_reader_t *r, canary_usage_t *usage)
{
    canary_usage_read_all(r, r->carry, r->carry + r->carry_len);

    if (r->kind == CANARY_USAGE_SSE) {
        canary_usage_line_end(r);
        canary_usage_event_end(r);
    }

    canary_usage_result(r, usage);
}
