
/* Lines on standard error, as text or JSON; any thread may write them. */


#ifndef CANARYD_LOG_H
#define CANARYD_LOG_H


typedef enum {
    CANARYD_LOG_INFO = 0,
    CANARYD_LOG_WARN,
    CANARYD_LOG_ERROR,
    CANARYD_LOG_ALERT                       /* somebody has to know */
} canaryd_level_e;


/* Before any thread is started. */

void canaryd_log_init(int json, const char *instance);

/* flag NULL: it is about none. */

void canaryd_log(canaryd_level_e level, const char *flag, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/* The lines that nobody took. */

unsigned canaryd_log_lost(void);


#endif /* CANARYD_LOG_H */
