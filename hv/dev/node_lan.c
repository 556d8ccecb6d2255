#include "hv/dev/node_lan.h"
#include "hv/base/string.h"
#include "hv/x86/tsc.h"

static void tap(void *ctx, bool (*fn)(void *owner, const void *frame, size_t len), void *owner)
{
	struct link *l = ctx;

	uplink_tap(l->wire, fn, owner);
}

static bool send(void *ctx, const void *frame, size_t len)
{
	return link_send_frame(ctx, frame, len);
}

static void add_mac(void *ctx, const uint8_t mac[6])
{
	struct link *l = ctx;

	uplink_add_mac(l->wire, mac);
}

static void poll(void *ctx)
{
	link_poll(ctx);
}

void node_lan(struct lan *lan, struct link *link)
{
	*lan = (struct lan){
		.mtu = uplink_mtu(link->wire),
		.nodes_type = WIRE_ETHERTYPE,
		.tap = tap,
		.send = send,
		.add_mac = add_mac,
		.poll = poll,
		.now = tsc_now_ns,
		.ctx = link,
	};
	memcpy(lan->mac, uplink_mac(link->wire), sizeof(lan->mac));
}
