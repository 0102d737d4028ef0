
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "json.h"
#include "set.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


typedef struct {
    uint32_t       start;                   /* of the key, in keys */
    uint32_t       len;                     /* 0: free, no key is empty */
    uint32_t       hash;                    /* spares most comparisons */
    uint32_t       value;
} canary_slot_t;


/* One allocation: this, the slots, the bytes of the keys. */

struct canary_set_s {
    size_t         refs;                    /* all of one process */
    size_t         count;
    size_t         mask;                    /* slots - 1 */
    char          *keys;
    size_t         keys_len;
    size_t         source_len;              /* of the JSON, and its hash: */
    XXH128_hash_t  source_hash;             /* to recognize it by */
    canary_slot_t  slots[];
};


static canary_set_t *canary_set_lend(canary_set_t *prev, canary_str_t json);
static canary_set_t *canary_set_create(size_t count, size_t keys_len,
    canary_str_t json);
static canary_set_t *canary_set_of_list(const char *what, json_t *list,
    canary_str_t json, canary_error_t *err);
static canary_set_t *canary_set_of_percents(const char *what, json_t *object,
    canary_str_t json, canary_error_t *err);
static int canary_set_add(canary_set_t *set, const char *what,
    canary_str_t key, uint32_t value, canary_error_t *err);
static size_t canary_set_search(const canary_set_t *set, canary_str_t key,
    uint32_t hash);
static uint32_t canary_set_hash(canary_str_t key);


static const char  canary_set_list[] = "expected a JSON array of keys";
static const char  canary_set_percents[] =
    "expected a JSON object of keys and percents";


canary_set_t *
canary_set_parse_list(const char *what, canary_str_t json, canary_set_t *prev,
    canary_error_t *err)
{
    json_t        *list;
    canary_set_t  *set;

    set = canary_set_lend(prev, json);

    if (set) {
        return set;
    }

    list = canary_json_load(what, json, canary_set_list, err);

    if (list == NULL) {
        return NULL;
    }

    if (json_is_array(list)) {
        set = canary_set_of_list(what, list, json, err);

    } else {
        canary_error(err, what, json, canary_set_list);
    }

    json_decref(list);

    return set;
}


canary_set_t *
canary_set_parse_percents(const char *what, canary_str_t json,
    canary_set_t *prev, canary_error_t *err)
{
    json_t        *object;
    canary_set_t  *set;

    set = canary_set_lend(prev, json);

    if (set) {
        return set;
    }

    object = canary_json_load(what, json, canary_set_percents, err);

    if (object == NULL) {
        return NULL;
    }

    if (json_is_object(object)) {
        set = canary_set_of_percents(what, object, json, err);

    } else {
        canary_error(err, what, json, canary_set_percents);
    }

    json_decref(object);

    return set;
}


static canary_set_t *
canary_set_lend(canary_set_t *prev, canary_str_t json)
{
    if (prev == NULL
        || prev->source_len != json.len
        || !XXH128_isEqual(prev->source_hash,
                           XXH3_128bits(json.data, json.len)))
    {
        return NULL;
    }

    prev->refs++;

    return prev;
}


static canary_set_t *
canary_set_of_list(const char *what, json_t *list, canary_str_t json,
    canary_error_t *err)
{
    size_t         i, len;
    json_t        *entry;
    canary_set_t  *set;
    canary_str_t   key;

    len = 0;

    json_array_foreach(list, i, entry) {
        len += json_string_length(entry);
    }

    set = canary_set_create(json_array_size(list), len, json);

    if (set == NULL) {
        canary_error(err, what, json, "out of memory");
        return NULL;
    }

    json_array_foreach(list, i, entry) {

        if (!json_is_string(entry)) {
            canary_json_error(err, what, entry, canary_set_list);
            canary_set_release(set);
            return NULL;
        }

        key.data = json_string_value(entry);
        key.len = json_string_length(entry);

        if (canary_set_add(set, what, key, 1, err) != 0) {
            canary_set_release(set);
            return NULL;
        }
    }

    return set;
}


