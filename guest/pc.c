#include "guest/pc.h"
#include "guest/layout.h"
#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/base/types.h"

#define UART_REGS   8
#define PIT_ISA_IRQ 0
#define KBD_IRQ     1
#define AUX_IRQ     12

/*
 * One range of ports. A device with byte registers sees a wider access as one access per byte, as
 * on the ISA bus; a `wide` one sees it whole.
 */
struct port_range {
	uint16_t base, length;
	bool wide;
	uint32_t (*read)(struct pc *pc, uint16_t port, unsigned size, uint64_t now);
	void (*write)(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now);
};

static uint32_t ones(unsigned size)
{
	return (uint32_t)BITS(8 * size - 1, 0);
}

/* Names a port that nobody answers, once. */
static void note_unknown(struct pc *pc, uint16_t port, unsigned size, bool write)
{
	if (!log_enabled(LOG_DEV, LOG_DEBUG) || bitmap_test(pc->ports_logged, port))
		return;
	bitmap_set(pc->ports_logged, port);
	log_debug(LOG_DEV, "no device at port %#x (first %s: %u bytes)", port,
		  write ? "write" : "read", size);
}

static uint32_t read_unclaimed(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	uint32_t offset;
	unsigned bar;
	struct pci_device *dev = pci_decode(&pc->pci, true, port, size, &bar, &offset);

	if (dev && dev->ops && dev->ops->bar_read)
		return (uint32_t)dev->ops->bar_read(dev, bar, offset, size, now) & ones(size);
	pc->unknown_reads++;
	note_unknown(pc, port, size, false);
	return ones(size);
}

static void write_unclaimed(struct pc *pc, uint16_t port, unsigned size, uint32_t value,
			    uint64_t now)
{
	uint32_t offset;
	unsigned bar;
	struct pci_device *dev = pci_decode(&pc->pci, true, port, size, &bar, &offset);

	if (dev && dev->ops && dev->ops->bar_write) {
		dev->ops->bar_write(dev, bar, offset, size, value & ones(size), now);
		return;
	}
	pc->unknown_writes++;
	note_unknown(pc, port, size, true);
}

static uint32_t read_dma(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	return dma_read(&pc->dma, port);
}

static void write_dma(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	dma_write(&pc->dma, port, (uint8_t)value);
}

static uint32_t read_pic(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	return pic_read(&pc->pic, port);
}

static void write_pic(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	pic_write(&pc->pic, port, (uint8_t)value);
}

static uint32_t read_pit(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	return pit_read(&pc->pit, port, now);
}

static void write_pit(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	pit_write(&pc->pit, port, (uint8_t)value, now);
}

static uint32_t read_kbd(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	return kbd_read(&pc->kbd, port);
}

static void write_kbd(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	kbd_write(&pc->kbd, port, (uint8_t)value);
}

static uint32_t read_rtc(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	return rtc_read(&pc->rtc, port, now);
}

static void write_rtc(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	rtc_write(&pc->rtc, port, (uint8_t)value, now);
}

static void write_debug_exit(struct pc *pc, uint16_t port, unsigned size, uint32_t value,
			     uint64_t now)
{
	if (pc->config.debug_exit)
		pc->ops->power(pc->ctx, PC_POWER_DEBUG_EXIT, (uint8_t)value);
	else
		write_unclaimed(pc, port, size, value, now);
}

static uint32_t read_uart(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	return uart_read(&pc->com1, port - LAYOUT_UART_PORT, now);
}

static void write_uart(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	struct uart_tx tx = uart_write(&pc->com1, port - LAYOUT_UART_PORT, (uint8_t)value, now);

	if (tx.valid)
		pc->ops->console_tx(pc->ctx, tx.byte);
}

static uint32_t read_pm(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	return pm_read(&pc->pm, port - LAYOUT_PM_PORT, size, now);
}

static void write_pm(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	pm_write(&pc->pm, port - LAYOUT_PM_PORT, size, value, now);
}

/* The reset register lies among the PCI address register's bytes; only dwords are PCI's. */
static uint32_t read_pci(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	if (port == LAYOUT_RESET_PORT && size == 1)
		return pm_reset_read(&pc->pm);
	return pci_io_read(&pc->pci, port, size);
}

static void write_pci(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	if (port == LAYOUT_RESET_PORT && size == 1)
		pm_reset_write(&pc->pm, (uint8_t)value);
	else
		pci_io_write(&pc->pci, port, size, value);
}

static const struct port_range ranges[] = {
	{0x00, 0x10, false, read_dma, write_dma},
	{0x20, 2, false, read_pic, write_pic},
	{0x40, 4, false, read_pit, write_pit},
	{0x60, 1, false, read_kbd, write_kbd},
	{0x61, 1, false, read_pit, write_pit},
	{0x64, 1, false, read_kbd, write_kbd},
	{0x70, 2, false, read_rtc, write_rtc},
	{0x80, 0x10, false, read_dma, write_dma},
	{0x92, 1, false, read_kbd, write_kbd},
	{0xa0, 2, false, read_pic, write_pic},
	{0xc0, 0x20, false, read_dma, write_dma},
	{LAYOUT_DEBUG_EXIT, 1, true, NULL, write_debug_exit},
	{LAYOUT_UART_PORT, UART_REGS, false, read_uart, write_uart},
	{0x4d0, 2, false, read_pic, write_pic},
	{LAYOUT_PM_PORT, PM_PORTS, true, read_pm, write_pm},
	{0xcf8, 8, true, read_pci, write_pci},
};

