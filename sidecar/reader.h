
/*
 * Reads JSON where it lies and keeps nothing: the status of nginx comes four
 * times a second and is mostly counters.  Strict, and whoever wrote the text
 * is not trusted: after the first error every call fails.
 */


#ifndef CANARYD_READER_H
#define CANARYD_READER_H


#include <stdint.h>
#include "str.h"


#define CANARYD_DEPTH_MAX  24


typedef enum {
    CANARYD_JSON_NONE = 0,                  /* an error */
    CANARYD_JSON_NULL,
    CANARYD_JSON_TRUE,
    CANARYD_JSON_FALSE,
    CANARYD_JSON_NUMBER,
    CANARYD_JSON_STRING,
    CANARYD_JSON_ARRAY,
    CANARYD_JSON_OBJECT
} canaryd_json_e;


typedef struct {
    const char  *pos;
    const char  *end;
    unsigned     depth;
    unsigned     objects;                   /* a bit for each depth */
    unsigned     failed:1;
} canaryd_reader_t;


void canaryd_reader_init(canaryd_reader_t *r, canary_str_t text);

/* What the next value is, without reading it. */

canaryd_json_e canaryd_reader_peek(canaryd_reader_t *r);

/*
 * Steps into an object or array: 1, or 0 when there is something else.  Then
 * canaryd_reader_next() says whether there is another member, which has to be
 * read; after the last one it has stepped out again.
 */

int canaryd_reader_open(canaryd_reader_t *r, canaryd_json_e type);
int canaryd_reader_next(canaryd_reader_t *r, unsigned *n);

/* The key of a member; one that is escaped is an empty one. */

int canaryd_reader_key(canaryd_reader_t *r, canary_str_t *key);

/* Any value, as it is written; of a string what is between the quotes. */

canaryd_json_e canaryd_reader_value(canaryd_reader_t *r, canary_str_t *raw);

/* A value of one kind.  Return 0, or -1 when it is another. */

int canaryd_reader_bool(canaryd_reader_t *r, int *value);
int canaryd_reader_percent(canaryd_reader_t *r, uint32_t *percent);

/* Any count that a double holds, like an epoch. */

int canaryd_reader_epoch(canaryd_reader_t *r, uint64_t *epoch);

/* A string without escapes that fits, terminated. */

int canaryd_reader_text(canaryd_reader_t *r, char *text, size_t size);

/* Non-zero when everything was read and there was no error. */

int canaryd_reader_done(canaryd_reader_t *r);


#endif /* CANARYD_READER_H */
