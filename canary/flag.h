
/*
 * A flag as an owner wrote it.
 */


#ifndef CANARY_FLAG_H
#define CANARY_FLAG_H


#include <stdint.h>
#include "cohort.h"
#include "guardrails.h"
#include "record.h"
#include "set.h"
#include "str.h"


#define CANARY_FLAG_NAME_MAX  64
#define CANARY_TEXT_MAX       128           /* salt and bundle names, bytes */


typedef enum {
    CANARY_ARM_BASELINE = 0,
    CANARY_ARM_CANDIDATE,
    CANARY_ARMS,
    CANARY_ARM_NONE = CANARY_ARMS           /* no override */
} canary_arm_e;


typedef enum {
    CANARY_MODE_NONE = 0,
    CANARY_MODE_SUGGEST,
    CANARY_MODE_DRAFT,
    CANARY_MODE_REVIEW,
    CANARY_MODE_GUARDED,
    CANARY_MODE_FULL,
    CANARY_MODES
} canary_mode_e;


typedef struct {
    uint64_t          epoch;
    uint64_t          seed;
    uint32_t          percent;              /* buckets */
    uint32_t          shadow;               /* buckets */
    unsigned          enabled:1;
    canary_mode_e     mode;
    canary_ladder_t   stages;
    canary_set_t     *allow;                /* NULL: none */
    canary_set_t     *deny;
    canary_set_t     *tenants;
    canary_guardrails_t  guardrails;
    char              bundle[CANARY_ARMS][CANARY_TEXT_MAX + 1];
    char              unknown[CANARY_FLAG_NAME_MAX + 1];
                                            /* the first field that no part
                                               of this software reads, with
                                               other than printable ASCII
                                               replaced by "?"; or "" */
} canary_flag_t;


extern const canary_str_t  canary_arm_names[CANARY_ARMS];
extern const canary_str_t  canary_mode_names[CANARY_MODES];  /* "", then 5 */


/* CANARY_ARM_NONE: it is neither. */

canary_arm_e canary_arm_parse(canary_str_t name);

/* [A-Za-z0-9._-]{1,64} */

int canary_flag_name_valid(canary_str_t name);

/*
 * Parses the record of the flag called name.  prev may lend unchanged lists,
 * or be NULL.  Returns 0 and a flag to be cleared by the caller; or -1, an
 * error that names the field and quotes its value, and *flag cleared.  All
 * or nothing: one bad field rejects the record.
 */

int canary_flag_parse(canary_flag_t *flag, canary_str_t name,
    canary_str_t record, const canary_flag_t *prev, canary_error_t *err);

/* Gives back what a parsed flag holds; a zeroed flag is fine too. */

void canary_flag_clear(canary_flag_t *flag);

#endif /* CANARY_FLAG_H */