/* The range that has all of [port, port + size), or for byte registers its first byte. */
static const struct port_range *find_range(uint16_t port, unsigned size)
{
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		const struct port_range *r = &ranges[i];

		if (port >= r->base && port < r->base + r->length)
			return !r->wide || port + size <= (unsigned)r->base + r->length ? r : NULL;
	}
	return NULL;
}

/* Which lines the devices hold up, one bit per ISA interrupt. PCI's come in pci_lines. */
static uint32_t isa_lines(const struct pc *pc, uint64_t now)
{
	return (pit_irq(&pc->pit, now) ? BIT(PIT_ISA_IRQ) : 0) |
	       (kbd_irq1(&pc->kbd) ? BIT(KBD_IRQ) : 0) |
	       (uart_irq(&pc->com1) ? BIT(LAYOUT_UART_IRQ) : 0) |
	       (rtc_irq(&pc->rtc) ? BIT(LAYOUT_RTC_IRQ) : 0) |
	       (pm_sci(&pc->pm) ? BIT(LAYOUT_SCI_IRQ) : 0) |
	       (kbd_irq12(&pc->kbd) ? BIT(AUX_IRQ) : 0);
}

static void pci_lines(const struct pc *pc, uint32_t *isa, uint32_t *gsi)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		const struct pci_device *dev = pc->pci.dev[slot];

		if (!dev || !pci_intx(dev))
			continue;
		*isa |= (uint32_t)BIT(layout_pci_irq(slot, 0));
		*gsi |= (uint32_t)BIT(layout_pci_gsi(slot, 0));
	}
}

/* ISA lines reach the IOAPIC one to one, but the timer, which takes the place of the cascade. */
static uint32_t gsi_from_isa(uint32_t isa)
{
	uint32_t timer = isa & BIT(PIT_ISA_IRQ) ? (uint32_t)BIT(LAYOUT_PIT_GSI) : 0;

	return (isa & ~(uint32_t)(BIT(PIT_ISA_IRQ) | BIT(LAYOUT_PIT_GSI))) | timer;
}

static void drive_isa(struct pc *pc, uint32_t level)
{
	uint32_t moved = level ^ pc->isa_level;

	pc->isa_level = level;
	for (; moved; moved &= moved - 1)
		pic_set_line(&pc->pic, bit_lowest(moved), level >> bit_lowest(moved) & 1);
}

static void drive_gsi(struct pc *pc, uint32_t level)
{
	uint32_t moved = level ^ pc->gsi_level;

	pc->gsi_level = level;
	for (; moved; moved &= moved - 1)
		pc->ops->gsi(pc->ctx, bit_lowest(moved), level >> bit_lowest(moved) & 1);
}

static void drive_intr(struct pc *pc)
{
	bool intr = pic_intr(&pc->pic);

	if (intr == pc->intr_level)
		return;
	pc->intr_level = intr;
	pc->ops->intr(pc->ctx, intr);
}

static void sync_lines(struct pc *pc, uint64_t now)
{
	uint32_t isa = isa_lines(pc, now);
	uint32_t gsi = gsi_from_isa(isa);

	pci_lines(pc, &isa, &gsi);
	/* A timer edge within a high level is seen only if the line drops before it. */
	if (pc->pit.edges != pc->pit_edges) {
		pc->pit_edges = pc->pit.edges;
		drive_isa(pc, pc->isa_level & ~(uint32_t)BIT(PIT_ISA_IRQ));
		drive_gsi(pc, pc->gsi_level & ~(uint32_t)BIT(LAYOUT_PIT_GSI));
	}
	drive_isa(pc, isa);
	drive_gsi(pc, gsi);
	drive_intr(pc);
}

static void sync_power(struct pc *pc)
{
	bool off = pc->pm.off_wanted, reset = kbd_take_reset(&pc->kbd) || pc->pm.reset_wanted;

	pc->pm.off_wanted = pc->pm.reset_wanted = false;
	if (off)
		pc->ops->power(pc->ctx, PC_POWER_OFF, 0);
	else if (reset)
		pc->ops->power(pc->ctx, PC_POWER_RESET, 0);
}

static uint64_t earliest_event(const struct pc *pc)
{
	uint64_t next = pit_next_event(&pc->pit);

	if (pci_work(&pc->pci))
		return 0;
	next = MIN(next, rtc_next_event(&pc->rtc));
	next = MIN(next, uart_next_event(&pc->com1));
	return MIN(next, pm_next_event(&pc->pm));
}

/* After anything happened: tell the host's side what changed. */
static void sync(struct pc *pc, uint64_t now)
{
	uint64_t next = earliest_event(pc);

	sync_lines(pc, now);
	sync_power(pc);
	if (next == pc->next_event)
		return;
	pc->next_event = next;
	pc->ops->timer(pc->ctx);
}

