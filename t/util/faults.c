
/*
 * Faults inside of a process, for LD_PRELOAD: allocations that fail, and a
 * wall clock that jumps.  See t/lib/Canary/Faults.pm, which moves the numbers
 * of a file that all processes map.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>


typedef struct {
    volatile int64_t  pid;                  /* whose allocations fail */
    volatile int64_t  countdown;            /* this many until the first */
    volatile int64_t  on;                   /* and all after it */
    volatile int64_t  failed;               /* so many have */
    volatile int64_t  clock;                /* s, that the clock is off */
    volatile int64_t  ticks;                /* s, the same of those that
                                               never jump */
} faults_t;


static faults_t  *faults;


void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);


static void __attribute__((constructor))
faults_map(void)
{
    int          fd;
    void        *p;
    const char  *path;

    path = getenv("CANARY_FAULTS");
    fd = path ? open(path, O_RDWR|O_CLOEXEC) : -1;

    if (fd == -1) {
        return;
    }

    p = mmap(NULL, sizeof(faults_t), PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    (void) close(fd);

    faults = p == MAP_FAILED ? NULL : p;
}


static int
faults_fail(void)
{
    if (faults == NULL || faults->countdown <= 0 || getpid() != faults->pid) {
        return 0;
    }

    if (faults->countdown > 1) {
        faults->countdown--;
        return 0;
    }

    if (!faults->on) {
        faults->countdown = 0;
    }

    faults->failed++;
    errno = ENOMEM;

    return 1;
}


void *
malloc(size_t size)
{
    return faults_fail() ? NULL : __libc_malloc(size);
}


void *
calloc(size_t n, size_t size)
{
    return faults_fail() ? NULL : __libc_calloc(n, size);
}


void *
realloc(void *p, size_t size)
{
    return faults_fail() ? NULL : __libc_realloc(p, size);
}


int
posix_memalign(void **p, size_t alignment, size_t size)
{
    void  *q;

    q = faults_fail() ? NULL : __libc_memalign(alignment, size);

    if (q == NULL) {
        return ENOMEM;
    }

    *p = q;

    return 0;
}


int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    int  rc;

    rc = (int) syscall(SYS_gettimeofday, tv, tz);

    if (rc == 0 && faults) {
        tv->tv_sec += faults->clock;
    }

    return rc;
}


time_t
time(time_t *t)
{
    struct timeval  tv;

    (void) gettimeofday(&tv, NULL);

    if (t) {
        *t = tv.tv_sec;
    }

    return tv.tv_sec;
}


int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int  rc;

    rc = (int) syscall(SYS_clock_gettime, id, ts);

    if (rc == 0 && faults) {
        ts->tv_sec += id == CLOCK_REALTIME ? faults->clock : faults->ticks;
    }

    return rc;
}
