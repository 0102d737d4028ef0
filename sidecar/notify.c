
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "notify.h"


void
canaryd_notify(const char *state)
{
    int                  fd;
    size_t               len;
    const char          *path;
    struct sockaddr_un   addr;

    path = getenv("NOTIFY_SOCKET");

    if (path == NULL || (path[0] != '/' && path[0] != '@')) {
        return;
    }

    len = strlen(path);

    if (len >= sizeof(addr.sun_path)) {
        return;
    }

    memset(&addr, 0, sizeof(addr));
    addr.sun_family = AF_UNIX;
    memcpy(addr.sun_path, path, len);

    if (path[0] == '@') {
        addr.sun_path[0] = '\0';            /* the abstract namespace */
    }

    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return;
    }

    /* systemd that does not listen is systemd's business */

    (void) sendto(fd, state, strlen(state), MSG_NOSIGNAL,
                  (struct sockaddr *) &addr,
                  (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len));

    (void) close(fd);
}
