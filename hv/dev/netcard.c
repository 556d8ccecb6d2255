#include "hv/dev/netcard.h"
#include "guest/lan_rules.h"
#include "guest/virtio_net.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/cluster/link.h"
#include "hv/cluster/wire.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/tsc.h"

#define QUEUE     64
#define FRAME_MIN 60   /* what Ethernet pads to */
#define MTU       1500 /* the guest's, whatever the cluster's is */
/* While there is traffic the wire is looked at often. */
#define BUSY_NS   (100 * NS_PER_US)
#define QUIET_NS  (1 * NS_PER_MS)
#define CALM_NS   (10 * NS_PER_MS) /* without a frame: it is over */

struct came {
	uint16_t len;
	uint8_t bytes[VIRTIO_NET_FRAME];
};

static struct {
	struct virtio_net dev;
	struct lan_rules rules;
	bool open, polling, aoe_told;
	void (*wake)(void);
	struct came came[QUEUE];
	unsigned head, tail; /* count frames; wrap freely */
	uint64_t last;       /* when a frame came or went */
	uint64_t lost, refused[LAN_VERDICTS];
} card;

/* True when the guest may send the frame; the operator hears of the first that net-aoe= would let out. */
static bool allowed(const void *frame, size_t len)
{
	enum lan_verdict verdict = lan_out(&card.rules, frame, len);

	card.refused[verdict] += verdict != LAN_PASSES;
	if (verdict == LAN_AOE && !card.aoe_told) {
		card.aoe_told = true;
		log_warn(LOG_DEV, "the guest speaks ATA over Ethernet, and its frames are dropped; "
				  "net-aoe=on lets it reach every target on this network");
	}
	return verdict == LAN_PASSES;
}

/* Only the CPU that serves the wire sends; others leave the frame with the guest until it comes by. */
static bool send(void *ctx, const void *frame, size_t len)
{
	uint8_t padded[FRAME_MIN] = {0};

	if (!card.polling) {
		card.wake();
		return false;
	}
	if (!allowed(frame, len))
		return true;
	card.last = tsc_now_ns();
	if (len >= FRAME_MIN)
		return link_send_frame(frame, len);
	memcpy(padded, frame, len);
	return link_send_frame(padded, FRAME_MIN);
}

/* The node's address with the third bit turned and marked as locally given: no other node has it. */
void netcard_open(void (*wake)(void), bool aoe)
{
	uint8_t *mac = card.rules.mac;

	memcpy(mac, wire_mac(), LAN_MAC);
	mac[0] = (uint8_t)((mac[0] | 0x02) ^ 0x04);
	card.rules.mtu = MTU;
	card.rules.nodes_type = wire_ethertype();
	card.rules.aoe = aoe;
	virtio_net_init(&card.dev, mac, send, NULL);
	wire_add_mac(mac);
	card.wake = wake;
	card.open = true;
	log_info(LOG_DEV,
		 "the guest has a network card, MAC %02x:%02x:%02x:%02x:%02x:%02x; it may %s ATA "
		 "over Ethernet on this network (net-aoe=)",
		 mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], aoe ? "speak" : "not speak");
}

struct pci_device *netcard_pci(void)
{
	return &card.dev.virtio.pci;
}

bool netcard_frame(const void *frame, size_t len)
{
	struct came *c = &card.came[card.head % QUEUE];
	enum lan_verdict verdict;
	bool ours;

	if (!card.open || len < LAN_ETH)
		return false;
	ours = !memcmp(frame, card.rules.mac, LAN_MAC);
	verdict = lan_in(&card.rules, frame, len);
	if (verdict != LAN_PASSES)
		return ours;
	if (card.head - card.tail == QUEUE) {
		card.lost++;
		return ours;
	}
	c->len = (uint16_t)len;
	memcpy(c->bytes, frame, len);
	card.head++;
	card.wake();
	return ours;
}

uint64_t netcard_poll(void)
{
	card.polling = true;
	for (; card.tail != card.head; card.tail++) {
		const struct came *c = &card.came[card.tail % QUEUE];

		virtio_net_rx(&card.dev, c->bytes, c->len);
		card.last = tsc_now_ns();
	}
	virtio_net_resume(&card.dev);
	card.polling = false;
	return tsc_now_ns() - card.last < CALM_NS ? BUSY_NS : QUIET_NS;
}

void netcard_report(struct report *r)
{
	const struct virtio_net *n = &card.dev;
	const uint64_t *refused = card.refused;

	report_line(
		r, LOG_DEV,
		"network card: %llu frames out, %llu in, %llu dropped for want of buffers, %llu "
		"for want of room; not let out: %llu too short or long, %llu under another "
		"address, "
		"%llu of the nodes' protocol, %llu ATA over Ethernet, %llu for the switch alone",
		(unsigned long long)n->tx_frames, (unsigned long long)n->rx_frames,
		(unsigned long long)n->rx_dropped, (unsigned long long)card.lost,
		(unsigned long long)(refused[LAN_UNFIT] + n->tx_dropped),
		(unsigned long long)refused[LAN_NOT_OURS],
		(unsigned long long)refused[LAN_OF_NODES], (unsigned long long)refused[LAN_AOE],
		(unsigned long long)refused[LAN_LINK_ONLY]);
}
