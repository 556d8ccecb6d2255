/* guest/pc with pm, kbd, dma: port dispatch, interrupt wiring, timers, power, the console. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/layout.h"
#include "guest/pc.h"
#include "hv/base/log.h"

#define START 5000000000ull

/* The host's side, as a record of what it was told. */
struct host {
	uint32_t gsi;
	unsigned rises[32];
	bool intr;
	int power;
	uint8_t code;
	char sent[64];
	unsigned sent_count, timers;
};

static struct host host;
static struct pc pc;

static void host_gsi(void *ctx, unsigned gsi, bool level)
{
	struct host *h = ctx;

	assert_true(gsi < LAYOUT_IOAPIC_PINS);
	/* only changes are told */
	assert_int_not_equal(h->gsi >> gsi & 1, level);
	h->gsi ^= 1u << gsi;
	h->rises[gsi] += level;
}

static void host_intr(void *ctx, bool level)
{
	struct host *h = ctx;

	assert_int_not_equal(h->intr, level);
	h->intr = level;
}

static void host_power(void *ctx, enum pc_power what, uint8_t code)
{
	struct host *h = ctx;

	h->power = (int)what;
	h->code = code;
}

static void host_tx(void *ctx, uint8_t byte)
{
	struct host *h = ctx;

	h->sent[h->sent_count++ % sizeof(h->sent)] = (char)byte;
}

static void host_timer(void *ctx)
{
	((struct host *)ctx)->timers++;
}

static void host_msi(void *ctx, uint64_t address, uint32_t data)
{
	fail();
}

static const struct pc_ops ops = {host_gsi, host_intr, host_power, host_tx, host_timer, host_msi};

static void init(void)
{
	static const uint32_t ids[] = {0};
	struct pc_config config = {
		.ram_bytes = MIB(64),
		.cpu_count = 1,
		.apic_ids = ids,
		.debug_exit = true,
		.wall_clock_start = 1767225600,
	};

	memset(&host, 0, sizeof(host));
	host.power = -1;
	pc_init(&pc, &config, &ops, &host, START);
}

static void out(uint16_t port, uint8_t v)
{
	pc_io_write(&pc, port, 1, v, START);
}

static uint8_t in(uint16_t port)
{
	return (uint8_t)pc_io_read(&pc, port, 1, START);
}

