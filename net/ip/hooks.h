/* What lwIP calls in our code. */
#ifndef NET_IP_HOOKS_H
#define NET_IP_HOOKS_H

struct pbuf;
struct netif;

/* An EtherType that is not IP's; lwIP's ERR_OK when it was taken and freed. */
signed char netip_unknown_frame(struct pbuf *p, struct netif *netif);

#endif
