
#include <stdio.h>
#include <string.h>
#include "text.h"
#include "url.h"


#define CANARYD_DB_MAX  1000000


static int canaryd_after(canary_str_t *text, const char *start);
static int canaryd_url_clean(canary_str_t text);
static void canaryd_url_error(canary_error_t *err, const char *name,
    canary_str_t text, const char *expected);
static canary_str_t canaryd_until(canary_str_t *text, char c);
static int canaryd_host_port(canary_str_t text, char *host, uint16_t *port);
static int canaryd_number(canary_str_t text, uint32_t max, uint32_t *number);
static int canaryd_api_socket(canaryd_api_t *api, canary_str_t text);
static int canaryd_redis_socket(canaryd_redis_t *redis, canary_str_t text);


int
canaryd_api_parse(canaryd_api_t *api, canary_str_t text, canary_error_t *err)
{
    char          host[CANARYD_HOST_MAX];
    uint16_t      port;
    canary_str_t  rest, place;

    static const char  expected[] = "expected unix:/path/of.sock:/canary/ or "
                                    "http://host[:port]/canary/, with a slash "
                                    "at the end";

    memset(api, 0, sizeof(canaryd_api_t));

    rest = text;

    if (text.len >= CANARYD_URL_MAX / 2 || !canaryd_url_clean(text)
        || text.data[text.len - 1] != '/')
    {
        canaryd_url_error(err, "--nginx", text, expected);
        return -1;
    }

    if (canaryd_after(&rest, "unix:")) {
        if (canaryd_api_socket(api, rest) == 0) {
            return 0;
        }

    } else if (canaryd_after(&rest, "http://")) {
        place = canaryd_until(&rest, '/');

        /* whoever reads the log would read the password */

        if (memchr(place.data, '@', place.len)) {
            canaryd_url_error(err, "--nginx", text,
                              "expected no user and no password");
            return -1;
        }

        if (canaryd_host_port(place, host, &port) == 0) {
            canaryd_copy(api->url, sizeof(api->url), text);
            return 0;
        }
    }

    canaryd_url_error(err, "--nginx", text, expected);

    return -1;
}


/* "/path/of.sock:/canary/" */

static int
canaryd_api_socket(canaryd_api_t *api, canary_str_t text)
{
    canary_str_t  path;

    path = canaryd_until(&text, ':');

    if (path.len == 0 || path.data[0] != '/' || path.len >= CANARYD_PATH_MAX
        || text.len == 0 || text.data[0] != '/')
    {
        return -1;
    }

    canaryd_copy(api->socket, sizeof(api->socket), path);

    (void) snprintf(api->url, sizeof(api->url), "http://localhost%.*s",
                    (int) text.len, text.data);

    return 0;
}


int
canaryd_redis_parse(canaryd_redis_t *redis, canary_str_t text,
    canary_error_t *err)
{
    const char    *expected;
    canary_str_t   rest, place;

    memset(redis, 0, sizeof(canaryd_redis_t));

    rest = text;
    expected = "expected redis://host[:port][/db], rediss:// for TLS, or "
               "unix:/path/of.sock[:/db]";

    if (!canaryd_url_clean(text)) {
        canaryd_url_error(err, "--redis", text, expected);
        return -1;
    }

    if (canaryd_after(&rest, "unix:")) {
        if (canaryd_redis_socket(redis, rest) == 0) {
            return 0;
        }

    } else if (canaryd_after(&rest, "redis://")
               || canaryd_after(&rest, "rediss://"))
    {
        redis->tls = text.data[5] == 's';
        place = canaryd_until(&rest, '/');

        if (memchr(place.data, '@', place.len)) {
            expected = "expected no user and password here but --redis-user "
                       "and --redis-password-file";

        } else if (canaryd_host_port(place, redis->host, &redis->port) == 0
                   && (rest.len == 0
                       || canaryd_number(rest, CANARYD_DB_MAX, &redis->db)
                          == 0))
        {
            return 0;
        }
    }

    canaryd_url_error(err, "--redis", text, expected);

    return -1;
}


/* "/path/of.sock" or "/path/of.sock:/db" */

static int
canaryd_redis_socket(canaryd_redis_t *redis, canary_str_t text)
{
    size_t        len;
    canary_str_t  path;

    len = text.len;
    path = canaryd_until(&text, ':');

    if (path.len < 2 || path.len >= CANARYD_PATH_MAX || path.data[0] != '/') {
        return -1;
    }

    canaryd_copy(redis->socket, sizeof(redis->socket), path);

    if (path.len == len) {
        return 0;
    }

    return canaryd_after(&text, "/")
           ? canaryd_number(text, CANARYD_DB_MAX, &redis->db) : -1;
}


int
canaryd_listen_parse(canaryd_listen_t *addr, canary_str_t text,
    canary_error_t *err)
{
    memset(addr, 0, sizeof(canaryd_listen_t));

    if (canaryd_url_clean(text)
        && canaryd_host_port(text, addr->host, &addr->port) == 0
        && addr->port != 0
        && strspn(addr->host, "0123456789abcdefABCDEF.:")
           == strlen(addr->host))
    {
        return 0;
    }

    canary_error(err, "--listen", text,
                 "expected a numeric address and a port, like "
                 "127.0.0.1:9145 or [::1]:9145");
    return -1;
}


