
/* The command line. */


#ifndef CANARYD_OPTIONS_H
#define CANARYD_OPTIONS_H


#include <stdint.h>
#include "flag.h"
#include "url.h"


#define CANARYD_VERSION       "0.1.0"

#define CANARYD_REDIS_MAX     8
#define CANARYD_PREFIX_MAX    64
#define CANARYD_INTERVAL_MIN  50            /* ms */
#define CANARYD_INTERVAL_MAX  10000


typedef enum {
    CANARYD_RUN = 0,
    CANARYD_CHECK,                          /* -t */
    CANARYD_SHOW_VERSION,
    CANARYD_SHOW_HELP
} canaryd_command_e;


typedef struct {
    canaryd_command_e  command;

    canaryd_api_t      nginx;
    canaryd_redis_t    redis[CANARYD_REDIS_MAX];
    unsigned           nredis;
    const char        *sentinel;            /* NULL: redis[0] is the server */
    const char        *redis_user;
    const char        *redis_password_file;
    const char        *sentinel_user;
    const char        *sentinel_password_file;
    const char        *tls_ca;              /* NULL: the system's */
    const char        *tls_cert;
    const char        *tls_key;
    const char        *tls_name;            /* NULL: the host */
    unsigned           tls_unverified:1;
    char               prefix[CANARYD_PREFIX_MAX + 1];
    char               fleet[CANARYD_PREFIX_MAX + 8];
    char               instance[CANARY_FLAG_NAME_MAX + 1];
    uint32_t           interval;            /* ms */
    const char        *state;               /* NULL: none is kept */
    canaryd_hook_t     webhook;             /* url "": none */
    const char        *webhook_secret_file;
    canaryd_listen_t   listen;              /* port 0: none */
    unsigned           json:1;
} canaryd_options_t;


/*
 * Returns 0; or -1 and an error that quotes the token and says what was
 * expected.  Texts are borrowed from argv.
 */

int canaryd_options_parse(canaryd_options_t *o, int argc, char *const *argv,
    canary_error_t *err);

extern const char  canaryd_usage[];


#endif /* CANARYD_OPTIONS_H */
