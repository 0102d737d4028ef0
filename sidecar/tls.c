
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include "text.h"
#include "tls.h"


static int canaryd_tls_trust(SSL_CTX *context, const canaryd_options_t *o,
    canary_error_t *err);
static int canaryd_tls_certificate(SSL_CTX *context,
    const canaryd_options_t *o, canary_error_t *err);
static int canaryd_tls_refuse(canary_error_t *err, const char *what,
    const char *file);
static int canaryd_tls_is_address(const char *name);


SSL_CTX *
canaryd_tls_context(const canaryd_options_t *o, canary_error_t *err)
{
    SSL_CTX  *context;

    ERR_clear_error();
    context = SSL_CTX_new(TLS_client_method());

    if (context == NULL) {
        (void) canaryd_tls_refuse(err, "TLS", "");
        return NULL;
    }

    (void) SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void) SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE
                                     | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                                     | SSL_MODE_RELEASE_BUFFERS);

    if (canaryd_tls_trust(context, o, err) != 0
        || canaryd_tls_certificate(context, o, err) != 0)
    {
        SSL_CTX_free(context);
        return NULL;
    }

    return context;
}


static int
canaryd_tls_trust(SSL_CTX *context, const canaryd_options_t *o,
    canary_error_t *err)
{
    if (o->tls_unverified) {
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        return 0;
    }

    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);

    if (o->tls_ca == NULL) {
        return SSL_CTX_set_default_verify_paths(context) == 1
               ? 0 : canaryd_tls_refuse(err, "TLS", "system certificates");
    }

    return SSL_CTX_load_verify_file(context, o->tls_ca) == 1
           ? 0 : canaryd_tls_refuse(err, "--redis-ca", o->tls_ca);
}


static int
canaryd_tls_certificate(SSL_CTX *context, const canaryd_options_t *o,
    canary_error_t *err)
{
    if (o->tls_cert == NULL) {
        return 0;
    }

    if (SSL_CTX_use_certificate_chain_file(context, o->tls_cert) != 1) {
        return canaryd_tls_refuse(err, "--redis-cert", o->tls_cert);
    }

    if (SSL_CTX_use_PrivateKey_file(context, o->tls_key, SSL_FILETYPE_PEM)
        != 1)
    {
        return canaryd_tls_refuse(err, "--redis-key", o->tls_key);
    }

    return 0;
}


static int
canaryd_tls_refuse(canary_error_t *err, const char *what, const char *file)
{
    char           text[CANARY_ERROR_MAX / 2];
    const char    *reason;
    unsigned long  code;

    /* the first error is the cause: "no such file", "no start line" */

    code = ERR_peek_error();
    reason = ERR_reason_error_string(code);

    if (ERR_SYSTEM_ERROR(code)) {
        reason = strerror(ERR_GET_REASON(code));
    }

    (void) snprintf(text, sizeof(text), "expected a PEM file: %s",
                    reason ? reason : "it cannot be used");
    canary_error(err, what, canaryd_str(file), text);

    return -1;
}


SSL *
canaryd_tls_client(SSL_CTX *context, int fd, const char *name)
{
    int   rc;
    SSL  *ssl;

    ERR_clear_error();
    ssl = SSL_new(context);

    if (ssl == NULL) {
        return NULL;
    }

    if (canaryd_tls_is_address(name)) {
        rc = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);

    } else {
        rc = SSL_set1_host(ssl, name) == 1
             && SSL_set_tlsext_host_name(ssl, name) == 1;
    }

    if (rc != 1 || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }

    SSL_set_connect_state(ssl);

    return ssl;
}


static int
canaryd_tls_is_address(const char *name)
{
    ASN1_OCTET_STRING  *ip;

    ip = a2i_IPADDRESS(name);
    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();

    return ip != NULL;
}


const char *
canaryd_tls_reason(const SSL *ssl, int rc)
{
    long         result;
    const char  *reason;

    switch (SSL_get_error(ssl, rc)) {

    case SSL_ERROR_ZERO_RETURN:
        return "it closed the connection";

    case SSL_ERROR_SYSCALL:
        return errno ? strerror(errno) : "it closed the connection";

    default:
        break;
    }

    result = SSL_get_verify_result(ssl);

    if (result != X509_V_OK && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE) {
        return X509_verify_cert_error_string(result);
    }

    reason = ERR_reason_error_string(ERR_peek_error());

    return reason ? reason : "TLS failed";
}