static void init_pics(void)
{
	static const uint8_t words[][2] = {{0x20, 0x11}, {0x21, 0x30}, {0x21, 4}, {0x21, 1},
					   {0xa0, 0x11}, {0xa1, 0x38}, {0xa1, 2}, {0xa1, 1},
					   {0x21, 0},    {0xa1, 0}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		out(words[i][0], words[i][1]);
}

static void power_on_is_silent(void **state)
{
	init();
	assert_int_equal(host.gsi, 0);
	assert_false(host.intr);
	assert_int_equal(host.power, -1);
	assert_int_equal(pc_next_event(&pc), UINT64_MAX);
	/* SCI and PCI interrupts are level-triggered */
	assert_int_equal(in(0x4d1), 0x0e);
}

static void unknown_ports_read_ones(void **state)
{
	struct log_reader r = {0};
	static char text[4096];

	init();
	assert_int_equal(log_configure("dev=debug", NULL), 0);
	assert_int_equal(pc_io_read(&pc, 0x1f7, 1, START), 0xff);
	assert_int_equal(pc_io_read(&pc, 0x1f0, 2, START), 0xffff);
	assert_int_equal(pc_io_read(&pc, 0xffff, 4, START), 0xffffffff);
	assert_int_equal(pc_io_read(&pc, LAYOUT_DEBUG_EXIT, 1, START), 0xff);
	pc_io_write(&pc, 0x1f7, 1, 0, START);
	assert_int_equal(pc.unknown_reads, 4);
	assert_int_equal(pc.unknown_writes, 1);
	text[log_read(&r, text, sizeof(text) - 1)] = '\0';
	assert_non_null(strstr(text, "no device at port 0x1f7 (first read: 1 bytes)"));
	assert_null(strstr(text, "0x1f7 (first write"));
	assert_int_equal(log_configure("info", NULL), 0);
	assert_int_equal(pc_mmio_read(&pc, 0xd0000000, 8, START), UINT64_MAX);
	assert_int_equal(pc_mmio_read(&pc, 0xd0000000, 2, START), 0xffff);
}

/* Byte registers see a wide access as bytes of neighbouring ports. */
static void wide_accesses_split(void **state)
{
	init();
	pc_io_write(&pc, 0x70, 2, 0x5a0f, START);
	out(0x70, 0x0f);
	assert_int_equal(in(0x71), 0x5a);
	assert_int_equal(pc_io_read(&pc, 0x21, 2, START), 0xffff);
	pc_io_write(&pc, 0x21, 1, 0x12, START);
	assert_int_equal(pc_io_read(&pc, 0x20, 4, START), 0xffff1200);
	/* the PM block is wide, and ends where it ends */
	assert_int_equal(pc_io_read(&pc, 0x60a, 4, START), 0xffffffff);
	assert_int_equal(pc.unknown_reads, 4);
}

static void pit_is_irq0_and_gsi2(void **state)
{
	uint64_t next;

	init();
	init_pics();
	out(0x43, 0x34);
	out(0x40, 0xa9);
	out(0x40, 0x04);
	assert_int_equal(host.rises[2], 1);
	next = pc_next_event(&pc);
	assert_int_equal(next, START + (1194ull * NS_PER_S + 1193181) / 1193182);
	assert_true(host.timers > 0);
	assert_int_equal(pc_int_ack(&pc), 0x30);
	assert_false(host.intr);
	out(0x20, 0x20);
	pc_tick(&pc, next - 1);
	assert_int_equal(host.rises[2], 1);
	pc_tick(&pc, next);
	assert_int_equal(host.rises[2], 2);
	assert_true(host.intr);
	assert_int_equal(host.rises[0], 0);
	assert_int_equal(pc_int_ack(&pc), 0x30);
	/* several periods late: one interrupt, the phase is kept */
	pc_tick(&pc, START + 100 * NS_PER_MS);
	assert_int_equal(host.rises[2], 3);
	assert_true(pc_next_event(&pc) > START + 100 * NS_PER_MS);
	assert_true(pc_next_event(&pc) <= START + 101 * NS_PER_MS);
}

static void rtc_is_irq8(void **state)
{
	init();
	init_pics();
	out(0x70, 0x0b);
	out(0x71, 0x12);
	pc_tick(&pc, pc_next_event(&pc));
	assert_int_equal(host.gsi, 1 << 8);
	assert_int_equal(pc_int_ack(&pc), 0x38);
	out(0x70, 0x0c);
	assert_int_equal(in(0x71) & 0x90, 0x90);
	assert_int_equal(host.gsi, 0);
}

static void console_goes_both_ways(void **state)
{
	init();
	init_pics();
	out(0x3fc, 0x0b);
	out(0x3fa, 0x01);
	out(0x3f9, 0x03);
	assert_int_equal(host.gsi, 1 << 4);
	assert_int_equal(in(0x3fa), 0xc2);
	assert_int_equal(host.gsi, 0);
	out(0x3f8, '!');
	assert_int_equal(host.sent[0], '!');
	assert_int_equal(host.gsi, 1 << 4);
	assert_int_equal(in(0x3fa), 0xc2);
	assert_int_equal(pc_console_rx(&pc, (const uint8_t *)"ok", 2, START), 2);
	assert_int_equal(host.gsi, 1 << 4);
	assert_int_equal(pc_int_ack(&pc), 0x34);
	assert_int_equal(in(0x3f8), 'o');
	assert_int_equal(in(0x3f8), 'k');
	assert_int_equal(host.gsi, 0);
}

static void pm_timer_counts(void **state)
{
	init();
	assert_int_equal(pc_io_read(&pc, 0x608, 4, START), 0);
	assert_int_equal(pc_io_read(&pc, 0x608, 4, START + NS_PER_S), 3579545);
	assert_int_equal(pc_io_read(&pc, 0x609, 2, START + NS_PER_S), 3579545 >> 8 & 0xffff);
	/* the status rises with every flip of bit 31 */
	pc_io_write(&pc, 0x602, 2, 0x0001, START + NS_PER_S);
	uint64_t flip = pc_next_event(&pc);
	assert_int_equal(pc_io_read(&pc, 0x608, 4, flip) >> 16, 0x8000);
	assert_int_equal(host.gsi, 1 << 9);
	assert_int_equal(pc_io_read(&pc, 0x600, 2, flip), 1);
	pc_io_write(&pc, 0x600, 2, 1, flip);
	assert_int_equal(host.gsi, 0);
	assert_int_equal(pc_io_read(&pc, 0x608, 4, pc_next_event(&pc)) >> 8, 0);
}

static void power_button_and_sci(void **state)
{
	init();
	init_pics();
	assert_int_equal(pc_io_read(&pc, 0x604, 2, START), 0x0001);
	pc_power_button(&pc, START);
	assert_int_equal(host.gsi, 0);
	pc_io_write(&pc, 0x603, 1, 0x01, START);
	assert_int_equal(pc_io_read(&pc, 0x600, 4, START), 0x01000100);
	assert_int_equal(host.gsi, 1 << 9);
	assert_int_equal(pc_int_ack(&pc), 0x39);
	/* writing zeros clears nothing */
	pc_io_write(&pc, 0x600, 2, 0, START);
	assert_int_equal(host.gsi, 1 << 9);
	pc_io_write(&pc, 0x600, 2, 0x0100, START);
	assert_int_equal(host.gsi, 0);
}

static void off_and_reset(void **state)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} resets[] = {{0x64, 0xfe}, {0x92, 0x03}, {0xcf9, 0x06}, {0xcf9, 0x0e}};

	init();
	/* another sleep type is not offered; SLP_TYP without SLP_EN does nothing */
	pc_io_write(&pc, 0x604, 2, 0x2001 | 3 << 10, START);
	pc_io_write(&pc, 0x604, 2, 5 << 10, START);
	assert_int_equal(host.power, -1);
	assert_int_equal(pc_io_read(&pc, 0x604, 2, START), 5 << 10 | 1);
	pc_io_write(&pc, 0x605, 1, 0x34, START);
	assert_int_equal(host.power, PC_POWER_OFF);
	for (size_t i = 0; i < ARRAY_LEN(resets); i++) {
		init();
		out(resets[i].port, resets[i].value);
		assert_int_equal(host.power, PC_POWER_RESET);
	}
	init();
	out(0xcf9, 0x02);
	assert_int_equal(host.power, -1);
	assert_int_equal(in(0xcf9), 0x02);
	out(0x64, 0xd1);
	out(0x60, 0xfe);
	assert_int_equal(host.power, PC_POWER_RESET);
}

