
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "clock.h"
#include "stream.h"
#include "text.h"
#include "tls.h"


static int canaryd_stream_unix(canaryd_stream_t *stream, const char *path);
static int canaryd_stream_inet(canaryd_stream_t *stream,
    const canaryd_redis_t *addr);
static int canaryd_stream_connect(canaryd_stream_t *stream,
    const struct sockaddr *addr, socklen_t len, uint64_t deadline);
static int canaryd_stream_handshake(canaryd_stream_t *stream, SSL_CTX *tls,
    const char *name);
static ssize_t canaryd_stream_send(canaryd_stream_t *stream,
    const char *data, size_t len, short *wants);
static ssize_t canaryd_stream_receive(canaryd_stream_t *stream, char *data,
    size_t len, short *wants);
static ssize_t canaryd_stream_plain(canaryd_stream_t *stream, ssize_t n,
    short event, short *wants);
static ssize_t canaryd_stream_tls(canaryd_stream_t *stream, int n,
    short *wants);
static int canaryd_stream_wait(canaryd_stream_t *stream, short events,
    uint64_t deadline);
static int canaryd_stream_fail(canaryd_stream_t *stream, const char *reason);


int
canaryd_stream_open(canaryd_stream_t *stream, const canaryd_redis_t *addr,
    SSL_CTX *tls, const char *name)
{
    canaryd_stream_close(stream);

    if (addr->socket[0]) {
        return canaryd_stream_unix(stream, addr->socket);
    }

    if (canaryd_stream_inet(stream, addr) != 0) {
        return -1;
    }

    return tls ? canaryd_stream_handshake(stream, tls, name) : 0;
}


static int
canaryd_stream_unix(canaryd_stream_t *stream, const char *path)
{
    struct sockaddr_un  addr;

    memset(&addr, 0, sizeof(addr));
    addr.sun_family = AF_UNIX;
    canaryd_copy(addr.sun_path, sizeof(addr.sun_path), canaryd_str(path));

    return canaryd_stream_connect(stream, (struct sockaddr *) &addr,
                                  sizeof(addr), stream->deadline);
}


/* Each address of the name has its share of the time that is left. */

static int
canaryd_stream_inet(canaryd_stream_t *stream, const canaryd_redis_t *addr)
{
    int               rc;
    char              port[8];
    unsigned          left;
    uint64_t          now;
    struct addrinfo   hints, *list, *ai;

    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;

    (void) snprintf(port, sizeof(port), "%u", (unsigned) addr->port);

    rc = getaddrinfo(addr->host, port, &hints, &list);

    if (rc != 0) {
        return canaryd_stream_fail(stream, gai_strerror(rc));
    }

    for (ai = list, left = 0; ai; ai = ai->ai_next) {
        left++;
    }

    for (ai = list, rc = -1; ai && rc != 0; ai = ai->ai_next) {
        now = canaryd_now();

        if (now >= stream->deadline) {
            rc = canaryd_stream_fail(stream, "no answer in time");
            break;
        }

        rc = canaryd_stream_connect(stream, ai->ai_addr, ai->ai_addrlen,
                                    now + (stream->deadline - now) / left--);
    }

    freeaddrinfo(list);

    return rc;
}


static int
canaryd_stream_connect(canaryd_stream_t *stream, const struct sockaddr *addr,
    socklen_t len, uint64_t deadline)
{
    int        error;
    socklen_t  size;

    stream->fd = socket(addr->sa_family,
                        SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (stream->fd < 0) {
        return canaryd_stream_fail(stream, strerror(errno));
    }

    stream->open = 1;

    if (addr->sa_family != AF_UNIX) {
        (void) setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY,
                          &(int) { 1 }, sizeof(int));
    }

    if (connect(stream->fd, addr, len) == 0) {
        return 0;
    }

    if (errno != EINPROGRESS) {
        return canaryd_stream_fail(stream, strerror(errno));
    }

    if (canaryd_stream_wait(stream, POLLOUT, deadline) != 0) {
        return -1;
    }

    error = 0;
    size = sizeof(error);

    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }

    return error ? canaryd_stream_fail(stream, strerror(error)) : 0;
}


static int
canaryd_stream_handshake(canaryd_stream_t *stream, SSL_CTX *tls,
    const char *name)
{
    short    wants;
    ssize_t  n;

    stream->ssl = canaryd_tls_client(tls, stream->fd, name);

    if (stream->ssl == NULL) {
        return canaryd_stream_fail(stream, "out of memory");
    }

    for ( ;; ) {
        ERR_clear_error();
        errno = 0;
        n = canaryd_stream_tls(stream, SSL_do_handshake(stream->ssl), &wants);

        if (n != 0) {
            return n > 0 ? 0 : -1;
        }

        if (canaryd_stream_wait(stream, wants, stream->deadline) != 0) {
            return -1;
        }
    }
}


