
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include "needle.h"
#include "support.h"
#include "usage.h"


#define CASES  "suites/usage"


/* The body in pieces, each in memory of its own that ends where it ends. */

static void
feed_pieces(canary_usage_reader_t *r, canary_str_t body,
    size_t (*piece)(size_t arg), size_t arg)
{
    char    *copy;
    size_t   i, n;

    for (i = 0; i < body.len; i += n) {
        n = piece(arg);

        if (n > body.len - i) {
            n = body.len - i;
        }

        copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, body.data + i, n);

        canary_usage_feed(r, copy, n);
        free(copy);
    }
}


static size_t
piece_of(size_t arg)
{
    return arg;
}


static size_t
piece_random(size_t arg)
{
    return random_below((uint32_t) arg);
}


static void
read_in(canary_usage_t *usage, canary_usage_kind_e kind, canary_str_t body,
    size_t (*piece)(size_t arg), size_t arg)
{
    canary_usage_reader_t  r;

    canary_usage_init(&r, kind);
    feed_pieces(&r, body, piece, arg);
    canary_usage_finish(&r, usage);
}


static void
read_whole(canary_usage_t *usage, canary_usage_kind_e kind, canary_str_t body)
{
    read_in(usage, kind, body, piece_of, body.len ? body.len : 1);
}


/* The result in a form that a person can check. */

static void
dump(buffer_t *out, const canary_usage_t *u)
{
    unsigned  i;
    char      line[64];

    static const char *const  tiers[] = { "standard", "priority", "flex" };

    const struct {
        const char  *name;
        uint64_t     count;
    } counts[] = {
        { "input", u->input },
        { "cache_read", u->cache_read },
        { "cache_write", u->cache_write },
        { "cache_write_1h", u->cache_write_1h },
        { "output", u->output },
        { "reasoning", u->reasoning }
    };

    buffer_add_text(out, "state ");
    buffer_add_text(out, canary_usage_state_names[u->state].data);
    buffer_add_text(out, "\napi ");
    buffer_add_text(out, canary_api_names[u->api].data);
    buffer_add_text(out, "\nfailure ");
    buffer_add_text(out, canary_failure_names[u->failure].data);
    buffer_add_text(out, "\ntier ");
    buffer_add_text(out, tiers[u->tier]);
    buffer_add_text(out, u->model_len ? "\nmodel " : "\nmodel");
    buffer_add(out, u->model, u->model_len);
    buffer_add_text(out, u->model_cut ? " cut\n" : "\n");

    for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        (void) snprintf(line, sizeof(line), "%s %" PRIu64 "\n",
                        counts[i].name, counts[i].count);
        buffer_add_text(out, line);
    }
}


static void
assert_same(const canary_usage_t *a, const canary_usage_t *b,
    const char *what, size_t n)
{
    if (memcmp(a, b, sizeof(canary_usage_t)) != 0) {
        fail_msg("%s: differs in pieces of %zu", what, n);
    }
}


/* The first line is the Content-Type, the rest the body. */

static void
run_case(const char *name)
{
    char                  path[512];
    size_t                n;
    buffer_t              got, input, output;
    canary_str_t          body, type;
    canary_usage_t        pieces, whole;
    canary_usage_kind_e   kind;

    input = (buffer_t) { 0 };
    output = (buffer_t) { 0 };
    got = (buffer_t) { 0 };

    (void) snprintf(path, sizeof(path), CASES "/%s/input", name);
    assert_int_equal(read_file(path, &input), 0);

    (void) snprintf(path, sizeof(path), CASES "/%s/output", name);
    assert_int_equal(read_file(path, &output), 0);

    type.data = input.data;
    type.len = strcspn(input.data, "\n");
    body.data = type.data + type.len + 1;
    body.len = input.len - type.len - 1;

    kind = canary_usage_kind(type);
    read_whole(&whole, kind, body);

    dump(&got, &whole);

    if (got.len != output.len || memcmp(got.data, output.data, got.len) != 0) {
        fail_msg("%s: expected\n%.*s\nbut got\n%.*s", name,
                 (int) output.len, output.data, (int) got.len, got.data);
    }

    for (n = 1; n <= 64; n++) {
        read_in(&pieces, kind, body, piece_of, n);
        assert_same(&whole, &pieces, name, n);
    }

    for (n = 0; n < 64; n++) {
        read_in(&pieces, kind, body, piece_random, 2 + (n * n) % 700);
        assert_same(&whole, &pieces, name, n);
    }

    buffer_free(&got);
    buffer_free(&input);
    buffer_free(&output);
}


