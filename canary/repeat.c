
#include "repeat.h"


/* The time of the last event, in seconds, and how many there were. */

#define CANARY_REPEAT_BITS  12
#define CANARY_REPEAT_MAX   ((1U << CANARY_REPEAT_BITS) - 1)
#define CANARY_REPEAT_TIME  ((1U << (32 - CANARY_REPEAT_BITS)) - 1)

/* 2^64 divided by the golden ratio: Knuth's multiplicative hashing. */

#define CANARY_REPEAT_MIX   0x9e3779b97f4a7c15

#define canary_repeat_count(seen)  ((seen) & CANARY_REPEAT_MAX)

/* The clock of another process may be ahead: what is to come is not over. */

#define canary_repeat_over(seen, time)                                        \
    ((((time) - ((seen) >> CANARY_REPEAT_BITS) + CANARY_REPEAT_AGE)           \
      & CANARY_REPEAT_TIME)                                                   \
     >= 2 * CANARY_REPEAT_AGE)


unsigned
canary_repeat(volatile canary_repeat_t table[CANARY_REPEATS],
    canary_event_e event, uint64_t user, uint64_t now)
{
    uint32_t                   count, seen, time, who;
    volatile canary_repeat_t  *r;

    /* a user's errors and refusals are told apart as two users are */

    user ^= (uint64_t) event * CANARY_REPEAT_MIX;

    r = &table[user % CANARY_REPEATS];
    who = (uint32_t) (user / CANARY_REPEATS);
    time = (uint32_t) now & CANARY_REPEAT_TIME;

    seen = r->seen;
    count = canary_repeat_count(seen);

    if (count == 0 || canary_repeat_over(seen, time)) {
        count = 0;
        r->user = who;

    } else if (r->user != who) {
        return 0;
    }

    if (count < CANARY_REPEAT_MAX) {
        count++;
    }

    r->seen = time << CANARY_REPEAT_BITS | count;

    return count;
}
