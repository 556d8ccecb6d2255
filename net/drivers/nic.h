/*
 * Network cards. One struct nic per card; its driver is behind struct nic_ops and reaches the card only
 * through struct nic_hw, so that a fake card can stand in its place. One CPU owns a nic; nothing here
 * waits except nic_start(), which waits for the card's reset.
 *
 *     frame = nic_tx_buffer(nic); ... nic_tx_send(nic, len); ... nic_tx_kick(nic);
 *     while (nic_rx(nic, &frame)) { use frame.data; nic_rx_done(nic, frame.buffer); }
 *
 * A received buffer may be kept as long as wanted and given back in any order; the card gets spare
 * ones meanwhile. Frames are Ethernet without FCS.
 */
#ifndef NET_DRIVERS_NIC_H
#define NET_DRIVERS_NIC_H

#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/err.h"

#define NIC_MAC          6
#define NIC_MTU          1500
#define NIC_MTU_JUMBO    4400 /* a page and what is told about it, in one frame */
#define NIC_ETH          14
#define NIC_ETH_VLAN     18  /* with an 802.1Q tag, which does not count for the MTU */
#define NIC_RX_BUFFERS   192 /* the largest ring and spares for buffers that are kept */
#define NIC_RING_MAX     128
#define NIC_BUFFER       2048
#define NIC_BUFFER_JUMBO 8192

/* Bytes of DMA memory nic_start() needs, page aligned and contiguous on the bus. */
#define NIC_MEMORY(mtu)                                                      \
	((NIC_RX_BUFFERS + NIC_RING_MAX) *                                   \
		 (size_t)((mtu) > NIC_MTU ? NIC_BUFFER_JUMBO : NIC_BUFFER) + \
	 16 * PAGE_SIZE)

/* The card as its driver reaches it. `size` is 1, 2 or 4 bytes. */
struct nic_hw {
	void *ctx;
	uint32_t (*config_read)(void *ctx, unsigned offset, unsigned size);
	void (*config_write)(void *ctx, unsigned offset, unsigned size, uint32_t value);
	/* Registers behind a base address register, memory or I/O as the BAR says. */
	uint32_t (*read)(void *ctx, unsigned bar, uint32_t offset, unsigned size);
	void (*write)(void *ctx, unsigned bar, uint32_t offset, unsigned size, uint32_t value);
	/* The address by which the card reaches `virt`, which lies in the memory given to nic_start(). */
	uint64_t (*bus)(void *ctx, const void *virt);
	void (*delay_us)(void *ctx, unsigned us);
};

struct nic_stats {
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
	uint64_t tx_full;         /* no buffer was free */
	uint64_t tx_unfit;        /* shorter or longer than any card sends: dropped */
	uint64_t rx_errors;       /* damaged, cut or longer than a buffer: dropped */
	uint64_t rx_starved;      /* a ring slot stayed empty because all buffers were kept */
	uint64_t bad_descriptors; /* what the card wrote can't be */
	uint64_t link_changes;
};

struct nic;

struct nic_frame {
	uint8_t *data;
	uint16_t len;
	uint16_t buffer; /* for nic_rx_done */
};

/* What nic_events() found. */
#define NIC_EVENT_RX   1
#define NIC_EVENT_LINK 2
#define NIC_EVENT_TX   4

struct nic_ops {
	const char *name;
	/* Resets and starts the card: MAC, rings, filters for broadcast and multicast, link. */
	int (*start)(struct nic *nic, struct why *why);
	/* Ends all DMA. */
	void (*stop)(struct nic *nic);
	uint8_t *(*tx_buffer)(struct nic *nic);
	void (*tx_send)(struct nic *nic, uint16_t len);
	void (*tx_kick)(struct nic *nic);
	bool (*rx)(struct nic *nic, struct nic_frame *frame);
	/* A buffer came back: empty ring slots may be filled again. */
	void (*rx_refill)(struct nic *nic);
	/* Reads the link into nic->link and nic->mbit. */
	void (*link)(struct nic *nic);
	/* Takes frames for this address, too. NULL: it takes those for any. */
	void (*add_mac)(struct nic *nic, const uint8_t mac[NIC_MAC]);
	/* Interrupts on or off. */
	void (*irq)(struct nic *nic, bool on);
	/* Reads and clears the reason of an interrupt; NIC_EVENT_*. */
	unsigned (*events)(struct nic *nic);
};

/* A kind of card: PCI ids, driver, and how it differs from its siblings. */
struct nic_id {
	uint16_t vendor, device;
	uint16_t flags; /* the driver's own */
	const struct nic_ops *ops;
	const char *name;
};

struct e1000 {
	struct e1000_rx *rx_ring;
	struct e1000_tx *tx_ring;
	uint16_t rx_slot[NIC_RING_MAX]; /* buffer in each slot */
	unsigned rx_next;               /* slot the card fills next */
	unsigned rx_tail;               /* slot behind the last one given to the card */
	unsigned tx_next, tx_done;
	bool rx_skip; /* inside a frame longer than a buffer */
};

