
#include "log.h"
#include "party.h"
#include "text.h"


void
canaryd_party_ok(canaryd_party_t *party, uint64_t now)
{
    party->ok++;
    party->ok_at = now;

    if (party->state == CANARYD_PARTY_UP) {
        return;
    }

    canaryd_log(CANARYD_LOG_INFO, NULL, "%s answers", party->name);

    party->state = CANARYD_PARTY_UP;
    party->reason[0] = '\0';
}


void
canaryd_party_fail(canaryd_party_t *party, const char *reason)
{
    party->failed++;

    if (party->state != CANARYD_PARTY_DOWN) {
        canaryd_log(CANARYD_LOG_ERROR, NULL, "%s is lost: %s", party->name,
                    reason);
    }

    party->state = CANARYD_PARTY_DOWN;
    canaryd_copy(party->reason, sizeof(party->reason), canaryd_str(reason));
}
