
/*
 * Time.  Whatever is measured or waited for goes by the monotonic clock, so
 * that no step of the wall clock ages or refreshes anything.
 */


#ifndef CANARYD_CLOCK_H
#define CANARYD_CLOCK_H


#include <pthread.h>
#include <stddef.h>
#include <stdint.h>


#define CANARYD_TIME_LEN  sizeof("2026-11-20T09:16:15.123Z")


uint64_t canaryd_now(void);                 /* ms, monotonic */
double canaryd_cpu(void);                   /* s, of this process */

/* The wall clock: for logs and records only. */

int64_t canaryd_unix_time(void);
void canaryd_time_text(char text[CANARYD_TIME_LEN]);

/* A condition that waits on the monotonic clock.  Returns 0 or -1. */

int canaryd_cond_init(pthread_cond_t *cond);

/* Waits, with the mutex held, until signalled or the time has come. */

void canaryd_cond_until(pthread_cond_t *cond, pthread_mutex_t *mutex,
    uint64_t when);


#endif /* CANARYD_CLOCK_H */
