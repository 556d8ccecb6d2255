/* guest/pit: the 8254 by its data sheet (order 231164), against a clock-by-clock model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/pit.h"
#include "hv/base/bits.h"
#include "hv/base/types.h"

#define START 1000000007ull

static struct pit pit;

/* The first ns of a PIT clock since START. */
static uint64_t at(uint64_t clock)
{
	return START + (clock * NS_PER_S + PIT_HZ - 1) / PIT_HZ;
}

static void program(unsigned channel, unsigned mode, uint16_t count, uint64_t clock)
{
	pit_write(&pit, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1), at(clock));
	pit_write(&pit, (uint16_t)(0x40 + channel), (uint8_t)count, at(clock));
	pit_write(&pit, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8), at(clock));
}

static uint16_t latched(unsigned channel, uint64_t clock)
{
	uint16_t port = (uint16_t)(0x40 + channel);

	pit_write(&pit, 0x43, (uint8_t)(channel << 6), at(clock));
	uint8_t low = pit_read(&pit, port, at(clock));
	return (uint16_t)(low | pit_read(&pit, port, at(clock)) << 8);
}

static uint64_t edges(uint64_t clock)
{
	pit_tick(&pit, at(clock));
	return pit.edges;
}

static void power_on_is_quiet(void **state)
{
	pit_init(&pit, START);
	assert_int_equal(pit_next_event(&pit), UINT64_MAX);
	assert_false(pit_irq(&pit, START));
	assert_int_equal(edges(1000000), 0);
}

/* Figure 15: OUT rises N + 1 clocks after the count is written. */
static void mode0_interrupts_on_terminal_count(void **state)
{
	pit_init(&pit, START);
	program(0, 0, 4, 10);
	assert_false(pit_out(&pit, 0, at(10)));
	assert_int_equal(pit_next_event(&pit), at(15));
	assert_int_equal(latched(0, 12), 3);
	assert_false(pit_out(&pit, 0, at(15) - 1));
	assert_true(pit_out(&pit, 0, at(15)));
	assert_int_equal(edges(14), 0);
	assert_int_equal(edges(15), 1);
	assert_int_equal(pit_next_event(&pit), UINT64_MAX);
	assert_int_equal(edges(200000), 1);
	/* it goes on counting down from FFFFh */
	assert_int_equal(latched(0, 17), 0xfffe);
	/* a new count starts over with OUT low */
	pit_write(&pit, 0x40, 9, at(300000));
	assert_false(pit_out(&pit, 0, at(300000)));
	pit_write(&pit, 0x40, 0, at(300000));
	assert_int_equal(pit_next_event(&pit), at(300010));
}

/* Figure 17 */
static void mode2_divides(void **state)
{
	pit_init(&pit, START);
	program(0, 2, 1000, 0);
	/* OUT was low before: programming raises it */
	assert_int_equal(pit.edges, 1);
	assert_int_equal(pit_next_event(&pit), at(1001));
	assert_int_equal(latched(0, 1), 1000);
	assert_int_equal(latched(0, 1000), 1);
	assert_false(pit_out(&pit, 0, at(1000)));
	assert_true(pit_out(&pit, 0, at(1001)));
	assert_true(pit_irq(&pit, at(1000)));
	assert_int_equal(edges(1000), 1);
	assert_int_equal(edges(1001), 2);
	assert_int_equal(pit_next_event(&pit), at(2001));
	assert_int_equal(edges(10 * 1000 + 1), 11);
	/* a new count is taken over at the end of the cycle */
	pit_write(&pit, 0x40, 0xf4, at(10500));
	pit_write(&pit, 0x40, 0x01, at(10500));
	assert_int_equal(pit_next_event(&pit), at(11001));
	assert_int_equal(edges(11001 + 499), 12);
	assert_int_equal(edges(11001 + 500), 13);
	assert_int_equal(latched(0, 11001 + 500 + 7), 493);
	assert_int_equal(pit_next_event(&pit), at(11001 + 1000));
}

/* A late tick over the change of counts counts both phases. */
static void mode2_change_seen_late(void **state)
{
	pit_init(&pit, START);
	program(0, 2, 100, 0);
	pit_write(&pit, 0x40, 10, at(50));
	pit_write(&pit, 0x40, 0, at(50));
	assert_int_equal(edges(101 + 1000), 1 + 1 + 100);
}

