
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "link.h"
#include "support.h"


#define PATIENCE  60000                     /* ms */


/* What the server says to whoever comes. */

typedef struct {
    int          fd;
    const char  *head;
    const char  *part;
    unsigned     parts;
    char         dir[32];
    char         path[64];
    pthread_t    thread;
} server_t;


static int
say(int fd, const char *text)
{
    size_t   len;
    ssize_t  n;

    for (len = strlen(text); len; text += n, len -= (size_t) n) {
        n = send(fd, text, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return -1;
        }
    }

    return 0;
}


static void *
serve(void *data)
{
    int        fd;
    char       c;
    unsigned   i;
    server_t  *server = data;

    fd = accept(server->fd, NULL, NULL);

    if (fd < 0) {
        return NULL;
    }

    /* once it is asked */

    if (recv(fd, &c, 1, 0) > 0 && say(fd, server->head) == 0) {
        for (i = 0; i < server->parts && say(fd, server->part) == 0; i++) {
            /* void */
        }
    }

    while (recv(fd, &c, 1, 0) > 0) { /* void */ }

    (void) close(fd);

    return NULL;
}


static void
start(server_t *server)
{
    struct sockaddr_un  addr = { .sun_family = AF_UNIX };

    (void) snprintf(server->dir, sizeof(server->dir),
                    "/tmp/canary-link-XXXXXX");
    assert_non_null(mkdtemp(server->dir));

    (void) snprintf(server->path, sizeof(server->path), "%s/s", server->dir);
    memcpy(addr.sun_path, server->path, sizeof(server->path));

    server->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(server->fd >= 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *) &addr,
                          sizeof(addr)), 0);
    assert_int_equal(listen(server->fd, 1), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}


static void
stop(server_t *server)
{
    assert_int_equal(pthread_join(server->thread, NULL), 0);

    (void) close(server->fd);
    (void) unlink(server->path);
    (void) rmdir(server->dir);
}


/* The reply to a command. */

static redisReply *
ask(canaryd_link_t *link, const server_t *server)
{
    canaryd_access_t  access = { 0 };
    canaryd_redis_t   addr = { 0 };
    canaryd_secret_t  password = { .len = 1, .data = "x" };

    access.password = &password;
    memcpy(addr.socket, server->path, sizeof(server->path));

    canaryd_link_step(link, PATIENCE);

    if (canaryd_link_open(link, &addr, &access) != 0) {
        return NULL;
    }

    /* it comes at once: as if it were that to a command before */

    link->due++;
    canaryd_link_put(link, "HGETALL x");

    return canaryd_link_reply(link);
}


static char *
string_of(size_t len)
{
    int    n;
    char  *part;

    part = malloc(len + 32);
    assert_non_null(part);

    n = snprintf(part, len + 32, "$%zu\r\n", len);
    memset(part + n, 'x', len);
    memcpy(part + n + len, "\r\n", sizeof("\r\n"));

    return part;
}


static void
a_reply_of_many_parts_is_read(void **state)
{
    char            *part;
    server_t         server = { .head = "+OK\r\n*64\r\n", .parts = 64 };
    redisReply      *reply;
    canaryd_link_t   link = { 0 };

    (void) state;

    server.part = part = string_of(65536);
    start(&server);

    reply = ask(&link, &server);
    assert_non_null(reply);
    assert_int_equal(reply->elements, 64);
    assert_int_equal(reply->element[63]->len, 65536);

    freeReplyObject(reply);
    canaryd_link_close(&link);
    stop(&server);
    free(part);
}


/* No part of it is long. */

static void
a_reply_is_bounded_as_a_whole(void **state)
{
    char            *part;
    server_t         server = { .head = "+OK\r\n*1024\r\n", .parts = 1024 };
    canaryd_link_t   link = { 0 };

    (void) state;

    server.part = part = string_of(65536);
    start(&server);

    assert_null(ask(&link, &server));
    assert_string_equal(link.error.text, "a reply is too long");

    canaryd_link_close(&link);
    stop(&server);
    free(part);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(a_reply_of_many_parts_is_read),
        cmocka_unit_test(a_reply_is_bounded_as_a_whole)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
