
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
} canaryd_sent_t;


typedef struct {
    canaryd_t        *d;
    canaryd_link_t    link;
    canaryd_redis_t   addr;
    uint64_t          seq;
    uint64_t          sent_at;              /* ms, of the instance hash */
    unsigned          nsent;
    canaryd_sent_t   *sent;                 /* by flag */
    unsigned          npeer;
    canaryd_peer_t   *peer;
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

/* Notes the error that a write got, if it is one. */

void canaryd_exchange_refused(canaryd_exchange_t *e, const char *what,
    const redisReply *reply);

void canaryd_exchange_free(canaryd_exchange_t *e);


#endif /* CANARYD_EXCHANGE_H */
