
/*
 * What an answer says of itself while it passes: the tokens it used, the
 * model that made it, and a failure behind a status of 200.
 *
 * The reader is fed the bytes of the body in pieces of any size, changes and
 * holds back none, allocates nothing, and is of constant size.  However the
 * bytes are cut, the result is the same.  Only values at the very paths that
 * an API documents count: text a model writes is never one.
 */


#ifndef CANARY_USAGE_H
#define CANARY_USAGE_H


#include <stdint.h>
#include "str.h"
#include "stream.h"


#define CANARY_USAGE_MODEL_MAX  128

/* A larger count is no count. */
#define CANARY_USAGE_COUNT_MAX  1000000000000ULL


/* How a body is made of JSON documents.  One of these, or what is between
 * two blank lines of a stream, is an event here. */

typedef enum {
    CANARY_USAGE_NONE = 0,                  /* it is not */
    CANARY_USAGE_JSON,                      /* one, or an array of them */
    CANARY_USAGE_NDJSON,                    /* one on each line */
    CANARY_USAGE_SSE                        /* one in each event */
} canary_usage_kind_e;


typedef enum {
    CANARY_USAGE_ABSENT = 0,
    CANARY_USAGE_PARTIAL,                   /* of an answer that broke off */
    CANARY_USAGE_MALFORMED,
    CANARY_USAGE_COMPLETE
} canary_usage_state_e;


#define CANARY_USAGE_STATES  4


typedef enum {
    CANARY_API_NONE = 0,
    CANARY_API_CHAT,                        /* OpenAI Chat Completions */
    CANARY_API_RESPONSES,                   /* OpenAI Responses */
    CANARY_API_ANTHROPIC,                   /* Anthropic Messages */
    CANARY_API_GEMINI,                      /* Gemini, Vertex */
    CANARY_API_BEDROCK                      /* Bedrock Converse */
} canary_api_e;


#define CANARY_APIS  6


typedef enum {
    CANARY_FAILURE_NONE = 0,
    CANARY_FAILURE_EVENT,                   /* an SSE event that is an error */
    CANARY_FAILURE_RESPONSE,                /* a response that failed */
    CANARY_FAILURE_JSONRPC,
    CANARY_FAILURE_TOOL,                    /* MCP isError */
    CANARY_FAILURE_TASK,                    /* A2A failed or rejected */
    CANARY_FAILURE_BODY                     /* a body that is an error */
} canary_failure_e;


#define CANARY_FAILURES  7


/* What decides which of a model's rates apply. */

typedef enum {
    CANARY_TIER_STANDARD = 0,
    CANARY_TIER_PRIORITY,
    CANARY_TIER_FLEX
} canary_tier_e;


#define CANARY_TIERS  3


/*
 * Tokens as they are priced, whatever the API calls them.  All counts are 0
 * unless the state is CANARY_USAGE_COMPLETE.
 */

typedef struct {
    canary_usage_state_e  state;
    canary_api_e          api;
    canary_failure_e      failure;
    canary_tier_e         tier;

    uint64_t              input;            /* cached tokens included */
    uint64_t              cache_read;
    uint64_t              cache_write;      /* for 5 minutes, or unsaid */
    uint64_t              cache_write_1h;
    uint64_t              output;           /* reasoning included */
    uint64_t              reasoning;

    unsigned              model_cut;        /* the name was longer */
    size_t                model_len;        /* 0: not said */
    char                  model[CANARY_USAGE_MODEL_MAX + 1];
} canary_usage_t;


/* Names of counts as the APIs spell them: see usage_total.h. */
#define CANARY_USAGE_COUNTS     23

/* More of a line of SSE than tells what it is. */
#define CANARY_USAGE_FIELD_MAX  16

/* An event that is not here as a whole is kept until it is, if it is small:
 * most can be passed over then. */
#define CANARY_USAGE_CARRY_MAX  1024


typedef struct {
    uint32_t              present;          /* a bit for each count */
    uint8_t               malformed;
    uint8_t               api;
    uint8_t               tier;
    uint64_t              count[CANARY_USAGE_COUNTS];
} canary_usage_counts_t;


/* What one document said so far: it counts when the document is over. */

typedef struct {
    uint8_t               type;
    uint8_t               is_response;
    uint8_t               jsonrpc;
    uint8_t               error;
    uint8_t               failed;           /* a status that says so */
    uint8_t               tool_error;
    uint8_t               task_failed;
    uint8_t               model_cut;
    uint8_t               model_len;
    canary_usage_counts_t usage;
    char                  model[CANARY_USAGE_MODEL_MAX];
} canary_usage_document_t;


typedef struct {
    canary_usage_kind_e      kind;
    canary_stream_t          stream;
    canary_usage_document_t  document;

    canary_usage_counts_t    usage;         /* of the whole answer */
    uint8_t                  seen;
    uint8_t                  complete;
    uint8_t                  malformed;
    uint8_t                  failure;
    uint8_t                  model_cut;
    uint8_t                  model_len;
    char                     model[CANARY_USAGE_MODEL_MAX];

    uint8_t                  line;          /* what the line at hand is */
    uint8_t                  after_cr;
    uint8_t                  not_first;     /* line */
    uint8_t                  has_data;      /* the event at hand */
    uint8_t                  is_error;
    uint8_t                  field_len;
    char                     field[CANARY_USAGE_FIELD_MAX];

    uint16_t                 carry_len;
    char                     carry[CANARY_USAGE_CARRY_MAX];
} canary_usage_reader_t;


/* By the media type of a Content-Type; parameters are ignored. */

canary_usage_kind_e canary_usage_kind(canary_str_t content_type);

void canary_usage_init(canary_usage_reader_t *r, canary_usage_kind_e kind);

void canary_usage_feed(canary_usage_reader_t *r, const char *p, size_t len);

/* The body is over: to be called once, nothing may be fed afterwards. */

void canary_usage_finish(canary_usage_reader_t *r, canary_usage_t *usage);


extern const canary_str_t  canary_usage_state_names[CANARY_USAGE_STATES];
extern const canary_str_t  canary_api_names[CANARY_APIS];
extern const canary_str_t  canary_failure_names[CANARY_FAILURES];


#endif /* CANARY_USAGE_H */
