
#include <stdio.h>
#include "cohort.h"
#include "json.h"
#include "record.h"


/* More than an error shows of a value. */
#define CANARY_JSON_QUOTE_MAX  128

/* A double tells numbers of this many decimal digits apart. */
#define CANARY_JSON_DIGITS     15


static json_t *canary_json_read(const char *what, canary_str_t text,
    const char *expected, size_t flags, canary_error_t *err);
static int canary_json_too_deep(canary_str_t text);


json_t *
canary_json_load(const char *what, canary_str_t text, const char *expected,
    canary_error_t *err)
{
    return canary_json_read(what, text, expected, JSON_REJECT_DUPLICATES,
                            err);
}


json_t *
canary_json_load_foreign(const char *what, canary_str_t text,
    const char *expected, canary_error_t *err)
{
    return canary_json_read(what, text, expected, 0, err);
}


static json_t *
canary_json_read(const char *what, canary_str_t text, const char *expected,
    size_t flags, canary_error_t *err)
{
    char           reason[CANARY_ERROR_MAX];
    json_t        *json;
    const char    *wrong;
    json_error_t   error;

    if (text.len > CANARY_RECORD_MAX) {
        wrong = "this is too long";

    } else if (canary_json_too_deep(text)) {
        wrong = "this is nested too deeply";

    } else {
        json = json_loadb(text.data, text.len, flags, &error);

        if (json) {
            return json;
        }

        /* jansson has no words for it */

        wrong = error.text[0] != '\0' ? error.text : "out of memory";
    }

    (void) snprintf(reason, sizeof(reason), "%s: %s", expected, wrong);

    canary_error(err, what, text, reason);

    return NULL;
}


/*
 * jansson recurses, up to 2048 levels.  Braces out of balance are left for
 * it to find.
 */

static int
canary_json_too_deep(canary_str_t text)
{
    char      c;
    size_t    i;
    unsigned  depth, string;

    depth = 0;
    string = 0;

    for (i = 0; i < text.len; i++) {
        c = text.data[i];

        if (string) {
            if (c == '\\') {
                i++;

            } else if (c == '"') {
                string = 0;
            }

        } else if (c == '"') {
            string = 1;

        } else if (c == '[' || c == '{') {
            if (++depth > CANARY_JSON_DEPTH_MAX) {
                return 1;
            }

        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }

    return 0;
}


int
canary_json_percent(const json_t *value, uint32_t *percent)
{
    double    number;
    uint32_t  n;

    if (!json_is_number(value)) {
        return -1;
    }

    number = json_number_value(value) * CANARY_PERCENT;

    if (!(number >= 0 && number <= CANARY_BUCKETS)) {
        return -1;
    }

    n = (uint32_t) (number + 0.5);

    /* division gives the very double that the decimal text is read as */

    if (json_number_value(value) != (double) n / CANARY_PERCENT) {
        return -1;
    }

    *percent = n;

    return 0;
}


void
canary_json_error(canary_error_t *err, const char *what, const json_t *value,
    const char *expected)
{
    char          quote[CANARY_JSON_QUOTE_MAX];
    char          reason[CANARY_ERROR_MAX];
    canary_str_t  text;

    text.data = quote;
    text.len = json_dumpb(value, quote, sizeof(quote),
                          JSON_COMPACT | JSON_ENCODE_ANY
                          | JSON_REAL_PRECISION(CANARY_JSON_DIGITS));

    if (text.len > sizeof(quote)) {
        text.len = sizeof(quote);
    }

    if (value == NULL) {
        (void) snprintf(reason, sizeof(reason), "%s: it is missing", expected);
        expected = reason;
    }

    canary_error(err, what, text, expected);
}
