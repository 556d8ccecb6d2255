/* The network of a real node, by its wire. */
#ifndef HV_DEV_NODE_LAN_H
#define HV_DEV_NODE_LAN_H

#include "hv/cluster/link.h"
#include "hv/dev/lan.h"

/* The wire is up. What is the owner's stays unset. */
void node_lan(struct lan *lan, struct link *link);

#endif
