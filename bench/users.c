
/*
 * Users who ask at random moments, RATE a second, whatever becomes of them.
 *
 * Without FLAGS they ask for one flag, "support", until its candidate is
 * refused.  The clock starts when the first bad answer comes, one with a
 * header "X-Bad", or when a request is unanswered for DEADLINE ms; from then
 * on a worker is asked every millisecond where it would send a user of the
 * candidate.  Prints the seconds until it would be the baseline, and how many
 * requests went wrong until then.
 *
 * With FLAGS they ask for /flag1, /flag2, ... for so many SECONDS.
 *
 * Usage: users PORT RATE SEED DEADLINE      DEADLINE 0: none
 *        users PORT RATE SEED FLAGS SECONDS
 */


#define _GNU_SOURCE                         /* memmem() */

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "loopback.h"


#define USERS_CONNECTIONS_MAX  4096
#define USERS_ALL              1000000
#define USERS_READ_MAX         4096
#define USERS_WAIT             1            /* ms */
#define USERS_SECONDS_MAX      180


/* One request on its way; fd is 0 when there is none. */

typedef struct {
    int      fd;
    double   sent;
    size_t   len;
    char     in[USERS_READ_MAX];
} users_request_t;


typedef struct {
    int                epoll;
    unsigned           port;
    int                asking;              /* a connection that is kept */
    unsigned long      user;                /* of the candidate */
    double             rate;
    unsigned long      flags;               /* 0: one, until it is refused */
    double             deadline;            /* s, 0: none */
    double             bad_at;              /* 0: not yet */
    unsigned long      bad;
    users_request_t    requests[USERS_CONNECTIONS_MAX];
} users_t;


static double users_now(void);
static int users_connect(unsigned port);
static int users_send(users_t *o);
static void users_receive(users_t *o, users_request_t *r);
static void users_overdue(users_t *o);
static int users_find(users_t *o);
static int users_candidate(users_t *o, unsigned long user);
static unsigned long users_open(const users_t *o);
static int users_fail(const char *what);


int
main(int argc, char **argv)
{
    int                 i, n;
    double              end, next, now;
    struct epoll_event  events[64];

    static users_t      o;

    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: users PORT RATE SEED DEADLINE\n"
                        "       users PORT RATE SEED FLAGS SECONDS\n");
        return 2;
    }

    o.port = (unsigned) strtoul(argv[1], NULL, 10);
    o.rate = strtod(argv[2], NULL);
    srand48(strtol(argv[3], NULL, 10));
    o.epoll = epoll_create1(0);

    if (argc == 6) {
        o.flags = strtoul(argv[4], NULL, 10);

    } else {
        o.deadline = strtod(argv[4], NULL) / 1000;
        o.asking = users_connect(o.port);

        if (o.asking == -1 || users_find(&o) != 0) {
            return users_fail("start");
        }
    }

    next = users_now();
    end = next + (argc == 6 ? strtod(argv[5], NULL) : USERS_SECONDS_MAX);

    while ((now = users_now()) < end) {

        for (/* void */; next <= now; next -= log(1 - drand48()) / o.rate) {
            if (users_send(&o) != 0) {
                return users_fail("request");
            }
        }

        n = epoll_wait(o.epoll, events, 64, USERS_WAIT);

        for (i = 0; i < n; i++) {
            users_receive(&o, events[i].data.ptr);
        }

        users_overdue(&o);

        if (o.bad_at == 0 || o.flags > 0) {
            continue;
        }

        switch (users_candidate(&o, o.user)) {

        case 0:
            printf("%.6f %lu\n", users_now() - o.bad_at,
                   o.bad + users_open(&o));
            return 0;

        case 1:
            break;

        default:
            return users_fail("explain");
        }
    }

    if (o.flags == 0) {
        fprintf(stderr, "users: the candidate was not refused\n");
        return 1;
    }

    return 0;
}


static double
users_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static int
users_connect(unsigned port)
{
    int                 fd;
    struct sockaddr_in  addr;

    loopback(&addr, port);

    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd != -1
        && connect(fd, (struct sockaddr *) &addr, sizeof(struct sockaddr_in))
           == -1)
    {
        (void) close(fd);
        return -1;
    }

    return fd;
}


