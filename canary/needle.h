
/*
 * The fast look at bytes of an answer: can they matter at all?  Nearly all
 * events of a stream hold a word of text and nothing that is counted, and
 * this look costs a fraction of reading them as JSON.
 */


#ifndef CANARY_NEEDLE_H
#define CANARY_NEEDLE_H


#include <stddef.h>


/*
 * Where the first of these may be, or NULL: a usage, an error, a state that
 * says "failed" or "rejected" and, when model is set, the name of a model,
 * each as a key or a value of JSON, however it is escaped; and an event of
 * the name "error".  What is found may be nothing; what is not found, in
 * whole documents or events, is not there.
 */

const char *canary_needle_find(const char *p, size_t len, unsigned model);


#endif /* CANARY_NEEDLE_H */
