
#include "known.h"
#include "snapshot.h"
#include "support.h"


static const char  secret[CANARY_SECRET_LEN + 1] =
    "0123456789abcdef0123456789ABCDEF";


static char *
snapshot_of(const canary_entry_t *entries, uint32_t n, size_t *len)
{
    char      *end, *start;
    size_t     total;
    uint32_t   i;

    total = 0;

    for (i = 0; i < n; i++) {
        total += entries[i].name.len + entries[i].packed.len;
    }

    *len = canary_snapshot_size(n, total);

    start = malloc(*len);
    assert_non_null(start);

    end = canary_snapshot_put(start, secret);

    for (i = 0; i < n; i++) {
        end = canary_snapshot_add(end, &entries[i]);
    }

    assert_ptr_equal(end, start + *len);
    canary_snapshot_seal(start, end, n);

    return start;
}


/* From the heap, so that the sanitizer sees a step over the end. */

static int
open_copy(const char *data, size_t len)
{
    int                 rc;
    char               *copy;
    char                out[CANARY_SECRET_LEN];
    canary_str_t        file;
    canary_error_t      err;
    canary_snapshot_t   s;

    copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);

    file.data = copy;
    file.len = len;
    err.text[0] = '\0';

    rc = canary_snapshot_open(&s, file, out, &err);

    assert_int_equal(rc == 0, err.text[0] == '\0');
    free(copy);

    return rc;
}


static void
a_snapshot_gives_back_its_entries(void **state)
{
    char                 out[CANARY_SECRET_LEN], *start;
    size_t               len;
    uint32_t             i, n;
    canary_str_t         file;
    canary_entry_t       entry;
    canary_error_t       err;
    canary_snapshot_t    s;

    static const canary_entry_t  entries[] = {
        { canary_str("support"), canary_str("packed\0bytes") },
        { canary_str("checkout"), canary_str("") },
        { canary_str("s"), canary_str("x") }
    };

    (void) state;

    for (n = 0; n <= 3; n++) {
        start = snapshot_of(entries, n, &len);
        file.data = start;
        file.len = len;

        assert_int_equal(canary_snapshot_open(&s, file, out, &err), 0);
        assert_memory_equal(out, secret, CANARY_SECRET_LEN);

        for (i = 0; i < n; i++) {
            assert_int_equal(canary_snapshot_next(&s, &entry), 1);
            assert_true(canary_str_eq(entry.name, entries[i].name));
            assert_true(canary_str_eq(entry.packed, entries[i].packed));
        }

        assert_int_equal(canary_snapshot_next(&s, &entry), 0);
        assert_int_equal(canary_snapshot_next(&s, &entry), 0);
        free(start);
    }
}


/* The layout is that of the header file, on every CPU. */

static void
the_layout_is_fixed(void **state)
{
    char    *start;
    size_t   len;

    static const canary_entry_t  entry = { canary_str("ab"), canary_str("c") };

    (void) state;

    start = snapshot_of(&entry, 1, &len);

    assert_int_equal(len, 32 + 32 + 8 + 3);
    assert_memory_equal(start, "acanary\n\1\0\0\0\1\0\0\0"
                               "\x2b\0\0\0\0\0\0\0", 24);
    assert_memory_equal(start + 32, secret, 32);
    assert_memory_equal(start + 64, "\2\0\0\0\1\0\0\0abc", 11);

    free(start);
}


static char *
typical(size_t *len)
{
    char             *packed[2], *start;
    unsigned          i;
    buffer_t          b;
    canary_entry_t    entries[2];
    canary_known_t    known;

    b = (buffer_t) { 0 };
    record_of(&b, "percent=5", "epoch=3", "allow=[\"alice\"]");

    for (i = 0; i < 2; i++) {
        known = (canary_known_t) { 0 };
        known.state = CANARY_STATE_OK;
        known.epoch = 3;
        known.record = buffer_str(&b);
        known.trip = i ? S("{\"epoch\":3}") : S("");

        packed[i] = malloc(canary_known_size(&known));
        assert_non_null(packed[i]);
        canary_known_pack(packed[i], &known);

        entries[i].name = i ? S("support") : S("checkout");
        entries[i].packed.data = packed[i];
        entries[i].packed.len = canary_known_size(&known);
    }

    start = snapshot_of(entries, 2, len);

    free(packed[0]);
    free(packed[1]);
    buffer_free(&b);

    return start;
}


static void
a_shortened_or_lengthened_file_is_refused(void **state)
{
    char    *longer, *start;
    size_t   i, len;

    (void) state;

    start = typical(&len);
    assert_int_equal(open_copy(start, len), 0);

    for (i = 0; i < len; i++) {
        assert_int_equal(open_copy(start, i), -1);
    }

    longer = calloc(1, 2 * len);
    assert_non_null(longer);
    memcpy(longer, start, len);

    for (i = len + 1; i <= 2 * len; i++) {
        assert_int_equal(open_copy(longer, i), -1);
    }

    free(longer);
    free(start);
}


static void
every_flipped_bit_is_noticed(void **state)
{
    char    *start;
    size_t   bit, len;

    (void) state;

    start = typical(&len);

    for (bit = 0; bit < 8 * len; bit++) {
        flip_bit(start, bit);
        assert_int_equal(open_copy(start, len), -1);
        flip_bit(start, bit);
    }

    free(start);
}


/* The checksum is right, and the entries are not. */

static void
entries_that_do_not_fit_are_refused(void **state)
{
    char      *start;
    size_t     i, len;
    uint32_t   n;

    (void) state;

    start = typical(&len);

    for (n = 0; n < 5; n++) {
        canary_snapshot_seal(start, start + len, n);
        assert_int_equal(open_copy(start, len), n == 2 ? 0 : -1);
    }

    for (i = 64; i < 72; i++) {
        start[i] ^= 1;
        canary_snapshot_seal(start, start + len, 2);
        assert_int_equal(open_copy(start, len), -1);
        start[i] ^= 1;
    }

    free(start);
}


static void
the_error_says_what_is_wrong(void **state)
{
    char                out[CANARY_SECRET_LEN], *start;
    size_t              len;
    canary_str_t        file;
    canary_error_t      err;
    canary_snapshot_t   s;

    (void) state;

    start = typical(&len);
    file.data = start;
    file.len = len;

    start[8] = 2;
    assert_int_equal(canary_snapshot_open(&s, file, out, &err), -1);
    assert_non_null(strstr(err.text, "format version"));
    start[8] = 1;

    start[0] = 'A';
    assert_int_equal(canary_snapshot_open(&s, file, out, &err), -1);
    assert_non_null(strstr(err.text, "another kind of file"));
    start[0] = 'a';

    start[len - 1] ^= 1;
    assert_int_equal(canary_snapshot_open(&s, file, out, &err), -1);
    assert_non_null(strstr(err.text, "checksum"));

    file.len--;
    assert_int_equal(canary_snapshot_open(&s, file, out, &err), -1);
    assert_non_null(strstr(err.text, "length"));

    free(start);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_snapshot_gives_back_its_entries),
        cmocka_unit_test(the_layout_is_fixed),
        cmocka_unit_test(a_shortened_or_lengthened_file_is_refused),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(entries_that_do_not_fit_are_refused),
        cmocka_unit_test(the_error_says_what_is_wrong)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