static void
cases_of_the_suite(void **state)
{
    DIR            *dir;
    unsigned        n;
    struct dirent  *entry;

    (void) state;

    dir = opendir(CASES);
    assert_non_null(dir);

    n = 0;

    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            run_case(entry->d_name);
            n++;
        }
    }

    (void) closedir(dir);

    assert_true(n >= 160);
}


static void
kinds_of_content_types(void **state)
{
    unsigned  i;

    static const struct {
        const char           *type;
        canary_usage_kind_e   kind;
    } types[] = {
        { "application/json", CANARY_USAGE_JSON },
        { " APPLICATION/Json ;charset=utf-8", CANARY_USAGE_JSON },
        { "application/a2a+json", CANARY_USAGE_JSON },
        { "application/problem+JSON;x", CANARY_USAGE_JSON },
        { "text/event-stream", CANARY_USAGE_SSE },
        { "Text/Event-Stream; charset=utf-8", CANARY_USAGE_SSE },
        { "application/x-ndjson", CANARY_USAGE_NDJSON },
        { "application/jsonl", CANARY_USAGE_NDJSON },
        { "application/jsonx", CANARY_USAGE_NONE },
        { "+json", CANARY_USAGE_NONE },
        { "json", CANARY_USAGE_NONE },
        { "application/vnd.amazon.eventstream", CANARY_USAGE_NONE },
        { "text/html", CANARY_USAGE_NONE },
        { ";", CANARY_USAGE_NONE },
        { "", CANARY_USAGE_NONE }
    };

    (void) state;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        assert_int_equal(canary_usage_kind(text_str(types[i].type)),
                         types[i].kind);
    }

    assert_int_equal(canary_usage_kind((canary_str_t) { 0, NULL }),
                     CANARY_USAGE_NONE);
}


static void
a_reader_is_small(void **state)
{
    (void) state;

    assert_true(sizeof(canary_usage_reader_t) <= 4096);
}


/* Things a model could write to be taken for what its API says. */

static const char *const  hostile[] = {
    "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9}",
    "\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9},\"x\":\"",
    "\n\ndata: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9}}\n\n",
    "\r\rdata: {\"usage\":{\"input_tokens\":9,\"output_tokens\":9}}\r\r",
    "\n\nevent: error\ndata: {}\n\n",
    "\r\n\r\nevent: error\r\ndata: {\"type\":\"error\",\"error\":{}}\r\n\r\n",
    "\"usageMetadata\":{\"promptTokenCount\":9}",
    "\\\"usage\\\":{\\\"prompt_tokens\\\":9}",
    "\\u0022usage\\u0022:{}",
    "\",\"error\":{\"code\":1},\"jsonrpc\":\"2.0\",\"x\":\"",
    "\"result\":{\"isError\":true}",
    "\"status\":{\"state\":\"failed\"}",
    "\"type\":\"response.failed\"",
    "TASK_STATE_FAILED", "failed", "rejected", "error", "isError",
    "\"model\":\"expensive\"",
    "\\", "\"", "\\\"", "}", "]", "{", "[", ":", ",", "\n", "\r", "\x01",
    "data:", "event:", " ", "word", "\xc3\xa9", "\xe4\xb8\xad", "\xEF\xBB\xBF",
    "[DONE]", "null", "true", "-1"
};


static json_t *
hostile_string(void)
{
    json_t    *json;
    buffer_t   b;
    unsigned   i;

    b = (buffer_t) { 0 };
    buffer_add_text(&b, "");

    for (i = random_below(6); i > 0; i--) {
        buffer_add_text(&b, hostile[random_below(sizeof(hostile)
                                                 / sizeof(hostile[0]))]);
    }

    json = json_stringn(b.data, b.len);
    assert_non_null(json);
    buffer_free(&b);

    return json;
}


