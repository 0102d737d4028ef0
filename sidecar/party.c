
#include <string.h>
#include "clock.h"
#include "log.h"
#include "party.h"
#include "text.h"


#define CANARYD_PARTY_QUIET  10000          /* ms */


static int canaryd_party_same(const char *a, const char *b);


void
canaryd_party_ok(canaryd_party_t *party, uint64_t now)
{
    party->ok++;
    party->ok_at = now;

    if (party->state == CANARYD_PARTY_UP) {
        return;
    }

    canaryd_log(CANARYD_LOG_INFO, NULL, "%s", party->up);

    party->state = CANARYD_PARTY_UP;
    party->reason[0] = '\0';
}


void
canaryd_party_fail(canaryd_party_t *party, const char *reason)
{
    uint64_t  now;

    now = canaryd_now();
    party->failed++;

    if (party->state != CANARYD_PARTY_DOWN) {
        canaryd_log(CANARYD_LOG_ERROR, NULL, "%s: %s", party->down, reason);
        party->quiet = now;

    } else if (now >= party->quiet
               && !canaryd_party_same(party->reason, reason))
    {
        canaryd_log(CANARYD_LOG_ERROR, NULL, "%s, still: %s", party->down,
                    reason);
        party->quiet = now + CANARYD_PARTY_QUIET;
    }

    party->state = CANARYD_PARTY_DOWN;
    canaryd_copy(party->reason, sizeof(party->reason), canaryd_str(reason));
}


/* But for numbers, as of milliseconds. */

static int
canaryd_party_same(const char *a, const char *b)
{
    static const char  digits[] = "0123456789";

    for ( ;; ) {
        a += strspn(a, digits);
        b += strspn(b, digits);

        if (*a != *b) {
            return 0;
        }

        if (*a == '\0') {
            return 1;
        }

        a++;
        b++;
    }
}
