
#include <string.h>
#include "usage_document.h"
#include "usage_total.h"


typedef enum {
    CANARY_NODE_DOCUMENT = 0,
    CANARY_NODE_RESPONSE,
    CANARY_NODE_MESSAGE,
    CANARY_NODE_RESULT,
    CANARY_NODE_TASK,
    CANARY_NODE_STATUS,
    CANARY_NODE_USAGE,
    CANARY_NODE_INPUT_DETAILS,
    CANARY_NODE_OUTPUT_DETAILS,
    CANARY_NODE_CACHE_CREATION,
    CANARY_NODE_GEMINI,

    CANARY_NODE_MODEL,
    CANARY_NODE_TYPE,
    CANARY_NODE_OBJECT,
    CANARY_NODE_TIER,
    CANARY_NODE_ERROR,
    CANARY_NODE_JSONRPC,
    CANARY_NODE_IS_ERROR,
    CANARY_NODE_STATE,

    CANARY_NODE_COUNT                       /* and one for each count */
} canary_node_e;


/* The field "type" of a document. */

typedef enum {
    CANARY_TYPE_OTHER = 0,
    CANARY_TYPE_MESSAGE,
    CANARY_TYPE_MESSAGE_START,
    CANARY_TYPE_RESPONSE,
    CANARY_TYPE_RESPONSE_FAILED,
    CANARY_TYPE_ERROR
} canary_type_e;


static void canary_usage_text(canary_usage_document_t *d, unsigned node,
    canary_str_t text, unsigned cut);
static void canary_usage_model(canary_usage_document_t *d, canary_str_t text,
    unsigned cut);
static uint8_t canary_usage_type(canary_str_t text);
static uint8_t canary_usage_tier(canary_str_t text);
static int canary_usage_task_failed(canary_str_t state);
static void canary_usage_count(canary_usage_counts_t *c, unsigned i,
    canary_stream_type_e type, canary_str_t text, unsigned cut);

static void canary_usage_commit(canary_usage_reader_t *r);
static canary_failure_e canary_usage_failure(const canary_usage_reader_t *r);
static canary_api_e canary_usage_api(const canary_usage_document_t *d);
static void canary_usage_merge(canary_usage_reader_t *r);