static void reset_devices(struct pc *pc, uint64_t now)
{
	pic_init(&pc->pic);
	/* PCI interrupts and the SCI are shared, hence level-triggered. */
	pic_write(&pc->pic, 0x4d1, BIT(LAYOUT_SCI_IRQ - 8) | BIT(10 - 8) | BIT(11 - 8));
	pit_init(&pc->pit, now);
	kbd_init(&pc->kbd);
	pm_init(&pc->pm, now);
	dma_init(&pc->dma);
}

void pc_init(struct pc *pc, const struct pc_config *config, const struct pc_ops *ops, void *ctx,
	     uint64_t now)
{
	memset(pc, 0, sizeof(*pc));
	pc->config = *config;
	pc->ops = ops;
	pc->ctx = ctx;
	pc->next_event = UINT64_MAX;
	reset_devices(pc, now);
	uart_init(&pc->com1);
	rtc_init(&pc->rtc, layout_ram_low(config->ram_bytes), layout_ram_above(config->ram_bytes),
		 config->wall_clock_start, now);
	pci_init(&pc->pci);
	pc->pci.msi = ops->msi;
	pc->pci.msi_ctx = ctx;
	sync(pc, now);
}

void pc_reset(struct pc *pc, uint64_t now)
{
	reset_devices(pc, now);
	uart_reset(&pc->com1);
	rtc_reset(&pc->rtc);
	pci_reset(&pc->pci);
	/* The new PIC has seen no line yet. */
	pc->isa_level = 0;
	pc->pit_edges = 0;
	sync(pc, now);
}

static uint32_t port_read(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	const struct port_range *r = find_range(port, size);
	uint32_t v = 0;

	if (!r || !r->read)
		return read_unclaimed(pc, port, size, now);
	if (r->wide || size == 1)
		return r->read(pc, port, size, now) & ones(size);
	for (unsigned i = 0; i < size; i++)
		v |= port_read(pc, (uint16_t)(port + i), 1, now) << 8 * i;
	return v;
}

static void port_write(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	const struct port_range *r = find_range(port, size);

	if (!r) {
		write_unclaimed(pc, port, size, value, now);
	} else if (r->wide || size == 1) {
		r->write(pc, port, size, value & ones(size), now);
	} else {
		for (unsigned i = 0; i < size; i++)
			port_write(pc, (uint16_t)(port + i), 1, value >> 8 * i, now);
	}
}

uint32_t pc_io_read(struct pc *pc, uint16_t port, unsigned size, uint64_t now)
{
	uint32_t v = port_read(pc, port, size, now);

	pc->io_reads++;
	sync(pc, now);
	return v;
}

void pc_io_write(struct pc *pc, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
	port_write(pc, port, size, value, now);
	pc->io_writes++;
	sync(pc, now);
}

uint64_t pc_mmio_read(struct pc *pc, gpa_t gpa, unsigned size, uint64_t now)
{
	uint32_t offset;
	unsigned bar;
	struct pci_device *dev = pci_decode(&pc->pci, false, gpa, size, &bar, &offset);
	uint64_t v = UINT64_MAX;

	pc->mmio_reads++;
	if (dev && dev->ops && dev->ops->bar_read)
		v = dev->ops->bar_read(dev, bar, offset, size, now);
	else
		pc->unknown_reads++;
	sync(pc, now);
	return v & BITS(8 * size - 1, 0);
}

void pc_mmio_write(struct pc *pc, gpa_t gpa, unsigned size, uint64_t value, uint64_t now)
{
	uint32_t offset;
	unsigned bar;
	struct pci_device *dev = pci_decode(&pc->pci, false, gpa, size, &bar, &offset);

	pc->mmio_writes++;
	if (dev && dev->ops && dev->ops->bar_write)
		dev->ops->bar_write(dev, bar, offset, size, value & BITS(8 * size - 1, 0), now);
	else
		pc->unknown_writes++;
	sync(pc, now);
}

uint64_t pc_next_event(const struct pc *pc)
{
	return pc->next_event;
}

void pc_tick(struct pc *pc, uint64_t now)
{
	pit_tick(&pc->pit, now);
	rtc_tick(&pc->rtc, now);
	uart_tick(&pc->com1, now);
	pm_tick(&pc->pm, now);
	pci_tick(&pc->pci);
	sync(pc, now);
}

uint8_t pc_int_ack(struct pc *pc)
{
	uint8_t vector = pic_ack(&pc->pic);

	drive_intr(pc);
	return vector;
}

size_t pc_console_rx(struct pc *pc, const uint8_t *bytes, size_t count, uint64_t now)
{
	size_t taken = uart_receive(&pc->com1, bytes, count, now);

	sync(pc, now);
	return taken;
}

void pc_power_button(struct pc *pc, uint64_t now)
{
	pm_power_button(&pc->pm);
	sync(pc, now);
}

void pc_pci_sync(struct pc *pc, uint64_t now)
{
	sync(pc, now);
}
