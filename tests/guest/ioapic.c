/* Device interrupts: through the IOAPIC, and through the 8259 pair in virtual wire mode. */
#include "tests/guest/lib/acpi.h"
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define VEC_TICK  0x61
#define VEC_LEVEL 0x62

static void eoi_only(struct regs *r)
{
	lapic_eoi();
}

static void test_registers(void)
{
	unsigned pins = ioapic_pins();

	CHECK(pins >= 16 && pins <= 240, "%u pins", pins);
	CHECK((ioapic_read(IOAPIC_VERSION) & 0xff) >= 0x11, "version %#x",
	      ioapic_read(IOAPIC_VERSION));
	for (unsigned pin = 0; pin < pins; pin++) {
		ioapic_write(0x10 + 2 * pin,
			     RTE_MASKED | RTE_LEVEL | RTE_LOW | RTE_LOGICAL | (0x40 + pin));
		ioapic_write(0x11 + 2 * pin, (0x80u + pin) << 24);
	}
	for (unsigned pin = 0; pin < pins; pin++) {
		CHECK_EQ(ioapic_rte(pin),
			 RTE_MASKED | RTE_LEVEL | RTE_LOW | RTE_LOGICAL | (0x40 + pin));
		CHECK_EQ(ioapic_read(0x11 + 2 * pin) >> 24, 0x80 + pin);
	}
	ioapic_mask_all();
	/* Delivery status and remote IRR are read-only. */
	ioapic_write(0x10, RTE_MASKED | RTE_PENDING | RTE_REMOTE_IRR);
	CHECK_EQ(ioapic_rte(0), RTE_MASKED);
}

/* An edge is remembered by the local APIC until interrupts come on. */
static void test_pit_edge(void)
{
	unsigned pin = acpi_isa_irq(0).gsi;

	trap_hook(VEC_TICK, eoi_only);
	ioapic_route(pin, VEC_TICK, (uint8_t)lapic_id());
	pit_set(0, 2, PIT_HZ / 1000);
	CHECK(WAIT(lapic_bit(LAPIC_IRR, VEC_TICK), 2000), "no tick reaches the local APIC");
	CHECK(!lapic_bit(LAPIC_TMR, VEC_TICK), "an edge interrupt has its TMR bit set");
	CHECK_EQ(trap_count[VEC_TICK], 0);
	irq_on();
	CHECK(WAIT(trap_count[VEC_TICK] >= 10, 5000), "%u ticks", trap_count[VEC_TICK]);
	irq_off();
	CHECK(!(ioapic_rte(pin) & RTE_REMOTE_IRR), "remote IRR on an edge interrupt");
}

static void test_masked(void)
{
	unsigned pin = acpi_isa_irq(0).gsi;
	uint32_t seen;

	trap_hook(VEC_TICK, eoi_only);
	ioapic_route(pin, RTE_MASKED | VEC_TICK, (uint8_t)lapic_id());
	pit_set(0, 2, PIT_HZ / 1000);
	irq_on();
	delay_us(20000);
	CHECK_EQ(trap_count[VEC_TICK], 0);
	ioapic_route(pin, VEC_TICK, (uint8_t)lapic_id());
	CHECK(WAIT(trap_count[VEC_TICK] >= 3, 5000), "%u ticks after unmasking",
	      trap_count[VEC_TICK]);
	ioapic_route(pin, RTE_MASKED | VEC_TICK, (uint8_t)lapic_id());
	delay_us(1000);
	seen = trap_count[VEC_TICK];
	delay_us(20000);
	irq_off();
	CHECK_EQ(trap_count[VEC_TICK], seen);
}

static volatile uint32_t took[MAX_CPUS];

static void note_cpu(struct regs *r)
{
	took[cpu_self()->index]++;
	lapic_eoi();
}

static volatile uint32_t leave;

static void serve(void *arg)
{
	while (!leave)
		irq_sleep();
}