/* Figure 18: even counts halve; odd ones are high one clock longer. */
static void mode3_square_wave(void **state)
{
	for (unsigned n = 2; n < 8; n++) {
		pit_init(&pit, START);
		pit_write(&pit, 0x61, 1, START);
		program(2, 3, (uint16_t)n, 0);
		for (unsigned clock = 1; clock < 40; clock++) {
			unsigned phase = (clock - 1) % n;

			assert_int_equal(pit_out(&pit, 2, at(clock)), phase < (n + 1) / 2);
			assert_int_equal(latched(2, clock),
					 (n & ~1u) - 2 * (phase % ((n + 1) / 2)));
			assert_int_equal(pit_read(&pit, 0x61, at(clock)) >> 5 & 1,
					 phase < (n + 1) / 2);
		}
	}
}

/* Figure 19 */
static void mode4_strobes(void **state)
{
	pit_init(&pit, START);
	program(0, 4, 3, 0);
	assert_int_equal(pit.edges, 1);
	assert_true(pit_out(&pit, 0, at(3)));
	assert_false(pit_out(&pit, 0, at(4)));
	assert_true(pit_out(&pit, 0, at(5)));
	assert_int_equal(pit_next_event(&pit), at(5));
	assert_int_equal(edges(5), 2);
	assert_int_equal(pit_next_event(&pit), UINT64_MAX);
}

/* Figures 16 and 20: channel 2's gate triggers. */
static void modes_1_and_5_wait_for_the_gate(void **state)
{
	pit_init(&pit, START);
	program(2, 1, 5, 0);
	assert_true(pit_out(&pit, 2, at(50)));
	pit_write(&pit, 0x61, 1, at(100));
	assert_false(pit_out(&pit, 2, at(101)));
	assert_false(pit_out(&pit, 2, at(105)));
	assert_true(pit_out(&pit, 2, at(106)));
	/* a new count is for the next trigger */
	pit_write(&pit, 0x61, 0, at(200));
	pit_write(&pit, 0x61, 1, at(201));
	pit_write(&pit, 0x42, 50, at(202));
	pit_write(&pit, 0x42, 0, at(202));
	assert_true(pit_out(&pit, 2, at(207)));
	pit_write(&pit, 0x61, 0, at(300));
	pit_write(&pit, 0x61, 1, at(301));
	assert_false(pit_out(&pit, 2, at(351)));
	assert_true(pit_out(&pit, 2, at(352)));
	program(2, 5, 5, 400);
	pit_write(&pit, 0x61, 0, at(401));
	pit_write(&pit, 0x61, 1, at(402));
	assert_true(pit_out(&pit, 2, at(407)));
	assert_false(pit_out(&pit, 2, at(408)));
	assert_true(pit_out(&pit, 2, at(409)));
}

/* Linux calibrates the TSC so: gate on, mode 0 on channel 2, poll OUT2 in port 61h. */
static void calibration_with_channel_2(void **state)
{
	pit_init(&pit, START);
	pit_write(&pit, 0x61, (pit_read(&pit, 0x61, at(0)) & ~2) | 1, at(0));
	program(2, 0, 59659, 100);
	assert_int_equal(pit_read(&pit, 0x61, at(100 + 59659)) & 0x20, 0);
	assert_int_equal(pit_read(&pit, 0x61, at(100 + 59660)) & 0x20, 0x20);
	/* the gate stops the count and lets it go on */
	program(2, 0, 100, 100000);
	pit_write(&pit, 0x61, 0, at(100051));
	assert_int_equal(latched(2, 200000), 50);
	pit_write(&pit, 0x61, 1, at(200000));
	assert_int_equal(latched(2, 200010), 40);
	assert_false(pit_out(&pit, 2, at(200049)));
	assert_true(pit_out(&pit, 2, at(200050)));
	/* in modes 2 and 3 OUT goes high at once, and the count starts over */
	program(2, 2, 10, 300000);
	pit_write(&pit, 0x61, 0, at(300010));
	assert_true(pit_out(&pit, 2, at(300010)));
	pit_write(&pit, 0x61, 1, at(300025));
	assert_int_equal(latched(2, 300026), 10);
	assert_false(pit_out(&pit, 2, at(300035)));
}

static void port_61_bits(void **state)
{
	uint8_t first;

	pit_init(&pit, START);
	pit_write(&pit, 0x61, 0xff, START);
	assert_int_equal(pit_read(&pit, 0x61, START) & 0xcf, 0x0f);
	first = pit_read(&pit, 0x61, at(18)) & 0x10;
	assert_int_equal(pit_read(&pit, 0x61, at(36)) & 0x10, first ^ 0x10);
}

