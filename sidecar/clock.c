
#include <stdio.h>
#include <time.h>
#include "clock.h"


uint64_t
canaryd_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


double
canaryd_cpu(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


int64_t
canaryd_unix_time(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return ts.tv_sec;
}


void
canaryd_time_text(char text[CANARYD_TIME_LEN])
{
    size_t           len;
    struct tm        tm;
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    (void) gmtime_r(&ts.tv_sec, &tm);

    len = strftime(text, CANARYD_TIME_LEN, "%Y-%m-%dT%H:%M:%S", &tm);

    (void) snprintf(text + len, CANARYD_TIME_LEN - len, ".%03uZ",
                    (unsigned) (ts.tv_nsec / 1000000) % 1000);
}


int
canaryd_cond_init(pthread_cond_t *cond)
{
    int                 rc;
    pthread_condattr_t  attr;

    if (pthread_condattr_init(&attr) != 0) {
        return -1;
    }

    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);

    if (rc == 0) {
        rc = pthread_cond_init(cond, &attr);
    }

    (void) pthread_condattr_destroy(&attr);

    return rc == 0 ? 0 : -1;
}


void
canaryd_cond_until(pthread_cond_t *cond, pthread_mutex_t *mutex,
    uint64_t when)
{
    struct timespec  ts;

    ts.tv_sec = (time_t) (when / 1000);
    ts.tv_nsec = (long) (when % 1000) * 1000000;

    (void) pthread_cond_timedwait(cond, mutex, &ts);
}