/* Each CPU in turn takes the ticks, even while it is halted. */
static void test_every_cpu(void)
{
	unsigned pin = acpi_isa_irq(0).gsi;

	smp_start_all(2);
	trap_hook(VEC_TICK, note_cpu);
	trap_hook(VEC_USER, eoi_only);
	leave = 0;
	for (unsigned i = 1; i < cpu_count; i++)
		smp_call(i, serve, NULL);
	for (unsigned i = 0; i < cpu_count; i++)
		took[i] = 0;
	pit_set(0, 2, PIT_HZ / 1000);
	irq_on();
	for (unsigned i = 0; i < cpu_count; i++) {
		ioapic_route(pin, VEC_TICK, (uint8_t)cpu_get(i)->apic_id);
		CHECK(WAIT(took[i] >= 3, 5000), "CPU %u took %u", i, took[i]);
	}
	irq_off();
	ioapic_route(pin, RTE_MASKED, 0);
	leave = 1;
	for (unsigned i = 1; i < cpu_count; i++)
		while (!smp_done(i)) {
			lapic_ipi(cpu_get(i)->apic_id, VEC_USER);
			delay_us(1000);
		}
}

static void test_nmi_rte(void)
{
	unsigned pin = acpi_isa_irq(0).gsi;

	trap_hook(VEC_NMI, note_cpu);
	took[0] = 0;
	ioapic_route(pin, RTE_NMI, (uint8_t)lapic_id());
	pit_set(0, 2, PIT_HZ / 1000);
	CHECK(WAIT(took[0] >= 2, 5000), "%u NMIs with interrupts off", took[0]);
	ioapic_route(pin, RTE_MASKED, 0);
	delay_us(2000);
}

/*
 * --- A level interrupt: the UART's, which stays up while its transmitter is empty and nobody has read
 * why it interrupts ---
 */

#define UART_IER 0x3f9
#define UART_MCR 0x3fc

static volatile uint32_t level_seen;
static unsigned level_pin;

static void level_begin(trap_fn *fn)
{
	level_seen = 0;
	level_pin = acpi_isa_irq(4).gsi;
	trap_hook(VEC_LEVEL, fn);
	outb(UART_MCR, 0x0b); /* OUT2 lets the interrupt out */
	ioapic_route(level_pin, RTE_LEVEL | VEC_LEVEL, (uint8_t)lapic_id());
	outb(UART_IER, 0x02);
	irq_on();
}

static void level_end(void)
{
	irq_off();
	outb(UART_IER, 0);
	outb(UART_MCR, 0x03);
}

/* Leaves the cause standing the first times: EOI must bring the interrupt again. Bochs
 * itself has no remote IRR. */
static void on_level(struct regs *r)
{
	level_seen++;
	if (level_seen == 1) {
		CHECK(lapic_bit(LAPIC_TMR, VEC_LEVEL), "a level interrupt has its TMR bit clear");
		CHECK((ioapic_rte(level_pin) & RTE_REMOTE_IRR) || machine.bochs,
		      "remote IRR clear in the handler");
	}
	if (level_seen >= 3)
		outb(UART_IER, 0);
	lapic_eoi();
}

static void test_level(void)
{
	level_begin(on_level);
	CHECK(WAIT(level_seen >= 3, 5000), "%u interrupts while the level stands", level_seen);
	delay_us(20000);
	level_end();
	CHECK_EQ(level_seen, 3);
	CHECK(!(ioapic_rte(level_pin) & RTE_REMOTE_IRR), "remote IRR stays after EOI");
}

static void hold(struct regs *r)
{
	level_seen++;
}

/* In service and not acknowledged, the level does not come a second time. */
static void test_remote_irr(void)
{
	level_begin(hold);
	CHECK(WAIT(level_seen == 1, 5000), "not delivered");
	delay_us(5000);
	irq_off();
	CHECK_EQ(level_seen, 1);
	CHECK((ioapic_rte(level_pin) & RTE_REMOTE_IRR) || machine.bochs,
	      "remote IRR clear before EOI");
	level_end();
	lapic_eoi();
	CHECK(!(ioapic_rte(level_pin) & RTE_REMOTE_IRR), "remote IRR set after EOI");
	CHECK(!lapic_bit(LAPIC_IRR, VEC_LEVEL) || machine.bochs,
	      "delivered again though the level is gone");
}

