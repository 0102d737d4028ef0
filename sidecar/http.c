
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "http.h"


static size_t canaryd_http_write(char *data, size_t size, size_t n,
    void *user);
static curl_socket_t canaryd_http_socket(void *user, curlsocktype purpose,
    struct curl_sockaddr *addr);
static void canaryd_http_fail(canaryd_http_t *h, CURLcode rc);


#if (LIBCURL_VERSION_NUM >= 0x075500)
#define canaryd_http_protocols(curl)                                          \
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https")
#else
#define canaryd_http_protocols(curl)                                          \
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS,                                 \
                     (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS))
#endif


int
canaryd_http_open(canaryd_http_t *h, const char *socket, size_t max,
    long timeout)
{
    memset(h, 0, sizeof(canaryd_http_t));

    h->max = max;
    h->socket = socket;
    h->curl = curl_easy_init();

    if (h->curl == NULL) {
        return -1;
    }

    (void) canaryd_http_protocols(h->curl);

    (void) curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(h->curl, CURLOPT_PROXY, "");
    (void) curl_easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 0L);
    (void) curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT_MS, timeout);
    (void) curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, timeout);
    (void) curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "agent-canaryd");
    (void) curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->error);
    (void) curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION,
                            canaryd_http_write);
    (void) curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, h);
    (void) curl_easy_setopt(h->curl, CURLOPT_OPENSOCKETFUNCTION,
                            canaryd_http_socket);
    (void) curl_easy_setopt(h->curl, CURLOPT_OPENSOCKETDATA, h);

    if (socket[0]) {
        (void) curl_easy_setopt(h->curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    }

    return 0;
}


static size_t
canaryd_http_write(char *data, size_t size, size_t n, void *user)
{
    canaryd_http_t  *h = user;

    if (size * n > h->max - h->body.len) {
        h->too_long = 1;
        return 0;
    }

    canaryd_text_add(&h->body, data, size * n);

    return h->body.failed ? 0 : size * n;
}


/* With the address that is connected to, whatever the name said before. */

static curl_socket_t
canaryd_http_socket(void *user, curlsocktype purpose,
    struct curl_sockaddr *addr)
{
    canaryd_http_t  *h = user;

    if (purpose != CURLSOCKTYPE_IPCXN
        || (h->refuse && h->refuse(h->data, &addr->addr)))
    {
        return CURL_SOCKET_BAD;
    }

    return socket(addr->family, addr->socktype | SOCK_CLOEXEC,
                  addr->protocol);
}


long
canaryd_http_send(canaryd_http_t *h, const char *url,
    const canary_str_t *post, struct curl_slist *headers)
{
    long      status;
    CURLcode  rc;

    canaryd_text_reset(&h->body);
    h->too_long = 0;
    h->error[0] = '\0';

    (void) curl_easy_setopt(h->curl, CURLOPT_URL, url);
    (void) curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);

    if (post) {
        (void) curl_easy_setopt(h->curl, CURLOPT_POST, 1L);
        (void) curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                                (curl_off_t) post->len);
        (void) curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, post->data);

    } else {
        (void) curl_easy_setopt(h->curl, CURLOPT_HTTPGET, 1L);
    }

    rc = curl_easy_perform(h->curl);

    if (rc != CURLE_OK) {
        canaryd_http_fail(h, rc);
        return 0;
    }

    status = 0;
    (void) curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);

    return status;
}


/* Of a socket curl tells the host of the URL, and that it could not. */

static void
canaryd_http_fail(canaryd_http_t *h, CURLcode rc)
{
    long  error;

    error = 0;

    if (h->too_long) {
        (void) snprintf(h->error, sizeof(h->error),
                        "the answer is longer than %zu bytes", h->max);

    } else if (rc == CURLE_COULDNT_CONNECT && h->socket[0]) {
        (void) curl_easy_getinfo(h->curl, CURLINFO_OS_ERRNO, &error);
        (void) snprintf(h->error, sizeof(h->error), "unix:%s: %s", h->socket,
                        error ? strerror((int) error)
                              : curl_easy_strerror(rc));

    } else if (h->error[0] == '\0') {
        (void) snprintf(h->error, sizeof(h->error), "%s",
                        curl_easy_strerror(rc));
    }
}


void
canaryd_http_close(canaryd_http_t *h)
{
    if (h->curl) {
        curl_easy_cleanup(h->curl);
    }

    canaryd_text_free(&h->body);
}