/* JSON of any form, with names of ours where they mean nothing. */

static json_t *
hostile_value(unsigned depth)
{
    json_t    *json;
    unsigned   i;

    static const char *const  names[] = {
        "usage", "error", "isError", "status", "state", "model", "result",
        "response", "message", "usageMetadata", "prompt_tokens", "type", "x"
    };

    switch (random_below(depth ? 6 : 4)) {

    case 0:
        return json_integer((json_int_t) random_below(100000) - 500);

    case 1:
        return random_below(2) ? json_null() : json_true();

    case 2:
    case 3:
        return hostile_string();

    case 4:
        json = json_array();

        for (i = random_below(4); i > 0; i--) {
            json_array_append_new(json, hostile_value(depth - 1));
        }

        return json;

    default:
        json = json_object();

        for (i = random_below(4); i > 0; i--) {
            json_object_set_new(json, names[random_below(13)],
                                hostile_value(depth - 1));
        }

        return json;
    }
}


/* Content of a chunk: what is not ours to read can be anything. */

static json_t *
hostile_chunk(void)
{
    json_t  *chunk;

    chunk = json_object();

    json_object_set_new(chunk, "id", hostile_string());
    json_object_set_new(chunk, "choices", hostile_value(5));
    json_object_set_new(chunk, "output", hostile_value(3));
    json_object_set_new(chunk, "metadata", hostile_value(3));

    return chunk;
}


static void
add_json(buffer_t *b, const json_t *json)
{
    char    *text;
    size_t   flags;

    static const size_t  styles[] = {
        JSON_COMPACT, 0, JSON_ENSURE_ASCII, JSON_COMPACT | JSON_ESCAPE_SLASH
    };

    flags = styles[random_below(4)];
    text = json_dumps(json, flags);
    assert_non_null(text);

    buffer_add_text(b, text);
    free(text);
}


static void
add_event(buffer_t *b, const char *before, json_t *json)
{
    static const char *const  ends[] = { "\n\n", "\r\n\r\n", "\r\r" };

    buffer_add_text(b, before);
    buffer_add_text(b, random_below(4) ? "data: " : "data:");
    add_json(b, json);
    buffer_add_text(b, ends[random_below(8) ? 0 : random_below(3)]);

    json_decref(json);
}


/* Streams of hostile text around one usage, or none. */

static void
text_is_never_a_usage(void **state)
{
    json_t          *chunk;
    buffer_t         b;
    unsigned         i, n, with;
    canary_usage_t   expected, got;

    (void) state;

    memset(&expected, 0, sizeof(expected));

    for (n = 0; n < 4000; n++) {
        b = (buffer_t) { 0 };
        buffer_add_text(&b, "");
        with = random_below(4);

        for (i = random_below(6); i > 0; i--) {
            add_event(&b, "", hostile_chunk());
        }

        if (with) {
            chunk = hostile_chunk();
            json_object_set_new(chunk, "model", json_string("m"));
            json_object_set_new(chunk, "usage",
                                json_pack("{s:i,s:i}", "prompt_tokens", 12,
                                          "completion_tokens", 34));
            add_event(&b, "", chunk);
            add_event(&b, "", hostile_chunk());
        }

        read_in(&got, CANARY_USAGE_SSE, buffer_str(&b), piece_random,
                2 + random_below(3000));

        expected.state = with ? CANARY_USAGE_COMPLETE : CANARY_USAGE_ABSENT;
        expected.api = with ? CANARY_API_CHAT : CANARY_API_NONE;
        expected.input = with ? 12 : 0;
        expected.output = with ? 34 : 0;
        expected.model_len = with ? 1 : 0;
        expected.model[0] = with ? 'm' : '\0';

        if (memcmp(&expected, &got, sizeof(got)) != 0) {
            fail_msg("%.*s", (int) b.len, b.data);
        }

        buffer_free(&b);
    }
}


/*
 * Documents that mean something, in any mixture: reading what can be passed
 * over changes nothing.
 */