int
canaryd_stream_write(canaryd_stream_t *stream, const char *data, size_t len)
{
    short    wants;
    ssize_t  n;

    while (len) {
        n = canaryd_stream_send(stream, data, len, &wants);

        if (n < 0) {
            return -1;
        }

        if (n == 0
            && canaryd_stream_wait(stream, wants, stream->deadline) != 0)
        {
            return -1;
        }

        data += n;
        len -= (size_t) n;
    }

    return 0;
}


int
canaryd_stream_read(canaryd_stream_t *stream, char *data, size_t *len)
{
    short    wants;
    ssize_t  n;

    for ( ;; ) {
        n = canaryd_stream_receive(stream, data, *len, &wants);

        if (n != 0) {
            *len = n > 0 ? (size_t) n : 0;
            return n > 0 ? 0 : -1;
        }

        if (canaryd_stream_wait(stream, wants, stream->deadline) != 0) {
            return -1;
        }
    }
}


int
canaryd_stream_silent(canaryd_stream_t *stream)
{
    char     c;
    short    wants;
    ssize_t  n;

    n = canaryd_stream_receive(stream, &c, 1, &wants);

    return n > 0 ? canaryd_stream_fail(stream, "a reply that nobody asked for")
                 : (int) n;
}


/*
 * These return a number of bytes; 0 and the event to wait for; or -1, and
 * the stream is closed.
 */

static ssize_t
canaryd_stream_send(canaryd_stream_t *stream, const char *data, size_t len,
    short *wants)
{
    int  max;

    errno = 0;

    if (stream->ssl == NULL) {
        return canaryd_stream_plain(stream, send(stream->fd, data, len,
                                                 MSG_NOSIGNAL),
                                    POLLOUT, wants);
    }

    ERR_clear_error();
    max = len < INT16_MAX ? (int) len : INT16_MAX;

    return canaryd_stream_tls(stream, SSL_write(stream->ssl, data, max),
                              wants);
}


static ssize_t
canaryd_stream_receive(canaryd_stream_t *stream, char *data, size_t len,
    short *wants)
{
    int      max;
    ssize_t  n;

    errno = 0;

    if (stream->ssl == NULL) {
        n = recv(stream->fd, data, len, 0);

        if (n == 0) {
            return canaryd_stream_fail(stream, "it closed the connection");
        }

        return canaryd_stream_plain(stream, n, POLLIN, wants);
    }

    ERR_clear_error();
    max = len < INT16_MAX ? (int) len : INT16_MAX;

    return canaryd_stream_tls(stream, SSL_read(stream->ssl, data, max),
                              wants);
}


static ssize_t
canaryd_stream_plain(canaryd_stream_t *stream, ssize_t n, short event,
    short *wants)
{
    *wants = event;

    if (n >= 0) {
        return n;
    }

    return errno == EAGAIN || errno == EINTR
           ? 0 : canaryd_stream_fail(stream, strerror(errno));
}


/* TLS may have to write in order to read, and the other way round. */

static ssize_t
canaryd_stream_tls(canaryd_stream_t *stream, int n, short *wants)
{
    if (n > 0) {
        return n;
    }

    switch (SSL_get_error(stream->ssl, n)) {

    case SSL_ERROR_WANT_READ:
        *wants = POLLIN;
        return 0;

    case SSL_ERROR_WANT_WRITE:
        *wants = POLLOUT;
        return 0;

    default:
        return canaryd_stream_fail(stream,
                                   canaryd_tls_reason(stream->ssl, n));
    }
}


static int
canaryd_stream_wait(canaryd_stream_t *stream, short events,
    uint64_t deadline)
{
    uint64_t       now;
    struct pollfd  pfd;

    for ( ;; ) {
        now = canaryd_now();

        if (now >= deadline) {
            return canaryd_stream_fail(stream, "no answer in time");
        }

        pfd.fd = stream->fd;
        pfd.events = events;
        pfd.revents = 0;

        if (poll(&pfd, 1, (int) (deadline - now)) > 0) {
            return 0;
        }
    }
}


static int
canaryd_stream_fail(canaryd_stream_t *stream, const char *reason)
{
    canaryd_copy(stream->error.text, sizeof(stream->error.text),
                 canaryd_str(reason));
    canaryd_stream_close(stream);

    return -1;
}


void
canaryd_stream_close(canaryd_stream_t *stream)
{
    if (!stream->open) {
        return;
    }

    /* no farewell: whoever hangs would have to be waited for */

    SSL_free(stream->ssl);
    (void) close(stream->fd);

    stream->ssl = NULL;
    stream->open = 0;
}
