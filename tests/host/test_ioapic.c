/* The IOAPIC alone, and level interrupts through it to two LAPICs. */
#include "tests/host/apic_rig.h"

#define LEVEL   0x8000u
#define LOGICAL 0x0800u
#define REMOTE  0x4000u

static struct ioapic io;
static struct ioapic_out out;

static int setup(void **state)
{
	ioapic_init(&io, 5);
	out.count = 0;
	return 0;
}

static uint32_t reg_read(uint8_t index)
{
	ioapic_write(&io, IOAPIC_INDEX, index, &out);
	assert_int_equal(ioapic_read(&io, IOAPIC_INDEX), index);
	return ioapic_read(&io, IOAPIC_DATA);
}

static void reg_write(uint8_t index, uint32_t value)
{
	ioapic_write(&io, IOAPIC_INDEX, index, &out);
	ioapic_write(&io, IOAPIC_DATA, value, &out);
}

static unsigned line(unsigned pin, bool asserted)
{
	ioapic_line(&io, pin, asserted, &out);
	return out.count;
}

static unsigned eoi(uint8_t vector)
{
	ioapic_eoi(&io, vector, &out);
	return out.count;
}

static void registers(void **state)
{
	assert_int_equal(reg_read(0), 5u << 24);
	assert_int_equal(reg_read(1), 0x00170020);
	assert_int_equal(reg_read(2), 5u << 24);
	reg_write(0, 0xf9ffffff);
	assert_int_equal(reg_read(0), 9u << 24);
	reg_write(1, 0xffffffff);
	assert_int_equal(reg_read(1), 0x00170020);
	for (uint8_t index = 3; index < 0x10; index++)
		assert_int_equal(reg_read(index), 0);
	for (uint8_t pin = 0; pin < IOAPIC_PINS; pin++) {
		assert_int_equal(reg_read(0x10 + 2 * pin), RIG_MASKED);
		assert_int_equal(reg_read(0x11 + 2 * pin), 0);
		reg_write(0x10 + 2 * pin, 0xffffffff);
		reg_write(0x11 + 2 * pin, 0xffffffff);
		assert_int_equal(reg_read(0x10 + 2 * pin), 0x1afff);
		assert_int_equal(reg_read(0x11 + 2 * pin), 0xff000000);
	}
	reg_write(0x40, 0xffffffff);
	reg_write(0xff, 0xffffffff);
	assert_int_equal(reg_read(0x40) | reg_read(0xff), 0);
	assert_int_equal(ioapic_read(&io, 0x20) | ioapic_read(&io, IOAPIC_EOI), 0);
	ioapic_write(&io, 0x20, 0xffffffff, &out);
	assert_int_equal(out.count, 0);
}

static void edge_sends_on_each_rise(void **state)
{
	reg_write(0x15, 0x03000000);
	reg_write(0x14, 0x31 | LOGICAL | 0x100);
	assert_int_equal(line(2, true), 1);
	assert_int_equal(out.msg[0].kind, APIC_LOWEST);
	assert_int_equal(out.msg[0].vector, 0x31);
	assert_int_equal(out.msg[0].dest, 3);
	assert_true(out.msg[0].logical);
	assert_false(out.msg[0].level_trigger);
	assert_true(out.msg[0].assert);
	assert_int_equal(out.msg[0].shorthand, APIC_TO_DEST);
	assert_int_equal(line(2, true), 0);
	assert_int_equal(line(2, false), 0);
	assert_int_equal(line(2, true), 1);
	assert_int_equal(reg_read(0x14), 0x31 | LOGICAL | 0x100);
	reg_write(0x15, 0xff000000);
	line(2, false);
	assert_int_equal(line(2, true), 1);
	assert_int_equal(out.msg[0].dest, APIC_DEST_ALL);
}

static void a_masked_edge_is_lost(void **state)
{
	reg_write(0x14, 0x31 | RIG_MASKED);
	assert_int_equal(line(2, true), 0);
	reg_write(0x14, 0x31);
	assert_int_equal(out.count, 0);
	assert_int_equal(line(2, true), 0);
	assert_int_equal(line(2, false), 0);
	assert_int_equal(line(2, true), 1);
}

