
/*
 * The verdict: whether what both arms did breaks a guardrail.
 *
 * Driven by differences of tallies, four times a second or whenever they come.
 * A candidate within its limits is tripped with probability alpha at most
 * within the horizon, and 3/8 alpha more within each further one, however often
 * one looks.  No traffic is neither good nor bad.
 */


#ifndef CANARY_VERDICT_H
#define CANARY_VERDICT_H


#include <stdint.h>
#include "bet.h"
#include "clump.h"
#include "flag.h"
#include "guardrails.h"
#include "tally.h"


#define CANARY_BUDGET_SLOTS    20
#define CANARY_SENTENCE_MAX    384

/* All of it doubles: see canary_verdict_save(). */

typedef struct {
    canary_bet_t     limit;                 /* against the rule's limit */
    canary_bet_t     worse;                 /* "worse than the baseline" */
    canary_clump_t   clump;
    canary_sample_t  usual;                 /* baseline, of ten minutes */
    canary_sample_t  total[CANARY_ARMS];    /* since the epoch began */
    double           events;
    double           cap;                   /* of x: 1, or USD */
    double           edge[CANARY_ARMS];     /* bucket of a latency limit */
    double           slot[CANARY_BUDGET_SLOTS];
    double           slot_at;               /* index of the current one */
    double           slot_age;              /* s */
} canary_rule_state_t;


typedef struct {
    double               age;               /* s, since the epoch began */
    double               first_byte[CANARY_LATENCY_BUCKETS];
    double               latency[CANARY_LATENCY_BUCKETS];
                                            /* baseline, of ten minutes */
    canary_rule_state_t  rule[CANARY_RULES_MAX];
} canary_verdict_state_t;


/* The text of a saved verdict, in bytes: 17 for each number. */

#define CANARY_VERDICT_TEXT_MAX                                               \
    (sizeof(canary_verdict_state_t) / sizeof(double) * 17 + 128)


typedef struct {
    canary_guardrails_t     guardrails;
    uint64_t                digest;         /* of flag and guardrails */
    uint64_t                epoch;
    canary_verdict_state_t  state;
} canary_verdict_t;


/* A rule as it stands: for status, metrics and the evidence of a trip. */

typedef struct {
    uint32_t          rule;                 /* 1 is the first */
    canary_metric_e   metric;
    double            value;                /* the candidate's mean */
    double            limit;                /* what it may be at most */
    double            edge_ms;              /* latency: "slower than" */
    double            n;                    /* requests of the candidate */
    double            events;               /* bad ones, or USD */
    double            baseline_n;
    double            baseline_events;
    double            baseline_value;       /* 0 when there were none */
    double            seconds;              /* the window of all these */
    double            e_value;              /* the evidence */
    double            e_limit;              /* trips at that many */
    double            proof;                /* non-inferior at 1/alpha */
    double            design_effect;
    unsigned          enough:1;             /* min_events are there */
} canary_standing_t;


typedef struct {
    unsigned           trip:1;
    unsigned           rising:1;            /* look again soon */
    uint32_t           over;                /* all rules that trip: 1 << i */
    canary_action_e    action;
    canary_standing_t  standing;            /* of the rule that trips */
    char               sentence[CANARY_SENTENCE_MAX];
} canary_ruling_t;


/* A verdict that has seen nothing. */

void canary_verdict_init(canary_verdict_t *v, canary_str_t flag,
    uint64_t epoch, const canary_guardrails_t *g);

/*
 * The flag begins a new epoch under the same guardrails: the capital starts
 * anew, and what is known of the baseline stays.
 */

void canary_verdict_renew(canary_verdict_t *v, uint64_t epoch);

/* A new stage: the proof that the candidate is no worse starts anew. */

void canary_verdict_restart_proof(canary_verdict_t *v);

/*
 * Judges what both arms did within the last dt seconds.  Any input is safe:
 * what is not a number or negative counts as nothing.  Goes on tripping for
 * as long as the evidence is there.
 *
 * One bet is placed in a tick, so that the time until a rollback is counted in
 * ticks when all fails.  While the evidence is rising they may come faster:
 * that is known before the next one, and no claim is made of their length.
 */

void canary_verdict_tick(canary_verdict_t *v, const canary_tally_t *candidate,
    const canary_tally_t *baseline, double dt, canary_ruling_t *ruling);

/* rule is 0 ... guardrails.n - 1 */

void canary_verdict_standing(const canary_verdict_t *v, uint32_t rule,
    canary_standing_t *standing);

/* One sentence of at most CANARY_SENTENCE_MAX - 1 bytes. */

void canary_verdict_sentence(char *text, const canary_verdict_t *v,
    const canary_standing_t *standing);

/*
 * Writes the state as one line of text, up to CANARY_VERDICT_TEXT_MAX bytes
 * and without a terminator.  Returns its length, or 0 when it does not fit
 * into size.
 */

size_t canary_verdict_save(const canary_verdict_t *v, char *text,
    size_t size);

/*
 * Restores into a verdict that was just initialized.  Returns 1 when the
 * state is taken over; 0 when it belongs to another epoch of the same flag
 * and guardrails, of which what is known of the baseline is taken over; and
 * -1 when it is of another flag, other guardrails, another version or
 * damaged, and *v stays as it is.
 */

int canary_verdict_restore(canary_verdict_t *v, canary_str_t text);


#endif /* CANARY_VERDICT_H */
