
/*
 * Asks a proxy for a fixed number of answers, over connections that it keeps,
 * each with one request on its way at a time; every request is of another
 * user.  Prints how many answers came from the candidate; those that are long
 * are only counted.
 *
 * Usage: load PORT CONNECTIONS REQUESTS [PATH]
 */


#define _GNU_SOURCE                         /* strcasestr() */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "loopback.h"


#define LOAD_CONNECTIONS_MAX  256
#define LOAD_USERS            1000000
#define LOAD_ANSWER_MAX       65536
#define LOAD_READ_MAX         4096          /* of an answer that is read */
#define LOAD_TIMEOUT          60000         /* ms without any answer */


typedef struct {
    int     fd;
    size_t  len;
    size_t  left;                           /* of a long answer */
    char    in[LOAD_ANSWER_MAX + 1];
} load_connection_t;


typedef struct {
    int                 epoll;
    const char         *path;
    unsigned long       wanted;
    unsigned long       sent;
    unsigned long       answered;
    unsigned long       candidates;
    load_connection_t   connections[LOAD_CONNECTIONS_MAX];
} load_t;


static int load_connect(load_connection_t *c, unsigned port);
static int load_send(load_t *load, load_connection_t *c);
static int load_receive(load_t *load, load_connection_t *c);
static int load_answer(load_t *load, load_connection_t *c);
static int load_fail(const char *what);


int
main(int argc, char **argv)
{
    int                  i, n;
    unsigned             port;
    unsigned long        connections;
    struct epoll_event   event, events[LOAD_CONNECTIONS_MAX];

    static load_t        load;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: load PORT CONNECTIONS REQUESTS [PATH]\n");
        return 2;
    }

    port = (unsigned) strtoul(argv[1], NULL, 10);
    connections = strtoul(argv[2], NULL, 10);
    load.wanted = strtoul(argv[3], NULL, 10);
    load.path = argc == 5 ? argv[4] : "/chat";

    if (connections < 1 || connections > LOAD_CONNECTIONS_MAX) {
        fprintf(stderr, "load: expected 1 to %d connections\n",
                LOAD_CONNECTIONS_MAX);
        return 2;
    }

    load.epoll = epoll_create1(0);
    if (load.epoll == -1) {
        return load_fail("epoll_create1()");
    }

    for (i = 0; i < (int) connections; i++) {

        if (load_connect(&load.connections[i], port) != 0) {
            return load_fail("connect()");
        }

        event.events = EPOLLIN;
        event.data.ptr = &load.connections[i];

        if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, load.connections[i].fd,
                      &event)
            == -1)
        {
            return load_fail("epoll_ctl()");
        }

        if (load_send(&load, &load.connections[i]) != 0) {
            return load_fail("send()");
        }
    }

    while (load.answered < load.wanted) {

        n = epoll_wait(load.epoll, events, LOAD_CONNECTIONS_MAX, LOAD_TIMEOUT);

        if (n == 0) {
            fprintf(stderr, "load: no answer\n");
            return 1;
        }

        if (n == -1 && errno != EINTR) {
            return load_fail("epoll_wait()");
        }

        for (i = 0; i < n; i++) {
            if (load_receive(&load, events[i].data.ptr) != 0) {
                return 1;
            }
        }
    }

    printf("%lu\n", load.candidates);

    return 0;
}


static int
load_connect(load_connection_t *c, unsigned port)
{
    int                 on;
    struct sockaddr_in  addr;

    loopback(&addr, port);

    c->fd = socket(AF_INET, SOCK_STREAM, 0);

    if (c->fd == -1
        || connect(c->fd, (struct sockaddr *) &addr,
                   sizeof(struct sockaddr_in))
           == -1)
    {
        return -1;
    }

    on = 1;

    return setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int));
}


/* The next user's request, unless enough were sent. */

static int
load_send(load_t *load, load_connection_t *c)
{
    int   len;
    char  out[256];

    if (load->sent == load->wanted) {
        return 0;
    }

    len = snprintf(out, sizeof(out),
                   "GET %.100s HTTP/1.1\r\n"
                   "Host: localhost\r\n"
                   "X-User-Id: user-%06lu\r\n"
                   "\r\n", load->path, load->sent % LOAD_USERS);

    load->sent++;

    return send(c->fd, out, (size_t) len, MSG_NOSIGNAL) == len ? 0 : -1;
}


static int
load_receive(load_t *load, load_connection_t *c)
{
    int      rc;
    ssize_t  n;

    n = recv(c->fd, c->in + c->len, LOAD_ANSWER_MAX - c->len, 0);

    if (n == 0) {
        fprintf(stderr, "load: the proxy closed a connection\n");
        return -1;
    }

    if (n == -1) {
        (void) load_fail("recv()");
        return -1;
    }

    if (c->left > 0) {
        rc = (size_t) n > c->left ? -1 : (size_t) n == c->left;
        c->left -= (size_t) n;

    } else {
        c->len += (size_t) n;
        c->in[c->len] = '\0';

        rc = load_answer(load, c);
    }

    if (rc == 1) {
        c->len = 0;
        load->answered++;

        if (load_send(load, c) != 0) {
            (void) load_fail("send()");
            return -1;
        }

        return 0;
    }

    if (rc == 0 && c->len < LOAD_READ_MAX) {
        return 0;
    }

    fprintf(stderr, "load: odd answer: %s\n", c->in);

    return -1;
}


/* 1 for a whole answer that is as it should be, 0 for a part of one, or -1. */

static int
load_answer(load_t *load, load_connection_t *c)
{
    char    *body, *length;
    size_t   expected;

    static const char  ok[] = "HTTP/1.1 200 ";

    if (strncmp(c->in, ok, sizeof(ok) - 1) != 0) {
        return c->len < sizeof(ok) ? 0 : -1;
    }

    body = strstr(c->in, "\r\n\r\n");
    if (body == NULL) {
        return 0;
    }

    body += 4;

    length = strcasestr(c->in, "\r\nContent-Length: ");
    if (length == NULL || length > body) {
        return -1;
    }

    length += sizeof("\r\nContent-Length: ") - 1;
    expected = (size_t) (body - c->in) + strtoul(length, NULL, 10);

    if (c->len < expected && expected > LOAD_READ_MAX) {
        c->left = expected - c->len;
        c->len = 0;
        return 0;
    }

    if (c->len < expected) {
        return 0;
    }

    if (c->len > expected) {
        return -1;
    }

    if (strstr(body, "candidate")) {
        load->candidates++;
    }

    return 1;
}


static int
load_fail(const char *what)
{
    fprintf(stderr, "load: %s failed: %s\n", what, strerror(errno));

    return 1;
}
