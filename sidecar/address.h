
/* Which addresses a webhook may have, whatever its name resolves to. */


#ifndef CANARYD_ADDRESS_H
#define CANARYD_ADDRESS_H


#include <sys/socket.h>


/*
 * Non-zero for an address that is not to be called: link-local ones (of a
 * cloud's metadata service, too), multicast, unspecified; and those of this
 * host, unless loopback is set.  Private networks are fine: the URL comes
 * from whoever starts the program, and that is where alert managers are.
 */

int canaryd_address_refused(const struct sockaddr *addr, int loopback);


#endif /* CANARYD_ADDRESS_H */
