
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "secret.h"
#include "text.h"


static int canaryd_secret_load(canaryd_secret_t *secret, int fd,
    const char **expected);


int
canaryd_secret_read(canaryd_secret_t *secret, const char *path,
    canary_error_t *err)
{
    int                fd, rc;
    const char        *expected;
    canaryd_secret_t   fresh;

    memset(&fresh, 0, sizeof(fresh));

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        canary_error(err, "file", canaryd_str(path), strerror(errno));
        return -1;
    }

    rc = canaryd_secret_load(&fresh, fd, &expected);

    (void) close(fd);

    if (rc != 0) {
        canary_error(err, "file", canaryd_str(path), expected);
        return -1;
    }

    *secret = fresh;

    return 0;
}


static int
canaryd_secret_load(canaryd_secret_t *secret, int fd, const char **expected)
{
    ssize_t      n;
    struct stat  st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        *expected = "expected a regular file";
        return -1;
    }

    if (st.st_mode & (S_IROTH | S_IWOTH)) {
        *expected = "expected that others may not read it: chmod o= it";
        return -1;
    }

    n = read(fd, secret->data, sizeof(secret->data));

    if (n < 0 || (size_t) n == sizeof(secret->data)) {
        *expected = "expected one line of up to 1024 bytes";
        return -1;
    }

    secret->data[n] = '\0';
    secret->len = strcspn(secret->data, "\r\n");
    secret->data[secret->len] = '\0';

    if (secret->len == 0) {
        *expected = "expected one line that is not empty";
        return -1;
    }

    return 0;
}
