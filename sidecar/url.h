
/* The addresses of the command line. */


#ifndef CANARYD_URL_H
#define CANARYD_URL_H


#include <stdint.h>
#include "str.h"


#define CANARYD_PATH_MAX  108               /* of a unix socket, terminated */
#define CANARYD_HOST_MAX  256
#define CANARYD_URL_MAX   1024
#define CANARYD_PLACE_MAX (CANARYD_HOST_MAX + sizeof("[]:65535"))


/* Where the API of nginx is: the URL ends with a slash. */

typedef struct {
    char      url[CANARYD_URL_MAX];
    char      socket[CANARYD_PATH_MAX];     /* "": by the URL's host */
} canaryd_api_t;


typedef struct {
    char      host[CANARYD_HOST_MAX];       /* "": a unix socket */
    char      socket[CANARYD_PATH_MAX];
    uint16_t  port;                         /* 0: the default one */
    uint32_t  db;
    unsigned  tls:1;
} canaryd_redis_t;


typedef struct {
    char      host[CANARYD_HOST_MAX];       /* a numeric address */
    uint16_t  port;
} canaryd_listen_t;


typedef struct {
    char      url[CANARYD_URL_MAX];
    unsigned  loopback:1;                   /* asked for by name */
} canaryd_hook_t;


/* All return 0, or -1 and an error that quotes the text. */

int canaryd_api_parse(canaryd_api_t *api, canary_str_t text,
    canary_error_t *err);
int canaryd_redis_parse(canaryd_redis_t *redis, canary_str_t text,
    canary_error_t *err);
int canaryd_listen_parse(canaryd_listen_t *addr, canary_str_t text,
    canary_error_t *err);
int canaryd_hook_parse(canaryd_hook_t *hook, canary_str_t text,
    canary_error_t *err);

/* "host:port", or "[host]:port" of IPv6. */

void canaryd_place(char place[CANARYD_PLACE_MAX], const char *host,
    uint16_t port);

/* The same or "unix:/path", or "" when there is neither. */

void canaryd_redis_place(char place[CANARYD_PLACE_MAX],
    const canaryd_redis_t *redis);


#endif /* CANARYD_URL_H */