/* A level that stands while its pin is masked comes when it is unmasked. */
static void test_level_masked(void)
{
	level_begin(on_level);
	CHECK(WAIT(level_seen >= 3, 5000), "%u interrupts", level_seen);
	level_end();
	level_seen = 0;
	ioapic_route(level_pin, RTE_MASKED | RTE_LEVEL | VEC_LEVEL, (uint8_t)lapic_id());
	outb(UART_MCR, 0x0b);
	outb(UART_IER, 0x02);
	irq_on();
	delay_us(5000);
	CHECK_EQ(level_seen, 0);
	ioapic_route(level_pin, RTE_LEVEL | VEC_LEVEL, (uint8_t)lapic_id());
	CHECK(WAIT(level_seen >= 3, 5000), "%u interrupts after unmasking", level_seen);
	level_end();
}

/* The 24-bit PM timer's top bit changes every 2.34 s; either change raises the SCI. ACPI 6.3, 4.8.3.1.1 */
static void test_sci(void)
{
	const struct acpi_fadt *fadt = acpi_fadt();
	uint16_t status, enable;
	struct acpi_irq sci;

	if (!fadt || !fadt->pm1a_evt || fadt->flags & FADT_TIMER_32)
		test_skip("no 24-bit PM timer");
	if (machine.bochs)
		test_skip("Bochs does not wire the SCI to the interrupt its tables name");
	acpi_enable();
	status = (uint16_t)fadt->pm1a_evt;
	enable = (uint16_t)(status + fadt->pm1_evt_len / 2);
	outw(enable, 0);
	outw(status, 1);
	CHECK(WAIT(inw(status) & 1, 10000), "the timer's status bit is never set");
	sci = acpi_isa_irq(fadt->sci_int);
	trap_hook(VEC_LEVEL, hold);
	level_seen = 0;
	/* MPS polarity 1 is active high; 0 is what ACPI says for its interrupt: active low. */
	ioapic_route(sci.gsi, RTE_LEVEL | VEC_LEVEL | ((sci.flags & 3) == 1 ? 0 : RTE_LOW),
		     (uint8_t)lapic_id());
	outw(enable, 1);
	irq_on();
	CHECK(WAIT(level_seen == 1, 5000), "not delivered");
	irq_off();
	outw(enable, 0);
	outw(status, 1);
	CHECK_EQ(inw(status) & 1, 0);
	lapic_eoi();
	CHECK(!(ioapic_rte(sci.gsi) & RTE_REMOTE_IRR), "remote IRR set after EOI");
}

/* --- Virtual wire mode: 8259 to LINT0 as ExtINT. MultiProcessor Specification 1.4, 3.6.2.2 --- */

static volatile uint32_t pic_ticks;

static void on_pic(struct regs *r)
{
	if (pic_isr() & 1)
		pic_ticks++;
	pic_eoi(0);
}

static void test_virtual_wire(void)
{
	trap_hook(VEC_PIC, on_pic);
	pic_ticks = 0;
	lapic_write(LAPIC_LVT_LINT0, RTE_EXTINT);
	pic_setup(VEC_PIC, 0xfffe);
	pit_set(0, 2, PIT_HZ / 1000);
	CHECK(WAIT(pic_irr() & 1, 2000), "no request at the 8259");
	CHECK_EQ(pic_ticks, 0);
	irq_on();
	CHECK(WAIT(pic_ticks >= 10, 5000), "%u ticks", pic_ticks);
	irq_off();
	CHECK(!lapic_bit(LAPIC_ISR, VEC_PIC), "the local APIC has an ExtINT in service");
	lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
}

