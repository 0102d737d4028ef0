
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "text.h"


#define CANARYD_TEXT_FIRST  256


static int canaryd_text_grow(canaryd_text_t *t, size_t len);


void
canaryd_text_add(canaryd_text_t *t, const char *data, size_t len)
{
    if (len == 0 || canaryd_text_grow(t, len) != 0) {
        return;
    }

    memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = '\0';
}


/* Makes room for len bytes and the terminator. */

static int
canaryd_text_grow(canaryd_text_t *t, size_t len)
{
    char    *data;
    size_t   size;

    if (t->failed) {
        return -1;
    }

    if (t->size - t->len > len) {
        return 0;
    }

    size = t->size ? t->size * 2 : CANARYD_TEXT_FIRST;

    if (size < t->len + len + 1) {
        size = t->len + len + 1;
    }

    data = realloc(t->data, size);

    if (data == NULL) {
        t->failed = 1;
        return -1;
    }

    t->data = data;
    t->size = size;

    return 0;
}


void
canaryd_text_put(canaryd_text_t *t, const char *text)
{
    canaryd_text_add(t, text, strlen(text));
}


void
canaryd_text_printf(canaryd_text_t *t, const char *format, ...)
{
    int      len;
    va_list  args;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);

    if (len < 0 || canaryd_text_grow(t, (size_t) len) != 0) {
        t->failed = 1;
        return;
    }

    va_start(args, format);
    (void) vsnprintf(t->data + t->len, (size_t) len + 1, format, args);
    va_end(args);

    t->len += (size_t) len;
}


void
canaryd_text_json(canaryd_text_t *t, canary_str_t s)
{
    size_t  i, from;

    if (!canary_str_is_text(s)) {
        canaryd_text_put(t, "\"?\"");
        return;
    }

    canaryd_text_put(t, "\"");

    for (i = 0, from = 0; i < s.len; i++) {
        if (s.data[i] == '"' || s.data[i] == '\\') {
            canaryd_text_add(t, s.data + from, i - from);
            canaryd_text_put(t, "\\");
            from = i;
        }
    }

    canaryd_text_add(t, s.data + from, i - from);
    canaryd_text_put(t, "\"");
}


void
canaryd_text_number(canaryd_text_t *t, double number)
{
    if (isfinite(number)) {
        canaryd_text_printf(t, "%.6g", number);

    } else {
        canaryd_text_put(t, "null");
    }
}


void
canaryd_text_reset(canaryd_text_t *t)
{
    t->len = 0;
    t->failed = 0;
}


void
canaryd_text_free(canaryd_text_t *t)
{
    free(t->data);
    memset(t, 0, sizeof(canaryd_text_t));
}


canary_str_t
canaryd_text_str(const canaryd_text_t *t)
{
    return (canary_str_t) { t->len, t->data };
}


canary_str_t
canaryd_str(const char *text)
{
    return (canary_str_t) { strlen(text), text };
}


void
canaryd_copy(char *to, size_t size, canary_str_t from)
{
    size_t  len;

    len = from.len < size ? from.len : size - 1;

    if (len) {
        memcpy(to, from.data, len);
    }

    to[len] = '\0';
}


char *
canaryd_dup(canary_str_t s)
{
    char  *copy;

    copy = malloc(s.len + 1);

    if (copy) {
        canaryd_copy(copy, s.len + 1, s);
    }

    return copy;
}
