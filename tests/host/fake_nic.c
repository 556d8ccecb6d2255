#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/fake_nic.h"

#define R(f, reg) ((f)->regs[(reg) / 4])

struct rx_desc {
	uint64_t address;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t special;
};
struct tx_desc {
	uint64_t address;
	uint16_t length;
	uint8_t cso, command, status, css;
	uint16_t special;
};
struct v_desc {
	uint64_t address;
	uint32_t len;
	uint16_t flags, next;
};

static void die(const char *what)
{
	fprintf(stderr, "fake nic: %s\n", what);
	abort();
}

static void *at(struct fake_nic *f, uint64_t bus, size_t len)
{
	if (bus < FAKE_BUS || bus - FAKE_BUS > f->arena_size ||
	    len > f->arena_size - (bus - FAKE_BUS))
		die("DMA outside the arena");
	return f->arena + (bus - FAKE_BUS);
}

static uint64_t bus(void *ctx, const void *virt)
{
	struct fake_nic *f = ctx;

	if ((const uint8_t *)virt < f->arena || (const uint8_t *)virt >= f->arena + f->arena_size)
		die("bus address of something outside the arena");
	return FAKE_BUS + (uint64_t)((const uint8_t *)virt - f->arena);
}

static void delay_us(void *ctx, unsigned us)
{
}

static uint32_t config_read(void *ctx, unsigned offset, unsigned size)
{
	struct fake_nic *f = ctx;
	uint32_t v = 0;

	if (offset + size > sizeof(f->config))
		die("configuration read beyond 256 bytes");
	memcpy(&v, f->config + offset, size);
	return v;
}

static void config_write(void *ctx, unsigned offset, unsigned size, uint32_t value)
{
	struct fake_nic *f = ctx;

	if (offset + size > sizeof(f->config))
		die("configuration write beyond 256 bytes");
	memcpy(f->config + offset, &value, size);
}

/* --- e1000 --- */

static void e1000_send(struct fake_nic *f)
{
	uint64_t ring = R(f, 0x3800) | (uint64_t)R(f, 0x3804) << 32;
	uint32_t count = R(f, 0x3808) / 16;

	if (!(R(f, 0x400) & 2))
		return;
	while (R(f, 0x3810) != R(f, 0x3818)) {
		struct tx_desc *d = at(f, ring + R(f, 0x3810) * 16, 16);

		if ((d->command & 0x0b) != 0x0b)
			die("transmit descriptor without EOP, IFCS and RS");
		f->sent_len = d->length;
		memcpy(f->sent_frame, at(f, d->address, d->length), d->length);
		f->sent++;
		if (f->on_sent)
			f->on_sent(f->sent_frame, f->sent_len);
		d->status |= 1;
		R(f, 0x3810) = (R(f, 0x3810) + 1) % count;
		R(f, 0xc0) |= 1;
	}
}

static uint32_t e1000_read(struct fake_nic *f, uint32_t reg)
{
	uint32_t v = R(f, reg);

	if (reg == 0x8)
		return f->link ? 0x82 : 0x80;
	if (reg == 0xc0)
		R(f, reg) = 0;
	return v;
}

static void e1000_write(struct fake_nic *f, uint32_t reg, uint32_t value)
{
	uint32_t ral = R(f, 0x5400), rah = R(f, 0x5404);

	switch (reg) {
	case 0x0:
		if (value & 1u << 26) {
			memset(f->regs, 0, sizeof(f->regs));
			R(f, 0x5400) = ral;
			R(f, 0x5404) = rah;
			value &= f->stuck ? ~0u : ~(1u << 26);
		}
		R(f, 0x0) = value;
		break;
	case 0x14: {
		unsigned word = value >> f->eerd_shift & 0xff;

		if (word < 3)
			R(f, reg) = (uint32_t)f->eeprom[word] << 16 | 1u << f->eerd_done_bit;
		break;
	}
	case 0xd0:
		R(f, reg) |= value;
		break;
	case 0xd8:
		R(f, 0xd0) &= ~value;
		break;
	case 0x3818:
		R(f, reg) = value;
		if (!f->hold_tx)
			e1000_send(f);
		break;
	default:
		R(f, reg) = value;
	}
}

bool fake_rx_raw(struct fake_nic *f, const void *frame, uint16_t len, uint8_t status,
		 uint8_t errors)
{
	uint64_t ring = R(f, 0x2800) | (uint64_t)R(f, 0x2804) << 32;
	uint32_t count = R(f, 0x2808) / 16;
	struct rx_desc *d;

	if (!(R(f, 0x100) & 2) || R(f, 0x2810) == R(f, 0x2818)) {
		f->missed++;
		return false;
	}
	d = at(f, ring + R(f, 0x2810) * 16, 16);
	memcpy(at(f, d->address, len), frame, len);
	d->length = len;
	d->errors = errors;
	__atomic_store_n(&d->status, status, __ATOMIC_RELEASE);
	R(f, 0x2810) = (R(f, 0x2810) + 1) % count;
	R(f, 0xc0) |= 0x80;
	return true;
}

