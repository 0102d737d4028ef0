
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "clock.h"
#include "state.h"


#define CANARYD_STATE_MAGIC  "agent-canaryd-state 1\n"
#define CANARYD_STATE_BYTES  67108864
#define CANARYD_CHECK_LEN    23             /* "check " 16 digits LF */
#define CANARYD_WORDS_MAX    (2 * CANARYD_WINDOW_FIELDS + 1)


/* Reads a line of a flag or of none; f is the flag it belongs to, or NULL. */

typedef int (*canaryd_state_pt)(canaryd_t *d, canaryd_flag_t *f,
    canary_str_t line);


typedef struct {
    const char        *name;
    canaryd_state_pt   handler;
} canaryd_state_line_t;


static void canaryd_state_flag(canaryd_text_t *text, const canaryd_t *d,
    canaryd_flag_t *f, char *verdict);
static void canaryd_state_put(void *data, canary_str_t name,
    canary_str_t value);
static void canaryd_state_event(canaryd_text_t *text,
    const canaryd_event_t *event);
static int canaryd_state_read(canaryd_text_t *text, const char *path,
    canary_error_t *err);
static const char *canaryd_state_refuse(int fd);
static int canaryd_state_checked(canary_str_t *text);
static int canaryd_state_lines(canaryd_t *d, canary_str_t text);
static canary_str_t canaryd_state_word(canary_str_t *line, char end);
static int canaryd_state_set_writer(canaryd_t *d, canaryd_flag_t *f,
    canary_str_t line);
static int canaryd_state_set_verdict(canaryd_t *d, canaryd_flag_t *f,
    canary_str_t line);
static int canaryd_state_set_told(canaryd_t *d, canaryd_flag_t *f,
    canary_str_t line);
static int canaryd_state_set_notified(canaryd_t *d, canaryd_flag_t *f,
    canary_str_t line);
static int canaryd_state_set_window(canaryd_t *d, canaryd_flag_t *f,
    canary_str_t line);
static int canaryd_state_set_event(canaryd_t *d, canaryd_flag_t *f,
    canary_str_t line);
static int canaryd_state_swap(const char *path, const char *tmp,
    canary_str_t text);
static int canaryd_state_sync(const char *path);
static canaryd_text_t canaryd_state_dir(const char *path);


static const canaryd_state_line_t  canaryd_state_handlers[] = {
    { "writer", canaryd_state_set_writer },
    { "verdict", canaryd_state_set_verdict },
    { "told", canaryd_state_set_told },
    { "notified", canaryd_state_set_notified },
    { "window", canaryd_state_set_window },
    { "event", canaryd_state_set_event },
    { NULL, NULL }
};


void
canaryd_state_write(canaryd_text_t *text, const canaryd_t *d)
{
    char                   *verdict;
    size_t                  size;
    unsigned                i;
    const canaryd_event_t  *event;

    size = CANARY_VERDICT_TEXT_MAX;
    verdict = malloc(size);

    if (verdict == NULL) {
        text->failed = 1;
        return;
    }

    canaryd_text_put(text, CANARYD_STATE_MAGIC);
    canaryd_text_printf(text, "writer %s\n", d->writer);

    for (i = 0; i < d->n; i++) {
        canaryd_state_flag(text, d, d->flag[i], verdict);
    }

    for (event = d->events.first; event; event = event->next) {
        canaryd_state_event(text, event);
    }

    free(verdict);

    canaryd_text_printf(text, "check %016" PRIx64 "\n",
                        XXH3_64bits(text->data, text->len));
}


