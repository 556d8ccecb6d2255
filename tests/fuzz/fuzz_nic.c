/*
 * The NIC drivers against cards that write nonsense. First byte: which card; its top bit: registers
 * answer with input bytes from the start, else the card starts well and then scribbles over what it
 * may write: receive and transmit descriptors' status words, used rings.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/fake_nic.h"

static struct fake_nic fake;
static struct nic nic;
static uint8_t *arena;
static const uint8_t *input;
static size_t input_len;

static uint32_t take(unsigned size)
{
	uint32_t v = 0;
	size_t n = MIN((size_t)size, input_len);

	memcpy(&v, input, n);
	input += n;
	input_len -= n;
	return v;
}

static uint32_t wild_read(void *ctx, unsigned bar, uint32_t offset, unsigned size)
{
	return take(size);
}

static void wild_write(void *ctx, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
}

static uint32_t wild_config(void *ctx, unsigned offset, unsigned size)
{
	return offset < 4 ? fake.config[0] | (uint32_t)fake.config[1] << 8 |
				    (uint32_t)fake.config[2] << 16 | (uint32_t)fake.config[3] << 24
			  : take(size);
}

static void scribble(void)
{
	unsigned slot = take(1);
	uint8_t *at;

	if (fake.virtio) {
		at = (uint8_t *)(uintptr_t)(slot & 1 ? nic.virtio.rx.used : nic.virtio.tx.used);
		at += slot & 2 ? take(1) % 4 : 4 + take(2) % (8u * fake.q[0].size);
		*at = (uint8_t)take(1);
		return;
	}
	/* Bytes 8 to 15: length, status, errors; of a sent frame only the status at 12 matters. */
	at = (uint8_t *)(slot & 1 ? (void *)nic.e1000.rx_ring : (void *)nic.e1000.tx_ring);
	at[slot / 2 * 16 + 8 + take(1) % 8] = (uint8_t)take(1);
}

/* A guest's frame: its own allocation, so that the sanitizer sees a byte too many. */
static void send_any(size_t len)
{
	uint8_t *frame = calloc(1, len ? len : 1);
	uint64_t frames = nic.stats.tx_frames, unfit = nic.stats.tx_unfit;
	bool fits = len >= NIC_ETH && len <= NIC_ETH_VLAN + NIC_MTU;

	if (nic_send(&nic, frame, len) &&
	    (nic.stats.tx_frames != frames + fits || nic.stats.tx_unfit != unfit + !fits))
		abort();
	free(frame);
}

static void act(struct nic_frame *kept, unsigned *count)
{
	struct nic_frame f;
	uint8_t *b;

	switch (take(1) % 7) {
	case 0:
		scribble();
		break;
	case 1:
		if (*count < 32 && nic_rx(&nic, &f)) {
			if (f.len < NIC_ETH || f.len > nic.buffer_size)
				abort();
			f.data[0] ^= f.data[f.len - 1]; /* both ends must be ours */
			kept[(*count)++] = f;
		}
		break;
	case 2:
		if (*count > 0)
			nic_rx_done(&nic, kept[--*count].buffer);
		break;
	case 3:
		b = nic_tx_buffer(&nic);
		if (b) {
			memset(b, 1, NIC_ETH + nic.mtu);
			nic_tx_send(&nic, NIC_ETH + nic.mtu);
		}
		break;
	case 6:
		send_any(take(2) % (2 * NIC_BUFFER));
		break;
	case 4:
		nic_link(&nic);
		nic_events(&nic);
		break;
	case 5:
		nic_irq(&nic, take(1) & 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t devices[] = {0x100e, 0x10d3, 0x156f};
	struct nic_frame kept[32];
	unsigned count = 0, which;
	struct why why;

	if (size < 1)
		return 0;
	if (arena == NULL)
		arena = aligned_alloc(PAGE_SIZE, NIC_MEMORY(NIC_MTU));
	input = data + 1;
	input_len = size - 1;
	which = data[0] & 7;
	if (which < ARRAY_LEN(devices))
		fake_e1000(&fake, devices[which], arena, NIC_MEMORY(NIC_MTU));
	else
		fake_virtio(&fake, which & 1, which & 4 ? 256 : 8, arena, NIC_MEMORY(NIC_MTU));
	if (nic_probe(&nic, &fake.hw, &why) != 0)
		abort();
	/* Nothing is sent by itself: the scribbled descriptors are not for the fake to obey. */
	fake.hold_tx = true;
	if (data[0] & 0x80) {
		fake.hw.read = wild_read;
		fake.hw.write = wild_write;
		fake.hw.config_read = wild_config;
	}
	if (nic_start(&nic, arena, NIC_MEMORY(NIC_MTU), NIC_MTU, &why) != 0)
		return 0;
	while (input_len > 0)
		act(kept, &count);
	return 0;
}
