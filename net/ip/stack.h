/* lwIP's headers, with the one name that hv/base has too moved out of the way. */
#ifndef NET_IP_STACK_H
#define NET_IP_STACK_H

#define ERR_TIMEOUT LWIP_ERR_TIMEOUT

#include <lwip/dhcp.h>
#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/sys.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <lwip/udp.h>
#include <netif/ethernet.h>

#undef ERR_TIMEOUT

#endif