/* --- virtio --- */

static void virtio_send(struct fake_nic *f)
{
	uint16_t *avail = at(f, f->q[1].avail, 4u + 2u * f->q[1].size);
	unsigned hdr = f->modern ? 12 : 10;

	while (f->q[1].seen != avail[1]) {
		uint16_t head = avail[2 + f->q[1].seen++ % f->q[1].size];
		struct v_desc *d = at(f, f->q[1].desc + head * 16u, 16), *data;

		if (head >= f->q[1].size || !(d->flags & 1) || d->len != hdr || d->flags & 2)
			die("transmit chain does not begin with a header to read");
		data = at(f, f->q[1].desc + d->next * 16u, 16);
		if (data->flags != 0)
			die("transmit chain does not end with data to read");
		f->sent_len = (uint16_t)data->len;
		memcpy(f->sent_frame, at(f, data->address, data->len), data->len);
		f->sent++;
		if (f->on_sent)
			f->on_sent(f->sent_frame, f->sent_len);
		fake_virtio_used(f, 1, head, 0);
	}
}

void fake_virtio_used(struct fake_nic *f, unsigned queue, uint32_t id, uint32_t len)
{
	uint16_t *index = at(f, f->q[queue].used_at, 4u + 8u * f->q[queue].size);
	uint32_t *elem = (uint32_t *)(index + 2) + 2 * (f->q[queue].used % f->q[queue].size);

	elem[0] = id;
	elem[1] = len;
	f->q[queue].used++;
	index[1] = f->q[queue].used;
	f->isr |= 1;
}

static bool virtio_receive(struct fake_nic *f, const uint8_t *frame, uint16_t len)
{
	uint16_t *avail = at(f, f->q[0].avail, 4u + 2u * f->q[0].size), head;
	unsigned hdr = f->modern ? 12 : 10;
	struct v_desc *d, *data;

	if (!(f->status & 4) || f->q[0].seen == avail[1]) {
		f->missed++;
		return false;
	}
	head = avail[2 + f->q[0].seen++ % f->q[0].size];
	d = at(f, f->q[0].desc + head * 16u, 16);
	data = at(f, f->q[0].desc + d->next * 16u, 16);
	if (d->flags != 3 || data->flags != 2 || d->len != hdr || data->len < len)
		die("receive chain is not a header and enough room to write");
	memset(at(f, d->address, hdr), 0xee, hdr);
	memcpy(at(f, data->address, len), frame, len);
	fake_virtio_used(f, 0, head, hdr + len);
	return true;
}

static uint32_t virtio_common_read(struct fake_nic *f, uint32_t offset)
{
	switch (offset) {
	case 4:
		return (uint32_t)(f->features >> (32 * (f->feature_select & 1)));
	case 20:
		return f->status;
	case 24:
		return f->q[f->select & 1].size;
	case 30:
		return f->select;
	default:
		return 0;
	}
}

static void half(uint64_t *v, bool high, uint32_t value)
{
	*v = high ? (*v & 0xffffffff) | (uint64_t)value << 32 : (*v & ~0xffffffffull) | value;
}

static void status_write(struct fake_nic *f, uint32_t value)
{
	f->status = (uint8_t)value;
	if (value == 0)
		memset(&f->q[0].seen, 0, 2),
			f->q[0].seen = f->q[1].seen = f->q[0].used = f->q[1].used = 0;
	/* 3.1.1: a modern device insists on VERSION_1. */
	if (f->modern && (value & 8) && !(f->accepted >> 32 & 1))
		f->status &= (uint8_t)~8u;
}

static void virtio_common_write(struct fake_nic *f, uint32_t offset, uint32_t value)
{
	unsigned q = f->select & 1;

	switch (offset) {
	case 0:
		f->feature_select = value;
		break;
	case 8:
		f->feature_select = value;
		break;
	case 12:
		half(&f->accepted, f->feature_select & 1, value);
		if (f->accepted & ~f->features)
			die("a feature was accepted that was not offered");
		break;
	case 20:
		status_write(f, value);
		break;
	case 22:
		f->select = (uint16_t)value;
		break;
	case 28:
		f->q[q].on = value;
		break;
	case 32:
	case 36:
		half(&f->q[q].desc, offset & 4, value);
		break;
	case 40:
	case 44:
		half(&f->q[q].avail, offset & 4, value);
		break;
	case 48:
	case 52:
		half(&f->q[q].used_at, offset & 4, value);
		break;
	default:
		break;
	}
}

