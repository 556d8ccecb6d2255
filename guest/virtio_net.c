#include "guest/virtio_net.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"

#define QUEUE_RX   0
#define QUEUE_TX   1
#define QUEUE_SIZE 256
#define TURN       64 /* frames, then others get their turn */
#define FRAME_MIN  14

/* 5.1.3 */
#define F_MAC    5
#define F_STATUS 16

/* 5.1.4 */
#define STATUS_LINK_UP 1

/* 5.1.6 */
struct header {
	uint8_t flags, gso_type;
	uint16_t header_len, gso_size, csum_start, csum_offset, buffers;
};
ASSERT_SIZE(struct header, 12);
ASSERT_SIZE(struct net_config, 8);

static struct virtio_net *of(struct virtio *v)
{
	return container_of(v, struct virtio_net, virtio);
}

static void no_ram(struct virtio_net *n, const struct virtq_chain *chain)
{
	virtio_fail(&n->virtio, "buffer %u names memory that is not RAM", chain->head);
}

/* Sends the frame in `out`, if any wire could carry it; false: it has to wait. */
static bool send(struct virtio_net *n)
{
	uint32_t len = n->out.out_bytes - (uint32_t)sizeof(struct header);

	if (len < FRAME_MIN || len > VIRTIO_NET_FRAME) {
		n->tx_dropped++;
		return true;
	}
	if (virtq_read(&n->out, sizeof(struct header), n->frame, len)) {
		no_ram(n, &n->out);
		return true;
	}
	if (!n->send(n->ctx, n->frame, len))
		return false;
	n->tx_frames++;
	return true;
}

/* The next buffer into `out`; false: there is none. */
static bool take(struct virtio_net *n)
{
	if (!virtio_pop(&n->virtio, QUEUE_TX, &n->out))
		return false;
	if (n->out.out_bytes >= sizeof(struct header))
		return true;
	virtio_fail(&n->virtio, "buffer %u has %u bytes to send; expected a header of 12 at least",
		    n->out.head, n->out.out_bytes);
	return false;
}

void virtio_net_resume(struct virtio_net *n)
{
	for (unsigned frames = 0; frames < TURN; frames++) {
		if (!virtio_ready(&n->virtio, QUEUE_TX) || (!n->sending && !take(n)))
			return;
		n->sending = !send(n);
		if (n->sending)
			return;
		virtio_push(&n->virtio, QUEUE_TX, n->out.head, 0);
	}
	virtio_again(&n->virtio, QUEUE_TX);
}

static void on_notify(struct virtio *v, unsigned queue)
{
	if (queue == QUEUE_TX)
		virtio_net_resume(of(v));
}

static void on_reset(struct virtio *v)
{
	of(v)->sending = false;
}

bool virtio_net_rx(struct virtio_net *n, const void *frame, size_t len)
{
	const struct header h = {.buffers = 1};

	if (len > VIRTIO_NET_FRAME || !virtio_pop(&n->virtio, QUEUE_RX, &n->in)) {
		n->rx_dropped++;
		return false;
	}
	if (n->in.in_bytes < sizeof(h) + len) {
		virtio_fail(&n->virtio,
			    "buffer %u has room for %u bytes; expected 1526 at least (5.1.6.3.1)",
			    n->in.head, n->in.in_bytes);
		return false;
	}
	if (virtq_write(&n->in, 0, &h, sizeof(h)) ||
	    virtq_write(&n->in, sizeof(h), frame, (uint32_t)len)) {
		no_ram(n, &n->in);
		return false;
	}
	n->rx_frames++;
	virtio_push(&n->virtio, QUEUE_RX, n->in.head, (uint32_t)(sizeof(h) + len));
	return true;
}

void virtio_net_link(struct virtio_net *n, bool up)
{
	uint16_t status = up ? STATUS_LINK_UP : 0;

	if (n->config.status == status)
		return;
	n->config.status = status;
	virtio_config_changed(&n->virtio);
}

static const struct virtio_ops ops = {.notify = on_notify, .reset = on_reset};

static const struct virtio_kind kind = {
	.name = "virtio-net",
	.id = VIRTIO_NET,
	.pci_class = 0x020000, /* Ethernet controller */
	.queues = 2,
	.queue_size = QUEUE_SIZE,
	.ops = &ops,
};

void virtio_net_init(struct virtio_net *n, const uint8_t mac[VIRTIO_NET_MAC],
		     bool (*send_frame)(void *ctx, const void *frame, size_t len), void *ctx)
{
	memset(n, 0, sizeof(*n));
	memcpy(n->config.mac, mac, VIRTIO_NET_MAC);
	n->config.status = STATUS_LINK_UP;
	n->send = send_frame;
	n->ctx = ctx;
	virtio_init(&n->virtio, &kind, BIT(F_MAC) | BIT(F_STATUS), &n->config, sizeof(n->config));
}
