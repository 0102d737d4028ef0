
/*
 * An immutable set of keys, each with a number: the lists and the tenant
 * table of a flag.  A lookup costs the same for one entry and for a million.
 */


#ifndef CANARY_SET_H
#define CANARY_SET_H


#include <stdint.h>
#include "str.h"


typedef struct canary_set_s  canary_set_t;


/*
 * Both take the JSON text of a flag's field: an array of unique keys (each
 * with the value 1), or an object of keys and percents (values in buckets;
 * a percent is a JSON number with at most 3 decimals).  Keys are neither
 * empty nor padded with SP or HTAB: such a key could never match.
 *
 * When prev was made from the same bytes, it is returned with one more
 * reference instead of being built again: a large list costs nothing when
 * another field of its flag changes.
 *
 * Returns a set to be released by the caller, or NULL and an error about
 * the field named by what.
 */

canary_set_t *canary_set_parse_list(const char *what, canary_str_t json,
    canary_set_t *prev, canary_error_t *err);
canary_set_t *canary_set_parse_percents(const char *what, canary_str_t json,
    canary_set_t *prev, canary_error_t *err);

/* Accepts NULL. */

void canary_set_release(canary_set_t *set);

/* NULL is the empty set. */

const uint32_t *canary_set_find(const canary_set_t *set, canary_str_t key);
size_t canary_set_count(const canary_set_t *set);


#endif /* CANARY_SET_H */
