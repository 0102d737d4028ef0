
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "clock.h"
#include "listen.h"
#include "metrics.h"


#define CANARYD_CONNECTIONS   16
#define CANARYD_LISTEN_WAIT   5             /* s */
#define CANARYD_LISTEN_BYTES  16384         /* of a connection's memory */
#define CANARYD_LISTEN_STACK  262144


static enum MHD_Result canaryd_listen_answer(void *data,
    struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size,
    void **context);
static enum MHD_Result canaryd_listen_send(struct MHD_Connection *connection,
    unsigned status, const char *type, canaryd_text_t *text);


struct MHD_Daemon *
canaryd_listen(canaryd_t *d, canary_error_t *err)
{
    char                port[8], place[CANARYD_PLACE_MAX];
    struct addrinfo     hints, *addr;
    struct MHD_Daemon  *daemon;

    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;

    (void) snprintf(port, sizeof(port), "%u",
                    (unsigned) d->options.listen.port);

    if (getaddrinfo(d->options.listen.host, port, &hints, &addr) != 0) {
        canary_error(err, "--listen", canaryd_str(d->options.listen.host),
                     "expected a numeric address");
        return NULL;
    }

    errno = 0;
    daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD
                              | (addr->ai_family == AF_INET6
                                 ? MHD_USE_IPv6 : MHD_NO_FLAG),
                              d->options.listen.port, NULL, NULL,
                              canaryd_listen_answer, d,
                              MHD_OPTION_SOCK_ADDR, addr->ai_addr,
                              MHD_OPTION_CONNECTION_LIMIT,
                              (unsigned) CANARYD_CONNECTIONS,
                              MHD_OPTION_CONNECTION_TIMEOUT,
                              (unsigned) CANARYD_LISTEN_WAIT,
                              MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                              (size_t) CANARYD_LISTEN_BYTES,
                              MHD_OPTION_THREAD_STACK_SIZE,
                              (size_t) CANARYD_LISTEN_STACK,
                              MHD_OPTION_END);

    freeaddrinfo(addr);

    if (daemon == NULL) {
        canaryd_place(place, d->options.listen.host, d->options.listen.port);
        canary_error(err, "--listen", canaryd_str(place),
                     errno ? strerror(errno) : "expected a free port");
    }

    return daemon;
}


static enum MHD_Result
canaryd_listen_answer(void *data, struct MHD_Connection *connection,
    const char *url, const char *method, const char *version,
    const char *upload, size_t *upload_size, void **context)
{
    unsigned         status;
    canaryd_t       *d = data;
    const char      *type;
    canaryd_text_t   text;

    (void) version;
    (void) upload;
    (void) upload_size;
    (void) context;

    text = (canaryd_text_t) { 0 };
    status = 200;
    type = "application/json";

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        status = 405;
        canaryd_text_put(&text, "{\"error\":\"expected GET\"}\n");

    } else if (strcmp(url, "/metrics") == 0) {
        type = "text/plain; version=0.0.4; charset=utf-8";
        (void) pthread_mutex_lock(&d->lock);
        canaryd_metrics(&text, d, canaryd_now());
        (void) pthread_mutex_unlock(&d->lock);

    } else if (strcmp(url, "/healthz") == 0) {
        (void) pthread_mutex_lock(&d->lock);
        status = canaryd_health(&text, d);
        (void) pthread_mutex_unlock(&d->lock);

    } else {
        status = 404;
        canaryd_text_put(&text, "{\"error\":\"expected /metrics or "
                         "/healthz\"}\n");
    }

    return canaryd_listen_send(connection, status, type, &text);
}


static enum MHD_Result
canaryd_listen_send(struct MHD_Connection *connection, unsigned status,
    const char *type, canaryd_text_t *text)
{
    enum MHD_Result       rc;
    struct MHD_Response  *response;

    if (text->failed) {
        canaryd_text_free(text);
        return MHD_NO;
    }

    response = MHD_create_response_from_buffer(text->len, text->data,
                                               MHD_RESPMEM_MUST_COPY);
    canaryd_text_free(text);

    if (response == NULL) {
        return MHD_NO;
    }

    (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                   type);
    rc = MHD_queue_response(connection, status, response);

    MHD_destroy_response(response);

    return rc;
}
