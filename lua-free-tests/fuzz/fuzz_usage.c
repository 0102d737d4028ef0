
/*
 * The first byte says how the rest is a body, the second how it is cut.
 * However it is cut, the result is the same, and so it is when nothing of a
 * stream can be passed over.
 */

#include <string.h>
#include "fuzz.h"
#include "usage.h"


static void
read_pieces(canary_usage_t *usage, canary_usage_kind_e kind,
    const uint8_t *data, size_t size, size_t cut)
{
    size_t                  i, n;
    char                   *copy;
    canary_usage_reader_t   r;

    canary_usage_init(&r, kind);

    /* every piece ends where the memory ends */

    copy = malloc(cut);
    fuzz_check(copy != NULL);

    for (i = 0; i < size; i += n) {
        n = cut < size - i ? cut : size - i;

        memcpy(copy + cut - n, data + i, n);
        canary_usage_feed(&r, copy + cut - n, n);
    }

    free(copy);
    canary_usage_finish(&r, usage);
}


/* A comment that has a needle, before every event. */

static void
read_all(canary_usage_t *usage, const uint8_t *data, size_t size)
{
    size_t                  i;
    canary_usage_reader_t   r;

    static const char       comment[] = ":\"usage\"\n";

    canary_usage_init(&r, CANARY_USAGE_SSE);

    for (i = 0; i < size; i++) {
        if (i > 1 && data[i - 1] == '\n' && data[i - 2] == '\n') {
            canary_usage_feed(&r, comment, sizeof(comment) - 1);
        }

        canary_usage_feed(&r, (const char *) data + i, 1);
    }

    canary_usage_finish(&r, usage);
}


static void
check(const canary_usage_t *u)
{
    fuzz_check(u->state < CANARY_USAGE_STATES);
    fuzz_check(u->api < CANARY_APIS);
    fuzz_check(u->failure < CANARY_FAILURES);
    fuzz_check(u->tier < CANARY_TIERS);

    fuzz_check(u->input <= CANARY_USAGE_COUNT_MAX);
    fuzz_check(u->output <= CANARY_USAGE_COUNT_MAX);
    fuzz_check(u->reasoning <= u->output);
    fuzz_check(u->cache_read + u->cache_write + u->cache_write_1h
               <= u->input);
    fuzz_check(u->state == CANARY_USAGE_COMPLETE
               || u->input + u->output == 0);

    fuzz_check(u->model_len <= CANARY_USAGE_MODEL_MAX);
    fuzz_check(u->model[u->model_len] == '\0');
    fuzz_check(canary_str_is_text((canary_str_t) { u->model_len, u->model }));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    canary_usage_t       pieces, whole;
    canary_usage_kind_e  kind;

    if (size < 3) {
        return 0;
    }

    kind = (canary_usage_kind_e) (data[0] % 4);

    read_pieces(&whole, kind, data + 2, size - 2, size);
    check(&whole);

    read_pieces(&pieces, kind, data + 2, size - 2, 1);
    fuzz_check(memcmp(&whole, &pieces, sizeof(whole)) == 0);

    read_pieces(&pieces, kind, data + 2, size - 2, 1 + data[1]);
    fuzz_check(memcmp(&whole, &pieces, sizeof(whole)) == 0);

    if (kind == CANARY_USAGE_SSE) {
        read_all(&pieces, data + 2, size - 2);
        fuzz_check(memcmp(&whole, &pieces, sizeof(whole)) == 0);
    }

    return 0;
}
