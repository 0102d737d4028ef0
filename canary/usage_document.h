
/*
 * What a JSON document of an answer says of it: which values count, when
 * they do, and what they add up to.  For canary/usage.c, which cuts a body
 * into documents.
 */


#ifndef CANARY_USAGE_DOCUMENT_H
#define CANARY_USAGE_DOCUMENT_H


#include "stream.h"
#include "usage.h"


extern const canary_stream_path_t  canary_usage_paths[];


/* Takes a value at one of the paths; data is the reader. */

void canary_usage_value(void *data, unsigned node, canary_stream_type_e type,
    canary_str_t text, unsigned cut);

void canary_usage_result(const canary_usage_reader_t *r,
    canary_usage_t *usage);


#endif /* CANARY_USAGE_DOCUMENT_H */
