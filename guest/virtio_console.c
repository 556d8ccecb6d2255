#include "guest/virtio_console.h"
#include "hv/base/assert.h"
#include "hv/base/string.h"

#define QUEUE_RX   0
#define QUEUE_TX   1
#define QUEUE_SIZE 64
#define CHUNK      256u
/* After so many chunks, or buffers, others get their turn. */
#define TURN       64

ASSERT_SIZE(struct console_config, 12);

static struct virtio_console *of(struct virtio *v)
{
	return container_of(v, struct virtio_console, virtio);
}

/* Offers the sink the next bytes of `out`; false: it did not take them all, or they are not there. */
static bool send_chunk(struct virtio_console *c)
{
	uint8_t bytes[CHUNK];
	uint32_t n = MIN(CHUNK, c->out.out_bytes - c->sent);
	size_t taken;

	if (virtq_read(&c->out, c->sent, bytes, n)) {
		virtio_fail(&c->virtio, "buffer %u names memory that is not RAM", c->out.head);
		return false;
	}
	taken = n ? c->tx(c->ctx, bytes, n) : 0;
	c->sent += (uint32_t)taken;
	c->bytes_out += taken;
	if (c->sent < c->out.out_bytes)
		return taken == n;
	c->sending = false;
	virtio_push(&c->virtio, QUEUE_TX, c->out.head, 0);
	return true;
}

void virtio_console_resume(struct virtio_console *c)
{
	for (unsigned chunks = 0; chunks < TURN; chunks++) {
		if (!virtio_ready(&c->virtio, QUEUE_TX))
			return;
		if (!c->sending) {
			if (!virtio_pop(&c->virtio, QUEUE_TX, &c->out))
				return;
			c->sending = true;
			c->sent = 0;
		}
		if (!send_chunk(c))
			return;
	}
	virtio_again(&c->virtio, QUEUE_TX);
}

size_t virtio_console_rx(struct virtio_console *c, const uint8_t *bytes, size_t count)
{
	size_t done = 0;

	for (unsigned buffers = 0; buffers < TURN && done < count; buffers++) {
		uint32_t n;

		if (!virtio_pop(&c->virtio, QUEUE_RX, &c->in))
			break;
		n = (uint32_t)MIN(count - done, c->in.in_bytes);
		if (virtq_write(&c->in, 0, bytes + done, n)) {
			virtio_fail(&c->virtio, "buffer %u names memory that is not RAM",
				    c->in.head);
			break;
		}
		virtio_push(&c->virtio, QUEUE_RX, c->in.head, n);
		done += n;
	}
	c->bytes_in += done;
	return done;
}

static void on_notify(struct virtio *v, unsigned queue)
{
	if (queue == QUEUE_TX)
		virtio_console_resume(of(v));
}

static void on_reset(struct virtio *v)
{
	of(v)->sending = false;
}

static const struct virtio_ops ops = {.notify = on_notify, .reset = on_reset};

static const struct virtio_kind kind = {
	.name = "virtio-console",
	.id = VIRTIO_CONSOLE,
	.pci_class = 0x078000, /* communication, other */
	.queues = 2,
	.queue_size = QUEUE_SIZE,
	.ops = &ops,
};

void virtio_console_init(struct virtio_console *c,
			 size_t (*tx)(void *ctx, const uint8_t *bytes, size_t count), void *ctx)
{
	memset(c, 0, sizeof(*c));
	c->tx = tx;
	c->ctx = ctx;
	virtio_init(&c->virtio, &kind, 0, &c->config, sizeof(c->config));
}
