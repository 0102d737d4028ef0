
/*
 * An agent that answers every request with the events of a file, one at a
 * time and each in a write of its own, as a model does that says a word
 * every so often.
 *
 * Usage: agent PORT FILE TYPE MICROSECONDS
 */


#define _GNU_SOURCE                         /* memmem(), accept4() */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>


#define AGENT_CONNECTIONS_MAX  1024         /* descriptors below this */
#define AGENT_EVENTS_MAX       65536
#define AGENT_BYTES_MAX        1048576


/* 0: waits for a request; n: the first n - 1 events were sent. */

static size_t         agent_next[AGENT_CONNECTIONS_MAX];

static char           agent_bytes[AGENT_BYTES_MAX];
static size_t         agent_end[AGENT_EVENTS_MAX];
static size_t         agent_events;
static char           agent_head[256];


static int agent_load(const char *path, const char *type);
static int agent_listen(unsigned port);
static int agent_timer(unsigned long microseconds);
static int agent_watch(int epoll, int fd);
static void agent_accept(int epoll, int listener);
static void agent_request(int fd);
static void agent_tick(void);
static void agent_send(int fd, const char *p, size_t len);
static int agent_fail(const char *what);


int
main(int argc, char **argv)
{
    int                  epoll, fd, i, listener, n, timer;
    uint64_t             ticks;
    struct epoll_event   events[AGENT_CONNECTIONS_MAX];

    if (argc != 5) {
        fprintf(stderr, "usage: agent PORT FILE TYPE MICROSECONDS\n");
        return 2;
    }

    if (agent_load(argv[2], argv[3]) != 0) {
        return agent_fail(argv[2]);
    }

    epoll = epoll_create1(0);
    listener = agent_listen((unsigned) strtoul(argv[1], NULL, 10));
    timer = agent_timer(strtoul(argv[4], NULL, 10));

    if (epoll == -1 || listener == -1 || timer == -1
        || agent_watch(epoll, listener) != 0 || agent_watch(epoll, timer) != 0)
    {
        return agent_fail("start");
    }

    for ( ;; ) {
        n = epoll_wait(epoll, events, AGENT_CONNECTIONS_MAX, -1);

        if (n == -1 && errno != EINTR) {
            return agent_fail("epoll_wait()");
        }

        for (i = 0; i < n; i++) {
            fd = events[i].data.fd;

            if (fd == listener) {
                agent_accept(epoll, listener);

            } else if (fd != timer) {
                agent_request(fd);

            } else if (read(timer, &ticks, sizeof(ticks)) > 0) {
                agent_tick();
            }
        }
    }
}


static int
agent_load(const char *path, const char *type)
{
    char    *blank;
    FILE    *in;
    size_t   i, len;

    in = fopen(path, "r");
    if (in == NULL) {
        return -1;
    }

    len = fread(agent_bytes, 1, sizeof(agent_bytes), in);
    (void) fclose(in);

    for (i = 0; i < len && agent_events < AGENT_EVENTS_MAX; /* void */) {
        blank = memmem(agent_bytes + i, len - i, "\n\n", 2);
        i = blank ? (size_t) (blank - agent_bytes) + 2 : len;
        agent_end[agent_events++] = i;
    }

    (void) snprintf(agent_head, sizeof(agent_head),
                    "HTTP/1.1 200 OK\r\n"
                    "Content-Type: %.100s\r\n"
                    "Content-Length: %zu\r\n"
                    "\r\n", type, len);

    return 0;
}


static int
agent_listen(unsigned port)
{
    int                 fd, on;
    struct sockaddr_in  addr;

    memset(&addr, 0, sizeof(struct sockaddr_in));

    addr.sin_family = AF_INET;
    addr.sin_port = htons((in_port_t) port);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    on = 1;
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
agent_timer(unsigned long microseconds)
{
    int                fd;
    struct itimerspec  every;

    every.it_interval.tv_sec = (time_t) (microseconds / 1000000);
    every.it_interval.tv_nsec = (long) (microseconds % 1000000 * 1000);
    every.it_value = every.it_interval;

    fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

    return fd != -1 && timerfd_settime(fd, 0, &every, NULL) == 0 ? fd : -1;
}


static int
agent_watch(int epoll, int fd)
{
    struct epoll_event  event;

    event.events = EPOLLIN;
    event.data.fd = fd;

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}


static void
agent_accept(int epoll, int listener)
{
    int  fd, on;

    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

    if (fd == -1) {
        return;
    }

    on = 1;

    if (fd >= AGENT_CONNECTIONS_MAX
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)) == -1
        || agent_watch(epoll, fd) != 0)
    {
        (void) close(fd);
        return;
    }

    agent_next[fd] = 0;
}


/* A request comes in one piece, and none before the answer is over. */

static void
agent_request(int fd)
{
    char     in[4096];
    ssize_t  n;

    n = recv(fd, in, sizeof(in), 0);

    if (n == 0 || (n == -1 && errno != EAGAIN)) {
        agent_next[fd] = 0;
        (void) close(fd);

    } else if (n > 0 && agent_next[fd] == 0) {
        agent_next[fd] = 1;
        agent_send(fd, agent_head, strlen(agent_head));
    }
}


/* The next event of every answer. */

static void
agent_tick(void)
{
    int     fd;
    size_t  from, next;

    for (fd = 0; fd < AGENT_CONNECTIONS_MAX; fd++) {
        next = agent_next[fd];

        if (next == 0) {
            continue;
        }

        from = next > 1 ? agent_end[next - 2] : 0;

        agent_next[fd] = next < agent_events ? next + 1 : 0;
        agent_send(fd, agent_bytes + from, agent_end[next - 1] - from);
    }
}


/* Who does not read in time gets no more. */

static void
agent_send(int fd, const char *p, size_t len)
{
    if (send(fd, p, len, MSG_NOSIGNAL) != (ssize_t) len) {
        agent_next[fd] = 0;
        (void) shutdown(fd, SHUT_RDWR);
    }
}


static int
agent_fail(const char *what)
{
    fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));

    return 1;
}
