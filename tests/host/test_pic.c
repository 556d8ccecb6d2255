/* guest/pic: the 8259A pair by its data sheet (order 231468), and what Linux does with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/pic.h"

#define MASTER 0x20
#define SLAVE  0xa0

static struct pic pic;

/* ICW1..ICW4 as Linux writes them: vectors 0x30 and 0x38, cascade on IR2; nothing masked. */
static void init(uint8_t icw4)
{
	pic_init(&pic);
	pic_write(&pic, MASTER, 0x11);
	pic_write(&pic, MASTER + 1, 0x30);
	pic_write(&pic, MASTER + 1, 0x04);
	pic_write(&pic, MASTER + 1, icw4);
	pic_write(&pic, SLAVE, 0x11);
	pic_write(&pic, SLAVE + 1, 0x38);
	pic_write(&pic, SLAVE + 1, 0x02);
	pic_write(&pic, SLAVE + 1, icw4);
	pic_write(&pic, MASTER + 1, 0);
	pic_write(&pic, SLAVE + 1, 0);
}

static uint8_t isr(uint16_t port)
{
	pic_write(&pic, port, 0x0b);
	uint8_t v = pic_read(&pic, port);
	pic_write(&pic, port, 0x0a);
	return v;
}

static void after_power_on_all_is_masked(void **state)
{
	pic_init(&pic);
	pic_set_line(&pic, 4, true);
	assert_false(pic_intr(&pic));
	assert_int_equal(pic_read(&pic, MASTER + 1), 0xff);
	/* Linux's probe: the mask holds what is written */
	pic_write(&pic, MASTER + 1, 0xa5);
	assert_int_equal(pic_read(&pic, MASTER + 1), 0xa5);
}

static void edge_is_taken_once(void **state)
{
	init(1);
	pic_set_line(&pic, 4, true);
	assert_true(pic_intr(&pic));
	assert_int_equal(pic_read(&pic, MASTER), 0x10);
	assert_int_equal(pic_ack(&pic), 0x34);
	assert_int_equal(isr(MASTER), 0x10);
	assert_int_equal(pic_read(&pic, MASTER), 0);
	assert_false(pic_intr(&pic));
	/* a new edge waits behind the service, then comes after EOI */
	pic_set_line(&pic, 4, false);
	pic_set_line(&pic, 4, true);
	assert_false(pic_intr(&pic));
	pic_write(&pic, MASTER, 0x20);
	assert_int_equal(pic_ack(&pic), 0x34);
	pic_write(&pic, MASTER, 0x64);
	assert_int_equal(isr(MASTER), 0);
	/* the level alone is no request */
	assert_false(pic_intr(&pic));
}

static void level_repeats_until_it_drops(void **state)
{
	init(1);
	pic_write(&pic, 0x4d0, 0xff);
	assert_int_equal(pic_read(&pic, 0x4d0), 0xf8);
	pic_write(&pic, 0x4d1, 0xff);
	assert_int_equal(pic_read(&pic, 0x4d1), 0xde);
	pic_set_line(&pic, 11, true);
	assert_int_equal(pic_ack(&pic), 0x3b);
	assert_false(pic_intr(&pic));
	pic_write(&pic, SLAVE, 0x20);
	pic_write(&pic, MASTER, 0x20);
	assert_int_equal(pic_ack(&pic), 0x3b);
	pic_set_line(&pic, 11, false);
	pic_write(&pic, SLAVE, 0x20);
	pic_write(&pic, MASTER, 0x20);
	assert_false(pic_intr(&pic));
}

static void priorities_and_cascade(void **state)
{
	init(1);
	pic_set_line(&pic, 7, true);
	pic_set_line(&pic, 12, true);
	pic_set_line(&pic, 9, true);
	assert_int_equal(pic_ack(&pic), 0x39);
	assert_int_equal(isr(MASTER), 0x04);
	assert_int_equal(isr(SLAVE), 0x02);
	/* fully nested: a higher slave request has to wait for the master's IR2, IR0 has not */
	pic_set_line(&pic, 8, true);
	assert_false(pic_intr(&pic));
	pic_set_line(&pic, 0, true);
	assert_int_equal(pic_ack(&pic), 0x30);
	pic_write(&pic, MASTER, 0x20);
	pic_write(&pic, SLAVE, 0x20);
	pic_write(&pic, MASTER, 0x20);
	assert_int_equal(pic_ack(&pic), 0x38);
	pic_write(&pic, SLAVE, 0x20);
	pic_write(&pic, MASTER, 0x20);
	assert_int_equal(pic_ack(&pic), 0x3c);
	pic_write(&pic, SLAVE, 0x20);
	pic_write(&pic, MASTER, 0x20);
	assert_int_equal(pic_ack(&pic), 0x37);
}

/* Data sheet: the line must stay high up to the acknowledge, else IR7 is given and no ISR bit is set. */
static void spurious_interrupts(void **state)
{
	init(1);
	pic_set_line(&pic, 4, true);
	assert_true(pic_intr(&pic));
	pic_set_line(&pic, 4, false);
	assert_false(pic_intr(&pic));
	assert_int_equal(pic_ack(&pic), 0x37);
	assert_int_equal(isr(MASTER), 0);
	/* The slave's request goes away with its INT, so the master is the one to answer. */
	pic_set_line(&pic, 10, true);
	pic_set_line(&pic, 10, false);
	assert_int_equal(pic_ack(&pic), 0x37);
	assert_int_equal(isr(SLAVE), 0);
	/* masked while it was on its way */
	pic_set_line(&pic, 10, true);
	pic_write(&pic, SLAVE + 1, 0xff);
	assert_false(pic_intr(&pic));
	assert_int_equal(pic_ack(&pic), 0x37);
}

