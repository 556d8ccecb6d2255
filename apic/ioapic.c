#include "apic/ioapic.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"

/* Registers behind the index. 82093AA datasheet, table 2 */
#define INDEX_ID      0x00
#define INDEX_VERSION 0x01
#define INDEX_ARB     0x02
#define INDEX_REDIR   0x10

#define VERSION_WITH_EOI 0x20u

/* Redirection entry. 82093AA datasheet, 3.2.4 */
#define REDIR_LOGICAL   BIT(11)
#define REDIR_REMOTE    BIT(14)
#define REDIR_LEVEL     BIT(15)
#define REDIR_MASKED    BIT(16)
#define REDIR_WRITE_LOW 0x1afffu
#define REDIR_DEST_HIGH 0xff000000u

static enum apic_delivery delivery(uint64_t redir)
{
	return (enum apic_delivery)bits_get(redir, 10, 8);
}

static bool is_level(uint64_t redir)
{
	return redir & REDIR_LEVEL &&
	       (delivery(redir) == APIC_FIXED || delivery(redir) == APIC_LOWEST);
}

void ioapic_init(struct ioapic *io, uint8_t id)
{
	*io = (struct ioapic){.id = id & 0xf};
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		io->redir[pin] = REDIR_MASKED;
}

static void send(const struct ioapic *io, unsigned pin, struct ioapic_out *out)
{
	uint64_t redir = io->redir[pin];

	out->msg[out->count++] = (struct apic_msg){
		.kind = delivery(redir),
		.dest = apic_dest_from8((uint8_t)(redir >> 56)),
		.vector = (uint8_t)redir,
		.logical = redir & REDIR_LOGICAL,
		.level_trigger = is_level(redir),
		.assert = true,
	};
}

/* The one condition under which a level pin sends. */
static void send_level(struct ioapic *io, unsigned pin, struct ioapic_out *out)
{
	uint64_t redir = io->redir[pin];

	if (!is_level(redir) || redir & (REDIR_MASKED | REDIR_REMOTE) || !(io->line >> pin & 1))
		return;
	send(io, pin, out);
	io->redir[pin] |= REDIR_REMOTE;
}

void ioapic_line(struct ioapic *io, unsigned pin, bool asserted, struct ioapic_out *out)
{
	uint32_t bit = 1u << pin;
	bool rises = asserted && !(io->line & bit);

	ASSERT(pin < IOAPIC_PINS);
	out->count = 0;
	io->line = asserted ? io->line | bit : io->line & ~bit;
	if (is_level(io->redir[pin]))
		send_level(io, pin, out);
	else if (rises && !(io->redir[pin] & REDIR_MASKED))
		send(io, pin, out);
}

void ioapic_eoi(struct ioapic *io, uint8_t vector, struct ioapic_out *out)
{
	out->count = 0;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t redir = io->redir[pin];

		if (!(redir & REDIR_REMOTE) || (uint8_t)redir != vector)
			continue;
		io->redir[pin] &= ~REDIR_REMOTE;
		send_level(io, pin, out);
	}
}

static uint32_t read_indexed(const struct ioapic *io)
{
	unsigned pin = (io->index - INDEX_REDIR) / 2u;

	if (io->index == INDEX_ID || io->index == INDEX_ARB)
		return (uint32_t)io->id << 24;
	if (io->index == INDEX_VERSION)
		return VERSION_WITH_EOI | (IOAPIC_PINS - 1) << 16;
	if (io->index < INDEX_REDIR || pin >= IOAPIC_PINS)
		return 0;
	return (uint32_t)(io->redir[pin] >> (io->index & 1 ? 32 : 0));
}

static void write_redir(struct ioapic *io, unsigned pin, bool high, uint32_t value,
			struct ioapic_out *out)
{
	uint64_t redir = io->redir[pin];

	if (high)
		redir = (uint32_t)redir | (uint64_t)(value & REDIR_DEST_HIGH) << 32;
	else
		redir = (redir & ~(uint64_t)REDIR_WRITE_LOW) | (value & REDIR_WRITE_LOW);
	if (!is_level(redir))
		redir &= ~REDIR_REMOTE;
	io->redir[pin] = redir;
	send_level(io, pin, out);
}

static void write_indexed(struct ioapic *io, uint32_t value, struct ioapic_out *out)
{
	unsigned pin = (io->index - INDEX_REDIR) / 2u;

	if (io->index == INDEX_ID)
		io->id = value >> 24 & 0xf;
	else if (io->index >= INDEX_REDIR && pin < IOAPIC_PINS)
		write_redir(io, pin, io->index & 1, value, out);
}

uint32_t ioapic_read(const struct ioapic *io, uint32_t offset)
{
	switch (offset) {
	case IOAPIC_INDEX:
		return io->index;
	case IOAPIC_DATA:
		return read_indexed(io);
	default:
		return 0;
	}
}

void ioapic_write(struct ioapic *io, uint32_t offset, uint32_t value, struct ioapic_out *out)
{
	out->count = 0;
	switch (offset) {
	case IOAPIC_INDEX:
		io->index = (uint8_t)value;
		break;
	case IOAPIC_DATA:
		write_indexed(io, value, out);
		break;
	case IOAPIC_EOI:
		ioapic_eoi(io, (uint8_t)value, out);
		break;
	default:
		break;
	}
}
