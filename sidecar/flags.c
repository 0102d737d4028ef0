
#include <stdlib.h>
#include <string.h>
#include "canaryd.h"


static unsigned canaryd_flag_place(const canaryd_t *d, const char *name);


canaryd_flag_t *
canaryd_flag_find(canaryd_t *d, const char *name)
{
    unsigned  place;

    place = canaryd_flag_place(d, name);

    if (place == d->n || strcmp(d->sorted[place]->name, name) != 0) {
        return NULL;
    }

    return d->sorted[place];
}


/* Where it is among the sorted ones, or would be. */

static unsigned
canaryd_flag_place(const canaryd_t *d, const char *name)
{
    unsigned  from, to, middle;

    from = 0;
    to = d->n;

    while (from < to) {
        middle = (from + to) / 2;

        if (strcmp(d->sorted[middle]->name, name) < 0) {
            from = middle + 1;

        } else {
            to = middle;
        }
    }

    return from;
}


canaryd_flag_t *
canaryd_flag_add(canaryd_t *d, const char *name)
{
    size_t            size;
    unsigned          place;
    canaryd_flag_t   *f, **flag, **sorted;

    if (d->n == CANARYD_FLAGS_MAX) {
        return NULL;
    }

    f = calloc(1, sizeof(canaryd_flag_t));

    if (f == NULL) {
        return NULL;
    }

    size = (d->n + 1) * sizeof(canaryd_flag_t *);
    flag = realloc(d->flag, size);

    if (flag) {
        d->flag = flag;
    }

    sorted = realloc(d->sorted, size);

    if (sorted) {
        d->sorted = sorted;
    }

    if (flag == NULL || sorted == NULL) {
        free(f);
        return NULL;
    }

    canaryd_copy(f->name, sizeof(f->name), canaryd_str(name));

    place = canaryd_flag_place(d, f->name);
    memmove(&sorted[place + 1], &sorted[place],
            (d->n - place) * sizeof(canaryd_flag_t *));
    sorted[place] = f;

    f->index = d->n;
    d->flag[d->n++] = f;

    return f;
}


int
canaryd_flag_latched(const canaryd_flag_t *f)
{
    return f->latch.set && f->latch.trip.epoch >= f->epoch;
}


void
canaryd_flags_free(canaryd_t *d)
{
    unsigned         i;
    canaryd_flag_t  *f;

    for (i = 0; i < d->n; i++) {
        f = d->flag[i];

        canaryd_latch_clear(&f->latch);
        canaryd_fleet_clear(&f->fleet);
        free(f->verdict);
        free(f->guardrails);
        free(f->saved);
        free(f);
    }

    free(d->flag);
    free(d->sorted);
    d->flag = NULL;
    d->sorted = NULL;
    d->n = 0;
}
