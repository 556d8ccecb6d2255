/* hv/base/log.c: lines that somebody could write without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/log.h"
#include "tests/host/plat.h"

static struct log_reader reader;
static char text[256 * 1024];
static unsigned evaluated;

static unsigned lines(const char *what)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static void take(void)
{
	text[log_read(&reader, text, sizeof(text) - 1)] = '\0';
}

static int setup(void **state)
{
	struct why why;

	assert_int_equal(log_configure("info", &why), 0);
	take();
	evaluated = 0;
	return 0;
}

static unsigned value(void)
{
	return ++evaluated;
}

static void first(void)
{
	log_warn_few(LOG_GUEST, "first %u", value());
}

static void flood_of_one_place(void **state)
{
	for (unsigned i = 0; i < 1000; i++)
		first();
	take();
	assert_int_equal(lines("warning: first "), LOG_FEW);
	assert_int_equal(lines("come too often"), 1);
	assert_int_equal(evaluated, LOG_FEW);
	/* Just before the time is over, and then. */
	host_log_ns += LOG_LIMIT_NS - 1;
	first();
	take();
	assert_string_equal(text, "");
	host_log_ns++;
	first();
	first();
	take();
	assert_int_equal(lines("warning: 993 lines like the next one were left out"), 1);
	assert_int_equal(lines("warning: first "), 2);
	/* Told once. */
	host_log_ns += LOG_LIMIT_NS;
	first();
	take();
	assert_int_equal(lines("left out"), 0);
	assert_int_equal(lines("first"), 1);
}

static void each_place_for_itself(void **state)
{
	host_log_ns += LOG_LIMIT_NS;
	for (unsigned i = 0; i < 20; i++) {
		log_info_few(LOG_GUEST, "one");
		log_info_few(LOG_GUEST, "two");
		log_limited(LOG_MANY, LOG_GUEST, LOG_INFO, "many %u", i);
	}
	take();
	assert_int_equal(lines(": one"), LOG_FEW);
	assert_int_equal(lines(": two"), LOG_FEW);
	assert_int_equal(lines(": many"), 20);
	assert_int_equal(lines("come too often"), 2);
}

static void clock_of_another_cpu(void **state)
{
	for (unsigned i = 0; i < 100; i++) {
		host_log_ns += i % 2 ? -1000ull : 1000;
		log_info_few(LOG_GUEST, "skewed");
	}
	take();
	assert_int_equal(lines("skewed"), LOG_FEW);
}

/* What is switched off counts for nothing. */
static void levels(void **state)
{
	struct why why;

	assert_int_equal(log_configure("guest=error", &why), 0);
	for (unsigned i = 0; i < 100; i++) {
		if (i == 90)
			assert_int_equal(log_configure("guest=info", &why), 0);
		log_info_few(LOG_GUEST, "level %u", i);
	}
	take();
	assert_int_equal(lines("level 9"), LOG_FEW);
	assert_int_equal(lines("come too often"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(flood_of_one_place, setup),
		cmocka_unit_test_setup(each_place_for_itself, setup),
		cmocka_unit_test_setup(clock_of_another_cpu, setup),
		cmocka_unit_test_setup(levels, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