#define canary_at(parent, node, key)                                          \
    { CANARY_NODE_ ## parent, CANARY_NODE_ ## node, canary_str(key) }
#define canary_counts(parent, name, key)                                      \
    { CANARY_NODE_ ## parent, CANARY_NODE_COUNT + CANARY_COUNT_ ## name,      \
      canary_str(key) }


/* What an answer can say that matters, and where: nowhere else. */

const canary_stream_path_t  canary_usage_paths[] = {
    canary_at(DOCUMENT, USAGE, "usage"),
    canary_at(DOCUMENT, GEMINI, "usageMetadata"),
    canary_at(DOCUMENT, MODEL, "model"),
    canary_at(DOCUMENT, MODEL, "modelVersion"),
    canary_at(DOCUMENT, TYPE, "type"),
    canary_at(DOCUMENT, OBJECT, "object"),
    canary_at(DOCUMENT, TIER, "service_tier"),
    canary_at(DOCUMENT, RESPONSE, "response"),
    canary_at(DOCUMENT, MESSAGE, "message"),
    canary_at(DOCUMENT, ERROR, "error"),
    canary_at(DOCUMENT, JSONRPC, "jsonrpc"),
    canary_at(DOCUMENT, RESULT, "result"),
    canary_at(DOCUMENT, TASK, "task"),
    canary_at(DOCUMENT, TASK, "statusUpdate"),
    canary_at(DOCUMENT, STATUS, "status"),

    canary_at(RESPONSE, USAGE, "usage"),
    canary_at(RESPONSE, MODEL, "model"),
    canary_at(RESPONSE, TIER, "service_tier"),

    canary_at(MESSAGE, USAGE, "usage"),
    canary_at(MESSAGE, MODEL, "model"),

    canary_at(RESULT, IS_ERROR, "isError"),
    canary_at(RESULT, STATUS, "status"),
    canary_at(RESULT, TASK, "task"),
    canary_at(RESULT, TASK, "statusUpdate"),

    canary_at(TASK, STATUS, "status"),

    canary_at(STATUS, STATE, "state"),

    canary_counts(USAGE, PROMPT, "prompt_tokens"),
    canary_counts(USAGE, COMPLETION, "completion_tokens"),
    canary_counts(USAGE, INPUT, "input_tokens"),
    canary_counts(USAGE, OUTPUT, "output_tokens"),
    canary_counts(USAGE, TOTAL, "total_tokens"),
    canary_counts(USAGE, CACHE_HIT, "prompt_cache_hit_tokens"),
    canary_counts(USAGE, CACHE_READ, "cache_read_input_tokens"),
    canary_counts(USAGE, CACHE_WRITE, "cache_creation_input_tokens"),
    canary_counts(USAGE, BEDROCK_INPUT, "inputTokens"),
    canary_counts(USAGE, BEDROCK_OUTPUT, "outputTokens"),
    canary_counts(USAGE, BEDROCK_READ, "cacheReadInputTokens"),
    canary_counts(USAGE, BEDROCK_WRITE, "cacheWriteInputTokens"),
    canary_at(USAGE, INPUT_DETAILS, "prompt_tokens_details"),
    canary_at(USAGE, INPUT_DETAILS, "input_tokens_details"),
    canary_at(USAGE, OUTPUT_DETAILS, "completion_tokens_details"),
    canary_at(USAGE, OUTPUT_DETAILS, "output_tokens_details"),
    canary_at(USAGE, CACHE_CREATION, "cache_creation"),
    canary_at(USAGE, TIER, "service_tier"),

    canary_counts(INPUT_DETAILS, DETAIL_READ, "cached_tokens"),
    canary_counts(INPUT_DETAILS, DETAIL_WRITE, "cache_write_tokens"),

    canary_counts(OUTPUT_DETAILS, REASONING, "reasoning_tokens"),
    canary_counts(OUTPUT_DETAILS, REASONING, "thinking_tokens"),

    canary_counts(CACHE_CREATION, WRITE_5M, "ephemeral_5m_input_tokens"),
    canary_counts(CACHE_CREATION, WRITE_1H, "ephemeral_1h_input_tokens"),

    canary_counts(GEMINI, GEMINI_PROMPT, "promptTokenCount"),
    canary_counts(GEMINI, GEMINI_TOOL, "toolUsePromptTokenCount"),
    canary_counts(GEMINI, GEMINI_CANDIDATES, "candidatesTokenCount"),
    canary_counts(GEMINI, GEMINI_THOUGHTS, "thoughtsTokenCount"),
    canary_counts(GEMINI, GEMINI_TOTAL, "totalTokenCount"),
    canary_counts(GEMINI, GEMINI_CACHED, "cachedContentTokenCount"),

    { CANARY_STREAM_NOWHERE, CANARY_STREAM_NOWHERE, canary_str("") }
};


const canary_str_t  canary_usage_state_names[CANARY_USAGE_STATES] = {
    canary_str("absent"),
    canary_str("partial"),
    canary_str("malformed"),
    canary_str("complete")
};


const canary_str_t  canary_api_names[CANARY_APIS] = {
    canary_str("none"),
    canary_str("openai_chat"),
    canary_str("openai_responses"),
    canary_str("anthropic"),
    canary_str("gemini"),
    canary_str("bedrock")
};


const canary_str_t  canary_failure_names[CANARY_FAILURES] = {
    canary_str("none"),
    canary_str("error_event"),
    canary_str("response_failed"),
    canary_str("jsonrpc_error"),
    canary_str("tool_error"),
    canary_str("task_failed"),
    canary_str("error_body")
};


void
canary_usage_value(void *data, unsigned node, canary_stream_type_e type,
    canary_str_t text, unsigned cut)
{
    canary_usage_reader_t    *r = data;

    canary_usage_document_t  *d;

    d = &r->document;

    if (node >= CANARY_NODE_COUNT) {
        canary_usage_count(&d->usage, node - CANARY_NODE_COUNT, type, text,
                           cut);
        return;
    }

    switch (node) {

    case CANARY_NODE_DOCUMENT:

        if (type == CANARY_STREAM_OBJECT) {
            memset(d, 0, sizeof(canary_usage_document_t));

        } else if (type == CANARY_STREAM_OBJECT_END) {
            canary_usage_commit(r);
        }

        break;

    case CANARY_NODE_USAGE:
    case CANARY_NODE_INPUT_DETAILS:
    case CANARY_NODE_OUTPUT_DETAILS:
    case CANARY_NODE_CACHE_CREATION:
    case CANARY_NODE_GEMINI:

        if (type != CANARY_STREAM_NULL
            && type != CANARY_STREAM_OBJECT
            && type != CANARY_STREAM_OBJECT_END)
        {
            d->usage.malformed = 1;
        }

        break;

    case CANARY_NODE_ERROR:
        d->error |= type == CANARY_STREAM_OBJECT;
        break;

    case CANARY_NODE_IS_ERROR:
        d->tool_error |= type == CANARY_STREAM_TRUE;
        break;

    default:

        if (type == CANARY_STREAM_STRING) {
            canary_usage_text(d, node, text, cut);
        }
    }
}


static void
canary_usage_text(canary_usage_document_t *d, unsigned node,
    canary_str_t text, unsigned cut)
{
    static const canary_str_t  failed = canary_str("failed");
    static const canary_str_t  response = canary_str("response");

    switch (node) {

    case CANARY_NODE_MODEL:
        canary_usage_model(d, text, cut);
        break;

    case CANARY_NODE_TYPE:
        d->type = canary_usage_type(text);
        break;

    case CANARY_NODE_OBJECT:
        d->is_response = (uint8_t) canary_str_eq(text, response);
        break;

    case CANARY_NODE_TIER:
        d->usage.tier = canary_usage_tier(text);
        break;

    case CANARY_NODE_JSONRPC:
        d->jsonrpc = 1;
        break;

    case CANARY_NODE_STATUS:
        d->failed = (uint8_t) canary_str_eq(text, failed);
        break;

    case CANARY_NODE_STATE:
        d->task_failed = (uint8_t) canary_usage_task_failed(text);
        break;

    default:
        break;
    }
}


/* A name that is not text is none; the first one that is counts. */

static void
canary_usage_model(canary_usage_document_t *d, canary_str_t text,
    unsigned cut)
{
    if (d->model_len > 0) {
        return;
    }

    /* not in the middle of a character */

    while (cut
           && text.len > CANARY_USAGE_MODEL_MAX - 3
           && !canary_str_is_text(text))
    {
        text.len--;
    }

    if (text.len == 0 || !canary_str_is_text(text)) {
        return;
    }

    memcpy(d->model, text.data, text.len);

    d->model_len = (uint8_t) text.len;
    d->model_cut = (uint8_t) cut;
}


static uint8_t
canary_usage_type(canary_str_t text)
{
    static const canary_str_t  message = canary_str("message");
    static const canary_str_t  message_start = canary_str("message_start");
    static const canary_str_t  message_delta = canary_str("message_delta");
    static const canary_str_t  failed = canary_str("response.failed");
    static const canary_str_t  error = canary_str("error");
    static const canary_str_t  response = canary_str("response.");

    if (canary_str_eq(text, message) || canary_str_eq(text, message_delta)) {
        return CANARY_TYPE_MESSAGE;
    }

    if (canary_str_eq(text, message_start)) {
        return CANARY_TYPE_MESSAGE_START;
    }

    if (canary_str_eq(text, failed)) {
        return CANARY_TYPE_RESPONSE_FAILED;
    }

    if (canary_str_eq(text, error)) {
        return CANARY_TYPE_ERROR;
    }

    if (text.len > response.len) {
        text.len = response.len;

        if (canary_str_eq(text, response)) {
            return CANARY_TYPE_RESPONSE;
        }
    }

    return CANARY_TYPE_OTHER;
}


/* What was asked for as "fast" may read back as either. */

static uint8_t
canary_usage_tier(canary_str_t text)
{
    static const canary_str_t  priority = canary_str("priority");
    static const canary_str_t  fast = canary_str("fast");
    static const canary_str_t  flex = canary_str("flex");

    if (canary_str_eq(text, priority) || canary_str_eq(text, fast)) {
        return CANARY_TIER_PRIORITY;
    }

    return canary_str_eq(text, flex) ? CANARY_TIER_FLEX
                                     : CANARY_TIER_STANDARD;
}


static int
canary_usage_task_failed(canary_str_t state)
{
    unsigned  i;

    static const canary_str_t  failed[] = {
        canary_str("failed"),
        canary_str("rejected"),
        canary_str("TASK_STATE_FAILED"),
        canary_str("TASK_STATE_REJECTED")
    };

    for (i = 0; i < sizeof(failed) / sizeof(failed[0]); i++) {
        if (canary_str_eq(state, failed[i])) {
            return 1;
        }
    }

    return 0;
}


/* A count is an integer as JSON spells it; null is one that is not given. */

static void
canary_usage_count(canary_usage_counts_t *c, unsigned i,
    canary_stream_type_e type, canary_str_t text, unsigned cut)
{
    size_t    k;
    uint64_t  n;

    if (type == CANARY_STREAM_NULL) {
        return;
    }

    if (type != CANARY_STREAM_NUMBER
        || cut
        || c->present >> i & 1)
    {
        c->malformed = 1;
        return;
    }

    for (k = 0, n = 0; k < text.len; k++) {
        if (text.data[k] < '0' || text.data[k] > '9') {
            c->malformed = 1;
            return;
        }

        n = n * 10 + (uint64_t) (text.data[k] - '0');

        if (n > CANARY_USAGE_COUNT_MAX) {
            c->malformed = 1;
            return;
        }
    }

    c->present |= (uint32_t) 1 << i;
    c->count[i] = n;
}


/* The document is over: it counts. */

static void
canary_usage_commit(canary_usage_reader_t *r)
{
    canary_usage_document_t  *d;

    d = &r->document;

    if (r->failure == CANARY_FAILURE_NONE) {
        r->failure = (uint8_t) canary_usage_failure(r);
    }

    if (r->model_len == 0 && d->model_len > 0) {
        memcpy(r->model, d->model, d->model_len);

        r->model_len = d->model_len;
        r->model_cut = d->model_cut;
    }

    if (d->usage.malformed) {
        r->malformed = 1;

    } else if (d->usage.present) {
        canary_usage_merge(r);
    }
}


static canary_failure_e
canary_usage_failure(const canary_usage_reader_t *r)
{
    const canary_usage_document_t  *d;

    d = &r->document;

    if (d->task_failed) {
        return CANARY_FAILURE_TASK;
    }

    if (d->tool_error) {
        return CANARY_FAILURE_TOOL;
    }

    if (d->type == CANARY_TYPE_RESPONSE_FAILED
        || (d->is_response && d->failed))
    {
        return CANARY_FAILURE_RESPONSE;
    }

    if (d->jsonrpc) {
        return d->error ? CANARY_FAILURE_JSONRPC : CANARY_FAILURE_NONE;
    }

    if (r->kind == CANARY_USAGE_SSE) {
        return d->error || d->type == CANARY_TYPE_ERROR
               ? CANARY_FAILURE_EVENT : CANARY_FAILURE_NONE;
    }

    return d->error ? CANARY_FAILURE_BODY : CANARY_FAILURE_NONE;
}


/*
 * By the names of the counts; what Anthropic and Responses name alike, by
 * what the document says it is, and by what only Responses has.
 */

static canary_api_e
canary_usage_api(const canary_usage_document_t *d)
{
    uint32_t  present;

    static const uint32_t  gemini = canary_bit(GEMINI_PROMPT)
                                    | canary_bit(GEMINI_TOOL)
                                    | canary_bit(GEMINI_CANDIDATES)
                                    | canary_bit(GEMINI_THOUGHTS)
                                    | canary_bit(GEMINI_TOTAL)
                                    | canary_bit(GEMINI_CACHED);
    static const uint32_t  bedrock = canary_bit(BEDROCK_INPUT)
                                     | canary_bit(BEDROCK_OUTPUT)
                                     | canary_bit(BEDROCK_READ)
                                     | canary_bit(BEDROCK_WRITE);
    static const uint32_t  chat = canary_bit(PROMPT) | canary_bit(COMPLETION);
    static const uint32_t  openai = canary_bit(TOTAL)
                                    | canary_bit(DETAIL_READ)
                                    | canary_bit(DETAIL_WRITE);

    present = d->usage.present;

    if (present & chat) {
        return CANARY_API_CHAT;
    }

    if (present & gemini) {
        return CANARY_API_GEMINI;
    }

    if (present & bedrock) {
        return CANARY_API_BEDROCK;
    }

    switch (d->type) {

    case CANARY_TYPE_MESSAGE:
    case CANARY_TYPE_MESSAGE_START:
        return CANARY_API_ANTHROPIC;

    case CANARY_TYPE_RESPONSE:
    case CANARY_TYPE_RESPONSE_FAILED:
        return CANARY_API_RESPONSES;

    default:
        return d->is_response || (present & openai) ? CANARY_API_RESPONSES
                                                    : CANARY_API_ANTHROPIC;
    }
}


/*
 * All APIs count from the beginning of the answer, so that the last usage
 * says it all; Anthropic's says of each count no more than changed.
 */

static void
canary_usage_merge(canary_usage_reader_t *r)
{
    unsigned                  i;
    canary_api_e              api;
    canary_usage_counts_t    *all;
    canary_usage_document_t  *d;

    d = &r->document;
    all = &r->usage;
    api = canary_usage_api(d);

    if (api != CANARY_API_ANTHROPIC || all->api != CANARY_API_ANTHROPIC) {
        *all = d->usage;
        all->api = (uint8_t) api;

    } else {
        for (i = 0; i < CANARY_USAGE_COUNTS; i++) {
            if (d->usage.present >> i & 1) {
                all->count[i] = d->usage.count[i];
            }
        }

        all->present |= d->usage.present;
    }

    r->seen = 1;
    r->complete |= d->type != CANARY_TYPE_MESSAGE_START;
}


void
canary_usage_result(const canary_usage_reader_t *r, canary_usage_t *usage)
{
    memset(usage, 0, sizeof(canary_usage_t));

    usage->api = (canary_api_e) r->usage.api;
    usage->failure = (canary_failure_e) r->failure;
    usage->tier = (canary_tier_e) r->usage.tier;

    usage->model_cut = r->model_cut;
    usage->model_len = r->model_len;
    memcpy(usage->model, r->model, r->model_len);

    if (r->malformed) {
        usage->state = CANARY_USAGE_MALFORMED;
        return;
    }

    if (!r->seen) {
        return;
    }

    if (!r->complete) {
        usage->state = CANARY_USAGE_PARTIAL;
        return;
    }

    usage->state = canary_usage_total(usage, &r->usage);

    if (usage->state != CANARY_USAGE_COMPLETE) {
        usage->input = 0;
        usage->cache_read = 0;
        usage->cache_write = 0;
        usage->cache_write_1h = 0;
        usage->output = 0;
        usage->reasoning = 0;
    }
}
