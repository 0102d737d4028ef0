
#include <string.h>
#include "keys.h"


static int canaryd_keys_secret(canaryd_secret_t *secret, const char *file,
    canary_error_t *err);


int
canaryd_keys_read(canaryd_keys_t *keys, const canaryd_options_t *o,
    canary_error_t *err)
{
    canaryd_keys_t  fresh;

    memset(&fresh, 0, sizeof(fresh));

    if (canaryd_keys_secret(&fresh.redis, o->redis_password_file, err) != 0
        || canaryd_keys_secret(&fresh.sentinel, o->sentinel_password_file,
                               err)
           != 0
        || canaryd_keys_secret(&fresh.webhook, o->webhook_secret_file, err)
           != 0)
    {
        canaryd_keys_clear(&fresh);
        return -1;
    }

    if (o->redis[0].tls) {
        fresh.tls = canaryd_tls_context(o, err);

        if (fresh.tls == NULL) {
            canaryd_keys_clear(&fresh);
            return -1;
        }
    }

    canaryd_keys_clear(keys);
    *keys = fresh;
    explicit_bzero(&fresh, sizeof(fresh));

    return 0;
}


static int
canaryd_keys_secret(canaryd_secret_t *secret, const char *file,
    canary_error_t *err)
{
    return file ? canaryd_secret_read(secret, file, err) : 0;
}


void
canaryd_keys_copy(canaryd_keys_t *keys, const canaryd_keys_t *from)
{
    if (from->tls) {
        (void) SSL_CTX_up_ref(from->tls);
    }

    canaryd_keys_clear(keys);
    *keys = *from;
}


void
canaryd_keys_clear(canaryd_keys_t *keys)
{
    SSL_CTX_free(keys->tls);
    explicit_bzero(keys, sizeof(canaryd_keys_t));
}