/* The request of some user, on a connection of its own. */

static int
users_send(users_t *o)
{
    int                 i, len;
    char                out[256], path[32];
    users_request_t    *r;
    struct epoll_event  event;

    for (i = 0; i < USERS_CONNECTIONS_MAX && o->requests[i].fd; i++) {
        /* void */
    }

    if (i == USERS_CONNECTIONS_MAX) {
        errno = EMFILE;
        return -1;
    }

    r = &o->requests[i];
    r->fd = users_connect(o->port);

    if (r->fd == -1) {
        return -1;
    }

    r->len = 0;
    r->sent = users_now();

    path[0] = '\0';

    if (o->flags > 0) {
        (void) snprintf(path, sizeof(path), "flag%lu",
                        1 + (unsigned long) (drand48() * (double) o->flags));
    }

    len = snprintf(out, sizeof(out),
                   "GET /%s HTTP/1.1\r\n"
                   "Host: localhost\r\n"
                   "X-User-Id: user-%06lu\r\n"
                   "Connection: close\r\n"
                   "\r\n", path, (unsigned long) (drand48() * USERS_ALL));

    event.events = EPOLLIN;
    event.data.ptr = r;

    if (send(r->fd, out, (size_t) len, MSG_NOSIGNAL) != len) {
        return -1;
    }

    return epoll_ctl(o->epoll, EPOLL_CTL_ADD, r->fd, &event);
}


static void
users_receive(users_t *o, users_request_t *r)
{
    ssize_t  n;

    n = recv(r->fd, r->in + r->len, USERS_READ_MAX - r->len, 0);

    if (n > 0) {
        r->len += (size_t) n;
        return;
    }

    if (memmem(r->in, r->len, "\r\nX-Bad:", 8)) {
        o->bad++;

        if (o->bad_at == 0) {
            o->bad_at = users_now();
        }
    }

    (void) close(r->fd);
    r->fd = 0;
}


/* The first request that was unanswered for too long. */

static void
users_overdue(users_t *o)
{
    int     i;
    double  now;

    if (o->deadline == 0 || o->bad_at > 0) {
        return;
    }

    now = users_now();

    for (i = 0; i < USERS_CONNECTIONS_MAX; i++) {
        if (o->requests[i].fd && now - o->requests[i].sent >= o->deadline
            && (o->bad_at == 0
                || o->requests[i].sent + o->deadline < o->bad_at))
        {
            o->bad_at = o->requests[i].sent + o->deadline;
        }
    }
}


static int
users_find(users_t *o)
{
    int  rc;

    for (o->user = 0; o->user < 1000; o->user++) {
        rc = users_candidate(o, o->user);

        if (rc != 0) {
            return rc == 1 ? 0 : -1;
        }
    }

    errno = ESRCH;

    return -1;
}


/* 1 if the user would go to the candidate, 0 if not, -1 for an error. */

static int
users_candidate(users_t *o, unsigned long user)
{
    int      len;
    char     in[USERS_READ_MAX], out[256];
    size_t   got;
    ssize_t  n;

    len = snprintf(out, sizeof(out),
                   "GET /canary/explain?flag=support&key=user-%06lu HTTP/1.1"
                   "\r\nHost: localhost\r\n\r\n", user);

    if (send(o->asking, out, (size_t) len, MSG_NOSIGNAL) != len) {
        return -1;
    }

    for (got = 0; got < sizeof(in); got += (size_t) n) {
        n = recv(o->asking, in + got, sizeof(in) - got, 0);

        if (n <= 0) {
            return -1;
        }

        if (memmem(in, got + (size_t) n, "\"reason\":", 9)) {
            return memmem(in, got + (size_t) n, "\"arm\":\"candidate\"", 17)
                   != NULL;
        }
    }

    return -1;
}


static unsigned long
users_open(const users_t *o)
{
    int            i;
    unsigned long  n;

    for (i = 0, n = 0; i < USERS_CONNECTIONS_MAX; i++) {
        n += o->requests[i].fd != 0;
    }

    return n;
}


static int
users_fail(const char *what)
{
    fprintf(stderr, "users: %s: %s\n", what, strerror(errno));

    return 1;
}