static void
canaryd_state_flag(canaryd_text_t *text, const canaryd_t *d,
    canaryd_flag_t *f, char *verdict)
{
    size_t             len;
    canaryd_window_t   w;
    canaryd_source_t  *source;

    if (f->verdict == NULL && f->saved == NULL) {
        return;
    }

    canaryd_text_printf(text, "flag %s\nverdict ", f->name);

    if (f->verdict) {
        len = canary_verdict_save(f->verdict, verdict,
                                  CANARY_VERDICT_TEXT_MAX);
        canaryd_text_add(text, verdict, len);

    } else {
        canaryd_text_put(text, f->saved);
    }

    if (f->told[0]) {
        canaryd_text_printf(text, "\ntold %s", f->told);
    }

    canaryd_text_printf(text, "\nnotified %" PRIu64 " %" PRIu32 "\n",
                        f->epoch, f->notified);

    source = canaryd_fleet_source(&f->fleet, d->boot);

    if (source == NULL && f->fleet.n == 1) {
        source = f->fleet.source;               /* not seen since the start */
    }

    if (source == NULL) {
        return;
    }

    memset(&w, 0, sizeof(w));
    memcpy(w.boot, source->boot, sizeof(w.boot));
    memcpy(w.arm, source->arm, sizeof(w.arm));
    w.epoch = source->epoch;
    w.percent = f->percent;

    canaryd_text_put(text, "window");
    (void) canaryd_window_write(&w, NULL, canaryd_state_put, text);
    canaryd_text_put(text, "\n");
}


static void
canaryd_state_put(void *data, canary_str_t name, canary_str_t value)
{
    canaryd_text_t  *text = data;

    canaryd_text_put(text, " ");
    canaryd_text_add(text, name.data, name.len);
    canaryd_text_put(text, " ");
    canaryd_text_add(text, value.data, value.len);
}


static void
canaryd_state_event(canaryd_text_t *text, const canaryd_event_t *event)
{
    size_t  i, from;

    canaryd_text_printf(text, "event %s %s %s %" PRIu64 " %u %u %u ",
                        event->id, event->flag, event->type, event->epoch,
                        (unsigned) event->own, (unsigned) event->audit,
                        (unsigned) event->hook);

    from = text->len;
    canaryd_text_put(text, event->record);

    /* a line end in JSON is a blank */

    for (i = from; i < text->len; i++) {
        if (text->data[i] == '\n') {
            text->data[i] = ' ';
        }
    }

    canaryd_text_put(text, "\n");
}


int
canaryd_state_load(canaryd_t *d, canary_error_t *err)
{
    int             rc;
    canaryd_text_t  text;

    text = (canaryd_text_t) { 0 };
    rc = canaryd_state_read(&text, d->options.state, err);

    if (rc == 0 && text.data
        && canaryd_state_parse(d, canaryd_text_str(&text)) != 0)
    {
        canary_error(err, "state file", canaryd_str(d->options.state),
                     "expected the whole of what was written");
        rc = -1;
    }

    canaryd_text_free(&text);

    return rc;
}


int
canaryd_state_parse(canaryd_t *d, canary_str_t text)
{
    if (canaryd_state_checked(&text) == 0 && canaryd_state_lines(d, text) == 0)
    {
        return 0;
    }

    canaryd_flags_free(d);
    canaryd_events_clear(&d->events);

    return -1;
}


static int
canaryd_state_read(canaryd_text_t *text, const char *path,
    canary_error_t *err)
{
    int          fd;
    char         block[65536];
    ssize_t      n;
    const char  *reason;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT) {
        return 0;
    }

    reason = canaryd_state_refuse(fd);

    for (n = 1; reason == NULL && n > 0; /* void */ ) {
        n = read(fd, block, sizeof(block));

        if (n > 0) {
            canaryd_text_add(text, block, (size_t) n);
        }

        if (n < 0) {
            reason = strerror(errno);

        } else if (text->failed || text->len > CANARYD_STATE_BYTES) {
            reason = "expected fewer bytes";
        }
    }

    if (fd >= 0) {
        (void) close(fd);
    }

    if (reason) {
        canary_error(err, "state file", canaryd_str(path), reason);
    }

    return reason ? -1 : 0;
}


static const char *
canaryd_state_refuse(int fd)
{
    struct stat  st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        return strerror(errno);
    }

    return S_ISREG(st.st_mode) ? NULL : "expected a regular file";
}


/* Leaves in text what is between the first line and the last one. */

