#include "hv/dev/node_lan.h"
#include "hv/base/string.h"
#include "hv/cluster/link.h"
#include "hv/cluster/wire.h"
#include "hv/x86/tsc.h"

static void tap(void *ctx, bool (*fn)(void *owner, const void *frame, size_t len), void *owner)
{
	wire_tap(fn, owner);
}

static bool send(void *ctx, const void *frame, size_t len)
{
	return link_send_frame(frame, len);
}

static void add_mac(void *ctx, const uint8_t mac[6])
{
	wire_add_mac(mac);
}

static void poll(void *ctx)
{
	link_poll();
}

void node_lan(struct lan *lan)
{
	*lan = (struct lan){
		.mtu = wire_mtu(),
		.nodes_type = wire_ethertype(),
		.tap = tap,
		.send = send,
		.add_mac = add_mac,
		.poll = poll,
		.now = tsc_now_ns,
	};
	memcpy(lan->mac, wire_mac(), sizeof(lan->mac));
}
