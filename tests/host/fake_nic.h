/*
 * Fake network cards for the drivers: an e1000 and a virtio-net (legacy or modern), as far as a driver
 * can see them. The bus address of the arena is not its virtual one, so that a forgotten translation
 * shows.
 */
#ifndef TESTS_HOST_FAKE_NIC_H
#define TESTS_HOST_FAKE_NIC_H

#include "net/drivers/nic.h"

#define FAKE_BUS 0x7000000ull

struct fake_nic {
	struct nic_hw hw;
	uint8_t config[256];
	uint8_t *arena;
	size_t arena_size;
	bool virtio, modern;
	/* e1000 */
	uint32_t regs[0x6000 / 4];
	uint16_t eeprom[3];
	bool stuck; /* never comes out of reset */
	unsigned eerd_done_bit, eerd_shift;
	/* virtio */
	uint8_t status, isr, vconfig[8];
	uint16_t select;
	uint32_t feature_select;
	uint64_t features, accepted;
	struct {
		uint16_t size, seen, used;
		uint64_t desc, avail, used_at;
		bool on;
	} q[2];
	bool link;
	/* What the card sent, newest last. */
	unsigned sent;
	uint16_t sent_len;
	uint8_t sent_frame[NIC_BUFFER_JUMBO];
	bool hold_tx;                                        /* sends nothing until false */
	void (*on_sent)(const uint8_t *frame, uint16_t len); /* told of each; may be NULL */
	unsigned missed;
};

/* A card with these ids and `size` bytes of arena, which the caller frees. */
void fake_e1000(struct fake_nic *f, uint16_t device, void *arena, size_t size);
void fake_virtio(struct fake_nic *f, bool modern, uint16_t queue_size, void *arena, size_t size);

/* What arrives from the wire; the e1000 can be told the descriptor's status and errors. */
bool fake_rx(struct fake_nic *f, const void *frame, uint16_t len);
bool fake_rx_raw(struct fake_nic *f, const void *frame, uint16_t len, uint8_t status,
		 uint8_t errors);
/* virtio: says that descriptor `id` is done with `len` bytes written. */
void fake_virtio_used(struct fake_nic *f, unsigned queue, uint32_t id, uint32_t len);
/* Sends what is queued. */
void fake_tx(struct fake_nic *f);

#endif
