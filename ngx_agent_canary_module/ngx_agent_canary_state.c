
/*
 * The state file.  It is replaced as a whole: temporary file, fsync, rename,
 * fsync of the directory; a crash at any point leaves the old or the new one.
 *
 * nginx' cache manager process writes it, which is there for slow work on
 * disks.  A thread would do as well, but its mere existence makes every
 * system call and every malloc() of a worker dearer.
 */


#include "ngx_agent_canary_state.h"
#include "ngx_agent_canary_zone.h"

#include <sys/file.h>


/* how far the file may be behind the zone, in milliseconds */
#define NGX_AGENT_CANARY_SAVE_INTERVAL  500

/* what a few hundred flags take; it grows */
#define NGX_AGENT_CANARY_SAVE_BUFFER    65536

/* far above what fits in any sensible zone */
#define NGX_AGENT_CANARY_STATE_MAX      1073741824    /* 1 GiB */


/* One save. */

typedef struct {
    u_char                      *data;
    size_t                       len;
    size_t                       size;
    ngx_atomic_uint_t            changes;   /* that are in data */
    const char                  *failed;    /* the call; NULL: none */
    ngx_err_t                    err;
} ngx_agent_canary_save_t;


static char *ngx_agent_canary_state_directory(ngx_conf_t *cf,
    ngx_agent_canary_main_conf_t *mcf);
static ngx_int_t ngx_agent_canary_state_check_directory(ngx_conf_t *cf,
    ngx_agent_canary_state_t *state);
static ngx_msec_t ngx_agent_canary_state_manager(void *data);
static u_char *ngx_agent_canary_state_read(ngx_agent_canary_zone_t *zone,
    size_t *len);
static ngx_int_t ngx_agent_canary_state_check(ngx_agent_canary_zone_t *zone,
    ngx_file_info_t *fi);
static ngx_int_t ngx_agent_canary_state_restore(ngx_agent_canary_zone_t *zone,
    canary_str_t file);
static ngx_int_t ngx_agent_canary_state_restore_flag(
    ngx_agent_canary_zone_t *zone, canary_entry_t *entry);
static ngx_int_t ngx_agent_canary_state_collect(
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_save_t *save);
static ngx_int_t ngx_agent_canary_state_collect_flag(
    ngx_agent_canary_zone_t *zone, ngx_agent_canary_save_t *save,
    ngx_agent_canary_flag_t *flag);
static ngx_int_t ngx_agent_canary_state_append(ngx_agent_canary_save_t *save,
    canary_entry_t *entry);
static void ngx_agent_canary_state_replace(ngx_agent_canary_state_t *state,
    ngx_agent_canary_save_t *save, ngx_fd_t directory);
static const char *ngx_agent_canary_state_write(ngx_fd_t fd,
    ngx_agent_canary_save_t *save);
static void ngx_agent_canary_state_done(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_save_t *save);


char *
ngx_agent_canary_state_add(ngx_conf_t *cf, ngx_agent_canary_main_conf_t *mcf,
    ngx_str_t *path)
{
    ngx_agent_canary_state_t  *state;

    if (mcf->state) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"state=%V\"", path);
        return NGX_CONF_ERROR;
    }

    if (path->len == 0 || path->data[path->len - 1] == '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"state=%V\", "
                           "expected the path of a file", path);
        return NGX_CONF_ERROR;
    }

    state = ngx_pcalloc(cf->pool, sizeof(ngx_agent_canary_state_t));
    if (state == NULL) {
        return NGX_CONF_ERROR;
    }

    state->path = *path;

    if (ngx_conf_full_name(cf->cycle, &state->path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (state->path.len + sizeof("..tmp") + NGX_INT64_LEN > NGX_MAX_PATH) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "too long parameter \"state=%V\", expected "
                           "less than %d bytes", path,
                           NGX_MAX_PATH - (int) sizeof("..tmp")
                           - NGX_INT64_LEN);
        return NGX_CONF_ERROR;
    }

    mcf->state = state;

    return ngx_agent_canary_state_directory(cf, mcf);
}


