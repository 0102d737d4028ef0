
#include <stdio.h>
#include "support.h"


#define KEYS  12


/* A flag in the words of the rules, next to the one the code parsed. */

typedef struct {
    unsigned        enabled;
    uint64_t        epoch;
    uint32_t        percent;
    unsigned        allow[KEYS];
    unsigned        deny[KEYS];
    int             tenant;                 /* percent of "acme", -1: none */
    uint64_t        seed;
} model_t;


static const canary_request_t  no_request = {
    canary_str(""), canary_str(""), CANARY_ARM_NONE, CANARY_STALE_NO
};


static void
parse(canary_flag_t *flag, const buffer_t *record)
{
    canary_error_t  err;

    if (canary_flag_parse(flag, S("support"), buffer_str(record), NULL, &err)
        != 0)
    {
        fail_msg("%s", err.text);
    }
}


static void
list_of(char *out, size_t size, const char *field, const unsigned *members)
{
    size_t    len, start;
    unsigned  i;

    start = (size_t) snprintf(out, size, "%s=[", field);
    len = start;

    for (i = 0; i < KEYS; i++) {
        if (members[i]) {
            len += (size_t) snprintf(out + len, size - len, "%s\"user-%u\"",
                                     len > start ? "," : "", i);
        }
    }

    (void) snprintf(out + len, size - len, "]");
}


static void
random_flag(model_t *m, canary_flag_t *flag)
{
    char      enabled[16], epoch[16], percent[32], tenants[64];
    char      allow[400], deny[400], digits[CANARY_PERCENT_LEN];
    buffer_t  b;
    unsigned  i;

    static const uint32_t  edges[] = { 0, 1, 50000, 99999, 100000 };

    m->enabled = random_below(8) != 0;
    m->epoch = random_below(4);
    m->percent = random_below(2) ? edges[random_below(5)]
                                 : random_below(100001);
    m->tenant = random_below(2) ? (int) random_below(100001) : -1;
    m->seed = canary_seed(S("support"));

    for (i = 0; i < KEYS; i++) {
        m->allow[i] = random_below(4) == 0;
        m->deny[i] = random_below(4) == 0;
    }

    (void) canary_percent_format(digits, m->percent);
    (void) snprintf(percent, sizeof(percent), "percent=%s", digits);
    (void) snprintf(enabled, sizeof(enabled), "enabled=%u", m->enabled);
    (void) snprintf(epoch, sizeof(epoch), "epoch=%u", (unsigned) m->epoch);

    list_of(allow, sizeof(allow), "allow", m->allow);
    list_of(deny, sizeof(deny), "deny", m->deny);

    b = (buffer_t) { 0 };
    record_of(&b, percent, enabled, epoch, allow, deny);

    if (m->tenant >= 0) {
        (void) canary_percent_format(digits, (uint32_t) m->tenant);
        (void) snprintf(tenants, sizeof(tenants), "tenants={\"acme\":%s}",
                        digits);
        record_of(&b, tenants);
    }

    parse(flag, &b);
    buffer_free(&b);
}


typedef struct {
    canary_request_t  request;
    int               key;                  /* its number, -1: none */
    char              text[32];
} asked_t;


static void
random_request(asked_t *a)
{
    static const canary_str_t  tenants[] = {
        canary_str(""), canary_str("acme"), canary_str("other"),
        canary_str(" acme\t")
    };

    a->request = no_request;
    a->key = (int) random_below(KEYS + 1) - 1;

    a->text[0] = '\0';

    if (a->key >= 0) {
        (void) snprintf(a->text, sizeof(a->text), "%suser-%d%s",
                        random_below(4) ? "" : " \t", a->key,
                        random_below(4) ? "" : "\t ");

    } else if (random_below(2)) {
        memcpy(a->text, " \t ", 4);
    }

    a->request.key = text_str(a->text);
    a->request.tenant = tenants[random_below(4)];
    a->request.override = (canary_arm_e) random_below(CANARY_ARMS + 1);
    a->request.stale = (canary_stale_e) random_below(3);
}


static void
expect(canary_decision_t *d, canary_arm_e arm, canary_reason_e reason,
    uint32_t percent)
{
    d->arm = arm;
    d->reason = reason;
    d->percent = percent;
}


/* The order of the rules, word by word. */

