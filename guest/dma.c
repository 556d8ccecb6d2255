#include "guest/dma.h"

/* Chip registers from 8 on. Data sheet, figure 6 */
enum {
	REG_STATUS_COMMAND = 8,
	REG_MASK_ONE = 10,
	REG_CLEAR_FLIP_FLOP = 12,
	REG_MASTER_CLEAR = 13,
	REG_CLEAR_MASK = 14,
	REG_MASK_ALL = 15,
};

void dma_init(struct dma *d)
{
	*d = (struct dma){.mask = {0x0f, 0x0f}};
}

/* The second chip sits on even ports. */
static unsigned chip_of(uint16_t port, unsigned *reg)
{
	unsigned chip = port >= 0xc0;

	*reg = chip ? (port - 0xc0u) >> 1 : port & 15u;
	return chip;
}

static bool is_page(uint16_t port)
{
	return port >= 0x80 && port < 0x90;
}

uint8_t dma_read(struct dma *d, uint16_t port)
{
	unsigned reg, chip = chip_of(port, &reg);

	if (is_page(port))
		return d->page[port & 15];
	if (reg < REG_STATUS_COMMAND) {
		d->high[chip] = !d->high[chip];
		return (uint8_t)(d->high[chip] ? d->channel[chip][reg]
					       : d->channel[chip][reg] >> 8);
	}
	return reg == REG_MASK_ALL ? d->mask[chip] | 0xf0 : 0;
}

static void write_channel(struct dma *d, unsigned chip, unsigned reg, uint8_t value)
{
	uint16_t *v = &d->channel[chip][reg];

	*v = (uint16_t)(d->high[chip] ? value << 8 | (*v & 0xff) : (*v & 0xff00) | value);
	d->high[chip] = !d->high[chip];
}

void dma_write(struct dma *d, uint16_t port, uint8_t value)
{
	unsigned reg, chip = chip_of(port, &reg);

	if (is_page(port)) {
		d->page[port & 15] = value;
		return;
	}
	switch (reg) {
	case 0 ... 7:
		write_channel(d, chip, reg, value);
		break;
	case REG_MASK_ONE:
		d->mask[chip] &= (uint8_t) ~(1u << (value & 3));
		d->mask[chip] |= (uint8_t)((value >> 2 & 1) << (value & 3));
		break;
	case REG_MASTER_CLEAR:
		d->mask[chip] = 0x0f;
		d->high[chip] = false;
		break;
	case REG_CLEAR_FLIP_FLOP:
		d->high[chip] = false;
		break;
	case REG_CLEAR_MASK:
		d->mask[chip] = 0;
		break;
	case REG_MASK_ALL:
		d->mask[chip] = value & 0x0f;
		break;
	default: /* command, request, mode: nothing would act on them */
		break;
	}
}
