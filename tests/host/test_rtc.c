/* guest/rtc: the MC146818 by its data sheet, and how Linux reads and sets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "guest/rtc.h"
#include "hv/base/types.h"

#define START    777777777ull
#define NEW_2026 1767225600 /* 2026-01-01 00:00:00, a Thursday */

static struct rtc rtc;

static uint8_t get(uint8_t reg, uint64_t now)
{
	rtc_write(&rtc, 0x70, reg, now);
	return rtc_read(&rtc, 0x71, now);
}

static void set(uint8_t reg, uint8_t v, uint64_t now)
{
	rtc_write(&rtc, 0x70, reg, now);
	rtc_write(&rtc, 0x71, v, now);
}

static void init(int64_t t)
{
	rtc_init(&rtc, MIB(512), GIB(1), t, START);
}

static uint64_t after(uint64_t seconds)
{
	return START + seconds * NS_PER_S;
}

static void check_time(uint64_t now, const char *expected)
{
	char text[32];

	snprintf(text, sizeof(text), "%02x%02x-%02x-%02x %02x:%02x:%02x %u", get(0x32, now),
		 get(9, now), get(8, now), get(7, now), get(4, now), get(2, now), get(0, now),
		 get(6, now));
	assert_string_equal(text, expected);
}

static void time_runs_in_bcd(void **state)
{
	init(NEW_2026 - 1);
	check_time(START, "2025-12-31 23:59:59 4");
	check_time(after(1), "2026-01-01 00:00:00 5");
	check_time(after(1 + 86400 * 58 + 45296), "2026-02-28 12:34:56 7");
	init(951782399); /* 2000 was a leap year */
	check_time(after(1), "2000-02-29 00:00:00 3");
	assert_int_equal(get(0x0d, START), 0x80);
}

/* Every day of four centuries against libc. */
static void calendar_agrees_with_libc(void **state)
{
	for (int64_t t = 0; t < 400ll * 366 * 86400; t += 86400 + 3607) {
		time_t when = (time_t)t;
		struct tm *tm = gmtime(&when);

		init(t);
		rtc.cmos[0x0b] = 0x06;
		assert_int_equal(get(0x32, START) * 100 + get(9, START), tm->tm_year + 1900);
		assert_int_equal(get(8, START), tm->tm_mon + 1);
		assert_int_equal(get(7, START), tm->tm_mday);
		assert_int_equal(get(6, START), tm->tm_wday + 1);
		assert_int_equal(get(4, START), tm->tm_hour);
		/* writing a second back must give the same time */
		set(0, (uint8_t)tm->tm_sec, START);
		assert_int_equal(rtc.base, t);
	}
}

static void twelve_hours_and_binary(void **state)
{
	static const uint8_t hours[24] = {0x12, 1,    2,    3,    4,    5,    6,    7,
					  8,    9,    0x10, 0x11, 0x92, 0x81, 0x82, 0x83,
					  0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x90, 0x91};

	init(NEW_2026);
	set(0x0b, 0x00, START);
	for (unsigned h = 0; h < 24; h++) {
		assert_int_equal(get(4, after(3600 * h)), hours[h]);
		set(4, hours[h], after(3600 * h));
		assert_int_equal(get(4, after(3600 * h)), hours[h]);
	}
	set(0x0b, 0x06, START);
	assert_int_equal(get(4, after(3600 * 23)), 23);
	assert_int_equal(get(9, START), 26);
}

/* Register A's UIP: high for 244 us + 1984 us before the second ends. */
static void uip_announces_the_update(void **state)
{
	init(NEW_2026);
	assert_int_equal(get(0x0a, START), 0x26);
	assert_int_equal(get(0x0a, after(1) - 2229 * NS_PER_US), 0x26);
	assert_int_equal(get(0x0a, after(1) - 2228 * NS_PER_US), 0xa6);
	assert_int_equal(get(0x00, after(1) - 1), 0x00);
	assert_int_equal(get(0x0a, after(1) - 1), 0xa6);
	assert_int_equal(get(0x0a, after(1)), 0x26);
	assert_int_equal(get(0x00, after(1)), 0x01);
	/* not while SET holds the clock */
	set(0x0b, 0x82, START);
	assert_int_equal(get(0x0a, after(1) - 1), 0x26);
}

