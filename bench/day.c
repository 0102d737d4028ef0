
/*
 * The state file of an agent-canaryd that has watched a healthy flag for 24
 * hours, RATE requests a second of the candidate and four times that of the
 * baseline, 2 % of both errors, judged each second by the default guardrails.
 * Goes to the standard output.
 *
 * Usage: day FLAG RATE
 */


#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "canaryd.h"
#include "state.h"


#define DAY_SECONDS  86400
#define DAY_SPLIT    4                      /* baseline / candidate */
#define DAY_ERRORS   0.02


static void day_second(canary_tally_t *t, double rate);


int
main(int argc, char **argv)
{
    double                rate;
    unsigned              i;
    canaryd_flag_t       *f;
    canaryd_text_t        text;
    canary_tally_t        baseline, candidate;
    canary_ruling_t       ruling;
    canary_guardrails_t   g;

    static canaryd_t      d;

    if (argc != 3) {
        fprintf(stderr, "usage: day FLAG RATE\n");
        return 2;
    }

    rate = strtod(argv[2], NULL);
    srand48(1);

    f = canaryd_flag_add(&d, argv[1]);
    if (f == NULL) {
        return 1;
    }

    f->verdict = malloc(sizeof(canary_verdict_t));
    if (f->verdict == NULL) {
        return 1;
    }

    canary_guardrails_default(&g);
    canary_verdict_init(f->verdict, canaryd_str(argv[1]), 0, &g);

    for (i = 0; i < DAY_SECONDS; i++) {
        day_second(&candidate, rate);
        day_second(&baseline, DAY_SPLIT * rate);

        canary_verdict_tick(f->verdict, &candidate, &baseline, 1, &ruling);

        if (ruling.trip) {
            fprintf(stderr, "day: a false rollback: %s\n", ruling.sentence);
            return 1;
        }
    }

    text = (canaryd_text_t) { 0 };
    canaryd_copy(d.writer, sizeof(d.writer), canaryd_str("day"));
    canaryd_state_write(&text, &d);

    if (text.failed || fwrite(text.data, text.len, 1, stdout) != 1) {
        return 1;
    }

    canaryd_text_free(&text);
    canaryd_flags_free(&d);

    return 0;
}


/* What one arm does within a second: its requests come at random moments. */

static void
day_second(canary_tally_t *t, double rate)
{
    double  at;

    memset(t, 0, sizeof(canary_tally_t));

    for (at = -log(1 - drand48()) / rate;
         at < 1;
         at -= log(1 - drand48()) / rate)
    {
        t->requests++;
        t->errors_status += drand48() < DAY_ERRORS;
    }
}
