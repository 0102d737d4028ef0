
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include "suite.h"
#include "support.h"


/* What the parsed flag is, in a form that a person can check. */

static void
dump_ladder(buffer_t *out, const canary_ladder_t *ladder)
{
    char      text[CANARY_PERCENT_LEN];
    uint32_t  i;

    buffer_add_text(out, "stages ");

    for (i = 0; i < ladder->n; i++) {
        (void) canary_percent_format(text, ladder->stage[i]);
        buffer_add_text(out, i ? "," : "");
        buffer_add_text(out, text);
    }

    buffer_add_text(out, "\n");
}


static void
dump_percent(buffer_t *out, const char *what, uint32_t percent)
{
    char  text[CANARY_PERCENT_LEN];

    (void) canary_percent_format(text, percent);

    buffer_add_text(out, what);
    buffer_add_text(out, " ");
    buffer_add_text(out, text);
    buffer_add_text(out, "\n");
}


/* The keys are read from the input again: a set cannot be listed. */

static void
dump_set(buffer_t *out, const char *what, const canary_set_t *set,
    canary_str_t json)
{
    size_t           i;
    json_t          *root, *entry;
    const char      *key;
    const uint32_t  *value;

    char             count[32];

    (void) snprintf(count, sizeof(count), "%s %zu\n", what,
                    canary_set_count(set));
    buffer_add_text(out, count);

    root = json_loadb(json.data, json.len, 0, NULL);

    json_array_foreach(root, i, entry) {
        key = json_string_value(entry);
        value = canary_set_find(set, text_str(key));

        buffer_add_text(out, value && *value == 1 ? "    " : "    no ");
        buffer_add_text(out, key);
        buffer_add_text(out, "\n");
    }

    json_object_foreach(root, key, entry) {
        value = canary_set_find(set, text_str(key));

        buffer_add_text(out, "    ");
        dump_percent(out, key, value ? *value : UINT32_MAX);
    }

    json_decref(root);
}


static canary_str_t
value_of(canary_str_t record, const char *name)
{
    size_t          pos;
    canary_field_t  field;

    pos = 0;

    while (canary_record_next(record, &pos, &field) == 1) {
        if (canary_str_eq(field.name, text_str(name))) {
            return field.value;
        }
    }

    return S("");
}


static void
dump_flag(buffer_t *out, const canary_flag_t *flag, canary_str_t record)
{
    char  line[128];

    dump_percent(out, "percent", flag->percent);

    (void) snprintf(line, sizeof(line),
                    "enabled %u\nepoch %" PRIu64 "\nseed %016" PRIx64 "\n",
                    flag->enabled, flag->epoch, flag->seed);
    buffer_add_text(out, line);

    dump_ladder(out, &flag->stages);
    dump_set(out, "allow", flag->allow, value_of(record, "allow"));
    dump_set(out, "deny", flag->deny, value_of(record, "deny"));
    dump_set(out, "tenants", flag->tenants, value_of(record, "tenants"));

    buffer_add_text(out, "bundle_baseline ");
    buffer_add_text(out, flag->bundle[CANARY_ARM_BASELINE]);
    buffer_add_text(out, "\nbundle_candidate ");
    buffer_add_text(out, flag->bundle[CANARY_ARM_CANDIDATE]);
    buffer_add_text(out, "\nmode ");
    buffer_add_text(out, canary_mode_names[flag->mode].data);
    buffer_add_text(out, "\n");

    dump_percent(out, "shadow", flag->shadow);

    buffer_add_text(out, "unknown ");
    buffer_add_text(out, flag->unknown);
    buffer_add_text(out, "\n");
}


static void
outcome_of_valid(buffer_t *out, canary_str_t record)
{
    canary_flag_t   flag;
    canary_error_t  err;

    if (canary_flag_parse(&flag, S("support"), record, NULL, &err) != 0) {
        buffer_add_text(out, err.text);
        return;
    }

    dump_flag(out, &flag, record);
    canary_flag_clear(&flag);
}


static void
outcome_of_invalid(buffer_t *out, canary_str_t record)
{
    canary_flag_t   flag;
    canary_error_t  err;

    err.text[0] = '\0';

    if (canary_flag_parse(&flag, S("support"), record, NULL, &err) == 0) {
        buffer_add_text(out, "no error\n");
    }

    if (flag.enabled || flag.seed || flag.stages.n || flag.percent
        || flag.allow || flag.deny || flag.tenants || flag.unknown[0])
    {
        buffer_add_text(out, "a flag that is not cleared\n");
        canary_flag_clear(&flag);
    }

    buffer_add_text(out, err.text);
    buffer_add_text(out, "\n");
}


static void
read_case(const char *path, const char *name, const char *file, buffer_t *b)
{
    int   rc;
    char  full[512];

    (void) snprintf(full, sizeof(full), "%s/%s/%s", path, name, file);

    rc = strcmp(file, "input") == 0 ? suite_read_record(full, b)
                                    : read_file(full, b);

    if (rc != 0) {
        fail_msg("%s cannot be read", full);
    }
}


