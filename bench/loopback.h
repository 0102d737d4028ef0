
/* The address of a port of this machine, for all programs of the bench. */


#ifndef BENCH_LOOPBACK_H
#define BENCH_LOOPBACK_H


#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>


static inline void
loopback(struct sockaddr_in *addr, unsigned port)
{
    memset(addr, 0, sizeof(struct sockaddr_in));

    addr->sin_family = AF_INET;
    addr->sin_port = htons((in_port_t) port);
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}


#endif /* BENCH_LOOPBACK_H */
