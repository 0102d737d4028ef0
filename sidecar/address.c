
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include "address.h"


static int canaryd_address_v4(uint32_t ip, int loopback);
static int canaryd_address_v6(const struct in6_addr *ip, int loopback);


int
canaryd_address_refused(const struct sockaddr *addr, int loopback)
{
    struct sockaddr_in   in;
    struct sockaddr_in6  in6;

    if (addr->sa_family == AF_INET) {
        memcpy(&in, addr, sizeof(in));
        return canaryd_address_v4(ntohl(in.sin_addr.s_addr), loopback);
    }

    if (addr->sa_family == AF_INET6) {
        memcpy(&in6, addr, sizeof(in6));
        return canaryd_address_v6(&in6.sin6_addr, loopback);
    }

    return 1;
}


static int
canaryd_address_v4(uint32_t ip, int loopback)
{
    if (ip >> 24 == 127) {
        return !loopback;
    }

    return ip >> 24 == 0                        /* this network */
           || ip >> 16 == 0xa9fe                /* 169.254, link-local */
           || ip == 0x646464c8                  /* 100.100.100.200 */
           || ip >> 28 >= 0xe;                  /* multicast, reserved */
}


static int
canaryd_address_v6(const struct in6_addr *ip, int loopback)
{
    uint32_t  v4;

    static const uint8_t  metadata[] = {        /* fd00:ec2::254 */
        0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54
    };

    static const uint8_t  nat64[] = {           /* 64:ff9b::/96 */
        0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0
    };

    if (IN6_IS_ADDR_LOOPBACK(ip)) {
        return !loopback;
    }

    if (IN6_IS_ADDR_V4MAPPED(ip)
        || memcmp(ip->s6_addr, nat64, sizeof(nat64)) == 0)
    {
        memcpy(&v4, &ip->s6_addr[12], sizeof(v4));
        return canaryd_address_v4(ntohl(v4), loopback);
    }

    return IN6_IS_ADDR_UNSPECIFIED(ip) || IN6_IS_ADDR_LINKLOCAL(ip)
           || IN6_IS_ADDR_MULTICAST(ip)
           || memcmp(ip->s6_addr, metadata, sizeof(metadata)) == 0;
}