static void
suite(const char *path, const char *file,
    void (*outcome_of)(buffer_t *out, canary_str_t record))
{
    DIR            *dir;
    buffer_t        expected, out, record;
    unsigned        cases, failed;
    struct dirent  *entry;

    dir = opendir(path);
    assert_non_null(dir);

    cases = 0;
    failed = 0;

    while ((entry = readdir(dir)) != NULL) {

        if (entry->d_name[0] == '.') {
            continue;
        }

        expected = (buffer_t) { 0 };
        out = (buffer_t) { 0 };
        record = (buffer_t) { 0 };

        read_case(path, entry->d_name, "input", &record);
        read_case(path, entry->d_name, file, &expected);

        outcome_of(&out, buffer_str(&record));

        if (!canary_str_eq(buffer_str(&out), buffer_str(&expected))) {
            print_error("%s/%s gave\n%.*s", path, entry->d_name,
                        (int) out.len, out.data);
            failed++;
        }

        buffer_free(&expected);
        buffer_free(&out);
        buffer_free(&record);
        cases++;
    }

    (void) closedir(dir);

    printf("%s: %u cases\n", path, cases);

    assert_in_range(cases, 10, 1000);
    assert_int_equal(failed, 0);
}


static void
valid_records(void **state)
{
    (void) state;
    suite("suites/flag/valid", "output", outcome_of_valid);
}


static void
invalid_records(void **state)
{
    (void) state;
    suite("suites/flag/invalid", "error", outcome_of_invalid);
}


static int
parse(canary_flag_t *flag, const buffer_t *record, canary_error_t *err)
{
    return canary_flag_parse(flag, S("support"), buffer_str(record), NULL,
                             err);
}


static void
nesting_is_bounded(void **state)
{
    static const char  *fields[] = {
        "allow", "deny", "tenants", "guardrails", "plan"
    };

    static const char  *nests[] = { "[", "{\"a\":", "[[{\"a\":" };

    size_t          i, j;
    buffer_t        json, record;
    unsigned        n;
    canary_flag_t   flag;
    canary_error_t  err;

    (void) state;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        for (j = 0; j < sizeof(nests) / sizeof(nests[0]); j++) {

            json = (buffer_t) { 0 };
            record = (buffer_t) { 0 };
            record_of(&record, "percent=5");

            for (n = 0; n < 100000; n++) {
                buffer_add_text(&json, nests[j]);
            }

            buffer_add_field(&record, text_str(fields[i]), buffer_str(&json));

            assert_int_equal(parse(&flag, &record, &err), -1);
            assert_non_null(strstr(err.text, "this is nested too deeply"));

            buffer_free(&json);
            buffer_free(&record);
        }
    }
}


static void
sixteen_levels_are_enough(void **state)
{
    buffer_t        json, record;
    unsigned        depth, n;
    canary_flag_t   flag;
    canary_error_t  err;

    (void) state;

    for (depth = 1; depth <= 18; depth++) {
        json = (buffer_t) { 0 };
        record = (buffer_t) { 0 };

        for (n = 0; n < depth; n++) {
            buffer_add_text(&json, "[");
        }

        /* brackets in a string are no levels */

        buffer_add_text(&json, "\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[\\\\\"");

        for (n = 0; n < depth; n++) {
            buffer_add_text(&json, "]");
        }

        record_of(&record, "percent=5");
        buffer_add_field(&record, S("plan"), buffer_str(&json));

        assert_int_equal(parse(&flag, &record, &err), depth <= 16 ? 0 : -1);
        canary_flag_clear(&flag);

        buffer_free(&json);
        buffer_free(&record);
    }
}


static void
a_record_of_10_mb_is_refused(void **state)
{
    char           *value;
    size_t          i;
    buffer_t        record;
    canary_str_t    s;
    canary_flag_t   flag;
    canary_error_t  err;

    static const char  *fields[] = {
        "percent", "enabled", "epoch", "salt", "stages", "allow", "tenants",
        "bundle_baseline", "mode", "shadow", "guardrails", "plan", "other"
    };

    (void) state;

    s.len = 10000000;
    value = malloc(s.len);
    assert_non_null(value);
    memset(value, '5', s.len);
    s.data = value;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        record = (buffer_t) { 0 };
        buffer_add_field(&record, text_str(fields[i]), s);

        assert_int_equal(parse(&flag, &record, &err), -1);
        assert_string_equal(err.text,
                            "record \"\": expected at most 8388608 bytes");
        buffer_free(&record);
    }

    free(value);
}


/* Large values that the record has room for end in short errors. */

static void
a_value_of_8_mb_is_refused_quickly(void **state)
{
    char           *value;
    size_t          i;
    buffer_t        record;
    canary_str_t    s;
    canary_flag_t   flag;
    canary_error_t  err;

    static const char  *fields[] = {
        "percent", "enabled", "epoch", "salt", "stages", "allow", "tenants",
        "bundle_baseline", "mode", "shadow", "guardrails", "plan"
    };

    (void) state;

    s.len = 8000000;
    value = malloc(s.len);
    assert_non_null(value);
    memset(value, '5', s.len);
    s.data = value;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        record = (buffer_t) { 0 };
        buffer_add_field(&record, text_str(fields[i]), s);

        assert_int_equal(parse(&flag, &record, &err), -1);
        assert_non_null(strstr(err.text, "55...\": expected"));
        buffer_free(&record);
    }

    free(value);
}