/*
 * The directory becomes one of nginx' paths: nginx creates it, and when the
 * master is root gives it to the user of the workers.
 */

static char *
ngx_agent_canary_state_directory(ngx_conf_t *cf,
    ngx_agent_canary_main_conf_t *mcf)
{
    u_char                    *p;
    ngx_path_t                *path;
    ngx_agent_canary_state_t  *state;

    state = mcf->state;

    state->directory.data = ngx_pstrdup(cf->pool, &state->path);
    if (state->directory.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = state->directory.data + state->path.len - 1;

    while (*p != '/') {
        p--;
    }

    if (p == state->directory.data) {
        p++;
    }

    *p = '\0';
    state->directory.len = p - state->directory.data;

    if (ngx_agent_canary_state_check_directory(cf, state) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (path == NULL) {
        return NGX_CONF_ERROR;
    }

    path->name = state->directory;
    path->manager = ngx_agent_canary_state_manager;
    path->data = mcf;
    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    if (ngx_add_path(cf, &path) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* nginx would give away "/tmp" or "/var/lib" just as well. */

static ngx_int_t
ngx_agent_canary_state_check_directory(ngx_conf_t *cf,
    ngx_agent_canary_state_t *state)
{
    size_t            len;
    u_char           *name;
    ngx_dir_t         dir;
    ngx_int_t         rc;
    ngx_str_t         file;
    ngx_core_conf_t  *ccf;
    ngx_file_info_t   fi;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);

    if (geteuid() != 0
        || ngx_file_info(state->directory.data, &fi) == NGX_FILE_ERROR
        || fi.st_uid != 0
        || ccf->user == 0
        || ngx_open_dir(&state->directory, &dir) == NGX_ERROR)
    {
        return NGX_OK;
    }

    rc = NGX_OK;

    file.data = (u_char *) strrchr((char *) state->path.data, '/') + 1;
    file.len = state->path.data + state->path.len - file.data;

    while (rc == NGX_OK && ngx_read_dir(&dir) == NGX_OK) {

        len = ngx_de_namelen(&dir);
        name = ngx_de_name(&dir);

        if (name[0] == '.'
            || (len >= file.len
                && ngx_strncmp(name, file.data, file.len) == 0))
        {
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the directory of \"state=%V\" holds \"%s\", "
                           "expected a directory of its own, which nginx "
                           "creates and gives to the user of the workers",
                           &state->path, name);
        rc = NGX_ERROR;
    }

    (void) ngx_close_dir(&dir);

    return rc;
}


ngx_int_t
ngx_agent_canary_state_load(ngx_agent_canary_zone_t *zone)
{
    u_char        *data;
    ngx_int_t      rc;
    canary_str_t   file;

    if (zone->conf->state == NULL) {
        return NGX_OK;
    }

    data = ngx_agent_canary_state_read(zone, &file.len);
    if (data == NULL) {
        return NGX_OK;
    }

    file.data = (char *) data;

    rc = ngx_agent_canary_state_restore(zone, file);

    ngx_free(data);

    return rc;
}


/* Returns the file's bytes to be freed, or NULL after it has logged why. */

static u_char *
ngx_agent_canary_state_read(ngx_agent_canary_zone_t *zone, size_t *len)
{
    u_char           *data, *path;
    size_t            size;
    ssize_t           n;
    ngx_fd_t          fd;
    ngx_log_t        *log;
    ngx_file_info_t   fi;

    log = zone->shm_zone->shm.log;
    path = zone->conf->state->path.data;

    /* neither a link nor a FIFO may lead or hold the master anywhere */

    fd = open((char *) path, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        if (ngx_errno != NGX_ENOENT) {
            ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                          "agent canary state file \"%s\" is not used: "
                          "open() failed", path);
        }

        return NULL;
    }

    data = NULL;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      ngx_fd_info_n " \"%s\" failed", path);

    } else if (ngx_agent_canary_state_check(zone, &fi) == NGX_OK) {
        size = (size_t) ngx_file_size(&fi);

        data = ngx_alloc(size + 1, log);

        for (*len = 0; data && *len < size; *len += n) {
            n = read(fd, data + *len, size - *len);

            if (n <= 0) {
                ngx_log_error(NGX_LOG_ERR, log, n ? ngx_errno : 0,
                              "agent canary state file \"%s\" is not used: "
                              "read() returned only %uz of %uz bytes",
                              path, *len, size);
                ngx_free(data);
                data = NULL;
            }
        }
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      ngx_close_file_n " \"%s\" failed", path);
    }

    return data;
}


