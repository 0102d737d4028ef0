
#include <inttypes.h>
#include <stdio.h>
#include "clock.h"
#include "log.h"
#include "metrics.h"


typedef double (*canaryd_gauge_pt)(const canaryd_flag_t *f, uint64_t now);
typedef double (*canaryd_rule_pt)(const canary_standing_t *st);


typedef struct {
    const char        *name;
    const char        *type;
    const char        *help;
    canaryd_gauge_pt   value;
} canaryd_flag_metric_t;


typedef struct {
    const char        *name;
    const char        *help;
    canaryd_rule_pt    value;
} canaryd_rule_metric_t;


typedef struct {
    canaryd_text_t    *text;
    unsigned           n;
} canaryd_reasons_t;


static void canaryd_metric_head(canaryd_text_t *t, const char *name,
    const char *type, const char *help);
static void canaryd_metric_one(canaryd_text_t *t, const char *name,
    const char *type, const char *help, double value);
static void canaryd_metrics_self(canaryd_text_t *t, const canaryd_t *d,
    uint64_t now);
static void canaryd_metrics_parties(canaryd_text_t *t, const canaryd_t *d);
static void canaryd_metrics_flags(canaryd_text_t *t, const canaryd_t *d,
    uint64_t now);
static void canaryd_metrics_rules(canaryd_text_t *t, const canaryd_t *d);
static void canaryd_metrics_rule(canaryd_text_t *t,
    const canaryd_rule_metric_t *m, const canaryd_flag_t *f);
static double canaryd_flag_data(const canaryd_flag_t *f, uint64_t now);
static double canaryd_flag_tripped(const canaryd_flag_t *f, uint64_t now);
static double canaryd_flag_pending(const canaryd_flag_t *f, uint64_t now);
static double canaryd_flag_epoch(const canaryd_flag_t *f, uint64_t now);
static double canaryd_flag_percent(const canaryd_flag_t *f, uint64_t now);
static double canaryd_flag_sources(const canaryd_flag_t *f, uint64_t now);
static double canaryd_flag_trips(const canaryd_flag_t *f, uint64_t now);
static double canaryd_rule_e_value(const canary_standing_t *st);
static double canaryd_rule_e_limit(const canary_standing_t *st);
static double canaryd_rule_value(const canary_standing_t *st);
static double canaryd_rule_limit(const canary_standing_t *st);
static double canaryd_rule_requests(const canary_standing_t *st);
static double canaryd_rule_effect(const canary_standing_t *st);
static void canaryd_health_flag(canaryd_reasons_t *r,
    const canaryd_flag_t *f);
static void canaryd_reason(canaryd_reasons_t *r, const char *flag,
    const char *text);


static const canaryd_flag_metric_t  canaryd_flag_metrics[] = {
    { "agent_canaryd_flag_data", "gauge",
      "Whether nginx shows counters of the flag that can be right.",
      canaryd_flag_data },
    { "agent_canaryd_flag_tripped", "gauge",
      "Whether a trip of this epoch is in force.", canaryd_flag_tripped },
    { "agent_canaryd_flag_trip_pending", "gauge",
      "Whether nginx or Redis does not show the trip yet.",
      canaryd_flag_pending },
    { "agent_canaryd_flag_epoch", "gauge", "The epoch of the flag.",
      canaryd_flag_epoch },
    { "agent_canaryd_flag_percent", "gauge",
      "The percent that the owner wants.", canaryd_flag_percent },
    { "agent_canaryd_flag_windows", "gauge",
      "The nginx of the fleet whose windows were read within 30 s.",
      canaryd_flag_sources },
    { "agent_canaryd_trips_total", "counter",
      "The trips that were decided here.", canaryd_flag_trips },
    { NULL, NULL, NULL, NULL }
};


static const canaryd_rule_metric_t  canaryd_rule_metrics[] = {
    { "agent_canaryd_rule_e_value", "The evidence against the candidate.",
      canaryd_rule_e_value },
    { "agent_canaryd_rule_e_limit", "Trips at that much evidence.",
      canaryd_rule_e_limit },
    { "agent_canaryd_rule_value", "What the candidate does.",
      canaryd_rule_value },
    { "agent_canaryd_rule_limit", "What the candidate may do.",
      canaryd_rule_limit },
    { "agent_canaryd_rule_requests",
      "The requests of the candidate that the evidence rests on.",
      canaryd_rule_requests },
    { "agent_canaryd_rule_design_effect", "How much events come in clumps.",
      canaryd_rule_effect },
    { NULL, NULL, NULL }
};


void
canaryd_metrics(canaryd_text_t *t, const canaryd_t *d, uint64_t now)
{
    canaryd_metric_head(t, "agent_canaryd_info", "gauge",
                        "Version and instance of the sidecar.");
    canaryd_text_printf(t, "agent_canaryd_info{version=\"" CANARYD_VERSION
                        "\",instance=\"%s\",role=\"guard\"} 1\n",
                        d->options.instance);

    canaryd_metrics_self(t, d, now);
    canaryd_metrics_parties(t, d);
    canaryd_metrics_flags(t, d, now);
    canaryd_metrics_rules(t, d);
}