static void
long_text_is_refused_at_its_bound(void **state)
{
    char            text[130];
    size_t          i, len;
    buffer_t        record;
    canary_str_t    s;
    canary_flag_t   flag;
    canary_error_t  err;

    static const char  *fields[] = {
        "salt", "bundle_baseline", "bundle_candidate"
    };

    (void) state;

    memset(text, 'a', sizeof(text));
    s.data = text;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        for (len = 0; len <= 130; len++) {
            record = (buffer_t) { 0 };
            record_of(&record, "percent=5");
            s.len = len;
            buffer_add_field(&record, text_str(fields[i]), s);

            assert_int_equal(parse(&flag, &record, &err),
                             len >= 1 && len <= 128 ? 0 : -1);

            if (len == 128 && i == 2) {
                assert_int_equal(strlen(flag.bundle[CANARY_ARM_CANDIDATE]),
                                 128);
            }

            canary_flag_clear(&flag);
            buffer_free(&record);
        }
    }
}


static void
unchanged_lists_are_lent_by_the_flag_before(void **state)
{
    buffer_t        record;
    canary_flag_t   first, second;
    canary_error_t  err;

    (void) state;

    record = (buffer_t) { 0 };
    record_of(&record, "percent=5", "allow=[\"a\"]", "deny=[\"b\"]",
              "tenants={\"t\":5}");
    assert_int_equal(parse(&first, &record, &err), 0);
    buffer_free(&record);

    record_of(&record, "percent=25", "deny=[\"c\"]", "allow=[\"a\"]",
              "tenants={\"t\":5}");
    assert_int_equal(canary_flag_parse(&second, S("support"),
                                       buffer_str(&record), &first, &err), 0);
    buffer_free(&record);

    assert_ptr_equal(first.allow, second.allow);
    assert_ptr_equal(first.tenants, second.tenants);
    assert_ptr_not_equal(first.deny, second.deny);

    canary_flag_clear(&first);

    assert_non_null(canary_set_find(second.allow, S("a")));
    assert_non_null(canary_set_find(second.deny, S("c")));
    assert_null(canary_set_find(second.deny, S("b")));

    canary_flag_clear(&second);
    canary_flag_clear(&second);
}


/* A record that fails after it took a list gives it back. */

static void
a_refused_record_gives_lent_lists_back(void **state)
{
    buffer_t        record;
    canary_flag_t   first, second;
    canary_error_t  err;

    (void) state;

    record = (buffer_t) { 0 };
    record_of(&record, "percent=5", "allow=[\"a\"]");
    assert_int_equal(parse(&first, &record, &err), 0);

    record_of(&record, "mode=none");
    assert_int_equal(canary_flag_parse(&second, S("support"),
                                       buffer_str(&record), &first, &err), -1);
    buffer_free(&record);

    assert_non_null(canary_set_find(first.allow, S("a")));
    canary_flag_clear(&first);
}


static void
names_are_safe_in_keys_and_paths(void **state)
{
    char          c, name[CANARY_FLAG_NAME_MAX + 1];
    unsigned      i;
    canary_str_t  s;

    (void) state;

    assert_true(canary_flag_name_valid(S("support")));
    assert_true(canary_flag_name_valid(S("A.b_c-9")));
    assert_false(canary_flag_name_valid(S("")));
    assert_false(canary_flag_name_valid(S("a b")));
    assert_false(canary_flag_name_valid(S("a\r\n")));
    assert_false(canary_flag_name_valid(S("a/b")));
    assert_false(canary_flag_name_valid(S("{a}")));
    assert_false(canary_flag_name_valid(S("a%00")));
    assert_false(canary_flag_name_valid(S("a\0")));
    assert_false(canary_flag_name_valid(S("f\xc3\xbc")));

    memset(name, 'a', sizeof(name));
    s.data = name;
    s.len = CANARY_FLAG_NAME_MAX;
    assert_true(canary_flag_name_valid(s));
    s.len++;
    assert_false(canary_flag_name_valid(s));

    for (i = 0; i < 256; i++) {
        c = (char) i;
        s.data = &c;
        s.len = 1;
        assert_int_equal(!!canary_flag_name_valid(s),
                         i != 0 && strchr("abcdefghijklmnopqrstuvwxyz"
                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789._-", (int) i) != NULL);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(valid_records),
        cmocka_unit_test(invalid_records),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(sixteen_levels_are_enough),
        cmocka_unit_test(a_record_of_10_mb_is_refused),
        cmocka_unit_test(a_value_of_8_mb_is_refused_quickly),
        cmocka_unit_test(long_text_is_refused_at_its_bound),
        cmocka_unit_test(unchanged_lists_are_lent_by_the_flag_before),
        cmocka_unit_test(a_refused_record_gives_lent_lists_back),
        cmocka_unit_test(names_are_safe_in_keys_and_paths)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
