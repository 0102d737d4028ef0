
#include <inttypes.h>
#include <stdio.h>
#include "support.h"


#define RANDOM_SEED_DEFAULT  20260714


static uint64_t  random_state = RANDOM_SEED_DEFAULT;


int
random_setup(void **state)
{
    const char  *seed;

    (void) state;

    seed = getenv("CANARY_TEST_SEED");

    random_state = seed ? strtoull(seed, NULL, 10) : RANDOM_SEED_DEFAULT;

    printf("CANARY_TEST_SEED=%" PRIu64 "\n", random_state);

    return 0;
}


/* splitmix64: no kin of the hash under test. */

uint64_t
random_u64(void)
{
    uint64_t  n;

    random_state += 0x9e3779b97f4a7c15;

    n = random_state;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
    n = (n ^ (n >> 27)) * 0x94d049bb133111eb;

    return n ^ (n >> 31);
}


uint32_t
random_below(uint32_t n)
{
    return (uint32_t) (random_u64() % n);
}


void
random_bytes(char *out, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        out[i] = (char) random_below(256);
    }
}


/* Makes room for len more bytes. */

static void
buffer_reserve(buffer_t *b, size_t len)
{
    if (b->data && b->size - b->len >= len) {
        return;
    }

    b->size = 2 * (b->len + len) + 64;
    b->data = realloc(b->data, b->size);

    if (b->data == NULL) {
        abort();
    }
}


void
buffer_add(buffer_t *b, const char *data, size_t len)
{
    buffer_reserve(b, len);

    if (len > 0) {
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }
}


void
buffer_add_text(buffer_t *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}


void
buffer_add_field(buffer_t *b, canary_str_t name, canary_str_t value)
{
    char            *end;
    canary_field_t   field;

    field.name = name;
    field.value = value;

    buffer_reserve(b, canary_record_field_size(&field));

    end = canary_record_add(b->data + b->len, &field);

    assert_ptr_equal(end, b->data + b->len + canary_record_field_size(&field));

    b->len = (size_t) (end - b->data);
}


void
buffer_free(buffer_t *b)
{
    free(b->data);
    *b = (buffer_t) { 0 };
}


canary_str_t
buffer_str(const buffer_t *b)
{
    canary_str_t  s;

    s.data = b->data;
    s.len = b->len;

    return s;
}


canary_str_t
text_str(const char *text)
{
    canary_str_t  s;

    s.data = text;
    s.len = strlen(text);

    return s;
}


int
read_file(const char *path, buffer_t *b)
{
    char    chunk[4096];
    FILE   *file;
    size_t  n;

    file = fopen(path, "rb");

    if (file == NULL) {
        return -1;
    }

    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
        buffer_add(b, chunk, n);
    }

    buffer_add(b, "", 0);
    (void) fclose(file);

    return 0;
}


void
record_add(buffer_t *b, const char *const *fields)
{
    const char    *equals;
    canary_str_t   name;

    for (/* void */; *fields; fields++) {
        equals = strchr(*fields, '=');
        assert_non_null(equals);

        name.data = *fields;
        name.len = (size_t) (equals - *fields);

        buffer_add_field(b, name, text_str(equals + 1));
    }
}


void
flip_bit(char *bytes, size_t bit)
{
    bytes[bit / 8] = (char) (bytes[bit / 8] ^ (1 << (bit % 8)));
}
