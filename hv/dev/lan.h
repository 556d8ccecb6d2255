/*
 * The node's network as the guest's devices that are on it know it. All of it on the CPU that serves the
 * wire, but `wake`.
 */
#ifndef HV_DEV_LAN_H
#define HV_DEV_LAN_H

#include "hv/base/types.h"

struct lan {
	uint8_t mac[6];      /* the node's */
	uint16_t mtu;        /* bytes that a frame carries */
	uint16_t nodes_type; /* EtherType of the nodes' own frames */
	void *ctx;
	/* From now on `fn` sees every frame that comes, first of all; true: it was for a device alone. */
	void (*tap)(void *ctx, bool (*fn)(void *owner, const void *frame, size_t len), void *owner);
	/* A frame of 60 bytes at least, Ethernet header included; false: there is no room, it is dropped. */
	bool (*send)(void *ctx, const void *frame, size_t len);
	/* Frames for this address come in, too. */
	void (*add_mac)(void *ctx, const uint8_t mac[6]);
	/* Takes what has come. */
	void (*poll)(void *ctx);
	/* ns of one monotonic clock */
	uint64_t (*now)(void);
	/* The owner of the devices sets these: a device's poll has something to do. Any CPU, any lock. */
	void (*wake)(void *owner);
	void *owner;
};

#endif
