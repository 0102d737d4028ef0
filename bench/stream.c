
/*
 * Client and agent of some proxies, in one process: so that the agent sends
 * the next piece of an answer, in a write of its own, as soon as the client
 * has the one before.  However fast a proxy is, each event is one read for it,
 * and with enough connections it has always something to do.
 *
 * The proxies take turns of that many answers, always in the same order: on a
 * connection that was idle TCP acknowledges more, which costs up to a sixth of
 * all, so that all have to be idle alike; and the first answer of each
 * connection in a turn is not counted.  Prints a line for each turn: the CPU
 * time of an answer, in microseconds, for one proxy after the other.
 *
 * Usage: stream FILE TYPE PIECE CONNECTIONS ANSWERS TURNS AGENT PORT:PID ...
 *        PIECE: bytes; 0: an event          AGENT: the port to be the agent at
 */


#define _GNU_SOURCE                         /* memmem(), accept4() */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "loopback.h"


#define STREAM_PROXIES_MAX      8
#define STREAM_CONNECTIONS_MAX  128
#define STREAM_PIECES_MAX       65536
#define STREAM_BYTES_MAX        1048576
#define STREAM_SEND_MAX         262144      /* goes out in one write */
#define STREAM_HEAD_MAX         4096
#define STREAM_EVENTS           256
#define STREAM_TIMEOUT          60000       /* ms without any answer */
#define STREAM_USERS            1000000


typedef struct {
    int      fd;                            /* of the client */
    int      agent;                         /* where the request came */
    size_t   next;                          /* piece */
    size_t   len;                           /* of the body that came */
    size_t   head_len;
    int      head_done;
    char     head[STREAM_HEAD_MAX + 1];
} stream_connection_t;


typedef struct {
    unsigned              port;
    clockid_t             clock;
    stream_connection_t   connections[STREAM_CONNECTIONS_MAX];
} stream_proxy_t;


static char            stream_bytes[STREAM_BYTES_MAX];
static size_t          stream_end[STREAM_PIECES_MAX];
static size_t          stream_pieces;
static char            stream_head[256];

static stream_proxy_t  stream_proxies[STREAM_PROXIES_MAX];
static unsigned long   stream_connections;

static int             stream_epoll;
static int             stream_listener;
static unsigned long   stream_users;

/* of the turn */

static stream_proxy_t  *stream_now;
static unsigned long    stream_wanted;
static unsigned long    stream_sent;
static unsigned long    stream_answered;


static int stream_load(const char *path, const char *type, size_t piece);
static size_t stream_cut(size_t from, size_t len, size_t piece);
static int stream_listen(unsigned port);
static int stream_proxy(stream_proxy_t *proxy, const char *text);
static int stream_connect(unsigned port);
static int stream_watch(int fd);
static int stream_turn(stream_proxy_t *proxy, unsigned long answers,
    double *time);
static int stream_until(unsigned long answered);
static int stream_event(int fd);
static int stream_accept(void);
static int stream_ask(stream_connection_t *c);
static int stream_request(int fd);
static int stream_receive(stream_connection_t *c);
static int stream_header(stream_connection_t *c);
static int stream_send(int fd, const char *p, size_t len);
static int stream_fail(const char *what);


int
main(int argc, char **argv)
{
    int             i, proxies;
    double          time[STREAM_PROXIES_MAX];
    unsigned long   answers, turn, turns;

    if (argc < 9 || argc > 8 + STREAM_PROXIES_MAX) {
        fprintf(stderr, "usage: stream FILE TYPE PIECE CONNECTIONS ANSWERS "
                "TURNS AGENT PORT:PID ...\n");
        return 2;
    }

    stream_connections = strtoul(argv[4], NULL, 10);
    answers = strtoul(argv[5], NULL, 10);
    turns = strtoul(argv[6], NULL, 10);
    proxies = argc - 8;

    if (stream_connections < 1
        || stream_connections > STREAM_CONNECTIONS_MAX)
    {
        fprintf(stderr, "stream: expected 1 to %d connections\n",
                STREAM_CONNECTIONS_MAX);
        return 2;
    }

    if (stream_load(argv[1], argv[2], strtoul(argv[3], NULL, 10)) != 0) {
        return stream_fail(argv[1]);
    }

    stream_epoll = epoll_create1(0);
    stream_listener = stream_listen((unsigned) strtoul(argv[7], NULL, 10));

    if (stream_epoll == -1 || stream_listener == -1
        || stream_watch(stream_listener) != 0)
    {
        return stream_fail("start");
    }

    for (i = 0; i < proxies; i++) {
        if (stream_proxy(&stream_proxies[i], argv[8 + i]) != 0) {
            return stream_fail(argv[8 + i]);
        }
    }

    /* what comes before the first turn warms up */

    for (turn = 0; turn <= turns; turn++) {

        for (i = 0; i < proxies; i++) {
            if (stream_turn(&stream_proxies[i], answers, &time[i]) != 0) {
                return 1;
            }
        }

        for (i = 0; i < proxies && turn > 0; i++) {
            printf("%.3f%c", time[i], i == proxies - 1 ? '\n' : ' ');
        }
    }

    return 0;
}


