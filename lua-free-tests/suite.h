
/*
 * The data suites: one directory for each case.  "input" holds a field on
 * each line, its name, a tab and its value; \n \t \\ and \xHH stand for
 * bytes.  "output" or "error" holds what must come of it.
 */


#ifndef CANARY_TEST_SUITE_H
#define CANARY_TEST_SUITE_H


#include "support.h"


/* Returns -1 when the file cannot be read or is not of that form. */

int suite_read_record(const char *path, buffer_t *record);


#endif /* CANARY_TEST_SUITE_H */