static void level_sends_once_until_eoi(void **state)
{
	reg_write(0x22, 0x51 | LEVEL);
	assert_int_equal(line(9, true), 1);
	assert_true(out.msg[0].level_trigger);
	assert_int_equal(reg_read(0x22), 0x51 | LEVEL | REMOTE);
	assert_int_equal(line(9, false), 0);
	assert_int_equal(line(9, true), 0);
	/* Only its own vector ends it. */
	assert_int_equal(eoi(0x52), 0);
	assert_int_equal(eoi(0x51), 1);
	assert_int_equal(out.msg[0].vector, 0x51);
	line(9, false);
	assert_int_equal(eoi(0x51), 0);
	assert_int_equal(reg_read(0x22), 0x51 | LEVEL);
	assert_int_equal(eoi(0x51), 0);
}

static void masked_level_waits(void **state)
{
	reg_write(0x22, 0x51 | LEVEL | RIG_MASKED);
	assert_int_equal(line(9, true), 0);
	reg_write(0x22, 0x51 | LEVEL);
	assert_int_equal(out.count, 1);
	/* Masked while in service: the EOI still counts, nothing is sent again until unmasked. */
	reg_write(0x22, 0x51 | LEVEL | RIG_MASKED);
	assert_int_equal(reg_read(0x22), 0x51 | LEVEL | RIG_MASKED | REMOTE);
	assert_int_equal(eoi(0x51), 0);
	assert_int_equal(reg_read(0x22), 0x51 | LEVEL | RIG_MASKED);
	reg_write(0x22, 0x51 | LEVEL);
	assert_int_equal(out.count, 1);
	/* And a level that goes away while masked has never been. */
	eoi(0x51);
	reg_write(0x22, 0x51 | LEVEL | RIG_MASKED);
	line(9, false);
	reg_write(0x22, 0x51 | LEVEL);
	assert_int_equal(out.count, 0);
}

static void remote_irr_clears_by_edge_mode_or_eoi_register(void **state)
{
	reg_write(0x22, 0x51 | LEVEL);
	line(9, true);
	line(9, false);
	/* The way of kernels without an EOI register. */
	reg_write(0x22, 0x51 | RIG_MASKED);
	reg_write(0x22, 0x51 | RIG_MASKED | LEVEL);
	assert_int_equal(reg_read(0x22), 0x51 | RIG_MASKED | LEVEL);
	reg_write(0x22, 0x51 | LEVEL);
	line(9, true);
	ioapic_write(&io, IOAPIC_EOI, 0x51, &out);
	assert_int_equal(out.count, 1);
	line(9, false);
	ioapic_write(&io, IOAPIC_EOI, 0x51, &out);
	assert_int_equal(reg_read(0x22), 0x51 | LEVEL);
}

static void level_needs_a_fixed_delivery(void **state)
{
	reg_write(0x12, 0x400 | LEVEL);
	assert_int_equal(line(1, true), 1);
	assert_int_equal(out.msg[0].kind, APIC_NMI);
	assert_false(out.msg[0].level_trigger);
	assert_int_equal(reg_read(0x12), 0x400 | LEVEL);
	assert_int_equal(line(1, true), 0);
	line(1, false);
	assert_int_equal(line(1, true), 1);
	/* Made fixed while asserted, it is a level that waits. */
	reg_write(0x12, 0x61 | LEVEL);
	assert_int_equal(out.count, 1);
}

static void one_vector_on_several_pins(void **state)
{
	for (uint8_t pin = 16; pin < 24; pin++) {
		reg_write(0x10 + 2 * pin, 0x71 | LEVEL);
		assert_int_equal(line(pin, true), 1);
	}
	line(20, false);
	assert_int_equal(eoi(0x71), 7);
	for (uint8_t pin = 16; pin < 24; pin++)
		line(pin, false);
	assert_int_equal(eoi(0x71), 0);
}

