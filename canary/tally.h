
/*
 * The counters of one arm, as plain data.
 *
 * Everything but the cap of a cost only ever grows, so that a reader takes
 * differences and may miss or repeat a reading without harm.  A request is
 * counted once, when its fate is known: at its end or at its deadline,
 * whatever comes first, with its error in the same moment.
 */


#ifndef CANARY_TALLY_H
#define CANARY_TALLY_H


#include <stddef.h>
#include <stdint.h>
#include "str.h"


/*
 * Bucket i of a latency histogram counts what took more than edge i - 1 and
 * at most edge i, and edge i is 2^(i/4) ms: 1, 1.19, 1.41, 1.68, 2, ...
 * 4194304 (70 minutes).  The first bucket has no lower edge, the last, which
 * comes after all edges, no upper one.
 */

#define CANARY_LATENCY_EDGES    89
#define CANARY_LATENCY_BUCKETS  (CANARY_LATENCY_EDGES + 1)
#define CANARY_LATENCY_MAX      4194304     /* ms, the last edge */

/* USD of a request: more is a mistake of whoever says so. */

#define CANARY_TALLY_COST_MAX   1e13

/* No sum is above it, not of the squares of 10^15 costs at their cap. */

#define CANARY_TALLY_SUM_MAX    1e30

/* Bytes of the text of a field: a histogram of 20 digits and a comma each. */

#define CANARY_TALLY_TEXT_MAX   (CANARY_LATENCY_BUCKETS * 21)


/* What one user may do again and again, and guardrails count. */

typedef enum {
    CANARY_EVENT_ERROR = 0,
    CANARY_EVENT_DENIED,
    CANARY_EVENT_ESCALATED,
    CANARY_EVENTS,
    CANARY_EVENT_NONE = CANARY_EVENTS
} canary_event_e;


/* Of users that are followed, see repeat.h. */

typedef struct {
    uint64_t  events;
    uint64_t  squares;                      /* each user's, then summed */
} canary_by_user_t;


typedef struct {
    uint64_t  requests;

    uint64_t  errors_status;                /* agent_canary_errors */
    uint64_t  errors_connect;
    uint64_t  errors_timeout;
    uint64_t  errors_deadline;              /* agent_canary_deadline */
    uint64_t  errors_stream;                /* broken off after the header */
    uint64_t  errors_in_band;               /* told in a body of status 200 */

    uint64_t  denied;
    uint64_t  escalated;

    canary_by_user_t  by_user[CANARY_EVENTS];

    uint64_t  client_aborts;                /* no fault of the arm */
    uint64_t  keyless;
    uint64_t  overrides;

    uint64_t  cost_known;                   /* requests whose cost is known */
    uint64_t  cost_unpriced;                /* and those whose is not */
    double    cost_usd;                     /* the sum of all that is known */
    double    cost_capped_usd;              /* the sum of min(cost, cap) */
    double    cost_capped_usd2;             /* the sum of their squares */
    double    cost_cap_usd;                 /* the cap in use */

    uint64_t  tokens_input;
    uint64_t  tokens_output;

    uint64_t  first_byte_ms[CANARY_LATENCY_BUCKETS];
    uint64_t  latency_ms[CANARY_LATENCY_BUCKETS];
} canary_tally_t;


typedef enum {
    CANARY_TALLY_COUNT = 0,                 /* uint64_t, grows */
    CANARY_TALLY_SUM,                       /* double, grows */
    CANARY_TALLY_CAP                        /* double, the largest counts */
} canary_tally_type_e;


/* Status JSON, Redis windows and /metrics all go by this one list. */

typedef struct {
    canary_str_t         name;
    canary_tally_type_e  type;
    size_t               offset;            /* in canary_tally_t */
    size_t               n;                 /* values: 1, or buckets */
} canary_tally_field_t;


extern const canary_tally_field_t  canary_tally_fields[];  /* ends with "" */


/* NULL: there is no such field. */

const canary_tally_field_t *canary_tally_field(canary_str_t name);

/*
 * The text of a field: a decimal number, or as many as there are buckets,
 * with commas between and without the zeros at the end.  Writes up to
 * CANARY_TALLY_TEXT_MAX bytes, without a terminator, and returns their number,
 * which is not 0.
 */

size_t canary_tally_format(char *text, const canary_tally_field_t *field,
    const canary_tally_t *t);

/*
 * Reads what canary_tally_format() wrote; of buckets, all or none may be
 * there.  Returns 0; or -1 for anything else, a negative or absurd number
 * included, and leaves *t alone.
 */

int canary_tally_parse(canary_tally_t *t, const canary_tally_field_t *field,
    canary_str_t text);

uint64_t canary_tally_errors(const canary_tally_t *t);

/* Adds an event which is the count-th of a user; 0: of nobody followed. */

void canary_tally_event(canary_tally_t *t, canary_event_e event,
    unsigned count);

/*
 * Makes of tallies that n instances pooled what one would have counted: of the
 * pairs of a user's events, the n-th part has met in one of them when users
 * go to any.
 */

void canary_tally_pool(canary_tally_t *pooled, unsigned n);

/* Adds the cost of one request, which is capped for the two capped sums. */

void canary_tally_cost(canary_tally_t *t, double usd, double cap);

/* Adds the tokens of one request.  Counts stop at their largest value. */

void canary_tally_tokens(canary_tally_t *t, uint64_t input, uint64_t output);

/*
 * What was counted between two readings.  Returns 0; or 1 when the counters
 * started anew in between (another boot, or one of them is lower), and the
 * difference is then nothing at all.
 */

int canary_tally_diff(canary_tally_t *diff, const canary_tally_t *now,
    uint64_t boot_now, const canary_tally_t *before, uint64_t boot_before);

/* Pools: sum += t.  Counts stop at their largest value. */

void canary_tally_add(canary_tally_t *sum, const canary_tally_t *t);

/* The upper edge of a bucket in ms; of the last one, its lower edge. */

double canary_tally_edge(unsigned bucket);

/* The first bucket whose upper edge is at least ms. */

unsigned canary_tally_edge_at(double ms);

/* The observations above the upper edge of a bucket, and all of them. */

uint64_t canary_tally_above(const uint64_t *histogram, unsigned bucket);
uint64_t canary_tally_total(const uint64_t *histogram);

/*
 * The quantile q of 0...1 in ms, on a line between the edges of its bucket;
 * 0 when nothing was counted.  For display: verdicts are about edges.
 */

double canary_tally_quantile(const uint64_t *histogram, double q);


/*
 * The bucket of a duration.  This runs in the log phase of every request.
 *
 * With 2^k < ms <= 2^(k+1), ms is brought to the scale of 2^30...2^31, on
 * which the edges within the octave are the same three numbers.
 */

static inline unsigned
canary_tally_bucket(uint64_t ms)
{
    unsigned  k;
    uint64_t  scaled;

    if (ms - 2 > CANARY_LATENCY_MAX - 2) {
        return ms < 2 ? 0 : CANARY_LATENCY_EDGES;
    }

    k = 63U ^ (unsigned) __builtin_clzll(ms - 1);
    scaled = ms << (30 - k);

    return 4 * k + 4
           - (scaled <= 1276901416)         /* 2^30 * 2^(1/4) */
           - (scaled <= 1518500249)         /* 2^30 * 2^(2/4) */
           - (scaled <= 1805811301);        /* 2^30 * 2^(3/4) */
}


#endif /* CANARY_TALLY_H */
