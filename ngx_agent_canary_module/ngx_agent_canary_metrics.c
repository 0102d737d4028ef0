
/*
 * The metrics of this instance.  Labels hold the names of flags from the
 * configuration and words of our own, never what a request brought.
 */


#include "ngx_agent_canary_metrics.h"
#include "ngx_agent_canary_tally.h"


/* the middle of a latency bucket, of its upper edge: half of a 2^(1/4) */
#define NGX_AGENT_CANARY_MIDDLE  0.917


/* A field of the tally; help is NULL when the metric has begun before. */

typedef struct {
    const char           *name;
    const char           *label;
    const char           *help;
    canary_tally_type_e   type;
    size_t                offset;
} ngx_agent_canary_arm_metric_t;


static void ngx_agent_canary_metrics_instance(
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_redis(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_zone(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_flags(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_states(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_decisions(
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_sum_t *sums,
    ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_arms(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_sum_t *sums, ngx_agent_canary_out_t *out);
static void ngx_agent_canary_metrics_of_arm(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_sum_t *sums, ngx_agent_canary_out_t *out,
    const char *name, const char *type, const char *help, size_t offset);
static void ngx_agent_canary_metrics_latency(
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_sum_t *sums,
    ngx_agent_canary_out_t *out, const char *name, const char *help,
    size_t offset);
static void ngx_agent_canary_metrics_histogram(ngx_agent_canary_out_t *out,
    const char *name, ngx_str_t *flag, ngx_uint_t arm, uint64_t *bucket);
static void ngx_agent_canary_metrics_double(ngx_agent_canary_out_t *out,
    double n);
static void ngx_agent_canary_metric_value(ngx_agent_canary_out_t *out,
    const char *name, const char *type, const char *help,
    ngx_atomic_uint_t value);
static void ngx_agent_canary_metric_age(ngx_agent_canary_out_t *out,
    const char *name, const char *help, ngx_msec_int_t age);
static void ngx_agent_canary_metric(ngx_agent_canary_out_t *out,
    const char *name, const char *type, const char *help);


#define ngx_agent_canary_count(name, label, help, field)                      \
    { name, label, help, CANARY_TALLY_COUNT, offsetof(canary_tally_t, field) }


static ngx_agent_canary_arm_metric_t  ngx_agent_canary_arm_metrics[] = {

    ngx_agent_canary_count("agent_canary_requests_total", "",
        "Requests that an arm answered, or let hang.", requests),

    ngx_agent_canary_count("agent_canary_errors_total",
        ",cause=\"status\"", "Requests that failed, by cause.",
        errors_status),
    ngx_agent_canary_count("agent_canary_errors_total",
        ",cause=\"connect\"", NULL, errors_connect),
    ngx_agent_canary_count("agent_canary_errors_total",
        ",cause=\"timeout\"", NULL, errors_timeout),
    ngx_agent_canary_count("agent_canary_errors_total",
        ",cause=\"deadline\"", NULL, errors_deadline),
    ngx_agent_canary_count("agent_canary_errors_total",
        ",cause=\"stream\"", NULL, errors_stream),
    ngx_agent_canary_count("agent_canary_errors_total",
        ",cause=\"in_band\"", NULL, errors_in_band),

    ngx_agent_canary_count("agent_canary_denied_total", "",
        "Requests whose outcome was denied.", denied),
    ngx_agent_canary_count("agent_canary_escalated_total", "",
        "Requests whose outcome was escalated.", escalated),
    ngx_agent_canary_count("agent_canary_client_aborts_total", "",
        "Requests that the client gave up.", client_aborts),
    ngx_agent_canary_count("agent_canary_priced_total", "",
        "Requests whose cost is known.", cost_known),
    ngx_agent_canary_count("agent_canary_unpriced_total", "",
        "Requests whose cost is not known.", cost_unpriced),

    { "agent_canary_cost_usd_total", "", "Known cost, in US dollars.",
      CANARY_TALLY_SUM, offsetof(canary_tally_t, cost_usd) },

    ngx_agent_canary_count("agent_canary_tokens_total",
        ",type=\"input\"", "Tokens, by type.", tokens_input),
    ngx_agent_canary_count("agent_canary_tokens_total",
        ",type=\"output\"", NULL, tokens_output),

    { NULL, NULL, NULL, CANARY_TALLY_COUNT, 0 }
};


ngx_int_t
ngx_agent_canary_metrics(ngx_http_request_t *r,
    ngx_agent_canary_main_conf_t *mcf, ngx_agent_canary_out_t *out,
    canary_error_t *err)
{
    ngx_uint_t                 i;
    ngx_agent_canary_sum_t    *sums;
    ngx_agent_canary_flag_t  **flag;

    flag = mcf->flags.elts;

    /* all of them are read once: a page must not contradict itself */

    sums = ngx_alloc((mcf->flags.nelts + 1) * sizeof(ngx_agent_canary_sum_t),
                     r->connection->log);
    if (sums == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_agent_canary_tally_reap(mcf);

    for (i = 0; i < mcf->flags.nelts; i++) {
        ngx_agent_canary_zone_refresh(mcf->zone, flag[i]);
        ngx_agent_canary_tally_sum(mcf->zone, flag[i]->node, &sums[i]);
    }

    ngx_agent_canary_metrics_instance(mcf, out);
    ngx_agent_canary_metrics_flags(mcf, out);
    ngx_agent_canary_metrics_states(mcf, out);
    ngx_agent_canary_metrics_decisions(mcf, sums, out);
    ngx_agent_canary_metrics_arms(mcf, sums, out);
    ngx_agent_canary_metrics_of_arm(mcf, sums, out,
        "agent_canary_requests_in_flight", "gauge",
        "Requests that an arm is answering.",
        offsetof(ngx_agent_canary_sum_t, in_flight));
    ngx_agent_canary_metrics_of_arm(mcf, sums, out,
        "agent_canary_superseded_total", "counter",
        "Requests that ended in a later epoch than they began in, and count "
        "nowhere else.", offsetof(ngx_agent_canary_sum_t, superseded));

    ngx_agent_canary_metrics_latency(mcf, sums, out,
                        "agent_canary_first_byte_seconds",
                        "Time until an arm began to answer.",
                        offsetof(canary_tally_t, first_byte_ms));

    ngx_agent_canary_metrics_latency(mcf, sums, out,
                        "agent_canary_request_duration_seconds",
                        "Time until an arm had answered.",
                        offsetof(canary_tally_t, latency_ms));

    ngx_free(sums);

    return NGX_OK;
}


static void
ngx_agent_canary_metrics_instance(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out)
{
    ngx_agent_canary_zone_t   *zone;
    ngx_agent_canary_shctx_t  *sh;

    zone = mcf->zone;
    sh = zone->sh;

    ngx_agent_canary_metric(out, "agent_canary_info", "gauge",
                            "Version of the module, and the id of this run.");
    ngx_agent_canary_out(out, "agent_canary_info{version=\"%s\","
                         "nginx=\"%s\",boot_id=\"%*s\"} 1\n",
                         NGX_AGENT_CANARY_VERSION, NGINX_VERSION,
                         sizeof(sh->boot_id), sh->boot_id);

    ngx_agent_canary_metrics_redis(zone, out);
    ngx_agent_canary_metrics_zone(mcf, out);

    ngx_agent_canary_metric_value(out, "agent_canary_uncounted_total",
                        "counter",
                        "Requests that found no room for their tally.",
                        sh->uncounted);

    ngx_agent_canary_metric_age(out, "agent_canary_redis_age_seconds",
                        "Time since Redis last confirmed the flags.",
                        ngx_agent_canary_zone_age(zone));

    ngx_agent_canary_metric_age(out, "agent_canary_guard_age_seconds",
                        "Time since a sidecar was last seen.",
                        ngx_agent_canary_zone_guard_age(zone));
}


static void
ngx_agent_canary_metrics_redis(ngx_agent_canary_zone_t *zone,
    ngx_agent_canary_out_t *out)
{
    ngx_agent_canary_link_status_t  *link;

    link = &zone->sh->link;

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
}


static void
ngx_agent_canary_metrics_zone(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out)
{
    ngx_agent_canary_zone_t   *zone;
    ngx_agent_canary_shctx_t  *sh;

    zone = mcf->zone;
    sh = zone->sh;

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
}


static void
ngx_agent_canary_metrics_flags(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_out_t *out)
{
    ngx_uint_t                 i;
    ngx_agent_canary_flag_t  **flag;

    flag = mcf->flags.elts;

    ngx_agent_canary_metric(out, "agent_canary_flag_percent", "gauge",
                            "Percent of the users on the candidate, "
                            "as the flag says.");

    for (i = 0; i < mcf->flags.nelts; i++) {
        ngx_agent_canary_out(out, "agent_canary_flag_percent{flag=\"%V\"} ",
                             &flag[i]->sn.str);
        ngx_agent_canary_out_percent(out, flag[i]->known
                                          ? flag[i]->parsed.percent : 0);
        ngx_agent_canary_out(out, "\n");
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
    ngx_agent_canary_sum_t *sums, ngx_agent_canary_out_t *out)
{
    uint64_t                   n;
    ngx_uint_t                 i, arm, reason;
    ngx_agent_canary_flag_t  **flag;

    flag = mcf->flags.elts;

    ngx_agent_canary_metric(out, "agent_canary_decisions_total", "counter",
                            "Requests by the arm they were assigned to "
                            "and the reason.");

    for (i = 0; i < mcf->flags.nelts; i++) {
        for (arm = 0; arm < CANARY_ARMS; arm++) {
            for (reason = 0; reason < CANARY_REASONS; reason++) {

                n = sums[i].decisions[arm][reason];

                if (n == 0 && reason != CANARY_REASON_SPLIT) {
                    continue;
                }

                ngx_agent_canary_out(out, "agent_canary_decisions_total{"
                                     "flag=\"%V\",arm=\"%s\",reason=\"%s\"} "
                                     "%uL\n", &flag[i]->sn.str,
                                     canary_arm_names[arm].data,
                                     canary_reason_names[reason].data, n);
            }
        }
    }
}


/* What became of the requests: names over the fields of the tally. */

static void
ngx_agent_canary_metrics_arms(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_sum_t *sums, ngx_agent_canary_out_t *out)
{
    u_char                         *field;
    ngx_uint_t                      i, arm;
    ngx_agent_canary_flag_t       **flag;
    ngx_agent_canary_arm_metric_t  *m;

    flag = mcf->flags.elts;

    for (m = ngx_agent_canary_arm_metrics; m->name; m++) {

        /* a metric of several fields is introduced once */

        if (m->help) {
            ngx_agent_canary_metric(out, m->name, "counter", m->help);
        }

        for (i = 0; i < mcf->flags.nelts; i++) {
            for (arm = 0; arm < CANARY_ARMS; arm++) {

                field = (u_char *) &sums[i].arm[arm] + m->offset;

                ngx_agent_canary_out(out, "%s{flag=\"%V\",arm=\"%s\"%s} ",
                                     m->name, &flag[i]->sn.str,
                                     canary_arm_names[arm].data, m->label);

                if (m->type == CANARY_TALLY_COUNT) {
                    ngx_agent_canary_out(out, "%uL", *(uint64_t *) field);

                } else {
                    ngx_agent_canary_metrics_double(out, *(double *) field);
                }

                ngx_agent_canary_out(out, "\n");
            }
        }
    }
}


static void
ngx_agent_canary_metrics_of_arm(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_sum_t *sums, ngx_agent_canary_out_t *out,
    const char *name, const char *type, const char *help, size_t offset)
{
    uint64_t                  *n;
    ngx_uint_t                 i, arm;
    ngx_agent_canary_flag_t  **flag;

    flag = mcf->flags.elts;

    ngx_agent_canary_metric(out, name, type, help);

    for (i = 0; i < mcf->flags.nelts; i++) {
        n = (uint64_t *) ((u_char *) &sums[i] + offset);

        for (arm = 0; arm < CANARY_ARMS; arm++) {
            ngx_agent_canary_out(out, "%s{flag=\"%V\",arm=\"%s\"} %uL\n",
                                 name, &flag[i]->sn.str,
                                 canary_arm_names[arm].data, n[arm]);
        }
    }
}


static void
ngx_agent_canary_metrics_latency(ngx_agent_canary_main_conf_t *mcf,
    ngx_agent_canary_sum_t *sums, ngx_agent_canary_out_t *out,
    const char *name, const char *help, size_t offset)
{
    u_char                    *field;
    ngx_uint_t                 i, arm;
    ngx_agent_canary_flag_t  **flag;

    flag = mcf->flags.elts;

    ngx_agent_canary_metric(out, name, "histogram", help);

    for (i = 0; i < mcf->flags.nelts; i++) {
        for (arm = 0; arm < CANARY_ARMS; arm++) {
            field = (u_char *) &sums[i].arm[arm] + offset;

            ngx_agent_canary_metrics_histogram(out, name, &flag[i]->sn.str,
                                               arm, (uint64_t *) field);
        }
    }
}


/*
 * One edge in four, a factor of 2: the page stays short.  The sum is made of
 * the middles of the buckets, at most 9 % off.
 */

static void
ngx_agent_canary_metrics_histogram(ngx_agent_canary_out_t *out,
    const char *name, ngx_str_t *flag, ngx_uint_t arm, uint64_t *bucket)
{
    double       sum, edge;
    uint64_t     n;
    ngx_uint_t   i;
    const char  *word;

    n = 0;
    sum = 0;
    word = canary_arm_names[arm].data;

    for (i = 0; i < CANARY_LATENCY_BUCKETS; i++) {

        n += bucket[i];
        edge = canary_tally_edge(i) / 1000;
        sum += (double) bucket[i] * edge * NGX_AGENT_CANARY_MIDDLE;

        if (i % 4 == 0 && i < CANARY_LATENCY_EDGES) {
            ngx_agent_canary_out(out, "%s_bucket{flag=\"%V\",arm=\"%s\","
                                 "le=\"", name, flag, word);
            ngx_agent_canary_metrics_double(out, edge);
            ngx_agent_canary_out(out, "\"} %uL\n", n);
        }
    }

    ngx_agent_canary_out(out, "%s_bucket{flag=\"%V\",arm=\"%s\","
                         "le=\"+Inf\"} %uL\n", name, flag, word, n);
    ngx_agent_canary_out(out, "%s_sum{flag=\"%V\",arm=\"%s\"} ", name, flag,
                         word);
    ngx_agent_canary_metrics_double(out, sum);
    ngx_agent_canary_out(out, "\n%s_count{flag=\"%V\",arm=\"%s\"} %uL\n", name,
                         flag, word, n);
}


/* %f of ngx_sprintf() would lose the millionths of a dollar */

static void
ngx_agent_canary_metrics_double(ngx_agent_canary_out_t *out, double n)
{
    int   len;
    char  text[32];

    len = snprintf(text, sizeof(text), "%.15g", n);

    ngx_agent_canary_out_raw(out, text, len);
}


static void
ngx_agent_canary_metric_value(ngx_agent_canary_out_t *out, const char *name,
    const char *type, const char *help, ngx_atomic_uint_t value)
{
    ngx_agent_canary_metric(out, name, type, help);
    ngx_agent_canary_out(out, "%s %uA\n", name, value);
}


/* age in milliseconds; below zero there is none, and no metric. */

static void
ngx_agent_canary_metric_age(ngx_agent_canary_out_t *out, const char *name,
    const char *help, ngx_msec_int_t age)
{
    if (age < 0) {
        return;
    }

    ngx_agent_canary_metric(out, name, "gauge", help);
    ngx_agent_canary_out(out, "%s %T.%03M\n", name, (time_t) (age / 1000),
                         age % 1000);
}


static void
ngx_agent_canary_metric(ngx_agent_canary_out_t *out, const char *name,
    const char *type, const char *help)
{
    ngx_agent_canary_out(out, "# HELP %s %s\n# TYPE %s %s\n", name, help,
                         name, type);
}
