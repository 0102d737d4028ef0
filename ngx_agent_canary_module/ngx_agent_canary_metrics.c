
/*
 * The metrics of this instance.  Labels hold the names of flags from the
 * configuration and words of our own, never what a request brought.
 */


#include "ngx_agent_canary_metrics.h"
#include "ngx_agent_canary_zone.h"


static void ngx_agent_canary_metrics_instance(
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_flags(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_states(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_decisions(
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metric_value(ngx_agent_canary_out_t *out,
    const char *name, const char *type, const char *help,
    ngx_atomic_uint_t value);
static void ngx_agent_canary_metric(ngx_agent_canary_out_t *out,
    const char *name, const char *type, const char *help);


ngx_int_t
ngx_agent_canary_metrics(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err)
{
    ngx_uint_t                 i;
    ngx_agent_canary_flag_t  **flag;

    flag = mcf->flags.elts;

    for (i = 0; i < mcf->flags.nelts; i++) {
        ngx_agent_canary_zone_refresh(mcf->zone, flag[i]);
    }

    ngx_agent_canary_metrics_instance(mcf, out);
    ngx_agent_canary_metrics_flags(mcf, out);
    ngx_agent_canary_metrics_states(mcf, out);
    ngx_agent_canary_metrics_decisions(mcf, out);

    return NGX_OK;
}


static void
ngx_agent_canary_metrics_instance(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out)
{
    ngx_msec_int_t                   age;
    ngx_agent_canary_zone_t         *zone;
    ngx_agent_canary_shctx_t        *sh;
    ngx_agent_canary_link_status_t  *link;

    zone = mcf->zone;
    sh = zone->sh;
    link = &sh->link;

    ngx_agent_canary_metric(out, "agent_canary_info", "gauge",
                            "Version of the module, and the id of this run.");
    ngx_agent_canary_out(out, "agent_canary_info{version=\"%s\","
                         "nginx=\"%s\",boot_id=\"%*s\"} 1\n",
                         NGX_AGENT_CANARY_VERSION, NGINX_VERSION,
                         sizeof(sh->boot_id), sh->boot_id);

    ngx_agent_canary_metric_value(out, "agent_canary_redis_up", "gauge",
                        "Whether Redis confirms the flags once a second.",
                        ngx_agent_canary_zone_fresh(zone));

    ngx_agent_canary_metric_value(out, "agent_canary_redis_connects_total",
                        "counter", "Attempts to connect to Redis.",
                        link->connects);

    ngx_agent_canary_metric_value(out, "agent_canary_redis_failures_total",
                        "counter",
                        "Connections to Redis that failed or were lost.",
                        link->failures);

    ngx_agent_canary_metric_value(out, "agent_canary_redis_flag_reads_total",
                        "counter", "Flags read from Redis.", link->reads);

    ngx_agent_canary_metric_value(out,
                        "agent_canary_redis_invalidations_total", "counter",
                        "Invalidation messages received from Redis.",
                        link->pushes);

    ngx_agent_canary_metric_value(out, "agent_canary_zone_size_bytes",
                        "gauge", "Size of the shared memory zone.",
                        zone->shm_zone->shm.size);

    ngx_agent_canary_metric_value(out, "agent_canary_zone_free_bytes",
                        "gauge", "Free pages of the shared memory zone.",
                        zone->shpool->pfree * ngx_pagesize);

    ngx_agent_canary_metric_value(out, "agent_canary_zone_refused_total",
                        "counter",
                        "Updates of flags that found no room in the zone.",
                        sh->refused);

    ngx_agent_canary_metric_value(out, "agent_canary_state_pending", "gauge",
                        "Whether a change is not in the state file yet.",
                        mcf->state && sh->changes != sh->saved);

    ngx_agent_canary_metric_value(out, "agent_canary_state_failures_total",
                        "counter", "Failed attempts to write the state file.",
                        sh->save_failures);

    age = ngx_agent_canary_zone_age(zone);

    if (age >= 0) {
        ngx_agent_canary_metric(out, "agent_canary_redis_age_seconds",
                                "gauge",
                                "Time since Redis last confirmed the flags.");
        ngx_agent_canary_out(out, "agent_canary_redis_age_seconds %T.%03M\n",
                             (time_t) (age / 1000), age % 1000);
    }
}


static void
ngx_agent_canary_metrics_flags(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out)
{
    char                       percent[CANARY_PERCENT_LEN];
    size_t                     len;
    ngx_uint_t                 i;
    ngx_agent_canary_flag_t  **flag;

    flag = mcf->flags.elts;

    ngx_agent_canary_metric(out, "agent_canary_flag_percent", "gauge",
                            "Percent of the users on the candidate, "
                            "as the flag says.");

    for (i = 0; i < mcf->flags.nelts; i++) {
        len = canary_percent_format(percent, flag[i]->known
                                             ? flag[i]->parsed.percent : 0);
        ngx_agent_canary_out(out, "agent_canary_flag_percent{flag=\"%V\"} "
                             "%*s\n", &flag[i]->sn.str, len, percent);
    }

    ngx_agent_canary_metric(out, "agent_canary_flag_enabled", "gauge",
                            "Zero: the kill switch is on, or no flag known.");

    for (i = 0; i < mcf->flags.nelts; i++) {
        ngx_agent_canary_out(out, "agent_canary_flag_enabled{flag=\"%V\"} "
                             "%d\n", &flag[i]->sn.str,
                             flag[i]->known && flag[i]->parsed.enabled);
    }

    ngx_agent_canary_metric(out, "agent_canary_flag_epoch", "gauge",
                            "Generation of the flag.");

    for (i = 0; i < mcf->flags.nelts; i++) {
        ngx_agent_canary_out(out, "agent_canary_flag_epoch{flag=\"%V\"} "
                             "%uL\n", &flag[i]->sn.str,
                             flag[i]->known ? flag[i]->parsed.epoch : 0);
    }

    ngx_agent_canary_metric(out, "agent_canary_flag_tripped", "gauge",
                            "Whether the flag is rolled back.");

    for (i = 0; i < mcf->flags.nelts; i++) {
        ngx_agent_canary_out(out, "agent_canary_flag_tripped{flag=\"%V\"} "
                             "%ui\n", &flag[i]->sn.str,
                             ngx_agent_canary_flag_tripped(flag[i]));
    }
}


/* One series a flag and state, so that an alert needs no number codes. */

static void
ngx_agent_canary_metrics_states(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out)
{
    ngx_uint_t                 i;
    ngx_agent_canary_flag_t  **flag;
    ngx_agent_canary_slot_t    slot;

    flag = mcf->flags.elts;

    ngx_agent_canary_metric(out, "agent_canary_flag_state", "gauge",
                            "The state of the flag, as a label.");

    for (i = 0; i < mcf->flags.nelts; i++) {

        if (ngx_agent_canary_zone_peek(flag[i]->node, &slot) != NGX_OK) {
            continue;
        }

        ngx_agent_canary_out(out, "agent_canary_flag_state{flag=\"%V\","
                             "state=\"%s\"} 1\n", &flag[i]->sn.str,
                             ngx_agent_canary_flag_state_name(mcf->zone,
                                                         slot.state).data);
    }
}


static void
ngx_agent_canary_metrics_decisions(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out)
{
    ngx_uint_t                 i, arm, reason;
    ngx_atomic_uint_t          n;
    ngx_agent_canary_flag_t  **flag;

    flag = mcf->flags.elts;

    ngx_agent_canary_metric(out, "agent_canary_decisions_total", "counter",
                            "Requests by the arm they were assigned to "
                            "and the reason.");

    for (i = 0; i < mcf->flags.nelts; i++) {
        for (arm = 0; arm < CANARY_ARMS; arm++) {
            for (reason = 0; reason < CANARY_REASONS; reason++) {

                n = ngx_agent_canary_zone_decisions(mcf->zone, flag[i]->node,
                                                    arm, reason);

                if (n == 0 && reason != CANARY_REASON_SPLIT) {
                    continue;
                }

                ngx_agent_canary_out(out, "agent_canary_decisions_total{"
                                     "flag=\"%V\",arm=\"%s\",reason=\"%s\"} "
                                     "%uA\n", &flag[i]->sn.str,
                                     canary_arm_names[arm].data,
                                     canary_reason_names[reason].data, n);
            }
        }
    }
}


static void
ngx_agent_canary_metric_value(ngx_agent_canary_out_t *out, const char *name,
    const char *type, const char *help, ngx_atomic_uint_t value)
{
    ngx_agent_canary_metric(out, name, type, help);
    ngx_agent_canary_out(out, "%s %uA\n", name, value);
}


static void
ngx_agent_canary_metric(ngx_agent_canary_out_t *out, const char *name,
    const char *type, const char *help)
{
    ngx_agent_canary_out(out, "# HELP %s %s\n# TYPE %s %s\n", name, help,
                         name, type);
}
