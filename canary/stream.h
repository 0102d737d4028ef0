
/*
 * JSON as it passes: a tokenizer that is fed bytes in pieces of any size,
 * keeps a constant few of them, and reports the values at the paths it was
 * asked for.  What stands inside a string never counts as anything else.
 *
 * Strict, as RFC 8259 has it, but for bytes that are not UTF-8, which pass,
 * and a byte order mark at the start, which is skipped.
 */


#ifndef CANARY_STREAM_H
#define CANARY_STREAM_H


#include <stdint.h>
#include "str.h"


/* Of a text that is kept: a longer string value is cut, a longer key is
 * none of ours. */
#define CANARY_STREAM_TEXT_MAX  128

/* Levels that are told apart; one more and the document is broken. */
#define CANARY_STREAM_DEPTH     512

/* Levels at which a path can be asked for. */
#define CANARY_STREAM_PATH      6


typedef enum {
    CANARY_STREAM_NULL = 0,
    CANARY_STREAM_FALSE,
    CANARY_STREAM_TRUE,
    CANARY_STREAM_NUMBER,
    CANARY_STREAM_STRING,
    CANARY_STREAM_OBJECT,                   /* it begins */
    CANARY_STREAM_ARRAY,                    /* it begins */
    CANARY_STREAM_OBJECT_END
} canary_stream_type_e;


/*
 * A path is a chain of nodes from node 0, the document, which is an object,
 * or each of the objects in an array at the top.  Several paths may share a
 * node.  The table is sorted by parent, and ends with a parent of
 * CANARY_STREAM_NOWHERE.
 */

#define CANARY_STREAM_NOWHERE   255

typedef struct {
    uint8_t       parent;
    uint8_t       node;
    canary_str_t  key;
} canary_stream_path_t;


/*
 * text is what a string decodes to, or the digits of a number; cut says
 * that it was longer.
 */

typedef void (*canary_stream_value_pt)(void *data, unsigned node,
    canary_stream_type_e type, canary_str_t text, unsigned cut);


typedef struct {
    const canary_stream_path_t  *paths;
    canary_stream_value_pt       value;
    void                        *data;

    const char                  *literal;   /* what is left of it */

    uint32_t                     code;      /* of the \u at hand */

    uint16_t                     depth;
    uint8_t                      state;
    uint8_t                      bom;
    uint8_t                      node;      /* of the value at hand */
    uint8_t                      type;
    uint8_t                      key;       /* the string is one */
    uint8_t                      keep;      /* the text is of interest */
    uint8_t                      cut;
    uint8_t                      hex;       /* digits of \u still to come */
    uint8_t                      text_len;

    uint8_t                      nodes[CANARY_STREAM_PATH + 1];
    uint8_t                      arrays[CANARY_STREAM_DEPTH / 8];

    char                         text[CANARY_STREAM_TEXT_MAX];
} canary_stream_t;


void canary_stream_init(canary_stream_t *s, const canary_stream_path_t *paths,
    canary_stream_value_pt value, void *data);

/* The next byte begins another document. */

void canary_stream_reset(canary_stream_t *s);

void canary_stream_feed(canary_stream_t *s, const char *p, size_t len);


#endif /* CANARY_STREAM_H */