static const char *const  meanings[] = {
    "{\"model\":\"a\",\"usage\":{\"prompt_tokens\":3,"
        "\"completion_tokens\":4}}",
    "{\"usage\":null,\"model\":\"b\"}",
    "{\"usage\" : null , \"error\": null}",
    "{\"usage\":\tnull,\"usage\":{\"input_tokens\":1,\"output_tokens\":2,"
        "\"total_tokens\":3}}",
    "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1,"
        "\"output_tokens\":1}}}",
    "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}",
    "{\"usageMetadata\":{\"promptTokenCount\":5,\"candidatesTokenCount\":6}}",
    "{\"usage\":{\"prompt_tokens\":-1}}",
    "{\"\\u0075sage\":{\"prompt_tokens\":8}}",
    "{\"\\u0065rror\":{}}",
    "{\"error\":{}}",
    "{\"error\":\"x\"}",
    "{\"jsonrpc\":\"2.0\",\"error\":{}}",
    "{\"jsonrpc\":\"2.0\",\"result\":{\"isError\":true}}",
    "{\"result\":{\"isError\":false}}",
    "{\"result\":{\"status\":{\"state\":\"failed\"}}}",
    "{\"result\":{\"status\":{\"state\" : \"rejected\"}}}",
    "{\"task\":{\"status\":{\"state\":\"TASK_STATE_REJECTED\"}}}",
    "{\"task\":{\"status\":{\"state\":\"TASK_STATE_WORKING\"}}}",
    "{\"object\":\"response\",\"status\":\"failed\"}",
    "{\"object\":\"response\",\"status\":\"fa\\u0069led\"}",
    "{\"type\":\"response.failed\"}",
    "{\"type\":\"error\"}",
    "{\"choices\":[{\"delta\":{\"content\":\"word\"}}]}",
    "{\"choices\":[{\"delta\":{\"content\":\"\\u4e2d\\n\\\"\"}}]}",
    "{\"broken\":", "[", "\"", "{\"usage\":{\"prompt_tokens\":1}", "[DONE]"
};


static void
passing_over_changes_nothing(void **state)
{
    buffer_t         fast, slow;
    unsigned         i, n;
    const char      *end, *meaning;
    canary_usage_t   read, passed;

    static const char *const  ends[] = {
        "\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\n: x\n\n", "\n"
    };

    (void) state;

    for (n = 0; n < 20000; n++) {
        fast = (buffer_t) { 0 };
        slow = (buffer_t) { 0 };
        buffer_add_text(&fast, "");
        buffer_add_text(&slow, "");

        for (i = random_below(8); i > 0; i--) {
            meaning = meanings[random_below(sizeof(meanings)
                                            / sizeof(meanings[0]))];
            end = ends[random_below(3) ? 0 : random_below(6)];

            if (random_below(3) == 0) {
                meaning = meanings[23];
            }

            /* the comment has a needle: the event is read */

            buffer_add_text(&slow, ":\"usage\"\n");

            if (random_below(10) == 0) {
                buffer_add_text(&fast, "event: error\n");
                buffer_add_text(&slow, "event: error\n");
            }

            buffer_add_text(&fast, "data: ");
            buffer_add_text(&slow, "data: ");
            buffer_add_text(&fast, meaning);
            buffer_add_text(&slow, meaning);
            buffer_add_text(&fast, end);
            buffer_add_text(&slow, end);
        }

        read_whole(&read, CANARY_USAGE_SSE, buffer_str(&slow));
        read_in(&passed, CANARY_USAGE_SSE, buffer_str(&fast), piece_random,
                2 + random_below(400));

        if (memcmp(&read, &passed, sizeof(read)) != 0) {
            fail_msg("%.*s", (int) fast.len, fast.data);
        }

        buffer_free(&fast);
        buffer_free(&slow);
    }
}


/* Wherever it stands among whatever bytes there are, it is found. */