struct vring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	const struct vring_used *used;
	uint16_t size, pairs; /* descriptors; header and data pairs in use */
	uint16_t used_seen, avail_next;
	uint32_t notify;               /* where to write when something is available */
	bool posted[NIC_RING_MAX];     /* the card has this pair */
	uint16_t buffer[NIC_RING_MAX]; /* which buffer it holds */
	uint16_t free[NIC_RING_MAX];
	uint16_t free_count;
};

struct virtio_nic {
	bool modern;
	uint8_t hdr_len;
	uint8_t common_bar, isr_bar, device_bar;
	uint32_t common, isr, device, notify, notify_mult;
	uint8_t notify_bar;
	struct vring rx, tx;
	uint16_t tx_pair; /* taken by tx_buffer; NIC_RING_MAX: none */
};

struct nic {
	const struct nic_id *id;
	const struct nic_hw *hw;
	uint8_t mac[NIC_MAC];
	uint16_t mtu;
	uint16_t buffer_size;
	bool started, link;
	unsigned mbit;
	struct nic_stats stats;
	uint8_t *mem;
	size_t mem_left;
	uint8_t *rx_buffers, *tx_buffers;
	uint16_t rx_free[NIC_RX_BUFFERS];
	bool rx_held[NIC_RX_BUFFERS]; /* out of the pool */
	unsigned rx_free_count;
	union {
		struct e1000 e1000;
		struct virtio_nic virtio;
	};
};

/*
 * Finds the driver for the card behind `hw`. ERR_UNSUPPORTED with a sentence that has its PCI id and
 * the cards that are known.
 */
int nic_probe(struct nic *nic, const struct nic_hw *hw, struct why *why) MUST_CHECK;

/*
 * Starts it with `mtu` 1500 up to NIC_MTU_JUMBO; one that can't do jumbo frames lowers nic->mtu.
 * `mem` of NIC_MEMORY(mtu) bytes belongs to the nic until nic_stop().
 */
int nic_start(struct nic *nic, void *mem, size_t size, uint16_t mtu, struct why *why) MUST_CHECK;
void nic_stop(struct nic *nic);

/* A frame of so many bytes can be sent: a header at least, and a tagged frame of the full MTU at most. */
static inline bool nic_fits(const struct nic *nic, size_t len)
{
	return len >= NIC_ETH && len <= (size_t)NIC_ETH_VLAN + nic->mtu;
}

/* Room for one frame that nic_fits, NULL when the ring is full; asking twice gives the same. */
uint8_t *nic_tx_buffer(struct nic *nic);
/* The frame in that buffer; its length is ours: nic_fits says yes. */
void nic_tx_send(struct nic *nic, size_t len);
/* Tells the card about all frames sent since the last kick. */
void nic_tx_kick(struct nic *nic);
/*
 * All of that for a frame from elsewhere, whatever its length: it is copied. False: the ring is full. A
 * frame that does not fit is dropped and counted, and true.
 */
bool nic_send(struct nic *nic, const void *frame, size_t len) MUST_CHECK;

bool nic_rx(struct nic *nic, struct nic_frame *frame);
void nic_rx_done(struct nic *nic, unsigned buffer);

/* Looks at the link again; true when it changed. */
bool nic_link(struct nic *nic);
void nic_irq(struct nic *nic, bool on);
/* From now on frames for `mac` come in, too; one such address beside the card's own. */
void nic_add_mac(struct nic *nic, const uint8_t mac[NIC_MAC]);
unsigned nic_events(struct nic *nic);

/*
 * Routes the card's interrupt by message (PCI 3.0, 6.8) to `address` with `data`. ERR_UNSUPPORTED when
 * the card has no MSI capability: its legacy line or polling remains.
 */
int nic_msi(struct nic *nic, uint64_t address, uint16_t data) MUST_CHECK;

/* For drivers. */
void *nic_mem(struct nic *nic, size_t size, size_t align); /* the sizes add up by design */
int nic_buffer_get(struct nic *nic);                       /* a free receive buffer; -1: none */
void nic_buffer_put(struct nic *nic, unsigned buffer);
static inline uint8_t *nic_rx_at(struct nic *nic, unsigned buffer)
{
	return nic->rx_buffers + (size_t)buffer * nic->buffer_size;
}
static inline uint8_t *nic_tx_at(struct nic *nic, unsigned slot)
{
	return nic->tx_buffers + (size_t)slot * nic->buffer_size;
}
/* Offset of a PCI capability after `from` (0: the first); 0: none. PCI 3.0, 6.7 */
unsigned nic_cap(const struct nic *nic, uint8_t id, unsigned from);

extern const struct nic_ops e1000_ops, virtio_nic_ops;

#define E1000_OLD_EERD 1 /* 8254x: EERD has its done bit at 4 and the address at 8 */
#define E1000_NO_RESET 2 /* a reset can hang the card: reprogram it as the firmware left it */
#define E1000_NO_JUMBO 4
#define E1000_NO_EERD  8 /* the MAC is only in the receive address registers */

#endif
