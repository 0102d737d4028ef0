
#include <stdio.h>
#include "cohort.h"
#include "support.h"


#define KEY_MAX  300

/* Upper 0.0001 points of chi-square: 99 and 1 degrees of freedom. */
#define CHI_99   161.3
#define CHI_1    15.14


static canary_str_t
random_key(char *out)
{
    canary_str_t  key;

    key.data = out;
    key.len = random_below(KEY_MAX + 1);

    random_bytes(out, key.len);

    return key;
}


static size_t
unhex(char *out, const char *hex)
{
    char    byte[3];
    size_t  n;

    byte[2] = '\0';

    for (n = 0; hex[2 * n] != '\0'; n++) {
        memcpy(byte, hex + 2 * n, 2);
        out[n] = (char) strtoul(byte, NULL, 16);
    }

    return n;
}


static void
known_answers(void **state)
{
    char           *flag, *hex, *salt;
    char            key[8192], line[20000];
    FILE           *file;
    uint64_t        seed;
    unsigned        rows;
    canary_str_t    s;
    unsigned long   bucket;

    (void) state;

    file = fopen("known_answers.tsv", "r");
    assert_non_null(file);

    for (rows = 0; fgets(line, sizeof(line), file); /* void */ ) {

        if (line[0] == '#') {
            continue;
        }

        flag = strtok(line, "\t");
        salt = strtok(NULL, "\t");
        hex = strtok(NULL, "\t");
        seed = strtoull(strtok(NULL, "\t"), NULL, 16);
        (void) strtok(NULL, "\t");
        bucket = strtoul(strtok(NULL, "\n"), NULL, 10);

        s = text_str(strcmp(salt, "-") == 0 ? flag : salt);
        assert_true(canary_seed(s) == seed);

        s.data = key;
        s.len = unhex(key, hex);
        assert_int_equal(canary_bucket(canary_hash(seed, s)), bucket);

        rows++;
    }

    (void) fclose(file);

    assert_in_range(rows, 24, 1000);
}


typedef struct {
    canary_str_t  text;
    int           percent;              /* -1: refused */
} percent_case_t;


#define P(literal, percent)  { { sizeof(literal) - 1, literal }, percent }


static const percent_case_t  percents[] = {
    P("0", 0), P("0.0", 0), P("0.000", 0), P("0.001", 1), P("0.01", 10),
    P("0.5", 500), P("0.50", 500), P("0.500", 500), P("1", 1000),
    P("5", 5000), P("9.999", 9999), P("10", 10000), P("12.34", 12340),
    P("99.999", 99999), P("100", 100000), P("100.0", 100000),
    P("100.000", 100000),

    P("", -1), P(".", -1), P("5.", -1), P(".5", -1), P("05", -1),
    P("00", -1), P("00.5", -1), P("-5", -1), P("+5", -1), P("-0", -1),
    P("101", -1), P("100.001", -1), P("100.0000", -1), P("1000", -1),
    P("1.2345", -1), P("0.0000", -1), P("1e2", -1), P("1E2", -1),
    P("1e400", -1), P("0x10", -1), P("nan", -1), P("NaN", -1), P("inf", -1),
    P("infinity", -1), P("5abc", -1), P("abc", -1), P(" 5", -1), P("5 ", -1),
    P("\t5", -1), P("5\n", -1), P("5\0", -1), P("5,5", -1), P("5.5.5", -1),
    P("5..5", -1), P("5%", -1), P("\xd9\xa5", -1), P("\xef\xbb\xbf" "5", -1),
    P("\xef\xbc\x95", -1), P("true", -1), P("\"5\"", -1), P("'5'", -1),
    P("4294967296", -1), P("18446744073709551616", -1), P("1/2", -1),
    P("0.5e1", -1), P(" ", -1), P("5:", -1), P("0.:", -1), P("/", -1)
};


static void
percents_are_strict(void **state)
{
    int                    rc;
    size_t                 i;
    uint32_t               percent;
    const percent_case_t  *p;

    (void) state;

    for (i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        p = &percents[i];
        percent = 77;
        rc = canary_percent_parse(p->text, &percent);

        if (p->percent == -1 ? rc != -1 || percent != 77
                             : rc != 0 || percent != (uint32_t) p->percent)
        {
            fail_msg("percent \"%.*s\" gave %d, %u", (int) p->text.len,
                     p->text.data, rc, percent);
        }
    }
}