static int
canaryd_state_checked(canary_str_t *text)
{
    char          check[CANARYD_CHECK_LEN + 1];
    size_t        len;
    const size_t  magic = sizeof(CANARYD_STATE_MAGIC) - 1;

    if (text->len < magic + CANARYD_CHECK_LEN
        || memcmp(text->data, CANARYD_STATE_MAGIC, magic) != 0)
    {
        return -1;
    }

    len = text->len - CANARYD_CHECK_LEN;

    (void) snprintf(check, sizeof(check), "check %016" PRIx64 "\n",
                    XXH3_64bits(text->data, len));

    if (memcmp(text->data + len, check, CANARYD_CHECK_LEN) != 0) {
        return -1;
    }

    text->data += magic;
    text->len = len - magic;

    return 0;
}


static int
canaryd_state_lines(canaryd_t *d, canary_str_t text)
{
    char             name[CANARY_FLAG_NAME_MAX + 1];
    unsigned         i;
    canary_str_t     line, word;
    canaryd_flag_t  *f;

    f = NULL;

    while (text.len) {
        line = canaryd_state_word(&text, '\n');

        if (line.len && memchr(line.data, '\0', line.len)) {
            return -1;
        }

        word = canaryd_state_word(&line, ' ');

        if (canary_str_eq(word, canaryd_str("flag"))) {
            canaryd_copy(name, sizeof(name), line);
            f = canary_flag_name_valid(line) ? canaryd_flag_add(d, name)
                                             : NULL;
            if (f == NULL) {
                return -1;
            }

            continue;
        }

        for (i = 0; canaryd_state_handlers[i].name; i++) {
            if (canary_str_eq(word,
                              canaryd_str(canaryd_state_handlers[i].name)))
            {
                break;
            }
        }

        if (canaryd_state_handlers[i].name == NULL
            || canaryd_state_handlers[i].handler(d, f, line) != 0)
        {
            return -1;
        }
    }

    return 0;
}


/* What is before the end; the line goes on after it. */

static canary_str_t
canaryd_state_word(canary_str_t *line, char end)
{
    const char    *p;
    canary_str_t   word;

    word = *line;
    p = line->len ? memchr(line->data, end, line->len) : NULL;

    if (p) {
        word.len = (size_t) (p - line->data);
        line->data += word.len + 1;
        line->len -= word.len + 1;

    } else {
        line->data += line->len;
        line->len = 0;
    }

    return word;
}


static int
canaryd_state_set_writer(canaryd_t *d, canaryd_flag_t *f, canary_str_t line)
{
    (void) f;

    if (line.len == 0 || line.len >= sizeof(d->writer)) {
        return -1;
    }

    canaryd_copy(d->writer, sizeof(d->writer), line);

    return 0;
}


static int
canaryd_state_set_verdict(canaryd_t *d, canaryd_flag_t *f, canary_str_t line)
{
    (void) d;

    if (f == NULL || f->saved || line.len > CANARY_VERDICT_TEXT_MAX) {
        return -1;
    }

    f->saved = canaryd_dup(line);

    return f->saved ? 0 : -1;
}


static int
canaryd_state_set_told(canaryd_t *d, canaryd_flag_t *f, canary_str_t line)
{
    (void) d;

    if (f == NULL || line.len == 0 || line.len >= sizeof(f->told)) {
        return -1;
    }

    canaryd_copy(f->told, sizeof(f->told), line);

    return 0;
}


static int
canaryd_state_set_notified(canaryd_t *d, canaryd_flag_t *f,
    canary_str_t line)
{
    uint64_t  mask;

    (void) d;

    if (f == NULL
        || canary_epoch_parse(canaryd_state_word(&line, ' '), &f->epoch) != 0
        || canary_epoch_parse(line, &mask) != 0 || mask > UINT32_MAX)
    {
        return -1;
    }

    f->notified = (uint32_t) mask;

    return 0;
}


static int
canaryd_state_set_window(canaryd_t *d, canaryd_flag_t *f, canary_str_t line)
{
    unsigned          n;
    canary_str_t      word[CANARYD_WORDS_MAX];
    canaryd_window_t  w;

    (void) d;

    for (n = 0; line.len && n < CANARYD_WORDS_MAX; n++) {
        word[n] = canaryd_state_word(&line, ' ');
    }

    if (f == NULL || f->fleet.n || line.len || n % 2
        || canaryd_window_read(&w, word, n / 2) != 0)
    {
        return -1;
    }

    (void) canaryd_fleet_read(&f->fleet, w.boot, w.epoch, w.arm,
                              canaryd_now(), NULL);

    return 0;
}


