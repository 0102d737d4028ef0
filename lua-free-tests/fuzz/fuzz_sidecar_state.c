
/*
 * The state file of the sidecar.  An input that begins as a file does is one;
 * any other is what comes between the first line and a checksum that is right,
 * or nothing would ever get past that.
 */

#include <inttypes.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "fuzz.h"
#include "state.h"


static void
check_flag(const canaryd_flag_t *f)
{
    fuzz_check(canary_flag_name_valid((canary_str_t) { strlen(f->name),
                                                       f->name }));
    fuzz_check(f->epoch <= CANARY_EPOCH_MAX);
    fuzz_check(f->fleet.n <= 1);
    fuzz_check(memchr(f->told, '\0', sizeof(f->told)));
    fuzz_check(f->saved == NULL
               || strlen(f->saved) <= CANARY_VERDICT_TEXT_MAX);
}


static void
check_event(const canaryd_event_t *event)
{
    fuzz_check(event->id[0] != '\0');
    fuzz_check(memchr(event->id, '\0', sizeof(event->id)));
    fuzz_check(memchr(event->flag, '\0', sizeof(event->flag)));
    fuzz_check(event->epoch <= CANARY_EPOCH_MAX);
    fuzz_check(event->audit <= CANARYD_AUDIT_LOST);
    fuzz_check(event->hook <= CANARYD_HOOK_DONE);
    fuzz_check(strcmp(event->type, "trip") == 0
               || strcmp(event->type, "notify") == 0);
}


static int
parse(canaryd_t *d, canary_str_t text)
{
    unsigned          i;
    canaryd_event_t  *event;

    memset(d, 0, sizeof(canaryd_t));
    memcpy(d->writer, "w", 2);

    if (canaryd_state_parse(d, text) != 0) {
        fuzz_check(d->n == 0 && d->flag == NULL);
        fuzz_check(d->events.n == 0 && d->events.first == NULL);
        return -1;
    }

    for (i = 0; i < d->n; i++) {
        check_flag(d->flag[i]);
    }

    for (i = 0, event = d->events.first; event; event = event->next) {
        check_event(event);
        i++;
    }

    fuzz_check(i == d->events.n && i <= CANARYD_EVENTS_MAX);
    fuzz_check(memchr(d->writer, '\0', sizeof(d->writer)));

    return 0;
}


static void
clear(canaryd_t *d)
{
    canaryd_flags_free(d);
    canaryd_events_clear(&d->events);
}


/* What was read and written is read again, and written the same. */

static void
check_text(canary_str_t text)
{
    canaryd_t       d;
    canaryd_text_t  once = { 0 }, twice = { 0 };

    if (parse(&d, text) != 0) {
        return;
    }

    canaryd_state_write(&once, &d);
    clear(&d);

    fuzz_check(!once.failed);
    fuzz_check(parse(&d, canaryd_text_str(&once)) == 0);

    canaryd_state_write(&twice, &d);
    clear(&d);

    fuzz_check(!twice.failed);
    fuzz_check(canary_str_eq(canaryd_text_str(&once),
                             canaryd_text_str(&twice)));

    canaryd_text_free(&once);
    canaryd_text_free(&twice);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    canaryd_text_t  text = { 0 };

    static const char  magic[] = "agent-canaryd-state 1\n";

    if (size < sizeof(magic) - 1
        || memcmp(data, magic, sizeof(magic) - 1) != 0)
    {
        canaryd_text_put(&text, magic);
        canaryd_text_add(&text, (const char *) data, size);
        canaryd_text_printf(&text, "check %016" PRIx64 "\n",
                            XXH3_64bits(text.data, text.len));

    } else {
        canaryd_text_add(&text, (const char *) data, size);
    }

    check_text(canaryd_text_str(&text));
    canaryd_text_free(&text);

    return 0;
}
