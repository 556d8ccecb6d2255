/* What the link calls of the rooms above it: the one table of who handles which message. */
#ifndef HV_CLUSTER_CLIENT_H
#define HV_CLUSTER_CLIENT_H

#include "hv/cluster/link.h"

extern const struct link_client cluster_client;

#endif
