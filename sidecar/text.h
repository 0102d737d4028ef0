
/*
 * A growing text.  Running out of memory is remembered and nothing more is
 * added: whoever is about to use the text looks at "failed" first.
 */


#ifndef CANARYD_TEXT_H
#define CANARYD_TEXT_H


#include <stddef.h>
#include "str.h"


typedef struct {
    size_t    len;
    size_t    size;
    char     *data;                         /* terminated, or NULL */
    unsigned  failed:1;
} canaryd_text_t;


void canaryd_text_add(canaryd_text_t *t, const char *data, size_t len);
void canaryd_text_put(canaryd_text_t *t, const char *text);

void canaryd_text_printf(canaryd_text_t *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes; what is no text appears as "?". */

void canaryd_text_json(canaryd_text_t *t, canary_str_t s);

/* A finite number with 6 digits, anything else as null. */

void canaryd_text_number(canaryd_text_t *t, double number);

void canaryd_text_reset(canaryd_text_t *t);
void canaryd_text_free(canaryd_text_t *t);

canary_str_t canaryd_text_str(const canaryd_text_t *t);
canary_str_t canaryd_str(const char *text);

/* Copies to a buffer of size bytes, cut and terminated. */

void canaryd_copy(char *to, size_t size, canary_str_t from);

/* A copy of its own, terminated, to be freed; or NULL. */

char *canaryd_dup(canary_str_t s);


#endif /* CANARYD_TEXT_H */