static void
needles_are_found_anywhere(void **state)
{
    char      *bytes;
    size_t     at, len, size;
    unsigned   i;

    static const char *const  needles[] = {
        "\"usage\"", "\"usage\":{", "\"usageMetadata\"", "\"error\":",
        "\"isError\"", "\"state\":\"failed\"", "\"status\" : \"rejected\"",
        "\"state\":\"TASK_STATE_FAILED\"", "\"type\":\"response.failed\"",
        "\"state\":\t\"TASK_STATE_REJECTED\"", "event: error",
        "\\u0075", "\\u007A", "\\u0022", "\"state\":\n", "\"error\":\n"
    };

    static const char *const  nothing[] = {
        "\"usage\":null", "\"usage\" :\tnull,", "\"error\": null",
        "\"state\":\"working\"", "\"status\":\"in_progress\"",
        "\"state\":\"TASK_STATE_WORKING\"", "\\u4e2d", "\\u00e9", "\\u000a",
        "\"usag\"", "\"erro", "\"user\"", "\"role\"", "\"service_tier\"",
        "\"response.completed\"", "\"failed\"", "\"model\""
    };

    (void) state;

    for (size = 1; size < 200; size++) {
        bytes = malloc(size);
        assert_non_null(bytes);

        for (i = 0; i < sizeof(needles) / sizeof(needles[0]); i++) {
            len = strlen(needles[i]);

            for (at = 0; at + len <= size; at += 1 + random_below(5)) {
                memset(bytes, 'x', size);
                memcpy(bytes + at, needles[i], len);

                assert_non_null(canary_needle_find(bytes, size, 0));
                assert_non_null(canary_needle_find(bytes, size, 1));
            }
        }

        for (i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
            len = strlen(nothing[i]);

            for (at = 0; at + len <= size; at += 1 + random_below(5)) {
                memset(bytes, 'x', size);
                memcpy(bytes + at, nothing[i], len);

                assert_null(canary_needle_find(bytes, size, 0));
            }
        }

        memset(bytes, 'x', size);

        if (size >= 7) {
            memcpy(bytes + size - 7, "\"model\"", 7);
            assert_non_null(canary_needle_find(bytes, size, 1));
        }

        free(bytes);
    }

    assert_null(canary_needle_find(NULL, 0, 1));
}


/* A hundred megabytes, and what they say at their end. */

static void
long_bodies_are_read_to_the_end(void **state)
{
    char                  *piece;
    unsigned               i;
    canary_usage_t         usage;
    canary_usage_reader_t  r;

    static const canary_str_t  json =
        canary_str("\"],\"model\":\"m\",\"usage\":{\"prompt_tokens\":1}}");
    static const canary_str_t  sse =
        canary_str("\n\ndata: {\"usage\":{\"prompt_tokens\":2}}\n\n");

    (void) state;

    piece = malloc(1048576);
    assert_non_null(piece);
    memset(piece, 'x', 1048576);

    canary_usage_init(&r, CANARY_USAGE_JSON);
    canary_usage_feed(&r, "{\"x\":[\"", 7);

    for (i = 0; i < 100; i++) {
        canary_usage_feed(&r, piece, 1048576);
    }

    canary_usage_feed(&r, json.data, json.len);
    canary_usage_finish(&r, &usage);
    assert_int_equal(usage.state, CANARY_USAGE_COMPLETE);
    assert_int_equal(usage.input, 1);

    canary_usage_init(&r, CANARY_USAGE_SSE);
    canary_usage_feed(&r, "data: \"", 7);

    for (i = 0; i < 100; i++) {
        canary_usage_feed(&r, piece, 1048576);
    }

    canary_usage_feed(&r, sse.data, sse.len);
    canary_usage_finish(&r, &usage);
    assert_int_equal(usage.state, CANARY_USAGE_COMPLETE);
    assert_int_equal(usage.input, 2);

    free(piece);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(cases_of_the_suite),
        cmocka_unit_test(kinds_of_content_types),
        cmocka_unit_test(a_reader_is_small),
        cmocka_unit_test(text_is_never_a_usage),
        cmocka_unit_test(passing_over_changes_nothing),
        cmocka_unit_test(needles_are_found_anywhere),
        cmocka_unit_test(long_bodies_are_read_to_the_end)
    };

    return cmocka_run_group_tests(tests, random_setup, NULL);
}
