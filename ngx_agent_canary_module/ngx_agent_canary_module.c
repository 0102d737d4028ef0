
/*
 * The directives of the module, and its life in the processes of nginx.
 */


#include "ngx_agent_canary_module.h"
#include "ngx_agent_canary_api.h"
#include "ngx_agent_canary_deadline.h"
#include "ngx_agent_canary_decision.h"
#include "ngx_agent_canary_link.h"
#include "ngx_agent_canary_observe.h"
#include "ngx_agent_canary_prices.h"
#include "ngx_agent_canary_state.h"
#include "ngx_agent_canary_upstream.h"
#include "ngx_agent_canary_usage_filter.h"
#include "ngx_agent_canary_variables.h"
#include "ngx_agent_canary_zone.h"


#define NGX_AGENT_CANARY_STALE  10000


static char *ngx_agent_canary_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_agent_canary_parameter(ngx_conf_t *cf,
    ngx_agent_canary_binding_t *binding, ngx_str_t *parameter);
static ngx_agent_canary_flag_t *ngx_agent_canary_flag_add(ngx_conf_t *cf,
    ngx_agent_canary_main_conf_t *mcf, ngx_str_t *name);
static char *ngx_agent_canary_errors_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_agent_canary_deadline_conf(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_agent_canary_usage_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_agent_canary_stale_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_agent_canary_unguarded_conf(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_agent_canary_limit(ngx_conf_t *cf, ngx_msec_t *limit,
    ngx_uint_t *action);
static ngx_int_t ngx_agent_canary_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_agent_canary_postconfiguration(ngx_conf_t *cf);
static void *ngx_agent_canary_create_main_conf(ngx_conf_t *cf);
static char *ngx_agent_canary_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_agent_canary_create_loc_conf(ngx_conf_t *cf);
static char *ngx_agent_canary_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_agent_canary_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_agent_canary_init_process(ngx_cycle_t *cycle);
static void ngx_agent_canary_exit_process(ngx_cycle_t *cycle);


static ngx_uint_t  ngx_agent_canary_error_codes[] = { 500, 502, 503, 504 };

static ngx_array_t  ngx_agent_canary_errors = {
    ngx_agent_canary_error_codes, 4, sizeof(ngx_uint_t), 4, NULL
};


static ngx_command_t  ngx_agent_canary_commands[] = {

    { ngx_string("agent_canary_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_agent_canary_zone_conf,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agent_canary_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_agent_canary_redis_conf,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agent_canary_stale"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_agent_canary_stale_conf,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agent_canary"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_agent_canary_conf,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agent_canary_override"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_agent_canary_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_agent_canary_loc_conf_t, override),
      NULL },

    { ngx_string("agent_canary_dry_run"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_agent_canary_loc_conf_t, dry_run),
      NULL },

    { ngx_string("agent_canary_outcome"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_agent_canary_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_agent_canary_loc_conf_t, outcome),
      NULL },

    { ngx_string("agent_canary_cost"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_agent_canary_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_agent_canary_loc_conf_t, cost),
      NULL },

    { ngx_string("agent_canary_errors"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_agent_canary_errors_conf,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agent_canary_deadline"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_agent_canary_deadline_conf,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agent_canary_usage"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_agent_canary_usage_conf,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agent_canary_prices"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_agent_canary_prices_conf,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agent_canary_unguarded"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_agent_canary_unguarded_conf,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("agent_canary_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_agent_canary_api_conf,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_agent_canary_module_ctx = {
    ngx_agent_canary_preconfiguration,     /* preconfiguration */
    ngx_agent_canary_postconfiguration,    /* postconfiguration */

    ngx_agent_canary_create_main_conf,     /* create main configuration */
    ngx_agent_canary_init_main_conf,       /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_agent_canary_create_loc_conf,      /* create location configuration */
    ngx_agent_canary_merge_loc_conf        /* merge location configuration */
};


ngx_module_t  ngx_agent_canary_module = {
    NGX_MODULE_V1,
    &ngx_agent_canary_module_ctx,          /* module context */
    ngx_agent_canary_commands,             /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_agent_canary_init_module,          /* init module */
    ngx_agent_canary_init_process,         /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_agent_canary_exit_process,         /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* agent_canary flag key= baseline= candidate= [tenant=] | off */

static char *
ngx_agent_canary_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agent_canary_loc_conf_t  *lcf = conf;

    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_agent_canary_binding_t    *binding, **b;
    ngx_agent_canary_main_conf_t  *mcf;

    if (lcf->binding != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" after \"off\", "
                               "expected none", &value[2]);
            return NGX_CONF_ERROR;
        }

        lcf->binding = NULL;
        return NGX_CONF_OK;
    }

    if (!canary_flag_name_valid(ngx_agent_canary_cstr(&value[1]))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid flag name \"%V\", expected 1 to 64 "
                           "of A-Z a-z 0-9 . _ -", &value[1]);
        return NGX_CONF_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_agent_canary_module);

    binding = ngx_pcalloc(cf->pool, sizeof(ngx_agent_canary_binding_t));
    b = ngx_array_push(&mcf->bindings);

    if (binding == NULL || b == NULL) {
        return NGX_CONF_ERROR;
    }

    *b = binding;

    binding->file_name = cf->conf_file->file.name.data;
    binding->line = cf->conf_file->line;

    binding->flag = ngx_agent_canary_flag_add(cf, mcf, &value[1]);
    if (binding->flag == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_agent_canary_parameter(cf, binding, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (binding->key == NULL) {
        return "must have \"key\" parameter";
    }

    if (binding->names[CANARY_ARM_BASELINE].len == 0) {
        return "must have \"baseline\" parameter";
    }

    if (binding->names[CANARY_ARM_CANDIDATE].len == 0) {
        return "must have \"candidate\" parameter";
    }

    lcf->binding = binding;

    return NGX_CONF_OK;
}


static char *
ngx_agent_canary_parameter(ngx_conf_t *cf,
    ngx_agent_canary_binding_t *binding, ngx_str_t *parameter)
{
    u_char                     *p;
    ngx_str_t                   name, value, *arm;
    ngx_agent_canary_value_t  **compiled;

    p = ngx_strlchr(parameter->data, parameter->data + parameter->len, '=');

    if (p == NULL || p == parameter->data + parameter->len - 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected name=value",
                           parameter);
        return NGX_CONF_ERROR;
    }

    name.data = parameter->data;
    name.len = p - parameter->data;

    value.data = p + 1;
    value.len = parameter->len - name.len - 1;

    arm = NULL;
    compiled = NULL;

    if (name.len == 3 && ngx_strncmp(name.data, "key", 3) == 0) {
        compiled = &binding->key;

    } else if (name.len == 6 && ngx_strncmp(name.data, "tenant", 6) == 0) {
        compiled = &binding->tenant;

    } else if (name.len == 8 && ngx_strncmp(name.data, "baseline", 8) == 0) {
        arm = &binding->names[CANARY_ARM_BASELINE];

    } else if (name.len == 9 && ngx_strncmp(name.data, "candidate", 9) == 0) {
        arm = &binding->names[CANARY_ARM_CANDIDATE];

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected \"key=\", "
                           "\"baseline=\", \"candidate=\" or \"tenant=\"",
                           parameter);
        return NGX_CONF_ERROR;
    }

    if ((arm && arm->len) || (compiled && *compiled)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate parameter \"%V\"",
                           parameter);
        return NGX_CONF_ERROR;
    }

    if (arm) {
        *arm = value;
        return NGX_CONF_OK;
    }

    if (compiled == &binding->key
        && ngx_http_script_variables_count(&value) == 0)
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "no variable in \"%V\", all users are one, "
                           "expected a value such as "
                           "\"key=$http_x_user_id\"", parameter);
    }

    return ngx_agent_canary_value_compile(cf, &value, compiled);
}


