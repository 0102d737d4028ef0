
/*
 * agent_canary_zone name:size [state=path]
 *
 * Runs in the master, and in nginx -t: makes the shared memory, or takes over
 * that of the configuration before.
 */


#include "ngx_agent_canary_zone.h"
#include "ngx_agent_canary_state.h"


/* of processes that tally: the workers, and old ones that drain */
#define NGX_AGENT_CANARY_SLOTS_MAX  256


static ngx_int_t ngx_agent_canary_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_agent_canary_zone_create(ngx_agent_canary_zone_t *zone);
static ngx_int_t ngx_agent_canary_zone_random(u_char *p, size_t len);
static ngx_int_t ngx_agent_canary_zone_attach(ngx_agent_canary_zone_t *zone);
static ngx_agent_canary_node_t *ngx_agent_canary_zone_add(
    ngx_agent_canary_zone_t *zone, ngx_str_t *name);
static ngx_agent_canary_zone_t *ngx_agent_canary_zone_previous(void);
static ngx_int_t ngx_agent_canary_zone_import(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_zone_t *old);


char *
ngx_agent_canary_zone_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agent_canary_main_conf_t  *mcf = conf;

    u_char                   *p;
    ssize_t                   size;
    ngx_str_t                *value, name, s;
    ngx_uint_t                i;
    ngx_agent_canary_zone_t  *zone;

    if (mcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    name = value[1];

    p = ngx_strlchr(name.data, name.data + name.len, ':');

    if (p == NULL || p == name.data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\", expected name:size", &name);
        return NGX_CONF_ERROR;
    }

    s.data = p + 1;
    s.len = name.data + name.len - s.data;
    name.len = p - name.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\", "
                           "expected a size such as \"8m\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, "
                           "expected at least %uzk", &value[1],
                           8 * ngx_pagesize / 1024);
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "state=", 6) == 0) {
            s.len = value[i].len - 6;
            s.data = value[i].data + 6;

            if (ngx_agent_canary_state_add(cf, mcf, &s) != NGX_CONF_OK) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected \"state=path\"",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_agent_canary_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->shm_zone = ngx_shared_memory_add(cf, &name, size,
                                           &ngx_agent_canary_module);
    if (zone->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->cycle = cf->cycle;
    zone->conf = mcf;
    zone->shm_zone->init = ngx_agent_canary_init_zone;
    zone->shm_zone->data = zone;

    mcf->zone = zone;

    return NGX_CONF_OK;
}


/*
 * Runs in the master, at start, on every reload and in "nginx -t".  On a
 * reload the old workers go on using the memory meanwhile.
 */

static ngx_int_t
ngx_agent_canary_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_agent_canary_zone_t  *old = data;

    ngx_agent_canary_zone_t  *zone;

    zone = shm_zone->data;

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (old) {
        zone->sh = old->sh;
        zone->shpool = old->shpool;

        return ngx_agent_canary_zone_attach(zone);
    }

    if (shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;

        return ngx_agent_canary_zone_attach(zone);
    }

    if (ngx_agent_canary_zone_create(zone) != NGX_OK
        || ngx_agent_canary_zone_attach(zone) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* another size or name on a reload: nobody may change sides for that */

    old = ngx_agent_canary_zone_previous();

    if (old) {
        ngx_log_error(NGX_LOG_NOTICE, shm_zone->shm.log, 0,
                      "agent_canary_zone \"%V\" takes over the flags "
                      "of zone \"%V\", tallies start from zero",
                      &shm_zone->shm.name, &old->shm_zone->shm.name);

        return ngx_agent_canary_zone_import(zone, old);
    }

    return ngx_agent_canary_state_load(zone);
}


static ngx_int_t
ngx_agent_canary_zone_create(ngx_agent_canary_zone_t *zone)
{
    size_t                     len;
    u_char                     id[16];
    ngx_core_conf_t           *ccf;
    ngx_slab_pool_t           *shpool;
    ngx_agent_canary_shctx_t  *sh;

    shpool = zone->shpool;

    sh = ngx_slab_calloc(shpool, sizeof(ngx_agent_canary_shctx_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    len = sizeof(" in agent_canary_zone \"\"") + zone->shm_zone->shm.name.len;

    shpool->log_ctx = ngx_slab_alloc(shpool, len);
    if (shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(shpool->log_ctx, " in agent_canary_zone \"%V\"%Z",
                &zone->shm_zone->shm.name);

    /* a full zone is told in words of ours, with the flag's name */

    shpool->log_nomem = 0;

    if (ngx_agent_canary_zone_random(id, sizeof(id)) != NGX_OK
        || ngx_agent_canary_zone_random(sh->secret, CANARY_SECRET_LEN)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(sh->boot_id, id, sizeof(id));

    ccf = (ngx_core_conf_t *) ngx_get_conf(zone->cycle->conf_ctx,
                                           ngx_core_module);

    sh->created = ngx_current_msec;
    sh->confirmed = ngx_current_msec;
    sh->slots = 4 * ngx_max(ccf->worker_processes, 1) + 4;
    sh->slots = ngx_min(sh->slots, NGX_AGENT_CANARY_SLOTS_MAX);

    sh->pids = ngx_slab_calloc(shpool, sh->slots * sizeof(ngx_atomic_t));
    if (sh->pids == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&sh->nodes, &sh->sentinel, ngx_str_rbtree_insert_value);

    zone->sh = sh;
    shpool->data = sh;

    return NGX_OK;
}


/* Bytes for secrets and ids, from the system. */

static ngx_int_t
ngx_agent_canary_zone_random(u_char *p, size_t len)
{
    ssize_t   n;
    ngx_fd_t  fd;

    fd = open("/dev/urandom", O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, ngx_cycle->log, ngx_errno,
                      "open() \"/dev/urandom\" failed");
        return NGX_ERROR;
    }

    n = read(fd, p, len);

    (void) close(fd);

    if (n != (ssize_t) len) {
        ngx_log_error(NGX_LOG_EMERG, ngx_cycle->log, 0,
                      "read() \"/dev/urandom\" returned %z", n);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Gives every flag of the configuration its node. */

static ngx_int_t
ngx_agent_canary_zone_attach(ngx_agent_canary_zone_t *zone)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_agent_canary_flag_t  **flag;

    rc = NGX_OK;
    flag = zone->conf->flags.elts;

    ngx_shmtx_lock(&zone->shpool->mutex);

    for (i = 0; i < zone->conf->flags.nelts; i++) {

        flag[i]->node = ngx_agent_canary_zone_find(zone, &flag[i]->sn.str);

        if (flag[i]->node == NULL) {
            flag[i]->node = ngx_agent_canary_zone_add(zone, &flag[i]->sn.str);
        }

        if (flag[i]->node == NULL) {
            rc = NGX_ERROR;
            break;
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rc == NGX_ERROR) {
        ngx_log_error(NGX_LOG_EMERG, zone->shm_zone->shm.log, 0,
                      "agent_canary_zone \"%V\" of %uz bytes has room for "
                      "%ui of %ui flags, expected a larger size; a larger "
                      "zone takes the flags over on a reload",
                      &zone->shm_zone->shm.name, zone->shm_zone->shm.size,
                      i, zone->conf->flags.nelts);
    }

    return rc;
}


/* The caller holds the mutex. */

static ngx_agent_canary_node_t *
ngx_agent_canary_zone_add(ngx_agent_canary_zone_t *zone, ngx_str_t *name)
{
    size_t                    size;
    ngx_agent_canary_node_t  *node;

    node = ngx_slab_calloc_locked(zone->shpool,
                                  sizeof(ngx_agent_canary_node_t));
    if (node == NULL) {
        return NULL;
    }

    size = zone->sh->slots * sizeof(ngx_agent_canary_block_t *);

    node->blocks = ngx_slab_calloc_locked(zone->shpool, size);
    if (node->blocks == NULL) {
        ngx_slab_free_locked(zone->shpool, node);
        return NULL;
    }

    ngx_memcpy(node->name, name->data, name->len);

    node->sn.str.len = name->len;
    node->sn.str.data = node->name;
    node->sn.node.key = ngx_crc32_short(name->data, name->len);

    ngx_rbtree_insert(&zone->sh->nodes, &node->sn.node);

    return node;
}


/* The zone of the configuration that is about to be replaced, or NULL. */

static ngx_agent_canary_zone_t *
ngx_agent_canary_zone_previous(void)
{
    ngx_agent_canary_main_conf_t  *mcf;

    mcf = ngx_agent_canary_cycle_conf(ngx_cycle);

    return mcf ? mcf->zone : NULL;
}


static ngx_int_t
ngx_agent_canary_zone_import(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_zone_t *old)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_agent_canary_flag_t  **flag;
    ngx_agent_canary_node_t   *node;
    ngx_agent_canary_view_t    view;

    zone->sh->synced = old->sh->synced;
    zone->sh->created = old->sh->created;
    zone->sh->confirmed = old->sh->confirmed;
    zone->sh->guarded = old->sh->guarded;
    ngx_memcpy(zone->sh->guard, old->sh->guard, sizeof(old->sh->guard));
    ngx_memcpy(zone->sh->secret, old->sh->secret, CANARY_SECRET_LEN);

    flag = zone->conf->flags.elts;

    for (i = 0; i < zone->conf->flags.nelts; i++) {

        node = ngx_agent_canary_zone_find(old, &flag[i]->sn.str);

        if (node == NULL || node->version == 0) {
            continue;
        }

        if (ngx_agent_canary_zone_read(old, node, &view) != NGX_OK) {
            return NGX_ERROR;
        }

        rc = ngx_agent_canary_zone_restore(zone, flag[i]->node, &view.known);

        if (view.buffer) {
            ngx_free(view.buffer);
        }

        if (rc != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, zone->shm_zone->shm.log, 0,
                          "agent_canary_zone \"%V\" of %uz bytes has no room "
                          "for what is known of flag \"%V\"",
                          &zone->shm_zone->shm.name,
                          zone->shm_zone->shm.size, &flag[i]->sn.str);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
