
#include "support.h"


static void
a_record_gives_back_its_fields(void **state)
{
    int             n;
    char            names[8][40], values[8][300];
    size_t          pos;
    buffer_t        b;
    unsigned        count, i, round;
    canary_field_t  field, fields[8];

    (void) state;

    for (round = 0; round < 2000; round++) {
        b = (buffer_t) { 0 };
        buffer_add(&b, "", 0);
        count = random_below(9);

        for (i = 0; i < count; i++) {
            fields[i].name.data = names[i];
            fields[i].name.len = random_below(sizeof(names[i]) + 1);
            random_bytes(names[i], fields[i].name.len);

            fields[i].value.data = values[i];
            fields[i].value.len = random_below(sizeof(values[i]) + 1);
            random_bytes(values[i], fields[i].value.len);

            buffer_add_field(&b, fields[i].name, fields[i].value);
        }

        pos = 0;

        for (i = 0; i < count; i++) {
            n = canary_record_next(buffer_str(&b), &pos, &field);
            assert_int_equal(n, 1);
            assert_true(canary_str_eq(field.name, fields[i].name));
            assert_true(canary_str_eq(field.value, fields[i].value));
        }

        assert_int_equal(canary_record_next(buffer_str(&b), &pos, &field), 0);
        buffer_free(&b);
    }
}


/* From the heap, so that the sanitizer sees a step over the end. */

static int
walk(const char *data, size_t len)
{
    int              rc;
    char            *copy;
    size_t           pos;
    canary_str_t     record;
    canary_field_t   field;

    copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);

    record.data = copy;
    record.len = len;
    pos = 0;

    do {
        rc = canary_record_next(record, &pos, &field);
    } while (rc == 1);

    free(copy);

    return rc;
}


static void
a_cut_record_is_refused(void **state)
{
    size_t    boundary, len;
    buffer_t  b;

    (void) state;

    b = (buffer_t) { 0 };
    record_of(&b, "percent=5");
    boundary = b.len;
    record_of(&b, "salt=x");

    for (len = 0; len <= b.len; len++) {
        assert_int_equal(walk(b.data, len),
                         len == 0 || len == boundary || len == b.len ? 0 : -1);
    }

    buffer_free(&b);
}


static void
damaged_records_are_never_read_over_their_end(void **state)
{
    size_t    bit;
    buffer_t  b;
    unsigned  i;

    (void) state;

    b = (buffer_t) { 0 };
    record_of(&b, "percent=5", "salt=x", "mode=full");

    for (bit = 0; bit < 8 * b.len; bit++) {
        flip_bit(b.data, bit);
        (void) walk(b.data, b.len);
        flip_bit(b.data, bit);
    }

    for (i = 0; i < 10000; i++) {
        random_bytes(b.data, b.len);
        (void) walk(b.data, random_below((uint32_t) b.len + 1));
    }

    buffer_free(&b);
}


static void
lengths_are_little_endian(void **state)
{
    buffer_t  b;

    (void) state;

    b = (buffer_t) { 0 };
    record_of(&b, "salt=x");

    assert_int_equal(b.len, 13);
    assert_memory_equal(b.data, "\4\0\0\0\1\0\0\0saltx", 13);

    buffer_free(&b);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_record_gives_back_its_fields),
        cmocka_unit_test(a_cut_record_is_refused),
        cmocka_unit_test(damaged_records_are_never_read_over_their_end),
        cmocka_unit_test(lengths_are_little_endian)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