static ngx_agent_canary_flag_t *
ngx_agent_canary_flag_add(ngx_conf_t *cf, ngx_agent_canary_main_conf_t *mcf,
    ngx_str_t *name)
{
    ngx_agent_canary_flag_t  *flag, **slot;

    flag = ngx_agent_canary_flag_find(mcf, name);
    if (flag) {
        return flag;
    }

    flag = ngx_pcalloc(cf->pool, sizeof(ngx_agent_canary_flag_t));
    slot = ngx_array_push(&mcf->flags);

    if (flag == NULL || slot == NULL) {
        return NULL;
    }

    *slot = flag;

    flag->index = mcf->flags.nelts - 1;
    flag->sn.str = *name;
    flag->sn.node.key = ngx_crc32_short(name->data, name->len);

    ngx_rbtree_insert(&mcf->names, &flag->sn.node);

    return flag;
}


ngx_agent_canary_flag_t *
ngx_agent_canary_flag_find(ngx_agent_canary_main_conf_t *mcf, ngx_str_t *name)
{
    return (ngx_agent_canary_flag_t *)
               ngx_str_rbtree_lookup(&mcf->names, name,
                                     ngx_crc32_short(name->data, name->len));
}


/* agent_canary_errors code... */

static char *
ngx_agent_canary_errors_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agent_canary_loc_conf_t  *lcf = conf;

    ngx_int_t    n;
    ngx_str_t   *value;
    ngx_uint_t   i, *code;

    if (lcf->errors != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    lcf->errors = ngx_array_create(cf->pool, cf->args->nelts,
                                   sizeof(ngx_uint_t));
    if (lcf->errors == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        n = ngx_atoi(value[i].data, value[i].len);

        if (n == NGX_ERROR || n < 400 || n > 599) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid status \"%V\", expected 400 to 599",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        code = ngx_array_push(lcf->errors);
        if (code == NULL) {
            return NGX_CONF_ERROR;
        }

        *code = n;
    }

    return NGX_CONF_OK;
}


