
/*
 * How long a flip takes: from the moment an HSET is sent until every worker
 * of an nginx was seen to obey it.
 *
 * To each worker there is one connection.  After the HSET they are asked one
 * after the other, each until its answer is the new one; the time of the last
 * answer counts.  Only one question is on its way at any time: client and
 * worker take turns on one CPU and leave another one to Redis and to the
 * worker that follows it.  What is told is an upper bound: it includes the
 * questions themselves.
 *
 * Prints the microseconds of each flip.
 *
 * Usage: flip PORT REDIS-PORT WORKERS FLIPS FLAGS [redis-cli]
 *
 * nginx is to tell a worker's pid at /pid, and at /flag<n> where flag<n>, for
 * n of 1 to FLAGS, sends the user.  All flags are to begin at 0 percent.
 * With "redis-cli" such a program is started for each flip.
 */


#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "loopback.h"


#define FLIP_WORKERS_MAX   64
#define FLIP_FLAGS_MAX     100000

/* connections that are opened to meet every worker */
#define FLIP_TRIES         1000

#define FLIP_TIMEOUT       10               /* seconds */

/* between two flips, in microseconds: no rhythm that a timer could share */
#define FLIP_PAUSE_MIN     2000
#define FLIP_PAUSE_RANGE   16000


typedef struct {
    long         pid;
    int          fd;
} flip_worker_t;


typedef struct {
    unsigned       port;
    unsigned       redis_port;
    unsigned       flags;
    int            redis;                   /* -1: use redis-cli */
    int            null;                    /* for its output */
    unsigned       workers;
    flip_worker_t  worker[FLIP_WORKERS_MAX];
    char           percent[FLIP_FLAGS_MAX + 1];     /* '\0' for 0 */
} flip_t;


extern char  **environ;


static int flip_find_workers(flip_t *flip, unsigned workers);
static int flip_once(flip_t *flip, unsigned n, double *microseconds);
static int flip_write(flip_t *flip, const char *key, const char *percent,
    pid_t *pid);
static int flip_end_write(flip_t *flip, pid_t pid);
static int flip_ask(int fd, const char *path, char *body, size_t size);
static int flip_connect(unsigned port);
static double flip_now(void);
static void flip_pause(void);


int
main(int argc, char **argv)
{
    double          microseconds;
    unsigned        i, workers, flips;

    static flip_t   flip;

    if (argc < 6 || argc > 7) {
        fprintf(stderr, "usage: flip PORT REDIS-PORT WORKERS FLIPS FLAGS "
                        "[redis-cli]\n");
        return 2;
    }

    flip.port = (unsigned) strtoul(argv[1], NULL, 10);
    flip.redis_port = (unsigned) strtoul(argv[2], NULL, 10);
    workers = (unsigned) strtoul(argv[3], NULL, 10);
    flips = (unsigned) strtoul(argv[4], NULL, 10);
    flip.flags = (unsigned) strtoul(argv[5], NULL, 10);

    if (workers < 1 || workers > FLIP_WORKERS_MAX
        || flip.flags < 1 || flip.flags > FLIP_FLAGS_MAX)
    {
        fprintf(stderr, "flip: too many or too few workers or flags\n");
        return 2;
    }

    flip.redis = -1;
    flip.null = open("/dev/null", O_RDWR);

    if (argc == 6) {
        flip.redis = flip_connect(flip.redis_port);
    }

    if (flip.null == -1 || (argc == 6 && flip.redis == -1)) {
        perror("flip: cannot connect to redis");
        return 1;
    }

    if (flip_find_workers(&flip, workers) != 0) {
        return 1;
    }

    for (i = 0; i < flips; i++) {
        flip_pause();

        if (flip_once(&flip, i, &microseconds) != 0) {
            return 1;
        }

        printf("%.0f\n", microseconds);
    }

    return 0;
}


/* The kernel decides which worker takes a connection: try until all have. */

static int
flip_find_workers(flip_t *flip, unsigned workers)
{
    int       fd;
    long      pid;
    char      body[64];
    unsigned  i, try;

    for (try = 0; try < FLIP_TRIES && flip->workers < workers; try++) {

        fd = flip_connect(flip->port);

        if (fd == -1 || flip_ask(fd, "/pid", body, sizeof(body)) != 0) {
            fprintf(stderr, "flip: nginx does not answer\n");
            return -1;
        }

        pid = strtol(body, NULL, 10);

        for (i = 0; i < flip->workers && flip->worker[i].pid != pid; i++) {
            /* void */
        }

        if (i < flip->workers) {
            close(fd);
            continue;
        }

        flip->worker[i].pid = pid;
        flip->worker[i].fd = fd;
        flip->workers++;
    }

    if (flip->workers < workers) {
        fprintf(stderr, "flip: met only %u workers\n", flip->workers);
        return -1;
    }

    return 0;
}


