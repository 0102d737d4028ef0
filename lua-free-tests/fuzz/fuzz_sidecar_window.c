
/*
 * Windows of another sidecar, as they are in Redis: lines of a name, a blank
 * and a value; an empty line ends one reading, and the next begins.
 */

#include <string.h>
#include "fleet.h"
#include "fuzz.h"
#include "text.h"
#include "window.h"


#define PAIRS_MAX  CANARYD_WINDOW_FIELDS


typedef struct {
    unsigned        n;
    canary_str_t    pair[2 * PAIRS_MAX];
    canaryd_text_t  text;
} fields_t;


static canary_str_t
cut(canary_str_t *rest, char end)
{
    const char    *p;
    canary_str_t   s;

    s = *rest;
    p = rest->len ? memchr(rest->data, end, rest->len) : NULL;

    if (p) {
        s.len = (size_t) (p - rest->data);
    }

    rest->data += s.len + (p ? 1 : 0);
    rest->len -= s.len + (p ? 1 : 0);

    return s;
}


/* The fields of a window that is written, with copies of them. */

static void
keep(void *data, canary_str_t name, canary_str_t value)
{
    fields_t  *f = data;

    fuzz_check(f->n < PAIRS_MAX);

    f->pair[2 * f->n].len = name.len;
    f->pair[2 * f->n + 1].len = value.len;
    f->n++;

    canaryd_text_add(&f->text, name.data, name.len);
    canaryd_text_add(&f->text, value.data, value.len);
}


static void
check_again(const canaryd_window_t *w)
{
    size_t            at;
    unsigned          i;
    fields_t          f = { 0 };
    canaryd_window_t  again;

    fuzz_check(canaryd_window_write(w, NULL, keep, &f) == f.n);

    for (i = 0, at = 0; i < 2 * f.n; i++) {
        f.pair[i].data = f.text.data + at;
        at += f.pair[i].len;
    }

    fuzz_check(canaryd_window_read(&again, f.pair, f.n) == 0);
    fuzz_check(memcmp(again.arm, w->arm, sizeof(w->arm)) == 0);
    fuzz_check(strcmp(again.boot, w->boot) == 0);
    fuzz_check(again.epoch == w->epoch && again.percent == w->percent);

    /* what has not changed is not written */

    fuzz_check(canaryd_window_write(w, &again, keep, &f) == 0);

    canaryd_text_free(&f.text);
}


static void
check_sum(const canary_tally_t *sum)
{
    fuzz_check(sum->requests <= (uint64_t) 2 * CANARYD_COUNT_MAX);
    fuzz_check(sum->cost_usd >= 0);
    fuzz_check(sum->cost_capped_usd >= 0);
    fuzz_check(sum->cost_capped_usd2 >= 0);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned          i, n, reading;
    canary_str_t      rest, line, pair[2 * PAIRS_MAX];
    canary_tally_t    sum[CANARY_ARMS];
    canaryd_fleet_t   fleet = { 0 };
    canaryd_window_t  w;

    rest.data = (const char *) data;
    rest.len = size;

    for (reading = 0; rest.len && reading < 4; reading++) {
        memset(sum, 0, sizeof(sum));

        for (n = 0; n < PAIRS_MAX; n++) {
            line = cut(&rest, '\n');

            if (line.len == 0) {
                break;
            }

            pair[2 * n] = cut(&line, ' ');
            pair[2 * n + 1] = line;
        }

        if (canaryd_window_read(&w, pair, n) != 0) {
            continue;
        }

        fuzz_check(memchr(w.boot, '\0', sizeof(w.boot)) && w.boot[0]);
        fuzz_check(w.epoch <= CANARY_EPOCH_MAX);
        fuzz_check(w.percent <= CANARY_BUCKETS);
        check_again(&w);

        (void) canaryd_fleet_read(&fleet, w.boot, w.epoch, w.arm, reading,
                                  sum);

        for (i = 0; i < CANARY_ARMS; i++) {
            check_sum(&sum[i]);
        }
    }

    fuzz_check(fleet.n <= 4);
    canaryd_fleet_clear(&fleet);

    return 0;
}