static void
canaryd_metric_head(canaryd_text_t *t, const char *name, const char *type,
    const char *help)
{
    canaryd_text_printf(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                        type);
}


static void
canaryd_metric_one(canaryd_text_t *t, const char *name, const char *type,
    const char *help, double value)
{
    canaryd_metric_head(t, name, type, help);
    canaryd_text_printf(t, "%s %.15g\n", name, value);
}


static void
canaryd_metrics_self(canaryd_text_t *t, const canaryd_t *d, uint64_t now)
{
    canaryd_metric_one(t, "agent_canaryd_blind", "gauge",
                       "Whether there is no sight of nginx.", d->blind);
    canaryd_metric_one(t, "agent_canaryd_ticks_total", "counter",
                       "Turns of the judge.", (double) d->ticks);
    canaryd_metric_one(t, "agent_canaryd_ticks_late_total", "counter",
                       "Turns that came more than half an interval late.",
                       (double) d->late);
    canaryd_metric_one(t, "agent_canaryd_cpu_seconds_total", "counter",
                       "Processor time of this process.", canaryd_cpu());
    canaryd_metric_one(t, "agent_canaryd_peers", "gauge",
                       "Live sidecars of other nginx in the fleet.",
                       d->peers);
    canaryd_metric_one(t, "agent_canaryd_redis_refusing", "gauge",
                       "Whether Redis answers but refuses.", d->refusing);
    canaryd_metric_one(t, "agent_canaryd_unguarded_flags", "gauge",
                       "Flags of nginx beyond those that one sidecar guards.",
                       d->dropped);
    canaryd_metric_one(t, "agent_canaryd_bad_flags_total", "counter",
                       "Readings of a flag that cannot be right.",
                       (double) d->bad_flags);
    canaryd_metric_one(t, "agent_canaryd_bad_windows_total", "counter",
                       "Windows of the fleet that cannot be right.",
                       (double) d->windows_bad);
    canaryd_metric_one(t, "agent_canaryd_notices_total", "counter",
                       "Breaches that were told of only.",
                       (double) d->notices);
    canaryd_metric_one(t, "agent_canaryd_audit_entries_total", "counter",
                       "Audit entries that were written here.",
                       (double) d->audits);
    canaryd_metric_one(t, "agent_canaryd_events_pending", "gauge",
                       "Events that audit or webhook do not have yet.",
                       d->events.n);
    canaryd_metric_one(t, "agent_canaryd_log_lines_lost_total", "counter",
                       "Lines of the log that nobody took.",
                       canaryd_log_lost());

    if (d->read_at) {
        canaryd_metric_one(t, "agent_canaryd_nginx_age_seconds", "gauge",
                           "Since the last good reading of nginx.",
                           (double) (now - d->read_at) / 1000);
    }
}


static void
canaryd_metrics_parties(canaryd_text_t *t, const canaryd_t *d)
{
    unsigned  i;

    const canaryd_party_t  *party[] = {
        &d->nginx, &d->post, &d->redis_party, &d->hook, &d->file
    };

    const unsigned  n = sizeof(party) / sizeof(party[0]);

    canaryd_metric_head(t, "agent_canaryd_up", "gauge",
                        "Whether the party took or answered the last one.");

    for (i = 0; i < n; i++) {
        if (party[i]->state != CANARYD_PARTY_UNKNOWN) {
            canaryd_text_printf(t, "agent_canaryd_up{party=\"%s\"} %d\n",
                                party[i]->name,
                                party[i]->state == CANARYD_PARTY_UP);
        }
    }

    canaryd_metric_head(t, "agent_canaryd_exchanges_total", "counter",
                        "Readings, posts, turns and calls, by outcome.");

    for (i = 0; i < n; i++) {
        canaryd_text_printf(t, "agent_canaryd_exchanges_total{party=\"%s\","
                            "outcome=\"ok\"} %" PRIu64 "\n", party[i]->name,
                            party[i]->ok);
        canaryd_text_printf(t, "agent_canaryd_exchanges_total{party=\"%s\","
                            "outcome=\"failed\"} %" PRIu64 "\n",
                            party[i]->name, party[i]->failed);
    }
}


static void
canaryd_metrics_flags(canaryd_text_t *t, const canaryd_t *d, uint64_t now)
{
    unsigned                      i;
    const canaryd_flag_metric_t  *m;

    for (m = canaryd_flag_metrics; m->name; m++) {
        canaryd_metric_head(t, m->name, m->type, m->help);

        for (i = 0; i < d->n; i++) {
            canaryd_text_printf(t, "%s{flag=\"%s\"} %.15g\n", m->name,
                                d->flag[i]->name, m->value(d->flag[i], now));
        }
    }
}


static void
canaryd_metrics_rules(canaryd_text_t *t, const canaryd_t *d)
{
    unsigned                      i;
    const canaryd_rule_metric_t  *m;

    for (m = canaryd_rule_metrics; m->name; m++) {
        canaryd_metric_head(t, m->name, "gauge", m->help);

        for (i = 0; i < d->n; i++) {
            if (d->flag[i]->known) {
                canaryd_metrics_rule(t, m, d->flag[i]);
            }
        }
    }
}