static void debug_exit_code(void **state)
{
	init();
	out(LAYOUT_DEBUG_EXIT, 0x42);
	assert_int_equal(host.power, PC_POWER_DEBUG_EXIT);
	assert_int_equal(host.code, 0x42);
	init();
	pc.config.debug_exit = false;
	out(LAYOUT_DEBUG_EXIT, 0x42);
	assert_int_equal(host.power, -1);
	assert_int_equal(pc.unknown_writes, 1);
}

static uint8_t kbd_answer(uint8_t status)
{
	assert_int_equal(in(0x64) & 0x61, status);
	uint8_t v = in(0x60);
	assert_int_equal(in(0x64) & 1, 0);
	return v;
}

/* The steps of Linux's i8042 driver. */
static void kbd_controller_probe(void **state)
{
	init();
	assert_int_equal(in(0x64) & 1, 0);
	out(0x64, 0x20);
	assert_int_equal(kbd_answer(0x01), 0x74);
	out(0x64, 0x60);
	out(0x60, 0x47);
	assert_int_equal(host.gsi, 0);
	out(0x64, 0xaa);
	assert_int_equal(host.gsi, 1 << 1);
	assert_int_equal(kbd_answer(0x01), 0x55);
	assert_int_equal(host.gsi, 0);
	out(0x64, 0xd3);
	out(0x60, 0x5a);
	assert_int_equal(host.gsi, 1 << 12);
	assert_int_equal(kbd_answer(0x21), 0x5a);
	out(0x64, 0xa9);
	assert_int_equal(kbd_answer(0x01), 0);
	out(0x64, 0xa7);
	out(0x64, 0x20);
	assert_int_equal(kbd_answer(0x01), 0x67);
	/* nobody is plugged in: "resend" with the timeout flag */
	out(0x60, 0xf2);
	assert_int_equal(kbd_answer(0x41), 0xfe);
	out(0x64, 0xd4);
	out(0x60, 0xf2);
	assert_int_equal(kbd_answer(0x61), 0xfe);
}

static void a20_is_kept_in_both_places(void **state)
{
	init();
	assert_int_equal(in(0x92), 0x02);
	out(0x64, 0xd0);
	assert_int_equal(in(0x60), 0x03);
	out(0x64, 0xd1);
	out(0x60, 0xdd);
	assert_int_equal(in(0x92), 0x00);
	out(0x92, 0x02);
	out(0x64, 0xd0);
	assert_int_equal(in(0x60) & 3, 0x03);
	out(0x64, 0xdd);
	assert_int_equal(in(0x92), 0x00);
	out(0x64, 0xdf);
	assert_int_equal(in(0x92), 0x02);
	assert_int_equal(host.power, -1);
}

static void dma_registers_hold(void **state)
{
	init();
	out(0x80, 0x77);
	assert_int_equal(in(0x80), 0x77);
	out(0x0c, 0);
	out(0x00, 0x34);
	out(0x00, 0x12);
	assert_int_equal(in(0x00), 0x34);
	assert_int_equal(in(0x00), 0x12);
	assert_int_equal(in(0x08), 0);
	assert_int_equal(in(0x0f), 0xff);
	out(0x0a, 0x02);
	assert_int_equal(in(0x0f), 0xfb);
	out(0xda, 0);
	out(0xc4, 0xcd);
	out(0xc4, 0xab);
	assert_int_equal(in(0xc4), 0xcd);
	assert_int_equal(in(0xc4), 0xab);
}