int
canaryd_hook_parse(canaryd_hook_t *hook, canary_str_t text,
    canary_error_t *err)
{
    char          host[CANARYD_HOST_MAX];
    uint16_t      port;
    canary_str_t  rest, place;

    static const char  expected[] = "expected https://host[:port]/path or "
                                    "http://host[:port]/path, without user "
                                    "and password";

    memset(hook, 0, sizeof(canaryd_hook_t));

    rest = text;
    port = 0;

    if (text.len >= CANARYD_URL_MAX || !canaryd_url_clean(text)
        || (!canaryd_after(&rest, "https://")
            && !canaryd_after(&rest, "http://")))
    {
        canaryd_url_error(err, "--webhook", text, expected);
        return -1;
    }

    place = canaryd_until(&rest, '/');

    if (memchr(place.data, '@', place.len)
        || canaryd_host_port(place, host, &port) != 0)
    {
        canaryd_url_error(err, "--webhook", text, expected);
        return -1;
    }

    canaryd_copy(hook->url, sizeof(hook->url), text);

    hook->loopback = strcmp(host, "localhost") == 0
                     || strncmp(host, "127.", 4) == 0
                     || strcmp(host, "::1") == 0;

    return 0;
}


void
canaryd_place(char place[CANARYD_PLACE_MAX], const char *host, uint16_t port)
{
    (void) snprintf(place, CANARYD_PLACE_MAX,
                    strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
                    (unsigned) port);
}


void
canaryd_redis_place(char place[CANARYD_PLACE_MAX],
    const canaryd_redis_t *redis)
{
    place[0] = '\0';

    if (redis->socket[0]) {
        (void) snprintf(place, CANARYD_PLACE_MAX, "unix:%s", redis->socket);

    } else if (redis->host[0]) {
        canaryd_place(place, redis->host, redis->port);
    }
}


/* Skips start, when the text begins with it. */

static int
canaryd_after(canary_str_t *text, const char *start)
{
    size_t  len;

    len = strlen(start);

    if (text->len < len || memcmp(text->data, start, len) != 0) {
        return 0;
    }

    text->data += len;
    text->len -= len;

    return 1;
}


/* Visible ASCII, and nothing that quotes. */

static int
canaryd_url_clean(canary_str_t text)
{
    size_t  i;

    for (i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~'
            || strchr("\"'\\<>^`{|}", text.data[i]))
        {
            return 0;
        }
    }

    return text.len > 0;
}


/* Without what may be a password: errors get into logs. */

static void
canaryd_url_error(canary_error_t *err, const char *name, canary_str_t text,
    const char *expected)
{
    char           shown[CANARY_ERROR_MAX];
    size_t         at;
    canary_str_t   rest;

    for (at = text.len; at > 0 && text.data[at - 1] != '@'; at--) {
        /* void */
    }

    if (at) {
        rest = text;

        if (!canaryd_after(&rest, "redis://")
            && !canaryd_after(&rest, "rediss://")
            && !canaryd_after(&rest, "https://"))
        {
            (void) canaryd_after(&rest, "http://");
        }

        (void) snprintf(shown, sizeof(shown), "%.*s...%.*s",
                        (int) (text.len - rest.len), text.data,
                        (int) (text.len - at + 1), text.data + at - 1);
        text = canaryd_str(shown);
    }

    canary_error(err, name, text, expected);
}


/* What is before c; the text goes on after it, or is empty then. */

static canary_str_t
canaryd_until(canary_str_t *text, char c)
{
    const char    *p;
    canary_str_t   before;

    before = *text;
    p = text->len ? memchr(text->data, c, text->len) : NULL;

    if (p == NULL) {
        text->data += text->len;
        text->len = 0;
        return before;
    }

    before.len = (size_t) (p - text->data);
    text->data += before.len + 1;
    text->len -= before.len + 1;

    return before;
}


/* "host", "host:port", "[v6]" or "[v6]:port" */

static int
canaryd_host_port(canary_str_t text, char *host, uint16_t *port)
{
    uint32_t      number;
    canary_str_t  name;

    if (text.len && text.data[0] == '[') {
        text.data++;
        text.len--;
        name = canaryd_until(&text, ']');

        if (text.len && !canaryd_after(&text, ":")) {
            return -1;
        }

    } else {
        name = canaryd_until(&text, ':');
    }

    if (name.len == 0 || name.len >= CANARYD_HOST_MAX) {
        return -1;
    }

    canaryd_copy(host, CANARYD_HOST_MAX, name);

    if (text.len == 0) {
        return 0;
    }

    if (canaryd_number(text, 65535, &number) != 0 || number == 0) {
        return -1;
    }

    *port = (uint16_t) number;

    return 0;
}


static int
canaryd_number(canary_str_t text, uint32_t max, uint32_t *number)
{
    size_t    i;
    uint32_t  n;

    n = 0;

    if (text.len == 0 || text.len > 9) {
        return -1;
    }

    for (i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }

        n = n * 10 + (uint32_t) (text.data[i] - '0');
    }

    if (n > max) {
        return -1;
    }

    *number = n;

    return 0;
}