static ngx_int_t
ngx_agent_canary_state_check(ngx_agent_canary_zone_t *zone,
    ngx_file_info_t *fi)
{
    const char       *why;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(zone->cycle->conf_ctx,
                                           ngx_core_module);

    if (!ngx_is_file(fi)) {
        why = "it is not a regular file";

    } else if (ngx_file_size(fi) > NGX_AGENT_CANARY_STATE_MAX) {
        why = "it is larger than 1 GiB";

    } else if (fi->st_uid != 0
               && fi->st_uid != geteuid()
               && fi->st_uid != ccf->user)
    {
        why = "it belongs neither to root nor to the user of the workers";

    } else if (fi->st_mode & (S_IWGRP|S_IWOTH)) {
        why = "it is writable for group or others, expected mode 0600";

    } else {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, zone->shm_zone->shm.log, 0,
                  "agent canary state file \"%V\" is not used: %s",
                  &zone->conf->state->path, why);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_agent_canary_state_restore(ngx_agent_canary_zone_t *zone,
    canary_str_t file)
{
    int                        rc;
    ngx_uint_t                 n;
    canary_entry_t             entry;
    canary_error_t             err;
    canary_snapshot_t          s;
    ngx_agent_canary_state_t  *state;

    state = zone->conf->state;

    if (canary_snapshot_open(&s, file, (char *) zone->sh->secret, &err) != 0) {
        ngx_log_error(NGX_LOG_ERR, zone->shm_zone->shm.log, 0,
                      "agent canary state file \"%V\" is not used: %s",
                      &state->path, err.text);
        return NGX_OK;
    }

    n = 0;

    for ( ;; ) {
        rc = canary_snapshot_next(&s, &entry);

        if (rc != 1) {
            break;
        }

        if (ngx_agent_canary_state_restore_flag(zone, &entry) != NGX_OK) {
            return NGX_ERROR;
        }

        n++;
    }

    if (rc == -1) {
        ngx_log_error(NGX_LOG_ERR, zone->shm_zone->shm.log, 0,
                      "agent canary state file \"%V\" is damaged "
                      "after %ui flags", &state->path, n);
    }

    ngx_log_error(NGX_LOG_NOTICE, zone->shm_zone->shm.log, 0,
                  "agent canary state file \"%V\": %ui flags",
                  &state->path, n);

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_state_restore_flag(ngx_agent_canary_zone_t *zone,
    canary_entry_t *entry)
{
    ngx_str_t                 name;
    canary_known_t            known, next, none;
    canary_reading_t          reading;
    ngx_agent_canary_node_t  *node;

    name.len = entry->name.len;
    name.data = (u_char *) entry->name.data;

    node = ngx_agent_canary_zone_find(zone, &name);

    if (node == NULL) {

        /* no longer in the configuration */

        return NGX_OK;
    }

    if (canary_known_unpack(&known, entry->packed) != 0) {
        ngx_log_error(NGX_LOG_ERR, zone->shm_zone->shm.log, 0,
                      "agent canary state file: flag \"%V\" is damaged",
                      &name);
        return NGX_OK;
    }

    /* the file may be of another version: it gets no other trust than Redis */

    ngx_memzero(&none, sizeof(canary_known_t));
    ngx_memzero(&reading, sizeof(canary_reading_t));

    reading.inited = 1;
    reading.record = known.record;
    reading.trip = known.trip;

    canary_known_apply(&next, entry->name, &none, &reading);

    if (next.state == CANARY_STATE_INVALID) {
        ngx_log_error(NGX_LOG_ERR, zone->shm_zone->shm.log, 0,
                      "agent canary state file: flag \"%V\": %s",
                      &name, next.reason.text);
    }

    next.epoch = ngx_max(next.epoch, known.epoch);

    if (known.latched) {
        next.latched = 1;
        next.latch = known.latch;
    }

    if (ngx_agent_canary_zone_restore(zone, node, &next) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm_zone->shm.log, 0,
                      "agent_canary_zone \"%V\" of %uz bytes has no room for "
                      "flag \"%V\" of the state file, expected a larger size",
                      &zone->shm_zone->shm.name, zone->shm_zone->shm.size,
                      &name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* In the cache manager process; returns when to come again. */

static ngx_msec_t
ngx_agent_canary_state_manager(void *data)
{
    ngx_agent_canary_main_conf_t *mcf = data;

    ngx_agent_canary_state_save(mcf);

    return NGX_AGENT_CANARY_SAVE_INTERVAL;
}


void
ngx_agent_canary_state_save(ngx_agent_canary_main_conf_t *mcf)
{
    ngx_fd_t                   fd;
    ngx_agent_canary_save_t    save;
    ngx_agent_canary_shctx_t  *sh;

    sh = mcf->zone->sh;

    ngx_log_debug2(NGX_LOG_DEBUG_CORE, ngx_cycle->log, 0,
                   "agent canary state: changes %uA, saved %uA",
                   sh->changes, sh->saved);

    if (ngx_agent_canary_zone_outdated(mcf->zone)
        || sh->changes == sh->saved)
    {
        return;
    }

    ngx_memzero(&save, sizeof(ngx_agent_canary_save_t));

    /* worker 0 may save while it exits, and another master after USR2 */

    fd = open((char *) mcf->state->directory.data,
              O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1 || flock(fd, LOCK_EX) == -1) {
        save.err = ngx_errno;
        save.failed = "flock() of the directory";
        ngx_agent_canary_state_done(mcf, &save);

    } else if (ngx_agent_canary_state_collect(mcf, &save) == NGX_OK) {
        ngx_agent_canary_state_replace(mcf->state, &save, fd);
        ngx_agent_canary_state_done(mcf, &save);

        ngx_free(save.data);
    }

    if (fd != -1) {
        (void) close(fd);
    }
}


/*
 * Makes the bytes of a state file: save->data, to be freed on NGX_OK.
 * NGX_AGAIN: somebody wrote meanwhile, the manager comes again.
 */

static ngx_int_t
ngx_agent_canary_state_collect(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_save_t *save)
{
    char                      *end;
    uint32_t                   n;
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_agent_canary_flag_t  **flag;
    ngx_agent_canary_zone_t   *zone;

    zone = mcf->zone;
    flag = mcf->flags.elts;

    save->changes = zone->sh->changes;
    save->failed = NULL;
    save->size = NGX_AGENT_CANARY_SAVE_BUFFER;

    save->data = ngx_alloc(save->size, ngx_cycle->log);
    if (save->data == NULL) {
        return NGX_ERROR;
    }

    end = canary_snapshot_put((char *) save->data,
                              (char *) zone->sh->secret);

    save->len = (u_char *) end - save->data;

    for (i = 0, n = 0; i < mcf->flags.nelts; i++) {

        if (flag[i]->node->version == 0) {
            continue;
        }

        rc = ngx_agent_canary_state_collect_flag(zone, save, flag[i]);

        if (rc != NGX_OK) {
            ngx_free(save->data);
            return rc;
        }

        n++;
    }

    canary_snapshot_seal((char *) save->data, (char *) save->data + save->len,
                         n);

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_state_collect_flag(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_save_t *save, ngx_agent_canary_flag_t *flag)
{
    ngx_int_t                rc;
    canary_entry_t           entry;
    ngx_agent_canary_view_t  view;

    rc = ngx_agent_canary_zone_read(zone, flag->node, &view);
    if (rc != NGX_OK) {
        return rc;
    }

    /* what is in the zone may lack a trip that it had no room for */

    entry.name = ngx_agent_canary_cstr(&flag->sn.str);
    entry.packed.len = canary_known_size(&view.known);
    entry.packed.data = ngx_alloc(entry.packed.len, ngx_cycle->log);

    if (entry.packed.data) {
        canary_known_pack((char *) entry.packed.data, &view.known);
        rc = ngx_agent_canary_state_append(save, &entry);
        ngx_free((void *) entry.packed.data);

    } else {
        rc = NGX_ERROR;
    }

    if (view.buffer) {
        ngx_free(view.buffer);
    }

    return rc;
}


static ngx_int_t
ngx_agent_canary_state_append(ngx_agent_canary_save_t *save,
    canary_entry_t *entry)
{
    char    *end;
    size_t   need, size;
    u_char  *data;

    need = save->len + canary_snapshot_size(1, entry->name.len
                                               + entry->packed.len);

    if (need > save->size) {
        size = need + save->size;

        data = ngx_alloc(size, ngx_cycle->log);
        if (data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(data, save->data, save->len);
        ngx_free(save->data);

        save->data = data;
        save->size = size;
    }

    end = canary_snapshot_add((char *) save->data + save->len, entry);

    save->len = (u_char *) end - save->data;

    return NGX_OK;
}


static void
ngx_agent_canary_state_replace(ngx_agent_canary_state_t *state,
    ngx_agent_canary_save_t *save, ngx_fd_t directory)
{
    char      temp[NGX_MAX_PATH];
    ngx_fd_t  fd;

    ngx_sprintf((u_char *) temp, "%V.%P.tmp%Z", &state->path, ngx_pid);

    /* left over from a process that had the same pid and was killed */

    (void) unlink(temp);

    fd = open(temp, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600);

    if (fd == -1) {
        save->err = ngx_errno;
        save->failed = "open()";
        return;
    }

    save->failed = ngx_agent_canary_state_write(fd, save);

    if (save->failed == NULL && rename(temp, (char *) state->path.data) == -1)
    {
        save->err = ngx_errno;
        save->failed = "rename()";
    }

    if (save->failed) {
        (void) unlink(temp);
        return;
    }

    if (fsync(directory) == -1) {
        save->err = ngx_errno;
        save->failed = "fsync() of the directory";
    }
}


/* Closes fd.  Returns the call that failed, or NULL. */

static const char *
ngx_agent_canary_state_write(ngx_fd_t fd, ngx_agent_canary_save_t *save)
{
    size_t       done;
    ssize_t      n;
    const char  *failed;

    failed = NULL;

    for (done = 0; done < save->len; done += n) {
        n = write(fd, save->data + done, save->len - done);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            n = 0;
            continue;
        }

        if (n == -1) {
            failed = "write()";
            break;
        }
    }

    if (failed == NULL && fsync(fd) == -1) {
        failed = "fsync()";
    }

    if (failed) {
        save->err = ngx_errno;
    }

    if (close(fd) == -1 && failed == NULL) {
        save->err = ngx_errno;
        failed = "close()";
    }

    return failed;
}


static void
ngx_agent_canary_state_done(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_save_t *save)
{
    ngx_agent_canary_state_t  *state;
    ngx_agent_canary_shctx_t  *sh;

    state = mcf->state;
    sh = mcf->zone->sh;

    if (save->failed == NULL) {
        sh->saved = save->changes;
        state->err = 0;
        return;
    }

    (void) ngx_atomic_fetch_add(&sh->save_failures, 1);

    /* tried again twice a second, told once */

    if (state->err != save->err) {
        state->err = save->err;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, save->err,
                      "agent canary state file \"%V\" is not written: "
                      "%s failed", &state->path, save->failed);
    }
}
