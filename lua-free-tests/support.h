
/*
 * What the tests share: a random source that prints its seed, growing
 * buffers, files.  Running out of memory ends the program.
 */


#ifndef CANARY_TEST_SUPPORT_H
#define CANARY_TEST_SUPPORT_H


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "decide.h"
#include "flag.h"
#include "record.h"
#include "str.h"


#define S(literal)  ((canary_str_t) { sizeof(literal) - 1, literal })


typedef struct {
    size_t   len;
    size_t   size;
    char    *data;
} buffer_t;


/* A group fixture: seeds the random source from CANARY_TEST_SEED. */

int random_setup(void **state);

uint64_t random_u64(void);
uint32_t random_below(uint32_t n);

/* Bytes of any value; NUL and the SP and HTAB at the ends included. */

void random_bytes(char *out, size_t len);

void buffer_add(buffer_t *b, const char *data, size_t len);
void buffer_add_text(buffer_t *b, const char *text);
void buffer_add_field(buffer_t *b, canary_str_t name, canary_str_t value);
void buffer_free(buffer_t *b);

canary_str_t buffer_str(const buffer_t *b);
canary_str_t text_str(const char *text);

/* Returns -1 when the file cannot be read. */

int read_file(const char *path, buffer_t *b);

/* Adds to a record the fields given as "name=value" arguments. */

#define record_of(b, ...)                                                     \
    record_add(b, (const char *const []) { __VA_ARGS__, NULL })

void record_add(buffer_t *b, const char *const *fields);

void flip_bit(char *bytes, size_t bit);


#endif /* CANARY_TEST_SUPPORT_H */
