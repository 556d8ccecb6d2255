/*
 * Which Ethernet frames pass between the guest and the network that it shares with the node. Nothing in
 * a frame is believed: its type is looked for behind any number of VLAN tags, and a frame that ends
 * before its type does not pass.
 */
#ifndef GUEST_LAN_RULES_H
#define GUEST_LAN_RULES_H

#include "hv/base/types.h"

#define LAN_MAC      6
#define LAN_ETH      14
#define LAN_TAG      4
#define LAN_TYPE_AOE 0x88a2

/* What is thought of a frame. */
enum lan_verdict {
	LAN_PASSES,
	LAN_UNFIT,     /* shorter than its headers, or longer than the card takes */
	LAN_NOT_OURS,  /* out: under another's name; in: for another */
	LAN_OF_NODES,  /* the nodes' own protocol */
	LAN_AOE,       /* ATA over Ethernet, which the guest may not speak */
	LAN_LINK_ONLY, /* between a station and its bridge: pause, spanning tree, LLDP, 802.1X */
	LAN_VERDICTS,
};

struct lan_rules {
	uint8_t mac[LAN_MAC]; /* the guest's */
	uint16_t mtu;         /* bytes that an untagged frame carries */
	uint16_t nodes_type;  /* EtherType of the nodes' own protocol */
	bool aoe;             /* the guest may speak ATA over Ethernet */
};

/*
 * The EtherType behind the tags (802.1Q, 802.1ad and their forerunners), and behind the header that 802.3
 * frames carry one in (RFC 1042). 0: the frame ends before it has one. A length is no type: up to 1500.
 */
unsigned lan_type(const void *frame, size_t len);

/* A frame the guest sends, and one that comes in, `len` bytes without FCS. */
enum lan_verdict lan_out(const struct lan_rules *rules, const void *frame, size_t len);
enum lan_verdict lan_in(const struct lan_rules *rules, const void *frame, size_t len);

#endif