/* Linux's mc146818_set_time: SET, divider reset, all bytes, both restored. */
static void set_as_linux_does(void **state)
{
	uint64_t now = after(10) + 123456;

	init(NEW_2026);
	set(0x0b, 0x82, now);
	set(0x0a, 0x76, now);
	set(9, 0x33, now);
	set(8, 0x02, now);
	set(7, 0x31, now);
	set(7, 0x28, now);
	set(4, 0x23, now);
	set(2, 0x59, now);
	set(0, 0x58, now);
	set(0x32, 0x20, now);
	check_time(now + 5 * NS_PER_S, "2033-02-28 23:59:58 5");
	set(0x0b, 0x02, now);
	set(0x0a, 0x26, now);
	/* half a second until the first update */
	assert_int_equal(get(0, now + NS_PER_S / 2 - 1), 0x58);
	assert_int_equal(get(0, now + NS_PER_S / 2), 0x59);
	check_time(now + NS_PER_S * 3 / 2, "2033-03-01 00:00:00 3");
}

static void set_bit_alone_keeps_the_phase(void **state)
{
	init(NEW_2026);
	set(0x0b, 0x82, after(5) + 400);
	assert_int_equal(get(0, after(8)), 0x05);
	set(0, 0x30, after(8) + 400);
	set(0x0b, 0x02, after(8) + 400);
	assert_int_equal(get(0, after(9) - 1), 0x30);
	assert_int_equal(get(0, after(9)), 0x31);
}

static void update_interrupt(void **state)
{
	init(NEW_2026);
	assert_int_equal(rtc_next_event(&rtc), UINT64_MAX);
	set(0x0b, 0x12, START + 5);
	assert_int_equal(rtc_next_event(&rtc), after(1));
	rtc_tick(&rtc, after(1) - 1);
	assert_false(rtc_irq(&rtc));
	rtc_tick(&rtc, after(1));
	assert_true(rtc_irq(&rtc));
	assert_int_equal(rtc_next_event(&rtc), UINT64_MAX);
	/* reading register C takes it away; the periodic flag is up, too, but not enabled */
	assert_int_equal(get(0x0c, after(1)), 0xd0);
	assert_false(rtc_irq(&rtc));
	assert_int_equal(get(0x0c, after(1)), 0x00);
	assert_int_equal(rtc_next_event(&rtc), after(2));
	/* SET clears the enable */
	set(0x0b, 0x92, after(1));
	assert_int_equal(get(0x0b, after(1)), 0x82);
}

/* A flag that is up interrupts when it is enabled: IRQF is the enabled flags' or. */
static void flags_without_enables(void **state)
{
	init(NEW_2026);
	rtc_tick(&rtc, after(1));
	assert_false(rtc_irq(&rtc));
	set(0x0b, 0x12, after(1));
	assert_true(rtc_irq(&rtc));
	set(0x0b, 0x02, after(1));
	assert_false(rtc_irq(&rtc));
	assert_int_equal(get(0x0c, after(1)) & 0x10, 0x10);
}

static void alarm_rings(void **state)
{
	init(NEW_2026);
	set(5, 0x06, START);
	set(3, 0x30, START);
	set(1, 0x15, START);
	set(0x0b, 0x22, START);
	assert_int_equal(rtc_next_event(&rtc), after(6 * 3600 + 30 * 60 + 15));
	rtc_tick(&rtc, after(6 * 3600 + 30 * 60 + 14));
	assert_false(rtc_irq(&rtc));
	rtc_tick(&rtc, after(6 * 3600 + 30 * 60 + 15));
	assert_int_equal(get(0x0c, after(6 * 3600 + 30 * 60 + 15)), 0xf0);
	/* the next day again; don't-care bytes ring more often; a day's gap is noticed late, too */
	assert_int_equal(rtc_next_event(&rtc), after(86400 + 6 * 3600 + 30 * 60 + 15));
	rtc_tick(&rtc, after(3 * 86400));
	assert_true(rtc_irq(&rtc));
	get(0x0c, after(3 * 86400));
	set(5, 0xff, after(3 * 86400));
	set(3, 0xc0, after(3 * 86400));
	assert_int_equal(rtc_next_event(&rtc), after(3 * 86400 + 15));
	/* from the middle of an hour to an earlier minute of another */
	set(5, 0x06, after(3 * 86400 + 1234));
	set(3, 0x10, after(3 * 86400 + 1234));
	get(0x0c, after(3 * 86400 + 1234));
	assert_int_equal(rtc_next_event(&rtc), after(3 * 86400 + 6 * 3600 + 10 * 60 + 15));
	/* a byte that no time has never rings */
	set(1, 0x99, after(3 * 86400 + 1234));
	assert_int_equal(rtc_next_event(&rtc), UINT64_MAX);
}

