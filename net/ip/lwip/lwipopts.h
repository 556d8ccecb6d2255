/* lwIP for one CPU without an operating system: DHCP, ICMP echo, UDP out, a few TCP connections. */
#ifndef NET_IP_LWIP_LWIPOPTS_H
#define NET_IP_LWIP_LWIPOPTS_H

#define NO_SYS               1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0
#define LWIP_TIMERS          1

#define MEM_ALIGNMENT           8
#define MEM_SIZE                65536
#define MEMP_NUM_PBUF           64
#define MEMP_NUM_UDP_PCB        4
#define MEMP_NUM_TCP_PCB        6
#define MEMP_NUM_TCP_PCB_LISTEN 2
#define MEMP_NUM_TCP_SEG        64
#define PBUF_POOL_SIZE          8

#define LWIP_ARP            1
#define LWIP_ETHERNET       1
#define LWIP_IPV4           1
#define LWIP_IPV6           0
#define LWIP_ICMP           1
#define LWIP_RAW            0
#define LWIP_DHCP           1
#define LWIP_AUTOIP         0
#define LWIP_DNS            0
#define LWIP_IGMP           0
#define LWIP_UDP            1
#define LWIP_TCP            1
#define IP_REASSEMBLY       0
#define IP_FRAG             0
#define DHCP_DOES_ARP_CHECK 0 /* two seconds for a case the DHCP server sees to */

#define TCP_MSS          1460
#define TCP_WND          (4 * TCP_MSS)
#define TCP_SND_BUF      (4 * TCP_MSS)
#define TCP_SND_QUEUELEN 16
/* What comes early would keep buffers of the card for as long as somebody likes; it is sent again. */
#define TCP_QUEUE_OOSEQ  0

#define LWIP_SUPPORT_CUSTOM_PBUF   1
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LINK_CALLBACK   0
#define LWIP_NETIF_HOSTNAME        1
#define LWIP_STATS                 0

/* One CPU owns the stack: every entry looks. */
#define LWIP_ASSERT_CORE_LOCKED() netip_assert_owner()
#define LWIP_MARK_TCPIP_THREAD()

#define LWIP_HOOK_FILENAME                       "net/ip/hooks.h"
#define LWIP_HOOK_UNKNOWN_ETH_PROTOCOL(p, netif) netip_unknown_frame(p, netif)

void netip_assert_owner(void);

#endif