static canary_decision_t
oracle(const model_t *m, const canary_trip_t *trip, const asked_t *a)
{
    int                tripped;
    char               name[32];
    uint32_t           percent;
    canary_str_t       tenant;
    canary_decision_t  d;

    d.bucket = 100000;

    if (m == NULL) {
        expect(&d, CANARY_ARM_BASELINE, CANARY_REASON_DEFAULT, 0);
        return d;
    }

    if (a->key < 0) {
        expect(&d, CANARY_ARM_BASELINE, CANARY_REASON_KEY_MISSING, 0);
        return d;
    }

    (void) snprintf(name, sizeof(name), "user-%d", a->key);
    d.bucket = canary_bucket(canary_hash(m->seed, text_str(name)));

    if (!m->enabled) {
        expect(&d, CANARY_ARM_BASELINE, CANARY_REASON_DISABLED, 0);
        return d;
    }

    tenant = a->request.tenant;
    percent = m->percent;

    if (m->tenant >= 0 && tenant.len > 0 && tenant.data[0] != 'o') {
        percent = (uint32_t) m->tenant;
    }

    if (a->request.stale == CANARY_STALE_BASELINE) {
        percent = 0;
    }

    tripped = trip != NULL && trip->epoch >= m->epoch;

    if (tripped && trip->percent < percent) {
        percent = trip->percent;
    }

    if (tripped) {
        if (a->request.override == CANARY_ARM_BASELINE || m->deny[a->key]
            || d.bucket >= percent)
        {
            expect(&d, CANARY_ARM_BASELINE, CANARY_REASON_TRIPPED, percent);

        } else {
            expect(&d, CANARY_ARM_CANDIDATE, CANARY_REASON_TRIPPED, percent);
        }

    } else if (a->request.override == CANARY_ARM_BASELINE) {
        expect(&d, CANARY_ARM_BASELINE, CANARY_REASON_OVERRIDE, percent);

    } else if (a->request.override == CANARY_ARM_CANDIDATE) {
        expect(&d, CANARY_ARM_CANDIDATE, CANARY_REASON_OVERRIDE, percent);

    } else if (m->deny[a->key]) {
        expect(&d, CANARY_ARM_BASELINE, CANARY_REASON_TARGETING_MATCH,
               percent);

    } else if (m->allow[a->key]) {
        expect(&d, CANARY_ARM_CANDIDATE, CANARY_REASON_TARGETING_MATCH,
               percent);

    } else {
        expect(&d, d.bucket < percent ? CANARY_ARM_CANDIDATE
                                      : CANARY_ARM_BASELINE,
               a->request.stale == CANARY_STALE_NO ? CANARY_REASON_SPLIT
                                                   : CANARY_REASON_STALE,
               percent);
    }

    return d;
}


static void
decisions_are_those_of_the_rules(void **state)
{
    int                 tripped;
    asked_t             a;
    model_t             m;
    unsigned            flags, i, known;
    canary_flag_t       flag;
    canary_trip_t       trip;
    canary_decision_t   d, e;

    (void) state;

    for (flags = 0; flags < 3000; flags++) {
        random_flag(&m, &flag);
        known = random_below(10) != 0;

        for (i = 0; i < 40; i++) {
            random_request(&a);
            tripped = random_below(2) == 0;
            trip.epoch = random_below(5);
            trip.percent = random_below(2) ? 0 : random_below(100001);

            canary_decide(&d, known ? &flag : NULL, tripped ? &trip : NULL,
                          &a.request);
            e = oracle(known ? &m : NULL, tripped ? &trip : NULL, &a);

            if (d.arm != e.arm || d.reason != e.reason
                || d.bucket != e.bucket
                || d.percent != e.percent)
            {
                fail_msg("\"%s\": %s, %s, %u, not %s, %s, %u", a.text,
                         canary_arm_names[d.arm].data,
                         canary_reason_names[d.reason].data, d.percent,
                         canary_arm_names[e.arm].data,
                         canary_reason_names[e.reason].data, e.percent);
            }
        }

        canary_flag_clear(&flag);
    }
}


/* Whatever else is true of a request. */

static void
a_trip_never_makes_a_candidate(void **state)
{
    asked_t             a;
    model_t             m;
    unsigned            flags, i;
    canary_flag_t       flag;
    canary_trip_t       trip;
    canary_decision_t   before, after;

    (void) state;

    for (flags = 0; flags < 1500; flags++) {
        random_flag(&m, &flag);

        for (i = 0; i < 40; i++) {
            random_request(&a);
            trip.epoch = random_below(5);
            trip.percent = random_below(100001);

            canary_decide(&before, &flag, NULL, &a.request);
            canary_decide(&after, &flag, &trip, &a.request);

            assert_true(after.arm <= before.arm);
            assert_true(after.percent <= before.percent);

            if (trip.epoch >= flag.epoch) {
                trip.percent = 0;
                canary_decide(&after, &flag, &trip, &a.request);
                assert_int_equal(after.arm, CANARY_ARM_BASELINE);
            }
        }

        canary_flag_clear(&flag);
    }
}