static int
stream_load(const char *path, const char *type, size_t piece)
{
    FILE    *in;
    size_t   i, len;

    in = fopen(path, "r");
    if (in == NULL) {
        return -1;
    }

    len = fread(stream_bytes, 1, sizeof(stream_bytes), in);
    (void) fclose(in);

    for (i = 0; i < len && stream_pieces < STREAM_PIECES_MAX; /* void */) {
        i = stream_cut(i, len, piece);
        stream_end[stream_pieces++] = i;
    }

    (void) snprintf(stream_head, sizeof(stream_head),
                    "HTTP/1.1 200 OK\r\n"
                    "Content-Type: %.100s\r\n"
                    "Content-Length: %zu\r\n"
                    "\r\n", type, len);

    return 0;
}


/* Where the piece ends that begins there: an event by an empty line. */

static size_t
stream_cut(size_t from, size_t len, size_t piece)
{
    char  *blank;

    if (piece) {
        return len - from > piece ? from + piece : len;
    }

    blank = memmem(stream_bytes + from, len - from, "\n\n", 2);

    return blank ? (size_t) (blank - stream_bytes) + 2 : len;
}


static int
stream_listen(unsigned port)
{
    int                 fd, on;
    struct sockaddr_in  addr;

    on = 1;
    loopback(&addr, port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(int)) == -1
        || bind(fd, (struct sockaddr *) &addr, sizeof(struct sockaddr_in))
           == -1
        || listen(fd, 511) == -1)
    {
        return -1;
    }

    return fd;
}


static int
stream_proxy(stream_proxy_t *proxy, const char *text)
{
    int             fd;
    char           *colon;
    unsigned long   i;

    proxy->port = (unsigned) strtoul(text, &colon, 10);

    if (*colon != ':'
        || clock_getcpuclockid((pid_t) strtoul(colon + 1, NULL, 10),
                               &proxy->clock)
           != 0)
    {
        errno = EINVAL;
        return -1;
    }

    for (i = 0; i < stream_connections; i++) {
        fd = stream_connect(proxy->port);

        if (fd == -1 || stream_watch(fd) != 0) {
            return -1;
        }

        proxy->connections[i].fd = fd;
    }

    return 0;
}


static int
stream_connect(unsigned port)
{
    int                 fd, on;
    struct sockaddr_in  addr;

    on = 1;
    loopback(&addr, port);
    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd == -1
        || connect(fd, (struct sockaddr *) &addr, sizeof(struct sockaddr_in))
           == -1
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)) == -1)
    {
        return -1;
    }

    return fd;
}


static int
stream_watch(int fd)
{
    struct epoll_event  event;

    event.events = EPOLLIN;
    event.data.fd = fd;

    return epoll_ctl(stream_epoll, EPOLL_CTL_ADD, fd, &event);
}


static int
stream_turn(stream_proxy_t *proxy, unsigned long answers, double *time)
{
    unsigned long    i;
    struct timespec  before, after;

    stream_now = proxy;
    stream_wanted = stream_connections + answers;
    stream_sent = 0;
    stream_answered = 0;

    for (i = 0; i < stream_connections; i++) {
        if (stream_ask(&proxy->connections[i]) != 0) {
            return -1;
        }
    }

    if (stream_until(stream_connections) != 0) {
        return -1;
    }

    if (clock_gettime(proxy->clock, &before) == -1) {
        return stream_fail("clock_gettime()");
    }

    if (stream_until(stream_wanted) != 0) {
        return -1;
    }

    if (clock_gettime(proxy->clock, &after) == -1) {
        return stream_fail("clock_gettime()");
    }

    *time = ((double) (after.tv_sec - before.tv_sec) * 1e6
             + (double) (after.tv_nsec - before.tv_nsec) / 1e3)
            / (double) answers;

    return 0;
}


static int
stream_until(unsigned long answered)
{
    int                 i, n;
    struct epoll_event  events[STREAM_EVENTS];

    while (stream_answered < answered) {

        n = epoll_wait(stream_epoll, events, STREAM_EVENTS, STREAM_TIMEOUT);

        if (n == 0) {
            fprintf(stderr, "stream: no answer\n");
            return -1;
        }

        if (n == -1 && errno != EINTR) {
            return stream_fail("epoll_wait()");
        }

        for (i = 0; i < n; i++) {
            if (stream_event(events[i].data.fd) != 0) {
                return -1;
            }
        }
    }

    return 0;
}


