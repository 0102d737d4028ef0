
/*
 * JSON as owners, guards and others write it: jansson, behind the bounds it
 * lacks.
 */


#ifndef CANARY_JSON_H
#define CANARY_JSON_H


#include <jansson.h>
#include <stdint.h>
#include "str.h"


#define CANARY_JSON_DEPTH_MAX  16


/*
 * Returns the array or object, to be released with json_decref(), or NULL
 * and an error that begins with expected and goes on with what is wrong.
 * Duplicate keys, deep nesting and more than CANARY_RECORD_MAX bytes are
 * errors.
 */

json_t *canary_json_load(const char *what, canary_str_t text,
    const char *expected, canary_error_t *err);

/*
 * The same for a file that neither of them made: of a key that is there twice
 * the last value counts, as in most readers.
 */

json_t *canary_json_load_foreign(const char *what, canary_str_t text,
    const char *expected, canary_error_t *err);

/*
 * A number from 0 to 100 with at most 3 decimals, to buckets.  Returns 0, or
 * -1 and leaves *percent alone.
 */

int canary_json_percent(const json_t *value, uint32_t *percent);

/* As canary_error(), quoting the value as JSON; NULL is a missing one. */

void canary_json_error(canary_error_t *err, const char *what,
    const json_t *value, const char *expected);


#endif /* CANARY_JSON_H */
