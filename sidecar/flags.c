
#include <stdlib.h>
#include <string.h>
#include "canaryd.h"


canaryd_flag_t *
canaryd_flag_find(canaryd_t *d, const char *name)
{
    unsigned  i;

    for (i = 0; i < d->n; i++) {
        if (strcmp(d->flag[i]->name, name) == 0) {
            return d->flag[i];
        }
    }

    return NULL;
}


canaryd_flag_t *
canaryd_flag_add(canaryd_t *d, const char *name)
{
    canaryd_flag_t  *f, **flag;

    if (d->n == CANARYD_FLAGS_MAX) {
        return NULL;
    }

    f = calloc(1, sizeof(canaryd_flag_t));

    if (f == NULL) {
        return NULL;
    }

    flag = realloc(d->flag, (d->n + 1) * sizeof(canaryd_flag_t *));

    if (flag == NULL) {
        free(f);
        return NULL;
    }

    canaryd_copy(f->name, sizeof(f->name), canaryd_str(name));

    d->flag = flag;
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
    d->flag = NULL;
    d->n = 0;
}
