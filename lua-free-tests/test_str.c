
#include "support.h"


typedef struct {
    const char    *why;
    canary_str_t   text;
    int            valid;
} text_case_t;


#define T(why, literal, valid)                                                \
    { why, { sizeof(literal) - 1, literal }, valid }


static const text_case_t  texts[] = {
    T("empty", "", 1),
    T("ASCII", "support v4.2", 1),
    T("two bytes", "J\xc3\xbcrgen", 1),
    T("three bytes", "\xe3\x83\xa6", 1),
    T("four bytes", "\xf0\x9f\x90\xa4", 1),
    T("the last code point", "\xf4\x8f\xbf\xbf", 1),
    T("first after C1", "\xc2\xa0", 1),
    T("around the surrogates", "\xed\x9f\xbf\xee\x80\x80", 1),
    T("NUL", "a\0b", 0),
    T("HTAB", "a\tb", 0),
    T("LF", "a\n", 0),
    T("DEL", "\x7f", 0),
    T("C1", "\xc2\x9b", 0),
    T("Latin-1", "J\xfcrgen", 0),
    T("continuation alone", "\x80", 0),
    T("cut after 1 of 2", "\xc3", 0),
    T("cut after 2 of 3", "\xe3\x83", 0),
    T("cut after 3 of 4", "\xf0\x9f\x90", 0),
    T("second byte is none", "\xc3(", 0),
    T("third byte is none", "\xe3\x83(", 0),
    T("overlong 2", "\xc0\xaf", 0),
    T("overlong 3", "\xe0\x80\xaf", 0),
    T("overlong 4", "\xf0\x80\x80\xaf", 0),
    T("surrogate", "\xed\xa0\x80", 0),
    T("above U+10FFFF", "\xf4\x90\x80\x80", 0),
    T("five bytes", "\xf8\x88\x80\x80\x80", 0),
    T("BOM", "\xef\xbb\xbf", 1),
    T("0xff", "\xff", 0)
};


static void
text_is_valid_utf8_without_control_bytes(void **state)
{
    size_t              i;
    const text_case_t  *t;

    (void) state;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        t = &texts[i];

        if (!canary_str_is_text(t->text) != !t->valid) {
            fail_msg("%s", t->why);
        }
    }
}


static void
strings_compare_by_their_bytes(void **state)
{
    canary_str_t  none = { 0, NULL };

    (void) state;

    assert_true(canary_str_eq(S(""), none));
    assert_true(canary_str_eq(S("a\0b"), S("a\0b")));
    assert_false(canary_str_eq(S("a\0b"), S("a\0c")));
    assert_false(canary_str_eq(S("a"), S("a\0")));
    assert_false(canary_str_eq(S("a"), S("A")));
}


static void
only_blanks_at_the_ends_are_trimmed(void **state)
{
    (void) state;

    assert_true(canary_str_eq(canary_str_trim(S(" \t a b\t \t")), S("a b")));
    assert_true(canary_str_eq(canary_str_trim(S("a")), S("a")));
    assert_true(canary_str_eq(canary_str_trim(S("\n")), S("\n")));
    assert_true(canary_str_eq(canary_str_trim(S("\0 ")), S("\0")));
    assert_int_equal(canary_str_trim(S(" \t ")).len, 0);
    assert_int_equal(canary_str_trim(S("")).len, 0);
}


static void
an_error_quotes_the_value(void **state)
{
    canary_error_t  err;

    (void) state;

    canary_error(&err, "percent", S("5abc"), "expected 0 to 100");
    assert_string_equal(err.text, "percent \"5abc\": expected 0 to 100");

    canary_error(&err, "percent", S(""), "expected 0 to 100");
    assert_string_equal(err.text, "percent \"\": expected 0 to 100");

    canary_error(&err, "salt", S("a\r\n\0\x7f\xff J\xc3\xbc"), "no");
    assert_string_equal(err.text,
                        "salt \"a\\x0D\\x0A\\x00\\x7F\\xFF J\xc3\xbc\": no");
}


static void
a_long_value_is_cut_between_characters(void **state)
{
    size_t          i;
    char            value[300];
    canary_str_t    s;
    canary_error_t  err;

    (void) state;

    memset(value, 'a', sizeof(value));
    s.data = value;

    s.len = 80;
    canary_error(&err, "salt", s, "expected less");
    assert_null(strstr(err.text, "..."));

    s.len = 81;
    canary_error(&err, "salt", s, "expected less");
    assert_non_null(strstr(err.text, "a...\": expected less"));
    assert_int_equal(strlen(err.text),
                     strlen("salt \"\": expected less") + 80);

    for (i = 0; i < sizeof(value); i++) {
        value[i] = "\xc3\xbc"[i % 2];
    }

    s.len = sizeof(value);
    canary_error(&err, "salt", s, "expected less");
    assert_non_null(strstr(err.text, "\xc3\xbc...\": expected less"));
    assert_true(canary_str_is_text(text_str(err.text)));
}


static void
an_error_is_text_whatever_it_is_made_of(void **state)
{
    char            what[256], value[256], expected[256];
    unsigned        i;
    canary_str_t    s;
    canary_error_t  err;

    (void) state;

    for (i = 0; i < 20000; i++) {
        random_bytes(what, sizeof(what));
        random_bytes(value, sizeof(value));
        random_bytes(expected, sizeof(expected));

        what[random_below(sizeof(what))] = '\0';
        what[sizeof(what) - 1] = '\0';
        expected[random_below(sizeof(expected))] = '\0';
        expected[sizeof(expected) - 1] = '\0';

        s.data = value;
        s.len = random_below(sizeof(value) + 1);

        memset(&err, 'x', sizeof(err));
        canary_error(&err, what, s, expected);

        assert_non_null(memchr(err.text, '\0', sizeof(err.text)));
        assert_true(canary_str_is_text(text_str(err.text)));
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(text_is_valid_utf8_without_control_bytes),
        cmocka_unit_test(strings_compare_by_their_bytes),
        cmocka_unit_test(only_blanks_at_the_ends_are_trimmed),
        cmocka_unit_test(an_error_quotes_the_value),
        cmocka_unit_test(a_long_value_is_cut_between_characters),
        cmocka_unit_test(an_error_is_text_whatever_it_is_made_of)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