static void masks_hold_back_but_keep(void **state)
{
	init(1);
	pic_write(&pic, MASTER + 1, 0x10);
	pic_set_line(&pic, 4, true);
	assert_false(pic_intr(&pic));
	assert_int_equal(pic_read(&pic, MASTER), 0x10);
	pic_write(&pic, MASTER + 1, 0);
	assert_true(pic_intr(&pic));
}

static void auto_eoi_and_rotation(void **state)
{
	init(3);
	pic_set_line(&pic, 4, true);
	assert_int_equal(pic_ack(&pic), 0x34);
	assert_int_equal(isr(MASTER), 0);
	/* rotate in automatic EOI mode: IR4 becomes the lowest */
	pic_write(&pic, MASTER, 0x80);
	pic_set_line(&pic, 4, false);
	pic_set_line(&pic, 4, true);
	pic_ack(&pic);
	pic_set_line(&pic, 4, false);
	pic_set_line(&pic, 4, true);
	pic_set_line(&pic, 5, true);
	assert_int_equal(pic_ack(&pic), 0x35);
}

static void set_priority_and_rotating_eoi(void **state)
{
	init(1);
	pic_write(&pic, MASTER, 0xc5);
	pic_set_line(&pic, 4, true);
	pic_set_line(&pic, 6, true);
	assert_int_equal(pic_ack(&pic), 0x36);
	pic_write(&pic, MASTER, 0xa0);
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(pic.chip[0].lowest, 6);
	assert_int_equal(pic_ack(&pic), 0x34);
	pic_write(&pic, MASTER, 0xe4);
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(pic.chip[0].lowest, 4);
}

static void special_mask_mode(void **state)
{
	init(1);
	pic_set_line(&pic, 3, true);
	assert_int_equal(pic_ack(&pic), 0x33);
	pic_set_line(&pic, 6, true);
	assert_false(pic_intr(&pic));
	pic_write(&pic, MASTER + 1, 0x08);
	assert_false(pic_intr(&pic));
	pic_write(&pic, MASTER, 0x68);
	assert_int_equal(pic_ack(&pic), 0x36);
	/* a non-specific EOI doesn't reach the masked level */
	pic_write(&pic, MASTER, 0x20);
	assert_int_equal(isr(MASTER), 0x08);
	pic_write(&pic, MASTER, 0x20);
	assert_int_equal(isr(MASTER), 0x08);
	pic_write(&pic, MASTER, 0x48);
	pic_write(&pic, MASTER, 0x20);
	assert_int_equal(isr(MASTER), 0);
}

static void special_fully_nested(void **state)
{
	init(0x11);
	pic_set_line(&pic, 12, true);
	assert_int_equal(pic_ack(&pic), 0x3c);
	pic_set_line(&pic, 9, true);
	assert_int_equal(pic_ack(&pic), 0x39);
	pic_set_line(&pic, 14, true);
	assert_false(pic_intr(&pic));
}

static void poll_command(void **state)
{
	init(1);
	pic_write(&pic, MASTER, 0x0c);
	assert_int_equal(pic_read(&pic, MASTER), 0);
	pic_set_line(&pic, 5, true);
	pic_write(&pic, MASTER, 0x0c);
	assert_int_equal(pic_read(&pic, MASTER), 0x85);
	assert_int_equal(isr(MASTER), 0x20);
	assert_false(pic_intr(&pic));
}

static void icw1_restarts(void **state)
{
	init(3);
	pic_set_line(&pic, 4, true);
	pic_write(&pic, MASTER + 1, 0xff);
	pic_write(&pic, MASTER, 0x13); /* single, ICW4 */
	assert_false(pic_intr(&pic));
	pic_write(&pic, MASTER + 1, 0x47);
	pic_write(&pic, MASTER + 1, 0x01);
	assert_int_equal(pic_read(&pic, MASTER + 1), 0);
	/* the edge sense starts over: the line must rise again */
	assert_false(pic_intr(&pic));
	pic_set_line(&pic, 4, false);
	pic_set_line(&pic, 4, true);
	assert_int_equal(pic_ack(&pic), 0x44);
	assert_int_equal(isr(MASTER), 0x10);
	/* without ICW4 */
	pic_write(&pic, MASTER, 0x12);
	pic_write(&pic, MASTER + 1, 0x20);
	pic_write(&pic, MASTER + 1, 0x5a);
	assert_int_equal(pic_read(&pic, MASTER + 1), 0x5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_power_on_all_is_masked),
		cmocka_unit_test(edge_is_taken_once),
		cmocka_unit_test(level_repeats_until_it_drops),
		cmocka_unit_test(priorities_and_cascade),
		cmocka_unit_test(spurious_interrupts),
		cmocka_unit_test(masks_hold_back_but_keep),
		cmocka_unit_test(auto_eoi_and_rotation),
		cmocka_unit_test(set_priority_and_rotating_eoi),
		cmocka_unit_test(special_mask_mode),
		cmocka_unit_test(special_fully_nested),
		cmocka_unit_test(poll_command),
		cmocka_unit_test(icw1_restarts),
	};

	return cmocka_run_group_tests_name("pic", tests, NULL, NULL);
}