static int
canaryd_state_set_event(canaryd_t *d, canaryd_flag_t *f, canary_str_t line)
{
    char              id[CANARYD_ID_MAX], flag[CANARY_FLAG_NAME_MAX + 1];
    unsigned          i;
    uint64_t          n[4];
    const char       *type;
    canary_str_t      word;
    canaryd_event_t  *event;

    (void) f;

    word = canaryd_state_word(&line, ' ');

    if (word.len == 0 || word.len >= sizeof(id)) {
        return -1;
    }

    canaryd_copy(id, sizeof(id), word);
    word = canaryd_state_word(&line, ' ');

    if (!canary_flag_name_valid(word)) {
        return -1;
    }

    canaryd_copy(flag, sizeof(flag), word);

    word = canaryd_state_word(&line, ' ');
    type = canary_str_eq(word, canaryd_str("notify")) ? "notify" : "trip";

    for (i = 0; i < 4; i++) {
        if (canary_epoch_parse(canaryd_state_word(&line, ' '), &n[i]) != 0) {
            return -1;
        }
    }

    if (n[1] > 1 || n[2] > CANARYD_AUDIT_LOST || n[3] > CANARYD_HOOK_DONE) {
        return -1;
    }

    event = canaryd_events_add(&d->events, id, flag, type, n[0], line,
                               canaryd_now());
    if (event == NULL) {
        return -1;
    }

    event->own = n[1] != 0;
    event->audit = (canaryd_audit_e) n[2];
    event->hook = (canaryd_hook_e) n[3];

    return 0;
}


int
canaryd_state_check(const char *path, canary_error_t *err)
{
    int             rc;
    canaryd_text_t  dir;

    dir = canaryd_state_dir(path);
    rc = dir.failed ? -1 : access(dir.data, W_OK | X_OK);

    if (rc != 0) {
        canary_error(err, "--state", canaryd_str(path),
                     errno == ENOENT
                     ? "expected a file in a directory that is there"
                     : "expected a file in a directory that may be written");
    }

    canaryd_text_free(&dir);

    return rc;
}


int
canaryd_state_store(const char *path, canary_str_t text, canary_error_t *err)
{
    int             rc;
    canaryd_text_t  tmp;

    tmp = (canaryd_text_t) { 0 };
    canaryd_text_printf(&tmp, "%s.tmp", path);

    rc = tmp.failed ? -1 : canaryd_state_swap(path, tmp.data, text);

    if (rc != 0) {
        canary_error(err, "state file", canaryd_str(path), strerror(errno));
    }

    canaryd_text_free(&tmp);

    return rc;
}


static int
canaryd_state_swap(const char *path, const char *tmp, canary_str_t text)
{
    int      fd, rc;
    ssize_t  n;

    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
              0600);

    if (fd < 0) {
        return -1;
    }

    for (n = 0; text.len && n >= 0; ) {
        n = write(fd, text.data, text.len);

        if (n > 0) {
            text.data += n;
            text.len -= (size_t) n;
        }
    }

    rc = n < 0 || fchmod(fd, 0600) != 0 || fsync(fd) != 0 ? -1 : 0;

    if (close(fd) != 0 || rc != 0) {
        return -1;
    }

    if (rename(tmp, path) != 0) {
        return -1;
    }

    return canaryd_state_sync(path);
}


/* The directory, too: else the name may still be the old file's. */

static int
canaryd_state_sync(const char *path)
{
    int             fd, rc;
    canaryd_text_t  dir;

    dir = canaryd_state_dir(path);

    fd = dir.failed ? -1 : open(dir.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    canaryd_text_free(&dir);

    if (fd < 0) {
        return -1;
    }

    rc = fsync(fd);
    (void) close(fd);

    return rc;
}


static canaryd_text_t
canaryd_state_dir(const char *path)
{
    const char     *slash;
    canaryd_text_t  dir;

    dir = (canaryd_text_t) { 0 };
    slash = strrchr(path, '/');

    if (slash) {
        canaryd_text_add(&dir, path, (size_t) (slash - path) + 1);

    } else {
        canaryd_text_put(&dir, ".");
    }

    return dir;
}