/* Of the client of the turn's proxy, or of the agent. */

static int
stream_event(int fd)
{
    unsigned long  i;

    if (fd == stream_listener) {
        return stream_accept();
    }

    for (i = 0; i < stream_connections; i++) {
        if (stream_now->connections[i].fd == fd) {
            return stream_receive(&stream_now->connections[i]);
        }
    }

    return stream_request(fd);
}


static int
stream_accept(void)
{
    int  fd, on, size;

    fd = accept4(stream_listener, NULL, NULL, 0);

    if (fd == -1) {
        return stream_fail("accept4()");
    }

    on = 1;
    size = STREAM_SEND_MAX;

    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)) == -1
        || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(int)) == -1
        || stream_watch(fd) != 0)
    {
        return stream_fail("accept");
    }

    return 0;
}


/* The next user's question, unless enough were asked. */

static int
stream_ask(stream_connection_t *c)
{
    int   len;
    char  out[256];

    if (stream_sent == stream_wanted) {
        return 0;
    }

    stream_sent++;

    c->next = 0;
    c->len = 0;
    c->head_len = 0;
    c->head_done = 0;

    len = snprintf(out, sizeof(out),
                   "GET /%ld HTTP/1.1\r\n"
                   "Host: localhost\r\n"
                   "X-User-Id: user-%06lu\r\n"
                   "\r\n", (long) (c - stream_now->connections),
                   stream_users++ % STREAM_USERS);

    return stream_send(c->fd, out, (size_t) len);
}


/* A request comes in one piece, and its path says whose it is. */

static int
stream_request(int fd)
{
    char                  in[4096];
    ssize_t               n;
    unsigned long         i;
    stream_connection_t  *c;

    n = recv(fd, in, sizeof(in) - 1, 0);

    if (n == 0) {
        (void) close(fd);
        return 0;
    }

    if (n == -1) {
        return stream_fail("recv() of the agent");
    }

    in[n] = '\0';
    i = strncmp(in, "GET /", 5) == 0 ? strtoul(in + 5, NULL, 10)
                                     : stream_connections;

    if (i >= stream_connections) {
        fprintf(stderr, "stream: odd request: %s\n", in);
        return -1;
    }

    c = &stream_now->connections[i];
    c->agent = fd;

    return stream_send(fd, stream_head, strlen(stream_head));
}


static int
stream_receive(stream_connection_t *c)
{
    size_t   from;
    ssize_t  n;

    static char  in[STREAM_SEND_MAX];

    n = c->head_done ? recv(c->fd, in, sizeof(in), 0)
        : recv(c->fd, c->head + c->head_len, STREAM_HEAD_MAX - c->head_len, 0);

    if (n == 0) {
        fprintf(stderr, "stream: the proxy closed a connection\n");
        return -1;
    }

    if (n == -1) {
        return stream_fail("recv()");
    }

    if (c->head_done) {
        c->len += (size_t) n;

    } else {
        c->head_len += (size_t) n;

        if (stream_header(c) != 0) {
            return -1;
        }

        if (!c->head_done) {
            return 0;
        }
    }

    from = c->next ? stream_end[c->next - 1] : 0;

    if (c->len < from) {
        return 0;
    }

    if (c->len > from) {
        fprintf(stderr, "stream: %zu bytes more than were sent\n",
                c->len - from);
        return -1;
    }

    if (c->next == stream_pieces) {
        stream_answered++;
        return stream_ask(c);
    }

    c->next++;

    return stream_send(c->agent, stream_bytes + from,
                       stream_end[c->next - 1] - from);
}


/* The header comes before the agent has sent anything else. */

static int
stream_header(stream_connection_t *c)
{
    char    *body;
    size_t   len;

    static const char  ok[] = "HTTP/1.1 200 ";

    c->head[c->head_len] = '\0';

    len = c->head_len < sizeof(ok) - 1 ? c->head_len : sizeof(ok) - 1;
    body = strstr(c->head, "\r\n\r\n");

    if (strncmp(c->head, ok, len) != 0
        || (body == NULL && c->head_len == STREAM_HEAD_MAX)
        || (body && body + 4 != c->head + c->head_len))
    {
        fprintf(stderr, "stream: odd answer: %s\n", c->head);
        return -1;
    }

    c->head_done = body != NULL;

    return 0;
}


static int
stream_send(int fd, const char *p, size_t len)
{
    ssize_t  n;

    n = send(fd, p, len, MSG_NOSIGNAL);

    if (n != (ssize_t) len) {
        return stream_fail("send()");
    }

    return 0;
}


static int
stream_fail(const char *what)
{
    fprintf(stderr, "stream: %s: %s\n", what, strerror(errno));

    return 1;
}
