
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include "sign.h"
#include "text.h"


int
canaryd_sign(char text[CANARYD_SIGNATURE_MAX],
    const canaryd_secret_t *secret, int64_t time, canary_str_t body)
{
    int             len;
    unsigned        i, n;
    unsigned char   digest[EVP_MAX_MD_SIZE];
    canaryd_text_t  message;

    message = (canaryd_text_t) { 0 };
    canaryd_text_printf(&message, "%" PRId64 ".", time);
    canaryd_text_add(&message, body.data, body.len);

    n = 0;

    if (message.failed
        || HMAC(EVP_sha256(), secret->data, (int) secret->len,
                (const unsigned char *) message.data, message.len, digest, &n)
           == NULL)
    {
        canaryd_text_free(&message);
        return -1;
    }

    canaryd_text_free(&message);

    len = snprintf(text, CANARYD_SIGNATURE_MAX, "t=%" PRId64 ",v1=", time);

    for (i = 0; i < n && len + 3 <= CANARYD_SIGNATURE_MAX; i++) {
        len += snprintf(text + len, 3, "%02x", digest[i]);
    }

    return 0;
}
