#include "hv/core/netcard.h"
#include "guest/virtio_net.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/core/link.h"
#include "hv/core/wire.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/tsc.h"

#define QUEUE     64
#define FRAME_MIN 60 /* what Ethernet pads to */
#define TYPE_AT   (2 * VIRTIO_NET_MAC)
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
	bool open, polling;
	void (*wake)(void);
	struct came came[QUEUE];
	unsigned head, tail; /* count frames; wrap freely */
	uint64_t last;       /* when a frame came or went */
	uint64_t lost, refused;
} card;

/* A frame that is not the guest's to send: under another's name, or the nodes' own protocol. */
static bool forged(const uint8_t *frame)
{
	unsigned type = frame[TYPE_AT] << 8 | frame[TYPE_AT + 1];

	return memcmp(frame + VIRTIO_NET_MAC, card.dev.config.mac, VIRTIO_NET_MAC) != 0 ||
	       type == wire_ethertype();
}

/* Only the CPU that serves the wire sends; others leave the frame with the guest until it comes by. */
static bool send(void *ctx, const void *frame, size_t len)
{
	uint8_t padded[FRAME_MIN] = {0};

	if (!card.polling) {
		card.wake();
		return false;
	}
	if (forged(frame)) {
		card.refused++;
		return true;
	}
	card.last = tsc_now_ns();
	if (len >= FRAME_MIN)
		return link_send_frame(frame, len);
	memcpy(padded, frame, len);
	return link_send_frame(padded, FRAME_MIN);
}

/* The node's address with the third bit turned and marked as locally given: no other node has it. */
void netcard_open(void (*wake)(void))
{
	uint8_t mac[VIRTIO_NET_MAC];

	memcpy(mac, wire_mac(), sizeof(mac));
	mac[0] = (uint8_t)((mac[0] | 0x02) ^ 0x04);
	virtio_net_init(&card.dev, mac, send, NULL);
	wire_add_mac(mac);
	card.wake = wake;
	card.open = true;
	log_info(LOG_DEV, "the guest has a network card, MAC %02x:%02x:%02x:%02x:%02x:%02x", mac[0],
		 mac[1], mac[2], mac[3], mac[4], mac[5]);
}

struct pci_device *netcard_pci(void)
{
	return &card.dev.virtio.pci;
}

bool netcard_frame(const void *frame, size_t len)
{
	const uint8_t *dst = frame;
	struct came *c = &card.came[card.head % QUEUE];
	bool ours, all;

	if (!card.open || len < TYPE_AT + 2)
		return false;
	ours = !memcmp(dst, card.dev.config.mac, VIRTIO_NET_MAC);
	all = dst[0] & 1;
	if (!ours && !all)
		return false;
	if (len > sizeof(c->bytes) || card.head - card.tail == QUEUE) {
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

	report_line(
		r, LOG_DEV,
		"network card: %llu frames out, %llu in, %llu dropped for want of buffers, %llu "
		"for "
		"want of room, %llu refused",
		(unsigned long long)n->tx_frames, (unsigned long long)n->rx_frames,
		(unsigned long long)n->rx_dropped, (unsigned long long)card.lost,
		(unsigned long long)card.refused);
}
