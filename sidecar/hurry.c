
#include <string.h>
#include "hurry.h"


/* Evidence that rises makes readings come faster for so many ms at least. */
#define CANARYD_HURRY_TIME  1000


static double canaryd_hurry_evidence(const canary_verdict_t *v);


void
canaryd_hurry_rising(canaryd_t *d, canaryd_flag_t *f, uint64_t now)
{
    uint64_t  time;

    time = d->options.interval;

    if (time < CANARYD_HURRY_TIME) {
        time = CANARYD_HURRY_TIME;
    }

    f->hurry = now + time;
    f->evidence = canaryd_hurry_evidence(f->verdict);

    /* what the next readings say goes to the fleet, and comes from it */

    if (d->peers) {
        d->news = 1;
        (void) pthread_cond_signal(&d->redis);
    }
}


/* Of the rule that is nearest to its limit, as a part of that. */

static double
canaryd_hurry_evidence(const canary_verdict_t *v)
{
    double             part, most;
    uint32_t           i;
    canary_standing_t  standing;

    most = 0;

    for (i = 0; i < v->guardrails.n; i++) {
        canary_verdict_standing(v, i, &standing);

        part = standing.e_limit > 0 ? standing.e_value / standing.e_limit : 0;

        if (part > most) {
            most = part;
        }
    }

    return most;
}


unsigned
canaryd_hurry_names(const canaryd_t *d, char *names, uint64_t now)
{
    char                 *p;
    size_t                len;
    unsigned              i, k, n;
    const canaryd_flag_t  *f, *first[CANARYD_HURRY_FLAGS];

    n = 0;

    for (i = 0; i < d->n; i++) {
        f = d->flag[i];

        if (!f->known || now >= f->hurry) {
            continue;
        }

        /* into its place, by evidence; the last one falls out */

        if (n < CANARYD_HURRY_FLAGS) {
            n++;

        } else if (first[n - 1]->evidence >= f->evidence) {
            continue;
        }

        for (k = n - 1; k > 0 && first[k - 1]->evidence < f->evidence; k--) {
            first[k] = first[k - 1];
        }

        first[k] = f;
    }

    p = names;

    for (i = 0; i < n; i++) {
        len = strlen(first[i]->name);
        memcpy(p, first[i]->name, len);
        p += len;
        *p++ = i + 1 < n ? ',' : '\0';
    }

    return n;
}
