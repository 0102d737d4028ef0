
#include <stdlib.h>
#include <string.h>
#include "reader.h"
#include "status_flag.h"
#include "text.h"


#define CANARYD_FLAGS_FIRST  16


typedef struct {
    canaryd_reader_t        reader;
    canaryd_status_t       *status;
    unsigned                seen;           /* members at the top */
} canaryd_status_parser_t;


/* Return 0; or -1 when the value is not what it should be. */

typedef int (*canaryd_top_pt)(canaryd_status_parser_t *p);


typedef struct {
    const char         *name;
    canaryd_top_pt      handler;
} canaryd_top_t;


static int canaryd_status_members(canaryd_status_parser_t *p);
static int canaryd_status_member(canaryd_status_parser_t *p,
    canary_str_t key);
static int canaryd_top_version(canaryd_status_parser_t *p);
static int canaryd_top_boot(canaryd_status_parser_t *p);
static int canaryd_top_clock(canaryd_status_parser_t *p);
static int canaryd_top_redis(canaryd_status_parser_t *p);
static int canaryd_top_flags(canaryd_status_parser_t *p);
static canaryd_status_flag_t *canaryd_status_room(canaryd_status_t *s);
static void canaryd_status_twins(canaryd_status_t *s);
static int canaryd_status_cmp(const void *a, const void *b);


static const canaryd_top_t  canaryd_tops[] = {
    { "version", canaryd_top_version },
    { "boot_id", canaryd_top_boot },
    { "clock_ms", canaryd_top_clock },
    { "redis", canaryd_top_redis },
    { "flags", canaryd_top_flags },
    { NULL, NULL }
};


#define CANARYD_TOP_BOOT   (1U << 1)
#define CANARYD_TOP_FLAGS  (1U << 4)


int
canaryd_status_parse(canaryd_status_t *s, canary_str_t text,
    canary_error_t *err)
{
    canaryd_status_parser_t  p;

    s->n = 0;
    s->bad = 0;
    s->dropped = 0;
    s->clock = 0;
    s->fresh = 0;
    s->boot[0] = s->version[0] = s->redis[0] = '\0';

    p.status = s;
    p.seen = 0;
    canaryd_reader_init(&p.reader, text);

    if (text.len == 0 || canaryd_status_members(&p) != 0
        || !canaryd_reader_done(&p.reader))
    {
        canary_error(err, "status", text, "expected the JSON of the module");
        s->n = 0;
        return -1;
    }

    if (!(p.seen & CANARYD_TOP_BOOT) || !(p.seen & CANARYD_TOP_FLAGS)) {
        canary_error(err, "status", text, "expected boot_id and flags");
        s->n = 0;
        return -1;
    }

    canaryd_status_twins(s);

    return 0;
}


static int
canaryd_status_members(canaryd_status_parser_t *p)
{
    unsigned      n;
    canary_str_t  key;

    if (!canaryd_reader_open(&p->reader, CANARYD_JSON_OBJECT)) {
        return -1;
    }

    n = 0;

    while (canaryd_reader_next(&p->reader, &n)) {
        if (canaryd_reader_key(&p->reader, &key) != 0
            || canaryd_status_member(p, key) != 0)
        {
            return -1;
        }
    }

    return p->reader.failed ? -1 : 0;
}


static int
canaryd_status_member(canaryd_status_parser_t *p, canary_str_t key)
{
    unsigned      i;
    canary_str_t  any;

    for (i = 0; canaryd_tops[i].name; i++) {
        if (!canary_str_eq(key, canaryd_str(canaryd_tops[i].name))) {
            continue;
        }

        if (p->seen & 1U << i) {
            return -1;
        }

        p->seen |= 1U << i;

        return canaryd_tops[i].handler(p);
    }

    return canaryd_reader_value(&p->reader, &any) ? 0 : -1;
}


static int
canaryd_top_version(canaryd_status_parser_t *p)
{
    return canaryd_reader_text(&p->reader, p->status->version,
                             sizeof(p->status->version));
}