static canary_set_t *
canary_set_of_percents(const char *what, json_t *object, canary_str_t json,
    canary_error_t *err)
{
    size_t         len;
    json_t        *entry;
    uint32_t       percent;
    const char    *name;
    canary_set_t  *set;
    canary_str_t   key;

    len = 0;

    json_object_foreach(object, name, entry) {
        len += strlen(name);
    }

    set = canary_set_create(json_object_size(object), len, json);

    if (set == NULL) {
        canary_error(err, what, json, "out of memory");
        return NULL;
    }

    json_object_foreach(object, name, entry) {

        if (canary_json_percent(entry, &percent) != 0) {
            canary_json_error(err, what, entry,
                              "expected 0 to 100 with at most 3 decimals");
            canary_set_release(set);
            return NULL;
        }

        key.data = name;
        key.len = strlen(name);

        if (canary_set_add(set, what, key, percent, err) != 0) {
            canary_set_release(set);
            return NULL;
        }
    }

    return set;
}


static canary_set_t *
canary_set_create(size_t count, size_t keys_len, canary_str_t json)
{
    size_t         slots;
    canary_set_t  *set;

    /* at least half of the slots stay free, so that a search ends soon */

    for (slots = 2; slots < 2 * count; slots *= 2) { /* void */ }

    set = calloc(1, sizeof(canary_set_t) + slots * sizeof(canary_slot_t)
                    + keys_len);

    if (set == NULL) {
        return NULL;
    }

    set->refs = 1;
    set->mask = slots - 1;
    set->keys = (char *) &set->slots[slots];
    set->source_len = json.len;
    set->source_hash = XXH3_128bits(json.data, json.len);

    return set;
}


static int
canary_set_add(canary_set_t *set, const char *what, canary_str_t key,
    uint32_t value, canary_error_t *err)
{
    uint32_t        hash;
    canary_slot_t  *slot;

    if (key.len == 0 || canary_str_trim(key).len != key.len) {
        canary_error(err, what, key,
                     "expected keys that are neither empty nor padded");
        return -1;
    }

    hash = canary_set_hash(key);
    slot = &set->slots[canary_set_search(set, key, hash)];

    if (slot->len > 0) {
        canary_error(err, what, key, "expected unique keys");
        return -1;
    }

    slot->start = (uint32_t) set->keys_len;
    slot->len = (uint32_t) key.len;
    slot->hash = hash;
    slot->value = value;

    (void) canary_put_str(set->keys + set->keys_len, key);

    set->keys_len += key.len;
    set->count++;

    return 0;
}


void
canary_set_release(canary_set_t *set)
{
    if (set && --set->refs == 0) {
        free(set);
    }
}


const uint32_t *
canary_set_find(const canary_set_t *set, canary_str_t key)
{
    size_t                i;
    const canary_slot_t  *slot;

    if (set == NULL || key.len == 0) {
        return NULL;
    }

    i = canary_set_search(set, key, canary_set_hash(key));
    slot = &set->slots[i];

    return slot->len > 0 ? &slot->value : NULL;
}


size_t
canary_set_count(const canary_set_t *set)
{
    return set ? set->count : 0;
}


/* Where the key is, or the free slot where it belongs. */

static size_t
canary_set_search(const canary_set_t *set, canary_str_t key, uint32_t hash)
{
    size_t                i;
    const canary_slot_t  *slot;

    for (i = hash & set->mask; /* void */ ; i = (i + 1) & set->mask) {
        slot = &set->slots[i];

        if (slot->len == 0
            || (slot->hash == hash
                && slot->len == key.len
                && memcmp(set->keys + slot->start, key.data, key.len) == 0))
        {
            return i;
        }
    }
}


static uint32_t
canary_set_hash(canary_str_t key)
{
    return (uint32_t) XXH3_64bits(key.data, key.len);
}