static uint32_t virtio_read(struct fake_nic *f, unsigned bar, uint32_t offset, unsigned size)
{
	uint32_t v = 0;

	if (f->modern) {
		if (bar == 4 && offset < 0x100)
			return virtio_common_read(f, offset);
		if (bar == 4 && offset == 0x100) {
			v = f->isr;
			f->isr = 0;
			return v;
		}
		offset -= 0x200;
	} else {
		switch (offset) {
		case 0:
			return (uint32_t)f->features;
		case 12:
			return f->q[f->select & 1].size;
		case 18:
			return f->status;
		case 19:
			v = f->isr;
			f->isr = 0;
			return v;
		default:
			offset -= 20;
		}
	}
	if (offset + size > sizeof(f->vconfig))
		return 0;
	f->vconfig[6] = f->link;
	memcpy(&v, f->vconfig + offset, size);
	return v;
}

static void virtio_write(struct fake_nic *f, unsigned bar, uint32_t offset, uint32_t value)
{
	unsigned q = f->select & 1;

	if (f->modern) {
		if (bar == 4 && offset < 0x100)
			virtio_common_write(f, offset, value);
		else if (bar == 4 && offset == 0x300 + 4 && value == 1 && !f->hold_tx)
			virtio_send(f);
		return;
	}
	if (offset == 4) {
		f->accepted = value;
	} else if (offset == 8) {
		/* 2.6.2: the legacy layout. */
		uint64_t base = (uint64_t)value << 12, n = f->q[q].size;

		f->q[q].desc = base;
		f->q[q].avail = base + 16 * n;
		f->q[q].used_at = (base + 16 * n + 2 * (3 + n) + 4095) & ~4095ull;
	} else if (offset == 14) {
		f->select = (uint16_t)value;
	} else if (offset == 16 && value == 1 && !f->hold_tx) {
		virtio_send(f);
	} else if (offset == 18) {
		status_write(f, value);
	}
}

/* --- Both --- */

static uint32_t reg_read(void *ctx, unsigned bar, uint32_t offset, unsigned size)
{
	struct fake_nic *f = ctx;

	if (f->virtio)
		return virtio_read(f, bar, offset, size);
	if (bar != 0 || size != 4 || offset >= sizeof(f->regs))
		die("no such register");
	return e1000_read(f, offset);
}

static void reg_write(void *ctx, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
	struct fake_nic *f = ctx;

	if (f->virtio) {
		virtio_write(f, bar, offset, value);
		return;
	}
	if (bar != 0 || size != 4 || offset >= sizeof(f->regs))
		die("no such register");
	e1000_write(f, offset, value);
}

bool fake_rx(struct fake_nic *f, const void *frame, uint16_t len)
{
	return f->virtio ? virtio_receive(f, frame, len) : fake_rx_raw(f, frame, len, 3, 0);
}

void fake_tx(struct fake_nic *f)
{
	f->hold_tx = false;
	if (f->virtio)
		virtio_send(f);
	else
		e1000_send(f);
}

static void common(struct fake_nic *f, uint32_t id, void *arena, size_t size)
{
	memset(f, 0, sizeof(*f));
	f->hw = (struct nic_hw){f, config_read, config_write, reg_read, reg_write, bus, delay_us};
	f->arena = arena;
	f->arena_size = size;
	f->link = true;
	memcpy(f->config, &id, 4);
	f->config[6] = 0x10; /* capabilities */
	f->config[0x34] = 0x50;
	f->config[0x50] = 0x05; /* MSI, 64 bits */
	f->config[0x52] = 0x80;
}

void fake_e1000(struct fake_nic *f, uint16_t device, void *arena, size_t size)
{
	common(f, 0x8086u | (uint32_t)device << 16, arena, size);
	f->eerd_shift = device == 0x10d3 ? 2 : 8;
	f->eerd_done_bit = device == 0x10d3 ? 1 : 4;
	f->eeprom[0] = 0x5452, f->eeprom[1] = 0x1200, f->eeprom[2] = 0x5634;
	R(f, 0x5400) = 0x12005452;
	R(f, 0x5404) = 0x80005634;
}

void fake_virtio(struct fake_nic *f, bool modern, uint16_t queue_size, void *arena, size_t size)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
	static const struct {
		uint8_t type;
		uint32_t offset;
	} caps[] = {{1, 0}, {3, 0x100}, {4, 0x200}, {2, 0x300}};

	common(f, modern ? 0x10411af4 : 0x10001af4, arena, size);
	f->virtio = true;
	f->modern = modern;
	f->features = 1ull << 5 | 1ull << 16 | 1ull << 15 | (modern ? 1ull << 32 : 0);
	f->q[0].size = f->q[1].size = queue_size;
	memcpy(f->vconfig, mac, 6);
	for (unsigned i = 0; modern && i < 4; i++) {
		uint8_t *c = f->config + 0x60 + i * 0x14;

		c[0] = 0x09;
		c[1] = i == 3 ? 0 : (uint8_t)(0x60 + (i + 1) * 0x14);
		c[3] = caps[i].type;
		c[4] = 4;
		memcpy(c + 8, &caps[i].offset, 4);
		c[16] = 4; /* notify multiplier */
	}
	f->config[0x51] = modern ? 0x60 : 0;
}