/* Figures 10 to 14 */
static void read_back_and_latches(void **state)
{
	pit_init(&pit, START);
	program(0, 2, 0x1234, 0);
	/* status: OUT, null count until the counter has it, RW 3, mode 2 */
	pit_write(&pit, 0x43, 0xe2, at(0));
	assert_int_equal(pit_read(&pit, 0x40, at(0)), 0xf4);
	pit_write(&pit, 0x43, 0xe2, at(1));
	assert_int_equal(pit_read(&pit, 0x40, at(1)), 0xb4);
	/* both: the status comes first; a second latch is ignored until the first is read */
	pit_write(&pit, 0x43, 0xc2, at(11));
	pit_write(&pit, 0x43, 0xc2, at(500));
	pit_write(&pit, 0x43, 0x00, at(500));
	assert_int_equal(pit_read(&pit, 0x40, at(600)), 0xb4);
	assert_int_equal(pit_read(&pit, 0x40, at(600)), 0x2a);
	assert_int_equal(pit_read(&pit, 0x40, at(600)), 0x12);
	/* then the live count again, low byte first */
	assert_int_equal(pit_read(&pit, 0x40, at(1)), 0x34);
	assert_int_equal(pit_read(&pit, 0x40, at(1)), 0x12);
	/* a pending count is a null count */
	pit_write(&pit, 0x40, 1, at(2));
	pit_write(&pit, 0x40, 1, at(2));
	pit_write(&pit, 0x43, 0xe2, at(3));
	assert_int_equal(pit_read(&pit, 0x40, at(3)), 0xf4);
	pit_write(&pit, 0x43, 0xe2, at(0x1234 + 1));
	assert_int_equal(pit_read(&pit, 0x40, at(0x1234 + 1)), 0xb4);
}

static void single_bytes_and_bcd(void **state)
{
	pit_init(&pit, START);
	pit_write(&pit, 0x43, 0x14, START); /* low byte only, mode 2 */
	pit_write(&pit, 0x40, 100, START);
	assert_int_equal(pit_next_event(&pit), at(101));
	pit_write(&pit, 0x43, 0x24, at(200)); /* high byte only */
	pit_write(&pit, 0x40, 2, at(200));
	assert_int_equal(pit_next_event(&pit), at(713));
	assert_int_equal(pit_read(&pit, 0x40, at(201)), 2);
	pit_write(&pit, 0x43, 0x31, at(1000)); /* BCD, mode 0 */
	pit_write(&pit, 0x40, 0x50, at(1000));
	pit_write(&pit, 0x40, 0x12, at(1000));
	assert_int_equal(pit_next_event(&pit), at(1000 + 1251));
	assert_int_equal(latched(0, 1002), 0x1249);
	program(0, 2, 0, 5000);
	assert_int_equal(pit_next_event(&pit), at(5001 + 65536));
	/* a count of 1 is not allowed in mode 2: no edge ever comes */
	program(0, 2, 1, 100000);
	assert_int_equal(pit_next_event(&pit), UINT64_MAX);
}

/* Long times neither drift nor overflow: a day of 1000 Hz. */
static void exact_over_a_day(void **state)
{
	uint64_t day = 86400ull * PIT_HZ;

	pit_init(&pit, START);
	program(0, 2, 1193, 0);
	pit_tick(&pit, START + 86400 * NS_PER_S);
	assert_int_equal(pit.edges, 1 + (day - 1) / 1193);
	assert_true(pit_next_event(&pit) > START + 86400 * NS_PER_S);
	assert_true(pit_next_event(&pit) <= START + 86400 * NS_PER_S + NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_on_is_quiet),
		cmocka_unit_test(mode0_interrupts_on_terminal_count),
		cmocka_unit_test(mode2_divides),
		cmocka_unit_test(mode2_change_seen_late),
		cmocka_unit_test(mode3_square_wave),
		cmocka_unit_test(mode4_strobes),
		cmocka_unit_test(modes_1_and_5_wait_for_the_gate),
		cmocka_unit_test(calibration_with_channel_2),
		cmocka_unit_test(port_61_bits),
		cmocka_unit_test(read_back_and_latches),
		cmocka_unit_test(single_bytes_and_bcd),
		cmocka_unit_test(exact_over_a_day),
	};

	return cmocka_run_group_tests_name("pit", tests, NULL, NULL);
}
