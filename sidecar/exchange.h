
/*
 * What the Redis thread does in its turns.  Each function does its input and
 * output without the lock of d, and takes it for what it reads and changes.
 */


#ifndef CANARYD_EXCHANGE_H
#define CANARYD_EXCHANGE_H


#include "canaryd.h"
#include "link.h"


/* Another sidecar of the fleet. */

typedef struct {
    char        name[CANARY_FLAG_NAME_MAX + 1];
    char        told[CANARYD_ID_MAX];       /* its entry in the index */
    uint64_t    heard;                      /* ms, when that changed */
    unsigned    due:1;                      /* something of it is unread */
    unsigned    other:1;                    /* it has another nginx */
    unsigned    nversion;
    uint64_t   *version;                    /* of its windows, by flag */
} canaryd_peer_t;


typedef struct {
    canaryd_window_t  window;               /* as Redis has it */
    uint64_t          version;
    uint64_t          full_at;              /* ms, 0: all has to be sent */
    unsigned          full:1;               /* so it was, the last time */
} canaryd_sent_t;


/* What Redis may take or refuse, a bit each. */

typedef enum {
    CANARYD_TASK_TRIPS_READ = 0,
    CANARYD_TASK_TRIPS_SET,
    CANARYD_TASK_AUDIT,
    CANARYD_TASK_PUBLISH,
    CANARYD_TASK_PEERS
} canaryd_task_e;


typedef struct {
    canaryd_t        *d;
    canaryd_keys_t    keys;
    canaryd_access_t  access;
    canaryd_access_t  sentinels;
    canaryd_link_t    link;
    canaryd_redis_t   addr;
    uint64_t          asked_at;             /* ms, the Sentinels */
    unsigned          asked;                /* which one is next */
    uint64_t          seq;
    uint64_t          sent_at;              /* ms, of the instance hash, */
    uint64_t          all_at;               /* with all flags in it */
    unsigned          nsent;
    canaryd_sent_t   *sent;                 /* by flag */
    unsigned          npeer;
    canaryd_peer_t   *peer;
    unsigned          errors;               /* tasks, of this turn */
    unsigned          taken;
    unsigned          refused;              /* errors, not taken since */
    char              refusal[CANARY_ERROR_MAX];
} canaryd_exchange_t;


/* Reads the trips back, and sets those that Redis does not show. */

void canaryd_exchange_trips(canaryd_exchange_t *e);

/* Writes the audit entries that are due. */

void canaryd_exchange_audit(canaryd_exchange_t *e);

/* Publishes the own windows; after a new connection all of them. */

void canaryd_exchange_publish(canaryd_exchange_t *e);
void canaryd_exchange_forget(canaryd_exchange_t *e);

/* Reads the windows of the others. */

void canaryd_exchange_peers(canaryd_exchange_t *e);

/*
 * The next reply, of this type or nil.  An error is noted as one of the task,
 * and returned; anything else closes the link.  NULL: it is closed.
 */

redisReply *canaryd_exchange_reply(canaryd_exchange_t *e,
    canaryd_task_e task, const char *what, int type);

void canaryd_exchange_refused(canaryd_exchange_t *e, canaryd_task_e task,
    const char *what, const redisReply *reply);

/* Redis took it, or there is nothing to be taken any more. */

void canaryd_exchange_taken(canaryd_exchange_t *e, canaryd_task_e task);

void canaryd_exchange_free(canaryd_exchange_t *e);


#endif /* CANARYD_EXCHANGE_H */