/* agent_canary_deadline time: nginx' own slot would not quote it */

static char *
ngx_agent_canary_deadline_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agent_canary_loc_conf_t  *lcf = conf;

    ngx_int_t   time;
    ngx_str_t  *value;

    if (lcf->deadline != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    time = ngx_parse_time(&value[1], 0);

    if (time == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\", expected a time such as "
                           "\"10s\", or 0 for no deadline", &value[1]);
        return NGX_CONF_ERROR;
    }

    lcf->deadline = time;

    return NGX_CONF_OK;
}


/* agent_canary_usage off|auto */

static char *
ngx_agent_canary_usage_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agent_canary_loc_conf_t  *lcf = conf;

    ngx_str_t  *value;

    if (lcf->usage != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lcf->usage = 0;

    } else if (ngx_strcmp(value[1].data, "auto") == 0) {
        lcf->usage = 1;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\", expected \"off\" "
                           "or \"auto\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_agent_canary_stale_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_agent_canary_main_conf_t  *mcf = conf;

    return ngx_agent_canary_limit(cf, &mcf->stale, &mcf->stale_action);
}


static char *
ngx_agent_canary_unguarded_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_agent_canary_main_conf_t  *mcf = conf;

    return ngx_agent_canary_limit(cf, &mcf->unguarded,
                                  &mcf->unguarded_action);
}


/* time hold|baseline */