static void
canaryd_metrics_rule(canaryd_text_t *t, const canaryd_rule_metric_t *m,
    const canaryd_flag_t *f)
{
    uint32_t           i;
    canary_standing_t  st;

    for (i = 0; i < f->verdict->guardrails.n; i++) {
        canary_verdict_standing(f->verdict, i, &st);

        canaryd_text_printf(t, "%s{flag=\"%s\",rule=\"%u\",metric=\"%s\"} "
                            "%.10g\n", m->name, f->name, (unsigned) st.rule,
                            canary_metric_names[st.metric].data,
                            m->value(&st));
    }
}


static double
canaryd_flag_data(const canaryd_flag_t *f, uint64_t now)
{
    (void) now;

    return f->known && !f->bad && !f->quiet;
}


static double
canaryd_flag_tripped(const canaryd_flag_t *f, uint64_t now)
{
    (void) now;

    return f->tripped || canaryd_flag_latched(f);
}


static double
canaryd_flag_pending(const canaryd_flag_t *f, uint64_t now)
{
    const unsigned  both = 1U << CANARYD_AT_NGINX | 1U << CANARYD_AT_REDIS;

    (void) now;

    return canaryd_flag_latched(f) && (f->latch.at & both) != both;
}


static double
canaryd_flag_epoch(const canaryd_flag_t *f, uint64_t now)
{
    (void) now;

    return (double) f->epoch;
}


static double
canaryd_flag_percent(const canaryd_flag_t *f, uint64_t now)
{
    (void) now;

    return (double) f->percent / CANARY_PERCENT;
}


static double
canaryd_flag_sources(const canaryd_flag_t *f, uint64_t now)
{
    return canaryd_fleet_live(&f->fleet, now, CANARYD_LIVE_MAX);
}


static double
canaryd_flag_trips(const canaryd_flag_t *f, uint64_t now)
{
    (void) now;

    return (double) f->trips;
}


static double
canaryd_rule_e_value(const canary_standing_t *st)
{
    return st->e_value;
}


static double
canaryd_rule_e_limit(const canary_standing_t *st)
{
    return st->e_limit;
}


static double
canaryd_rule_value(const canary_standing_t *st)
{
    return st->value;
}


static double
canaryd_rule_limit(const canary_standing_t *st)
{
    return st->limit;
}


static double
canaryd_rule_requests(const canary_standing_t *st)
{
    return st->n;
}


static double
canaryd_rule_effect(const canary_standing_t *st)
{
    return st->design_effect;
}


unsigned
canaryd_health(canaryd_text_t *t, const canaryd_t *d)
{
    char               text[CANARYD_REASON_MAX + 32];
    unsigned           i;
    canaryd_reasons_t  reasons;

    reasons.text = t;
    reasons.n = 0;

    canaryd_text_put(t, "{\"reasons\":[");

    if (d->blind || d->read_at == 0) {
        canaryd_reason(&reasons, NULL, d->nginx.reason[0] ? d->nginx.reason
                                       : "nginx was not read yet");
    }

    if (d->post.state == CANARYD_PARTY_DOWN) {
        (void) snprintf(text, sizeof(text), "%s: %s", d->post.down,
                        d->post.reason);
        canaryd_reason(&reasons, NULL, text);
    }

    for (i = 0; i < d->n; i++) {
        canaryd_health_flag(&reasons, d->flag[i]);
    }

    canaryd_text_printf(t, "],\"healthy\":%s,\"redis\":",
                        reasons.n ? "false" : "true");
    canaryd_text_json(t, canaryd_str(d->redis_party.state == CANARYD_PARTY_UP
                                     ? (d->refusing ? d->refusal : "up")
                                     : d->redis_party.reason));
    canaryd_text_printf(t, ",\"peers\":%u,\"flags\":%u}\n", d->peers, d->n);

    return reasons.n ? 503 : 200;
}


static void
canaryd_health_flag(canaryd_reasons_t *r, const canaryd_flag_t *f)
{
    if (f->bad) {
        canaryd_reason(r, f->name, "no data: its counters cannot be right");

    } else if (f->quiet) {
        canaryd_reason(r, f->name, "no data: no request for 5 minutes");

    } else if (f->guardrails_bad) {
        canaryd_reason(r, f->name, "its guardrails cannot be read");

    } else if (canaryd_flag_latched(f)
               && !(f->latch.at & 1U << CANARYD_AT_NGINX))
    {
        canaryd_reason(r, f->name, "nginx does not show the trip");
    }
}


static void
canaryd_reason(canaryd_reasons_t *r, const char *flag, const char *text)
{
    canaryd_text_put(r->text, r->n++ ? "," : "");

    if (flag) {
        canaryd_text_printf(r->text, "{\"flag\":\"%s\",\"reason\":", flag);

    } else {
        canaryd_text_put(r->text, "{\"reason\":");
    }

    canaryd_text_json(r->text, canaryd_str(text));
    canaryd_text_put(r->text, "}");
}