static int
canaryd_top_boot(canaryd_status_parser_t *p)
{
    if (canaryd_reader_text(&p->reader, p->status->boot,
                          sizeof(p->status->boot))
        != 0)
    {
        return -1;
    }

    return canary_flag_name_valid(canaryd_str(p->status->boot)) ? 0 : -1;
}


static int
canaryd_top_clock(canaryd_status_parser_t *p)
{
    return canaryd_reader_epoch(&p->reader, &p->status->clock);
}


static int
canaryd_top_redis(canaryd_status_parser_t *p)
{
    int           fresh;
    unsigned      n;
    canary_str_t  key, any;

    if (!canaryd_reader_open(&p->reader, CANARYD_JSON_OBJECT)) {
        return -1;
    }

    n = 0;

    while (canaryd_reader_next(&p->reader, &n)) {

        if (canaryd_reader_key(&p->reader, &key) != 0) {
            return -1;
        }

        if (canary_str_eq(key, canaryd_str("state"))) {
            if (canaryd_reader_text(&p->reader, p->status->redis,
                                  sizeof(p->status->redis))
                != 0)
            {
                return -1;
            }

        } else if (canary_str_eq(key, canaryd_str("fresh"))) {
            if (canaryd_reader_bool(&p->reader, &fresh) != 0) {
                return -1;
            }

            p->status->fresh = fresh ? 1 : 0;

        } else if (!canaryd_reader_value(&p->reader, &any)) {
            return -1;
        }
    }

    return p->reader.failed ? -1 : 0;
}


static int
canaryd_top_flags(canaryd_status_parser_t *p)
{
    unsigned                n;
    canary_str_t            any;
    canaryd_status_flag_t  *f;

    if (!canaryd_reader_open(&p->reader, CANARYD_JSON_ARRAY)) {
        return -1;
    }

    n = 0;

    while (canaryd_reader_next(&p->reader, &n)) {
        f = canaryd_status_room(p->status);

        if (f == NULL) {
            p->status->dropped++;

            if (!canaryd_reader_value(&p->reader, &any)) {
                return -1;
            }

            continue;
        }

        if (canaryd_status_flag(&p->reader, f) != 0) {
            return -1;
        }

        if (f->name[0] == '\0') {
            p->status->bad++;               /* nobody knows whose it is */
            p->status->n--;
        }
    }

    return p->reader.failed ? -1 : 0;
}


/* A zeroed flag at the end of the list, or NULL. */

static canaryd_status_flag_t *
canaryd_status_room(canaryd_status_t *s)
{
    unsigned                size;
    canaryd_status_flag_t  *flag;

    if (s->n == s->size) {
        size = s->size ? s->size * 2 : CANARYD_FLAGS_FIRST;

        if (size > CANARYD_FLAGS_MAX) {
            return NULL;
        }

        flag = realloc(s->flag, size * sizeof(canaryd_status_flag_t));

        if (flag == NULL) {
            return NULL;
        }

        s->flag = flag;
        s->size = size;
    }

    flag = &s->flag[s->n++];
    memset(flag, 0, sizeof(canaryd_status_flag_t));

    return flag;
}


/* Two flags of one name: nobody knows which one is right. */

static void
canaryd_status_twins(canaryd_status_t *s)
{
    unsigned                i;
    canaryd_status_flag_t  *flag[CANARYD_FLAGS_MAX];

    if (s->n == 0) {
        return;
    }

    for (i = 0; i < s->n; i++) {
        flag[i] = &s->flag[i];
    }

    qsort(flag, s->n, sizeof(canaryd_status_flag_t *), canaryd_status_cmp);

    for (i = 1; i < s->n; i++) {
        if (strcmp(flag[i - 1]->name, flag[i]->name) == 0) {
            flag[i - 1]->bad = flag[i]->bad = "name";
        }
    }

    for (i = 0; i < s->n; i++) {
        s->bad += s->flag[i].bad != NULL;
    }
}


static int
canaryd_status_cmp(const void *a, const void *b)
{
    const canaryd_status_flag_t *const  *one = a, *const *two = b;

    return strcmp((*one)->name, (*two)->name);
}


void
canaryd_status_clear(canaryd_status_t *s)
{
    free(s->flag);
    memset(s, 0, sizeof(canaryd_status_t));
}