static void
every_percent_survives_formatting(void **state)
{
    char          text[CANARY_PERCENT_LEN];
    uint32_t      i, percent;
    canary_str_t  s;

    (void) state;

    for (i = 0; i <= CANARY_BUCKETS; i++) {
        s.data = text;
        s.len = canary_percent_format(text, i);

        assert_int_equal(s.len, strlen(text));
        assert_int_equal(canary_percent_parse(s, &percent), 0);
        assert_int_equal(percent, i);

        /* the shortest text: nothing can be taken from its end */

        s.len--;
        assert_true(strchr(text, '.') == NULL
                    || canary_percent_parse(s, &percent) != 0
                    || percent != i);
    }

    (void) canary_percent_format(text, 500);
    assert_string_equal(text, "0.5");
    (void) canary_percent_format(text, 0);
    assert_string_equal(text, "0");
    (void) canary_percent_format(text, CANARY_BUCKETS);
    assert_string_equal(text, "100");
}


static void
random_texts_are_percents_only_when_they_look_so(void **state)
{
    char           text[9];
    size_t         i;
    uint32_t       percent;
    unsigned       n, digits, dots;
    canary_str_t   s;

    static const char  alphabet[] = "0123456789.00159 -+eE,x";

    (void) state;

    for (n = 0; n < 200000; n++) {
        s.data = text;
        s.len = random_below(sizeof(text));
        digits = 0;
        dots = 0;

        for (i = 0; i < s.len; i++) {
            text[i] = alphabet[random_below(sizeof(alphabet) - 1)];
            digits += text[i] >= '0' && text[i] <= '9';
            dots += text[i] == '.';
        }

        if (canary_percent_parse(s, &percent) == 0) {
            text[s.len] = '\0';
            assert_true(dots <= 1 && digits + dots == s.len);
            assert_true(percent <= CANARY_BUCKETS);
            assert_true(percent
                        == (uint32_t) (strtod(text, NULL) * 1000 + 0.5));
        }
    }
}


typedef struct {
    const char  *text;
    uint32_t     n;                     /* 0: refused */
} ladder_case_t;


static const ladder_case_t  ladders[] = {
    { "100", 1 },
    { "1,5,25,50,100", 5 },
    { "0.001,99.999,100", 3 },
    { "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,100", 16 },
    { "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,100", 0 },
    { "", 0 },
    { ",", 0 },
    { "1", 0 },
    { "1,5", 0 },
    { "0,100", 0 },
    { "5,1,100", 0 },
    { "5,5,100", 0 },
    { "100,100", 0 },
    { "1,100,", 0 },
    { ",1,100", 0 },
    { "1,,100", 0 },
    { "1, 5,100", 0 },
    { "1;5;100", 0 },
    { "1,5,101", 0 },
    { "1,nan,100", 0 },
    { "[1,100]", 0 }
};


static void
ladders_ascend_to_100(void **state)
{
    int                    rc;
    size_t                 i;
    canary_ladder_t        ladder;
    const ladder_case_t   *l;

    (void) state;

    for (i = 0; i < sizeof(ladders) / sizeof(ladders[0]); i++) {
        l = &ladders[i];
        ladder.n = 77;
        rc = canary_ladder_parse(text_str(l->text), &ladder);

        if (rc != (l->n ? 0 : -1) || ladder.n != (l->n ? l->n : 77)) {
            fail_msg("ladder \"%s\" gave %d, %u", l->text, rc, ladder.n);
        }
    }

    assert_int_equal(canary_ladder_parse(S("1,5,25,50,100"), &ladder), 0);
    assert_memory_equal(ladder.stage, canary_ladder_default.stage,
                        5 * sizeof(uint32_t));
    assert_int_equal(canary_ladder_default.n, 5);
}


static void
the_cohort_is_the_first_stage_that_takes_the_bucket(void **state)
{
    (void) state;

    assert_int_equal(canary_cohort(&canary_ladder_default, 0), 1000);
    assert_int_equal(canary_cohort(&canary_ladder_default, 999), 1000);
    assert_int_equal(canary_cohort(&canary_ladder_default, 1000), 5000);
    assert_int_equal(canary_cohort(&canary_ladder_default, 24999), 25000);
    assert_int_equal(canary_cohort(&canary_ladder_default, 25000), 50000);
    assert_int_equal(canary_cohort(&canary_ladder_default, 50000), 100000);
    assert_int_equal(canary_cohort(&canary_ladder_default, 99999), 100000);
}


/*
 * A key enters at its cohort: at no stage before it, at every stage from it
 * on.
 */