/* Masked at LINT0, nothing comes; unmasked, what waits comes. */
static void test_lint0_mask(void)
{
	if (machine.bochs)
		test_skip("Bochs wires the 8259 to the CPU past LINT0");
	trap_hook(VEC_PIC, on_pic);
	pic_ticks = 0;
	pic_setup(VEC_PIC, 0xfffe);
	pit_set(0, 2, PIT_HZ / 1000);
	irq_on();
	delay_us(5000);
	CHECK_EQ(pic_ticks, 0);
	lapic_write(LAPIC_LVT_LINT0, RTE_EXTINT);
	CHECK(WAIT(pic_ticks >= 2, 5000), "%u ticks after unmasking", pic_ticks);
	irq_off();
	lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
}

/* ExtINT ignores TPR: the 8259's vector is delivered whatever the local priority. */
static void test_extint_ignores_tpr(void)
{
	trap_hook(VEC_PIC, on_pic);
	pic_ticks = 0;
	lapic_write(LAPIC_TPR, 0xf0);
	lapic_write(LAPIC_LVT_LINT0, RTE_EXTINT);
	pic_setup(VEC_PIC, 0xfffe);
	pit_set(0, 2, PIT_HZ / 1000);
	irq_on();
	CHECK(WAIT(pic_ticks >= 2, 5000), "%u ticks", pic_ticks);
	irq_off();
	lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
	lapic_write(LAPIC_TPR, 0);
}

/* Without EOI the 8259 keeps back what is not of higher priority. */
static void on_pic_no_eoi(struct regs *r)
{
	pic_ticks++;
}

static void test_pic_in_service(void)
{
	trap_hook(VEC_PIC, on_pic_no_eoi);
	pic_ticks = 0;
	lapic_write(LAPIC_LVT_LINT0, RTE_EXTINT);
	pic_setup(VEC_PIC, 0xfffe);
	pit_set(0, 2, PIT_HZ / 1000);
	irq_on();
	CHECK(WAIT(pic_ticks >= 1, 5000), "no tick");
	delay_us(10000);
	irq_off();
	CHECK_EQ(pic_ticks, 1);
	CHECK_EQ(pic_isr() & 1, 1);
	pic_eoi(0);
	CHECK_EQ(pic_isr() & 1, 0);
	lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
}

/* The mask registers read back. */
static void test_pic_registers(void)
{
	pic_setup(VEC_PIC, 0xffff);
	for (unsigned mask = 0xffff; mask > 0xff00; mask -= 0x11) {
		outb(PIC1 + 1, (uint8_t)mask);
		CHECK_EQ(inb(PIC1 + 1), mask & 0xff);
		outb(PIC2 + 1, (uint8_t)~mask);
		CHECK_EQ(inb(PIC2 + 1), ~mask & 0xff);
	}
	pic_mask(0xffff);
	CHECK_EQ(pic_isr(), 0);
}

/* A halted CPU is woken through the 8259, too. */
static void test_wake_by_pic(void)
{
	trap_hook(VEC_PIC, on_pic);
	pic_ticks = 0;
	lapic_write(LAPIC_LVT_LINT0, RTE_EXTINT);
	pic_setup(VEC_PIC, 0xfffe);
	pit_set(0, 2, PIT_HZ / 1000);
	while (pic_ticks < 20)
		irq_sleep();
	lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
}

const struct test guest_tests[] = {
	{"registers", test_registers},
	{"pit-edge", test_pit_edge},
	{"masked", test_masked},
	{"every-cpu", test_every_cpu},
	{"nmi-rte", test_nmi_rte},
	{"level", test_level},
	{"remote-irr", test_remote_irr},
	{"level-masked", test_level_masked},
	{"sci", test_sci},
	{"virtual-wire", test_virtual_wire},
	{"lint0-mask", test_lint0_mask},
	{"extint-ignores-tpr", test_extint_ignores_tpr},
	{"pic-in-service", test_pic_in_service},
	{"pic-registers", test_pic_registers},
	{"wake-by-pic", test_wake_by_pic},
	{NULL, NULL},
};