/*
 * Ids of all byte values and lengths: who is a candidate at some percent is
 * one at every higher percent.
 */

static void
raising_the_percent_only_adds_users(void **state)
{
    char                key[300];
    uint32_t            percent;
    unsigned            i, last, step;
    canary_flag_t       flag;
    canary_request_t    request;
    canary_decision_t   d;

    (void) state;

    flag = (canary_flag_t) { 0 };
    flag.enabled = 1;
    flag.stages = canary_ladder_default;

    for (i = 0; i < 20000; i++) {
        request = no_request;
        request.key.data = key;
        request.key.len = random_below(sizeof(key) + 1);
        random_bytes(key, request.key.len);

        flag.seed = random_u64();
        percent = 0;
        last = CANARY_ARM_BASELINE;

        for (step = 0; step < 8; step++) {
            flag.percent = percent;
            canary_decide(&d, &flag, NULL, &request);
            assert_true(d.arm >= last);
            last = d.arm;

            percent += random_below(CANARY_BUCKETS - percent + 1);
        }
    }
}


static unsigned
candidates(canary_flag_t *flag, uint32_t percent, unsigned users)
{
    char                key[16];
    unsigned            i, n;
    canary_request_t    request;
    canary_decision_t   d;

    flag->percent = percent;
    request = no_request;
    request.key.data = key;

    for (i = 0, n = 0; i < users; i++) {
        request.key.len = (size_t) snprintf(key, sizeof(key), "user-%u", i);
        canary_decide(&d, flag, NULL, &request);
        n += d.arm == CANARY_ARM_CANDIDATE;
    }

    return n;
}


static void
the_ends_of_the_scale_are_exact(void **state)
{
    unsigned       users;
    buffer_t       b;
    canary_flag_t  flag;

    (void) state;

    b = (buffer_t) { 0 };
    record_of(&b, "percent=0");
    parse(&flag, &b);
    buffer_free(&b);

    users = 500000;

    /* one bucket holds 5 of them on average */

    assert_int_equal(candidates(&flag, 0, users), 0);
    assert_in_range(candidates(&flag, 1, users), 1, 24);
    assert_in_range(users - candidates(&flag, 99999, users), 1, 24);
    assert_int_equal(candidates(&flag, 100000, users), users);

    canary_flag_clear(&flag);
}


static void
one_bucket_more_takes_the_user_in(void **state)
{
    uint32_t            bucket;
    buffer_t            b;
    canary_flag_t       flag;
    canary_request_t    request;
    canary_decision_t   d;

    (void) state;

    b = (buffer_t) { 0 };
    record_of(&b, "percent=0");
    parse(&flag, &b);
    buffer_free(&b);

    request = no_request;
    request.key = S("alice");
    bucket = canary_bucket(canary_hash(flag.seed, request.key));

    flag.percent = bucket;
    canary_decide(&d, &flag, NULL, &request);
    assert_int_equal(d.arm, CANARY_ARM_BASELINE);

    flag.percent = bucket + 1;
    canary_decide(&d, &flag, NULL, &request);
    assert_int_equal(d.arm, CANARY_ARM_CANDIDATE);

    canary_flag_clear(&flag);
}


static void
the_words_are_those_of_the_contract(void **state)
{
    unsigned  i;

    static const char  *reasons[] = {
        "default", "targeting_key_missing", "disabled", "tripped", "override",
        "targeting_match", "split", "stale"
    };

    static const char  *modes[] = {
        "", "suggest", "draft", "review", "guarded", "full"
    };

    (void) state;

    assert_string_equal(canary_arm_names[CANARY_ARM_BASELINE].data,
                        "baseline");
    assert_string_equal(canary_arm_names[CANARY_ARM_CANDIDATE].data,
                        "candidate");

    for (i = 0; i < CANARY_REASONS; i++) {
        assert_string_equal(canary_reason_names[i].data, reasons[i]);
    }

    for (i = 0; i < CANARY_MODES; i++) {
        assert_string_equal(canary_mode_names[i].data, modes[i]);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(decisions_are_those_of_the_rules),
        cmocka_unit_test(a_trip_never_makes_a_candidate),
        cmocka_unit_test(raising_the_percent_only_adds_users),
        cmocka_unit_test(the_ends_of_the_scale_are_exact),
        cmocka_unit_test(one_bucket_more_takes_the_user_in),
        cmocka_unit_test(the_words_are_those_of_the_contract)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