static int
flip_once(flip_t *flip, unsigned n, double *microseconds)
{
    char         key[64], path[32], body[64];
    pid_t        pid;
    double       start;
    unsigned     i, flag;
    const char  *arm;

    flag = (unsigned) random() % flip->flags + 1;

    flip->percent[flag] = !flip->percent[flag];
    arm = flip->percent[flag] ? "candidate" : "baseline";

    snprintf(key, sizeof(key), "agent-canary:flag:flag%u", flag);
    snprintf(path, sizeof(path), "/flag%u", flag);

    pid = 0;
    start = flip_now();

    if (flip_write(flip, key, flip->percent[flag] ? "100" : "0", &pid) != 0) {
        perror("flip: cannot write");
        return -1;
    }

    /* another worker is the first one each time */

    for (i = 0; i < flip->workers; /* void */ ) {

        if (flip_ask(flip->worker[(n + i) % flip->workers].fd, path, body,
                     sizeof(body))
            != 0)
        {
            fprintf(stderr, "flip: nginx does not answer\n");
            return -1;
        }

        if (strcmp(body, arm) == 0) {
            i++;
            continue;
        }

        if (flip_now() - start > FLIP_TIMEOUT * 1e6) {
            fprintf(stderr, "flip: a worker never obeyed\n");
            return -1;
        }
    }

    *microseconds = flip_now() - start;

    return flip_end_write(flip, pid);
}


static int
flip_write(flip_t *flip, const char *key, const char *percent, pid_t *pid)
{
    int                          len, rc;
    char                         out[256], port[16];
    posix_spawn_file_actions_t   actions;

    char                        *args[] = {
        "redis-cli", "-h", "127.0.0.1", "-p", port, "HSET", (char *) key,
        "percent", (char *) percent, NULL
    };

    if (flip->redis != -1) {
        len = snprintf(out, sizeof(out),
                       "*4\r\n$4\r\nHSET\r\n$%zu\r\n%s\r\n$7\r\npercent\r\n"
                       "$%zu\r\n%s\r\n", strlen(key), key, strlen(percent),
                       percent);

        return send(flip->redis, out, (size_t) len, MSG_NOSIGNAL) == len ? 0
                                                                         : -1;
    }

    snprintf(port, sizeof(port), "%u", flip->redis_port);

    if (posix_spawn_file_actions_init(&actions) != 0
        || posix_spawn_file_actions_adddup2(&actions, flip->null, 0) != 0
        || posix_spawn_file_actions_adddup2(&actions, flip->null, 1) != 0)
    {
        return -1;
    }

    rc = posix_spawnp(pid, args[0], &actions, NULL, args, environ);

    posix_spawn_file_actions_destroy(&actions);

    return rc == 0 ? 0 : -1;
}


static int
flip_end_write(flip_t *flip, pid_t pid)
{
    int   status;
    char  in[64];

    if (flip->redis == -1) {
        return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
    }

    if (recv(flip->redis, in, sizeof(in), 0) < 1 || in[0] != ':') {
        fprintf(stderr, "flip: redis refused\n");
        return -1;
    }

    return 0;
}


static int
flip_ask(int fd, const char *path, char *body, size_t size)
{
    int      n;
    char     out[256], in[1024], *start, *length;
    size_t   len, wanted;
    ssize_t  got;

    n = snprintf(out, sizeof(out), "GET %s HTTP/1.1\r\nHost: localhost\r\n"
                                   "X-User-Id: somebody\r\n\r\n", path);

    if (send(fd, out, (size_t) n, MSG_NOSIGNAL) != n) {
        return -1;
    }

    for (len = 0; len < sizeof(in) - 1; len += (size_t) got) {

        got = recv(fd, in + len, sizeof(in) - 1 - len, 0);
        if (got < 1) {
            return -1;
        }

        in[len + (size_t) got] = '\0';

        start = strstr(in, "\r\n\r\n");
        length = strstr(in, "\r\nContent-Length: ");

        if (start == NULL || length == NULL) {
            continue;
        }

        start += 4;
        wanted = strtoul(length + sizeof("\r\nContent-Length: ") - 1, NULL,
                         10);

        if (strlen(start) == wanted && wanted < size) {
            memcpy(body, start, wanted + 1);
            return strncmp(in, "HTTP/1.1 200 ", 13) == 0 ? 0 : -1;
        }
    }

    return -1;
}


static int
flip_connect(unsigned port)
{
    int                 fd, on;
    struct timeval      timeout;
    struct sockaddr_in  addr;

    loopback(&addr, port);

    on = 1;
    timeout.tv_sec = FLIP_TIMEOUT;
    timeout.tv_usec = 0;

    fd = socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0);

    if (fd == -1
        || connect(fd, (struct sockaddr *) &addr, sizeof(struct sockaddr_in))
           == -1
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)) == -1
        || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
                      sizeof(struct timeval))
           == -1)
    {
        return -1;
    }

    return fd;
}


/* Microseconds. */

static double
flip_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e6 + (double) ts.tv_nsec / 1e3;
}


static void
flip_pause(void)
{
    struct timespec  ts;

    ts.tv_sec = 0;
    ts.tv_nsec = (FLIP_PAUSE_MIN + random() % FLIP_PAUSE_RANGE) * 1000;

    (void) nanosleep(&ts, NULL);
}