static char *
ngx_agent_canary_limit(ngx_conf_t *cf, ngx_msec_t *limit, ngx_uint_t *action)
{
    ngx_int_t   time;
    ngx_str_t  *value;

    if (*limit != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    time = ngx_parse_time(&value[1], 0);

    if (time == NGX_ERROR || time == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\", expected a time above zero, "
                           "such as \"30s\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[2].data, "hold") == 0) {
        *action = CANARY_STALE_HOLD;

    } else if (ngx_strcmp(value[2].data, "baseline") == 0) {
        *action = CANARY_STALE_BASELINE;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid action \"%V\", expected \"hold\" "
                           "or \"baseline\"", &value[2]);
        return NGX_CONF_ERROR;
    }

    *limit = time;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_agent_canary_preconfiguration(ngx_conf_t *cf)
{
    if (ngx_agent_canary_decision_init(cf) != NGX_OK
        || ngx_agent_canary_add_variables(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_agent_canary_add_upstream(cf);
}


static ngx_int_t
ngx_agent_canary_postconfiguration(ngx_conf_t *cf)
{
    ngx_agent_canary_binding_t    **binding;
    ngx_agent_canary_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_agent_canary_module);

    if (mcf->bindings.nelts == 0) {
        return mcf->link ? ngx_agent_canary_link_init(cf, mcf) : NGX_OK;
    }

    binding = mcf->bindings.elts;

    if (mcf->zone == NULL || mcf->link == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"agent_canary %V\" needs \"%s\" "
                      "in the http block, in %s:%ui",
                      &binding[0]->flag->sn.str,
                      mcf->zone ? "agent_canary_redis" : "agent_canary_zone",
                      binding[0]->file_name, binding[0]->line);
        return NGX_ERROR;
    }

    ngx_agent_canary_values_check(cf, &mcf->values);

    if (ngx_agent_canary_find_upstreams(cf, mcf) != NGX_OK
        || ngx_agent_canary_observe_init(cf) != NGX_OK
        || ngx_agent_canary_usage_init(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_agent_canary_link_init(cf, mcf);
}


static void *
ngx_agent_canary_create_main_conf(ngx_conf_t *cf)
{
    ngx_agent_canary_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_agent_canary_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     mcf->zone = NULL;
     *     mcf->state = NULL;
     *     mcf->link = NULL;
     *     mcf->stale_action = 0;
     */

    mcf->stale = NGX_CONF_UNSET_MSEC;
    mcf->unguarded = NGX_CONF_UNSET_MSEC;

    ngx_rbtree_init(&mcf->names, &mcf->sentinel, ngx_str_rbtree_insert_value);

    if (ngx_array_init(&mcf->flags, cf->pool, 4,
                       sizeof(ngx_agent_canary_flag_t *))
        != NGX_OK
        || ngx_array_init(&mcf->bindings, cf->pool, 4,
                          sizeof(ngx_agent_canary_binding_t *))
           != NGX_OK
        || ngx_array_init(&mcf->values, cf->pool, 4,
                          sizeof(ngx_agent_canary_value_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


static char *
ngx_agent_canary_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_agent_canary_main_conf_t  *mcf = conf;

    if (mcf->stale == NGX_CONF_UNSET_MSEC) {
        mcf->stale = NGX_AGENT_CANARY_STALE;
        mcf->stale_action = CANARY_STALE_HOLD;
    }

    ngx_conf_init_msec_value(mcf->unguarded, 0);

    return NGX_CONF_OK;
}


static void *
ngx_agent_canary_create_loc_conf(ngx_conf_t *cf)
{
    ngx_agent_canary_loc_conf_t  *lcf;

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_agent_canary_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    lcf->binding = NGX_CONF_UNSET_PTR;
    lcf->override = NGX_CONF_UNSET_PTR;
    lcf->outcome = NGX_CONF_UNSET_PTR;
    lcf->cost = NGX_CONF_UNSET_PTR;
    lcf->errors = NGX_CONF_UNSET_PTR;
    lcf->deadline = NGX_CONF_UNSET_MSEC;
    lcf->usage = NGX_CONF_UNSET_UINT;
    lcf->dry_run = NGX_CONF_UNSET;
    lcf->trip = 0;

    return lcf;
}


static char *
ngx_agent_canary_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_agent_canary_loc_conf_t  *prev = parent;
    ngx_agent_canary_loc_conf_t  *conf = child;

    ngx_agent_canary_main_conf_t  *mcf;

    ngx_conf_merge_ptr_value(conf->binding, prev->binding, NULL);
    ngx_conf_merge_ptr_value(conf->override, prev->override, NULL);
    ngx_conf_merge_ptr_value(conf->outcome, prev->outcome, NULL);
    ngx_conf_merge_ptr_value(conf->cost, prev->cost, NULL);
    ngx_conf_merge_ptr_value(conf->errors, prev->errors,
                             &ngx_agent_canary_errors);
    ngx_conf_merge_msec_value(conf->deadline, prev->deadline, 0);
    ngx_conf_merge_uint_value(conf->usage, prev->usage, 0);

    if (conf->usage) {
        mcf = ngx_http_conf_get_module_main_conf(cf, ngx_agent_canary_module);
        mcf->usage = 1;
    }

    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);

    return NGX_CONF_OK;
}


ngx_agent_canary_main_conf_t *
ngx_agent_canary_cycle_conf(volatile ngx_cycle_t *cycle)
{
    ngx_uint_t                     i;
    ngx_agent_canary_main_conf_t  *mcf;

    if (ngx_is_init_cycle(cycle)) {
        return NULL;
    }

    /* the cycle before a reload may not have had this module at all */

    for (i = 0; cycle->modules[i] != &ngx_agent_canary_module; i++) {
        if (cycle->modules[i] == NULL) {
            return NULL;
        }
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_agent_canary_module);

    return (mcf && mcf->zone) ? mcf : NULL;
}


/* In the master, when nothing can keep the new configuration from running. */

static ngx_int_t
ngx_agent_canary_init_module(ngx_cycle_t *cycle)
{
    ngx_agent_canary_main_conf_t  *mcf, *old;

    mcf = ngx_agent_canary_cycle_conf(cycle);
    old = ngx_agent_canary_cycle_conf(ngx_cycle);

    if (old && (mcf == NULL || old->zone->sh != mcf->zone->sh)) {
        old->zone->sh->generation++;
    }

    if (mcf == NULL) {
        return NGX_OK;
    }

    mcf->generation = ++mcf->zone->sh->generation;

    if (mcf->state
        && (old == NULL
            || old->state == NULL
            || old->state->path.len != mcf->state->path.len
            || ngx_strcmp(old->state->path.data, mcf->state->path.data) != 0))
    {
        /* this file has nothing yet of what the zone knows */

        mcf->zone->sh->saved = 0;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_agent_canary_init_process(ngx_cycle_t *cycle)
{
    ngx_agent_canary_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_agent_canary_cycle_conf(cycle);

    if (mcf == NULL) {
        return NGX_OK;
    }

    /* the clock has stood since before the configuration was read */

    ngx_time_update();

    ngx_agent_canary_zone_renew(mcf->zone);
    ngx_agent_canary_tally_claim(mcf);
    ngx_agent_canary_deadline_start(mcf, cycle);

    /* one worker serves all of them */

    if (ngx_worker != 0) {
        return NGX_OK;
    }

    return mcf->link ? ngx_agent_canary_link_start(mcf, cycle) : NGX_OK;
}


static void
ngx_agent_canary_exit_process(ngx_cycle_t *cycle)
{
    ngx_agent_canary_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    mcf = ngx_agent_canary_cycle_conf(cycle);

    if (mcf == NULL) {
        return;
    }

    ngx_agent_canary_tally_release(mcf);

    if (ngx_worker != 0) {
        return;
    }

    if (mcf->link) {
        ngx_agent_canary_link_stop(mcf);
    }

    if (mcf->state) {

        /* nothing may be lost of the last moments before a stop */

        ngx_agent_canary_state_save(mcf);
    }
}