static void level_interrupt_round_trip_on_two_cpus(void **state)
{
	struct lapic_actions act;

	rig_redir(10, 0x0100000000000000ull | 0x59 | LEVEL);
	rig_redir(11, 0x0200000000000000ull | 0x59 | LEVEL);
	rig_line(10, true);
	rig_line(11, true);
	assert_int_equal(rig_take(0), -1);
	assert_int_equal(rig_take(1), 0x59);
	assert_int_equal(rig_take(2), 0x59);
	assert_true(rig_bit(1, LAPIC_TMR, 0x59));
	/* CPU 1 serves its device and ends: the broadcast also clears pin 11, which is still high. */
	rig_line(10, false);
	act = rig_eoi(1);
	assert_true(act.eoi_level);
	assert_int_equal(act.eoi_vector, 0x59);
	assert_int_equal(rig_take(1), -1);
	assert_int_equal(rig_pull(2), -1);
	assert_true(rig_bit(2, LAPIC_IRR, 0x59));
	rig_line(11, false);
	rig_eoi(2);
	assert_int_equal(rig_take(2), 0x59);
	rig_eoi(2);
	assert_int_equal(rig_take(2), -1);
	/* The vector used as edge: no broadcast. */
	rig_post(1, 0x59);
	assert_int_equal(rig_take(1), 0x59);
	assert_false(rig_bit(1, LAPIC_TMR, 0x59));
	assert_false(rig_eoi(1).eoi_level);
}

static void directed_eoi_is_the_guests_business(void **state)
{
	struct ioapic_out resend;

	rig_write(1, LAPIC_SVR, 0x11ff);
	rig_redir(10, 0x0100000000000000ull | 0x59 | LEVEL);
	rig_line(10, true);
	assert_int_equal(rig_take(1), 0x59);
	assert_false(rig_eoi(1).eoi_level);
	assert_int_equal(rig_take(1), -1);
	ioapic_write(&rig.io, IOAPIC_EOI, 0x59, &resend);
	rig_route_all(&resend);
	assert_int_equal(rig_take(1), 0x59);
}

static void msi_becomes_a_message(void **state)
{
	struct apic_msg msg;

	assert_int_equal(apic_msg_from_msi(0xfee03000, 0x4041, &msg), 0);
	assert_int_equal(msg.kind, APIC_FIXED);
	assert_int_equal(msg.dest, 3);
	assert_int_equal(msg.vector, 0x41);
	assert_true(!msg.logical && !msg.level_trigger && msg.assert);
	assert_int_equal(rig_route(&msg, APIC_NO_CPU), 1);
	assert_int_equal(rig_take(3), 0x41);
	assert_int_equal(apic_msg_from_msi(0xfeeff00c, 0x8042, &msg), 0);
	assert_int_equal(msg.kind, APIC_LOWEST);
	assert_int_equal(msg.dest, APIC_DEST_ALL);
	assert_true(msg.logical && msg.level_trigger && !msg.assert);
	assert_int_equal(rig_route(&msg, APIC_NO_CPU), 0);
	assert_int_equal(apic_msg_from_msi(0xfed00000, 0x41, &msg), ERR_INVALID);
	assert_int_equal(apic_msg_from_msi(0x1fee00000, 0x41, &msg), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers, setup),
		cmocka_unit_test_setup(edge_sends_on_each_rise, setup),
		cmocka_unit_test_setup(a_masked_edge_is_lost, setup),
		cmocka_unit_test_setup(level_sends_once_until_eoi, setup),
		cmocka_unit_test_setup(masked_level_waits, setup),
		cmocka_unit_test_setup(remote_irr_clears_by_edge_mode_or_eoi_register, setup),
		cmocka_unit_test_setup(level_needs_a_fixed_delivery, setup),
		cmocka_unit_test_setup(one_vector_on_several_pins, setup),
		cmocka_unit_test_setup(level_interrupt_round_trip_on_two_cpus, rig_setup),
		cmocka_unit_test_setup(directed_eoi_is_the_guests_business, rig_setup),
		cmocka_unit_test_setup(msi_becomes_a_message, rig_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
