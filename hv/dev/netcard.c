#include "hv/dev/netcard.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/string.h"

#define MTU       1500 /* the guest's, whatever the cluster's is */
#define FRAME_MIN 60   /* what Ethernet pads to */
/* While there is traffic the wire is looked at often. */
#define BUSY_NS   (100 * NS_PER_US)
#define QUIET_NS  (1 * NS_PER_MS)
#define CALM_NS   (10 * NS_PER_MS) /* without a frame: it is over */

/* True when the guest may send the frame; the operator hears of the first that net-aoe= would let out. */
static bool allowed(struct netcard *n, const void *frame, size_t len)
{
	enum lan_verdict verdict = lan_out(&n->rules, frame, len);

	n->refused[verdict] += verdict != LAN_PASSES;
	if (verdict == LAN_AOE && !n->aoe_told) {
		n->aoe_told = true;
		log_warn(LOG_DEV, "the guest speaks ATA over Ethernet, and its frames are dropped; "
				  "net-aoe=on lets it reach every target on this network");
	}
	return verdict == LAN_PASSES;
}

/* Only the CPU that serves the wire sends; others leave the frame with the guest until it comes by. */
static bool send(void *ctx, const void *frame, size_t len)
{
	struct netcard *n = ctx;
	uint8_t padded[FRAME_MIN] = {0};

	if (!n->polling) {
		n->lan->wake(n->lan->owner);
		return false;
	}
	if (!allowed(n, frame, len))
		return true;
	n->last = n->lan->now();
	if (len >= FRAME_MIN)
		return n->lan->send(n->lan->ctx, frame, len);
	memcpy(padded, frame, len);
	return n->lan->send(n->lan->ctx, padded, FRAME_MIN);
}

/* The node's address with the third bit turned and marked as locally given: no other node has it. */
void netcard_open(struct netcard *n, const struct lan *lan, bool aoe)
{
	uint8_t *mac = n->rules.mac;

	n->rules = (struct lan_rules){.mtu = MTU, .nodes_type = lan->nodes_type, .aoe = aoe};
	memcpy(mac, lan->mac, LAN_MAC);
	mac[0] = (uint8_t)((mac[0] | 0x02) ^ 0x04);
	n->lan = lan;
	frame_ring_init(&n->came, n->slots, NETCARD_QUEUE, VIRTIO_NET_FRAME);
	virtio_net_init(&n->dev, mac, send, n);
	lan->add_mac(lan->ctx, mac);
	log_info(LOG_DEV,
		 "the guest has a network card, MAC %02x:%02x:%02x:%02x:%02x:%02x; "
		 "it may %s ATA over Ethernet on this network (net-aoe=)",
		 mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], aoe ? "speak" : "not speak");
}

bool netcard_frame(struct netcard *n, const void *frame, size_t len)
{
	enum lan_verdict verdict;
	bool ours;

	if (len < LAN_ETH)
		return false;
	ours = !memcmp(frame, n->rules.mac, LAN_MAC);
	verdict = lan_in(&n->rules, frame, len);
	if (verdict != LAN_PASSES)
		return ours;
	if (frame_ring_put(&n->came, frame, len))
		n->lan->wake(n->lan->owner);
	else
		n->lost++;
	return ours;
}

uint64_t netcard_poll(struct netcard *n)
{
	const struct frame_slot *came;

	n->polling = true;
	/* More may come meanwhile: the wire is served while guest memory is waited for. */
	for (unsigned i = 0; i < NETCARD_QUEUE && (came = frame_ring_first(&n->came)); i++) {
		virtio_net_rx(&n->dev, came->bytes, came->len);
		frame_ring_drop(&n->came);
		n->last = n->lan->now();
	}
	virtio_net_resume(&n->dev);
	n->polling = false;
	return n->lan->now() - n->last < CALM_NS ? BUSY_NS : QUIET_NS;
}

void netcard_report(const struct netcard *n, struct report *r)
{
	const struct virtio_net *d = &n->dev;
	const uint64_t *refused = n->refused;

	report_line(r, LOG_DEV,
		    "network card: %llu frames out, %llu in, %llu dropped for want of buffers, "
		    "%llu for want of room; not let out: %llu too short or long, "
		    "%llu under another address, %llu of the nodes' protocol, "
		    "%llu ATA over Ethernet, %llu for the switch alone",
		    (unsigned long long)d->tx_frames, (unsigned long long)d->rx_frames,
		    (unsigned long long)d->rx_dropped, (unsigned long long)n->lost,
		    (unsigned long long)refused[LAN_UNFIT] + d->tx_dropped,
		    (unsigned long long)refused[LAN_NOT_OURS],
		    (unsigned long long)refused[LAN_OF_NODES], (unsigned long long)refused[LAN_AOE],
		    (unsigned long long)refused[LAN_LINK_ONLY]);
}