static uint64_t bar_value;

static uint64_t bar_read(struct pci_device *d, unsigned bar, uint32_t offset, unsigned size,
			 uint64_t now)
{
	assert_int_equal(now, START);
	return bar_value + offset;
}

static void bar_write(struct pci_device *d, unsigned bar, uint32_t offset, unsigned size,
		      uint64_t value, uint64_t now)
{
	bar_value = value;
	pci_set_intx(d, value & 1);
}

static void line_stays_up(struct pci_device *d)
{
	pci_set_intx(d, true);
}

static void pci_devices_are_reached(void **state)
{
	static struct pci_device_ops dev_ops = {.bar_read = bar_read, .bar_write = bar_write};
	static struct pci_device dev;
	struct why why;

	init();
	init_pics();
	pci_device_init(&dev, "test", 0x1af4, 1, 0xff0000, 0);
	dev.ops = &dev_ops;
	dev.config[PCI_INTERRUPT_PIN] = 1;
	dev.bar[0] = (struct pci_bar){PCI_BAR_IO, 16, false};
	dev.bar[1] = (struct pci_bar){PCI_BAR_MEM32, 4096, false};
	assert_int_equal(pci_add(&pc.pci, &dev, 5, &why), 0);
	pc_io_write(&pc, 0xcf8, 4, 0x80002800, START);
	assert_int_equal(pc_io_read(&pc, 0xcfc, 2, START), 0x1af4);
	pc_io_write(&pc, 0xc000, 4, 0x12345679, START);
	assert_int_equal(pc_io_read(&pc, 0xc004, 2, START), 0x567d);
	/* slot 5's INTA#: GSI 21, and in the 8259s' world IRQ 11 */
	assert_int_equal(host.gsi, 1 << 21);
	assert_int_equal(pc_int_ack(&pc), 0x3b);
	pc_mmio_write(&pc, 0xc0000010, 8, 0x1122334455667788, START);
	assert_int_equal(host.gsi, 0);
	assert_int_equal(pc_mmio_read(&pc, 0xc0000008, 4, START), 0x55667790);
	pci_set_intx(&dev, true);
	assert_int_equal(host.gsi, 0);
	pc_pci_sync(&pc, START);
	assert_int_equal(host.gsi, 1 << 21);
	pc_reset(&pc, START);
	assert_int_equal(host.gsi, 0);
	assert_int_equal(pc_io_read(&pc, 0xcf8, 4, START), 0);
	/* a line that a reset leaves up is seen by the PIC that starts over */
	dev_ops.reset = line_stays_up;
	pci_set_intx(&dev, true);
	pc_pci_sync(&pc, START);
	pc_reset(&pc, START);
	init_pics();
	assert_int_equal(pc_int_ack(&pc), 0x3b);
}

static void reset_starts_over(void **state)
{
	init();
	init_pics();
	out(0x43, 0x34);
	out(0x40, 0xa9);
	out(0x40, 0x04);
	out(0x3fc, 0x0b);
	out(0x3f9, 0x02);
	out(0x70, 0x40);
	out(0x71, 0x77);
	assert_int_equal(host.gsi, 1 << 4 | 1 << 2);
	assert_true(host.intr);
	pc_reset(&pc, START + 10 * NS_PER_S);
	assert_int_equal(host.gsi, 0);
	assert_false(host.intr);
	assert_int_equal(pc_next_event(&pc), UINT64_MAX);
	out(0x70, 0x40);
	assert_int_equal(in(0x71), 0x77);
	out(0x70, 0x00);
	assert_int_equal(pc_io_read(&pc, 0x71, 1, START + 12 * NS_PER_S), 0x12);
	/* and interrupts work again */
	init_pics();
	out(0x3fc, 0x0b);
	out(0x3f9, 0x02);
	assert_int_equal(pc_int_ack(&pc), 0x34);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_on_is_silent),
		cmocka_unit_test(unknown_ports_read_ones),
		cmocka_unit_test(wide_accesses_split),
		cmocka_unit_test(pit_is_irq0_and_gsi2),
		cmocka_unit_test(rtc_is_irq8),
		cmocka_unit_test(console_goes_both_ways),
		cmocka_unit_test(pm_timer_counts),
		cmocka_unit_test(power_button_and_sci),
		cmocka_unit_test(off_and_reset),
		cmocka_unit_test(debug_exit_code),
		cmocka_unit_test(kbd_controller_probe),
		cmocka_unit_test(a20_is_kept_in_both_places),
		cmocka_unit_test(dma_registers_hold),
		cmocka_unit_test(pci_devices_are_reached),
		cmocka_unit_test(reset_starts_over),
	};

	return cmocka_run_group_tests_name("pc", tests, NULL, NULL);
}