static void
a_key_enters_at_its_cohort_and_stays(void **state)
{
    char          buf[KEY_MAX];
    uint32_t      bucket, cohort, i, stage;
    uint64_t      seed;
    unsigned      n;
    canary_str_t  key;

    (void) state;

    for (n = 0; n < 50000; n++) {
        key = random_key(buf);
        seed = random_u64();
        bucket = canary_bucket(canary_hash(seed, key));
        cohort = canary_cohort(&canary_ladder_default, bucket);

        assert_true(bucket < CANARY_BUCKETS);
        assert_int_equal(bucket, canary_bucket(canary_hash(seed, key)));

        for (i = 0; i < canary_ladder_default.n; i++) {
            stage = canary_ladder_default.stage[i];
            assert_int_equal(bucket < stage, stage >= cohort);
        }
    }
}


static void
buckets_are_uniform(void **state)
{
    char          buf[KEY_MAX];
    double        chi, d, expected;
    uint64_t      seed;
    unsigned      i, kind, n, salt;
    canary_str_t  key;

    static unsigned  seen[100];

    (void) state;

    n = 100000;
    expected = n / 100.0;

    for (salt = 0; salt < 3; salt++) {
        for (kind = 0; kind < 2; kind++) {

            seed = canary_seed(salt == 0 ? S("support")
                                         : salt == 1 ? S("checkout") : S("s"));
            memset(seen, 0, sizeof(seen));

            for (i = 0; i < n; i++) {

                /* ids in a row, as databases make them, and random ones */

                if (kind == 0) {
                    key.data = buf;
                    key.len = (size_t) snprintf(buf, sizeof(buf), "%u", i);

                } else {
                    key.data = buf;
                    key.len = 16;
                    random_bytes(buf, key.len);
                }

                seen[canary_bucket(canary_hash(seed, key)) / 1000]++;
            }

            chi = 0;

            for (i = 0; i < 100; i++) {
                d = seen[i] - expected;
                chi += d * d / expected;
            }

            if (chi > CHI_99) {
                fail_msg("chi-square %.1f, salt %u, kind %u", chi, salt, kind);
            }
        }
    }
}


/*
 * Who is in the first percent of one flag is as likely as anyone to be in
 * that of another.
 */

static void
salts_are_independent(void **state)
{
    char          buf[16];
    double        chi, d, expected;
    uint32_t      a, b, percent;
    uint64_t      seed[2];
    unsigned      i, j, n, p;
    canary_str_t  key;
    unsigned      table[2][2];

    static const uint32_t  cohorts[] = { 1000, 5000, 50000 };

    (void) state;

    n = 200000;
    seed[0] = canary_seed(S("support"));
    seed[1] = canary_seed(S("support2"));

    for (p = 0; p < 3; p++) {
        percent = cohorts[p];
        memset(table, 0, sizeof(table));

        for (i = 0; i < n; i++) {
            key.data = buf;
            key.len = (size_t) snprintf(buf, sizeof(buf), "user-%u", i);

            a = canary_bucket(canary_hash(seed[0], key)) < percent;
            b = canary_bucket(canary_hash(seed[1], key)) < percent;
            table[a][b]++;
        }

        chi = 0;

        for (i = 0; i < 2; i++) {
            for (j = 0; j < 2; j++) {
                expected = (double) (table[i][0] + table[i][1])
                           * (table[0][j] + table[1][j]) / n;
                d = table[i][j] - expected;
                chi += d * d / expected;
            }
        }

        if (chi > CHI_1) {
            fail_msg("%u buckets: overlap %u of %u, chi-square %.1f", percent,
                     table[1][1], n, chi);
        }
    }
}


static void
flag_and_key_do_not_run_together(void **state)
{
    (void) state;

    assert_int_not_equal(canary_hash(canary_seed(S("a")), S("b1")),
                         canary_hash(canary_seed(S("ab")), S("1")));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(percents_are_strict),
        cmocka_unit_test(every_percent_survives_formatting),
        cmocka_unit_test(random_texts_are_percents_only_when_they_look_so),
        cmocka_unit_test(ladders_ascend_to_100),
        cmocka_unit_test(the_cohort_is_the_first_stage_that_takes_the_bucket),
        cmocka_unit_test(a_key_enters_at_its_cohort_and_stays),
        cmocka_unit_test(buckets_are_uniform),
        cmocka_unit_test(salts_are_independent),
        cmocka_unit_test(flag_and_key_do_not_run_together)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