static void periodic_interrupt(void **state)
{
	init(NEW_2026);
	set(0x0b, 0x42, START);
	/* rate 6: 1024 Hz */
	assert_int_equal(rtc_next_event(&rtc), START + 976563);
	rtc_tick(&rtc, START + 976562);
	assert_false(rtc_irq(&rtc));
	rtc_tick(&rtc, START + 976563);
	assert_int_equal(get(0x0c, START + 976563), 0xc0);
	assert_int_equal(rtc_next_event(&rtc), START + 1953125);
	/* until the flag is read, no other interrupt comes */
	rtc_tick(&rtc, START + NS_PER_S);
	assert_int_equal(rtc_next_event(&rtc), UINT64_MAX);
	get(0x0c, START + NS_PER_S);
	/* rates 1 and 2 are those of 8 and 9 */
	set(0x0a, 0x21, START + NS_PER_S);
	assert_int_equal(rtc_next_event(&rtc), START + NS_PER_S + 3906250);
	set(0x0a, 0x2f, START + NS_PER_S);
	assert_int_equal(rtc_next_event(&rtc), START + NS_PER_S + 500000000);
	set(0x0a, 0x20, START + NS_PER_S);
	assert_int_equal(rtc_next_event(&rtc), UINT64_MAX);
}

static void cmos_memory(void **state)
{
	uint16_t sum = 0;

	init(NEW_2026);
	assert_int_equal(get(0x15, START) | get(0x16, START) << 8, 640);
	assert_int_equal(get(0x17, START) | get(0x18, START) << 8, 0xffff);
	assert_int_equal(get(0x34, START) | get(0x35, START) << 8, 496 * 16);
	assert_int_equal(get(0x5b, START) | get(0x5c, START) << 8, 0x4000);
	for (uint8_t i = 0x10; i < 0x2e; i++)
		sum = (uint16_t)(sum + get(i, START));
	assert_int_equal(get(0x2e, START) << 8 | get(0x2f, START), sum);
	/* the shutdown byte and what lies behind bit 7 of the index, which is the NMI mask */
	set(0x0f, 0x0a, START);
	assert_int_equal(get(0x8f, START), 0x0a);
	assert_int_equal(rtc_read(&rtc, 0x70, START), 0xff);
	/* a reset keeps it and the time, and turns the interrupts off */
	set(0x0b, 0x72, START);
	rtc_reset(&rtc);
	assert_int_equal(get(0x0f, START), 0x0a);
	assert_int_equal(get(0x0b, START), 0x02);
	check_time(after(3), "2026-01-01 00:00:03 5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_runs_in_bcd),
		cmocka_unit_test(calendar_agrees_with_libc),
		cmocka_unit_test(twelve_hours_and_binary),
		cmocka_unit_test(uip_announces_the_update),
		cmocka_unit_test(set_as_linux_does),
		cmocka_unit_test(set_bit_alone_keeps_the_phase),
		cmocka_unit_test(update_interrupt),
		cmocka_unit_test(flags_without_enables),
		cmocka_unit_test(alarm_rings),
		cmocka_unit_test(periodic_interrupt),
		cmocka_unit_test(cmos_memory),
	};

	return cmocka_run_group_tests_name("rtc", tests, NULL, NULL);
}
