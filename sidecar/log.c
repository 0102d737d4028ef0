
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "text.h"


#define CANARYD_LINE_MAX  1024


static void canaryd_log_write(const canaryd_text_t *line);
static void canaryd_log_text(canaryd_text_t *line, const char *level,
    const char *flag, const char *message);
static void canaryd_log_json(canaryd_text_t *line, const char *level,
    const char *flag, const char *message);


/* Set once, before there is a second thread. */

static struct {
    int          json;
    const char  *instance;
} canaryd_log_conf;


static atomic_uint  canaryd_log_counter;


void
canaryd_log_init(int json, const char *instance)
{
    canaryd_log_conf.json = json;
    canaryd_log_conf.instance = instance;
}


void
canaryd_log(canaryd_level_e level, const char *flag, const char *format, ...)
{
    char            message[CANARYD_LINE_MAX];
    va_list         args;
    canaryd_text_t  line;

    static const char  *levels[] = { "info", "warn", "error", "alert" };

    line = (canaryd_text_t) { 0 };

    va_start(args, format);
    (void) vsnprintf(message, sizeof(message), format, args);
    va_end(args);

    if (canaryd_log_conf.json) {
        canaryd_log_json(&line, levels[level], flag, message);

    } else {
        canaryd_log_text(&line, levels[level], flag, message);
    }

    canaryd_log_write(&line);
    canaryd_text_free(&line);
}


/*
 * One write, so that lines of threads do not mix.  Whoever reads them may
 * hang, and the lock may be held: better lose a line than the guard.
 */

static void
canaryd_log_write(const canaryd_text_t *line)
{
    struct pollfd  pfd;

    pfd.fd = STDERR_FILENO;
    pfd.events = POLLOUT;
    pfd.revents = 0;

    if (line->failed || poll(&pfd, 1, 0) != 1
        || write(STDERR_FILENO, line->data, line->len) < 0)
    {
        (void) atomic_fetch_add(&canaryd_log_counter, 1);
    }
}


unsigned
canaryd_log_lost(void)
{
    return atomic_load(&canaryd_log_counter);
}


static void
canaryd_log_text(canaryd_text_t *line, const char *level, const char *flag,
    const char *message)
{
    char  time[CANARYD_TIME_LEN];

    canaryd_time_text(time);

    canaryd_text_printf(line, "%s [%s] ", time, level);

    if (flag) {
        canaryd_text_printf(line, "flag \"%s\": ", flag);
    }

    canaryd_text_put(line, message);
    canaryd_text_put(line, "\n");
}


static void
canaryd_log_json(canaryd_text_t *line, const char *level, const char *flag,
    const char *message)
{
    char  time[CANARYD_TIME_LEN];

    canaryd_time_text(time);

    canaryd_text_printf(line, "{\"time\":\"%s\",\"level\":\"%s\"", time,
                        level);

    if (canaryd_log_conf.instance) {
        canaryd_text_put(line, ",\"instance\":");
        canaryd_text_json(line, canaryd_str(canaryd_log_conf.instance));
    }

    if (flag) {
        canaryd_text_put(line, ",\"flag\":");
        canaryd_text_json(line, canaryd_str(flag));
    }

    canaryd_text_put(line, ",\"message\":");
    canaryd_text_json(line, canaryd_str(message));
    canaryd_text_put(line, "}\n");
}
