
#include "usage_total.h"


static int canary_usage_total_openai(canary_usage_t *usage,
    const canary_usage_counts_t *c);
static int canary_usage_total_anthropic(canary_usage_t *usage,
    const canary_usage_counts_t *c);
static int canary_usage_total_gemini(canary_usage_t *usage,
    const canary_usage_counts_t *c);
static int canary_usage_total_bedrock(canary_usage_t *usage,
    const canary_usage_counts_t *c);


canary_usage_state_e
canary_usage_total(canary_usage_t *usage, const canary_usage_counts_t *c)
{
    int  whole;

    switch (c->api) {

    case CANARY_API_ANTHROPIC:
        whole = canary_usage_total_anthropic(usage, c);
        break;

    case CANARY_API_GEMINI:
        whole = canary_usage_total_gemini(usage, c);
        break;

    case CANARY_API_BEDROCK:
        whole = canary_usage_total_bedrock(usage, c);
        break;

    default: /* CANARY_API_CHAT, CANARY_API_RESPONSES */
        whole = canary_usage_total_openai(usage, c);
    }

    if (!whole) {
        return CANARY_USAGE_PARTIAL;
    }

    if (usage->cache_read + usage->cache_write + usage->cache_write_1h
        > usage->input
        || usage->reasoning > usage->output
        || usage->input > CANARY_USAGE_COUNT_MAX
        || usage->output > CANARY_USAGE_COUNT_MAX)
    {
        return CANARY_USAGE_MALFORMED;
    }

    return CANARY_USAGE_COMPLETE;
}


/* Embeddings have no output. */

static int
canary_usage_total_openai(canary_usage_t *usage,
    const canary_usage_counts_t *c)
{
    uint64_t  total;

    usage->reasoning = canary_count(c, REASONING);
    usage->cache_read = canary_count(c, DETAIL_READ);
    usage->cache_write = canary_count(c, DETAIL_WRITE);

    if (c->api == CANARY_API_RESPONSES) {
        usage->input = canary_count(c, INPUT);
        usage->output = canary_count(c, OUTPUT);

        return canary_has(c, INPUT) && canary_has(c, OUTPUT);
    }

    usage->input = canary_count(c, PROMPT);
    usage->output = canary_count(c, COMPLETION);

    /* other spellings, by those who answer in OpenAI's form */

    if (!canary_has(c, DETAIL_READ)) {
        usage->cache_read = canary_has(c, CACHE_READ)
                            ? canary_count(c, CACHE_READ)
                            : canary_count(c, CACHE_HIT);
    }

    if (!canary_has(c, DETAIL_WRITE)) {
        usage->cache_write = canary_count(c, CACHE_WRITE);
    }

    /* xAI reasons beside the completion, and only the total tells */

    total = usage->input + usage->output + usage->reasoning;

    if (canary_has(c, TOTAL) && canary_count(c, TOTAL) == total) {
        usage->output += usage->reasoning;
    }

    return canary_has(c, PROMPT) != 0;
}


static int
canary_usage_total_anthropic(canary_usage_t *usage,
    const canary_usage_counts_t *c)
{
    uint64_t  write;

    write = canary_has(c, CACHE_WRITE)
            ? canary_count(c, CACHE_WRITE)
            : canary_count(c, WRITE_5M) + canary_count(c, WRITE_1H);

    usage->cache_read = canary_count(c, CACHE_READ);
    usage->cache_write_1h = canary_count(c, WRITE_1H);
    usage->input = canary_count(c, INPUT) + usage->cache_read + write;
    usage->output = canary_count(c, OUTPUT);
    usage->reasoning = canary_count(c, REASONING);

    /* more of them than there are is found out by the caller */

    if (write >= usage->cache_write_1h) {
        usage->cache_write = write - usage->cache_write_1h;

    } else {
        usage->cache_write = CANARY_USAGE_COUNT_MAX * 4;
    }

    return canary_has(c, INPUT) && canary_has(c, OUTPUT);
}


/* Thoughts are among the candidates if the total leaves no room for them. */

static int
canary_usage_total_gemini(canary_usage_t *usage,
    const canary_usage_counts_t *c)
{
    uint64_t  candidates, prompt, total;

    prompt = canary_count(c, GEMINI_PROMPT);
    candidates = canary_count(c, GEMINI_CANDIDATES);
    total = canary_count(c, GEMINI_TOTAL);

    usage->input = prompt + canary_count(c, GEMINI_TOOL);
    usage->cache_read = canary_count(c, GEMINI_CACHED);
    usage->reasoning = canary_count(c, GEMINI_THOUGHTS);
    usage->output = candidates;

    if (prompt + candidates != total
        && usage->input + candidates != total)
    {
        usage->output += usage->reasoning;
    }

    return canary_has(c, GEMINI_PROMPT) != 0;
}


static int
canary_usage_total_bedrock(canary_usage_t *usage,
    const canary_usage_counts_t *c)
{
    usage->cache_read = canary_count(c, BEDROCK_READ);
    usage->cache_write = canary_count(c, BEDROCK_WRITE);
    usage->input = canary_count(c, BEDROCK_INPUT) + usage->cache_read
                   + usage->cache_write;
    usage->output = canary_count(c, BEDROCK_OUTPUT);

    return canary_has(c, BEDROCK_INPUT) && canary_has(c, BEDROCK_OUTPUT);
}
