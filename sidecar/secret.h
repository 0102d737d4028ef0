
/* Passwords and keys: in files, never on the command line. */


#ifndef CANARYD_SECRET_H
#define CANARYD_SECRET_H


#include "str.h"


#define CANARYD_SECRET_MAX  1024


typedef struct {
    size_t  len;
    char    data[CANARYD_SECRET_MAX + 1];
} canaryd_secret_t;


/*
 * The first line of a file that others may not read.  Returns 0; or -1, an
 * error, and leaves the secret alone.
 */

int canaryd_secret_read(canaryd_secret_t *secret, const char *path,
    canary_error_t *err);


#endif /* CANARYD_SECRET_H */
