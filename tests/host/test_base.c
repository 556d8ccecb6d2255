/* hv/base: fmt against libc's printf, bits, cmdline, log, locks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/bits.h"
#include "hv/base/cmdline.h"
#include "hv/base/counter.h"
#include "hv/base/fmt.h"
#include "hv/base/gmem.h"
#include "hv/base/log.h"
#include "hv/base/report.h"
#include "hv/base/spinlock.h"
#include "tests/host/plat.h"

#define SAME(...)                                                                   \
	do {                                                                        \
		char ours[128], theirs[128];                                        \
		size_t n = fmt_print(ours, sizeof(ours), __VA_ARGS__);              \
		assert_int_equal(n, snprintf(theirs, sizeof(theirs), __VA_ARGS__)); \
		assert_string_equal(ours, theirs);                                  \
	} while (0)

static void fmt_equals_printf(void **state)
{
	SAME("%d|%5d|%-5d|%05d|%+d|% d", -42, 42, 42, 42, 42, 42);
	SAME("%x|%#x|%08x|%#10x|%-10x|%X", 0xbeefu, 0xbeefu, 0xbeefu, 0xbeefu, 0xbeefu, 0xbeefu);
	SAME("%llx %lu %zu %o", 0x123456789abcdefull, 77ul, (size_t)99, 0755u);
	SAME("%hhu %hd", 200, -3);
	SAME("%lld %lld", (long long)INT64_MIN, (long long)INT64_MAX);
	SAME("%s|%10s|%-10s|%.2s|%c", "abc", "abc", "abc", "abc", 'x');
	SAME("%.5d|%8.5d|%.0d|%*d|%-*d|%.*s", 42, 42, 0, 6, 7, 6, 7, 2, "xyz");
	SAME("%#x %%", 0u);
}

static void fmt_cuts_and_terminates(void **state)
{
	char buf[8];

	memset(buf, 'z', sizeof(buf));
	assert_int_equal(fmt_print(buf, 5, "%s", "abcdefgh"), 8);
	assert_string_equal(buf, "abcd");
	assert_int_equal(buf[5], 'z');
	assert_int_equal(fmt_print(buf, 0, "x"), 1);
}

static void bits_work(void **state)
{
	assert_int_equal(BITS(63, 0), UINT64_MAX);
	assert_int_equal(BITS(11, 4), 0xff0);
	assert_int_equal(bits_get(0xabcd, 11, 4), 0xbc);
	assert_true(range_within(0, 0, 0));
	assert_false(range_within(UINT64_MAX, 2, UINT64_MAX));
	assert_true(is_sign_extended(0x00007fffffffffff, 48));
	assert_true(is_sign_extended(0xffff800000000000, 48));
	assert_false(is_sign_extended(0x0000800000000000, 48));
	assert_false(is_sign_extended(0x8000000000000000, 48));
	assert_true(is_sign_extended(0x0000800000000000, 57));
	assert_int_equal(mul_div(UINT64_MAX, 1000, 1000), UINT64_MAX);
	assert_int_equal(mul_div(3000000000ull * 1000, NS_PER_S, 3000000000ull), 1000 * NS_PER_S);
	assert_int_equal(mul_div(UINT64_MAX - 1, UINT64_MAX - 2, UINT64_MAX), UINT64_MAX - 3);
}

struct opts {
	bool flag;
	uint64_t number, size;
	char text[8];
	unsigned choice;
};

static int parse(struct opts *o, const char *line, struct why *why)
{
	static const char *const colors[] = {"red", "green", NULL};
	const struct opt table[] = {
		{"flag", OPT_FLAG, &o->flag, 0, 0, NULL, "on or off"},
		{"nodes", OPT_NUMBER, &o->number, 1, 64, NULL, "the node count, 1 to 64"},
		{"mem", OPT_SIZE, &o->size, MIB(1), GIB(4), NULL, "a size like 256M"},
		{"name", OPT_TEXT, o->text, 0, sizeof(o->text), NULL, "at most 7 letters"},
		{"color", OPT_CHOICE, &o->choice, 0, 0, colors, "red or green"},
	};

	memset(o, 0, sizeof(*o));
	return cmdline_parse(line, table, ARRAY_LEN(table), why);
}

static void cmdline_takes_every_kind(void **state)
{
	struct opts o;
	struct why why;

	assert_int_equal(parse(&o, " flag nodes=0x10  mem=2G name=\"a b\" color=green\n", &why), 0);
	assert_true(o.flag);
	assert_int_equal(o.number, 16);
	assert_int_equal(o.size, GIB(2));
	assert_string_equal(o.text, "a b");
	assert_int_equal(o.choice, 1);
	assert_int_equal(parse(&o, "mem=64", &why), 0);
	assert_int_equal(o.size, MIB(64));
}

static void cmdline_names_each_mistake(void **state)
{
	static const char *const bad[][2] = {
		{"bogus=1",
		 "option 'bogus' is unknown; the options are flag, nodes, mem, name, color"},
		{"nodes=65", "option 'nodes=65' is wrong; expected the node count, 1 to 64"},
		{"nodes=", "option 'nodes=' is wrong; expected the node count, 1 to 64"},
		{"nodes", "option 'nodes' is wrong; expected the node count, 1 to 64"},
		{"nodes=99999999999999999999",
		 "option 'nodes=99999999999999999999' is wrong; expected the node count, 1 to 64"},
		{"mem=5x", "option 'mem=5x' is wrong; expected a size like 256M"},
		{"name=12345678", "option 'name=12345678' is wrong; expected at most 7 letters"},
		{"color=blue", "option 'color=blue' is wrong; expected red or green"},
		{"flag=maybe", "option 'flag=maybe' is wrong; expected on or off"},
		{"name=\"x", "the double quote in option 'name' is not closed"},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct opts o;
		struct why why = {""};

		assert_int_equal(parse(&o, bad[i][0], &why), ERR_INVALID);
		assert_string_equal(why.text, bad[i][1]);
	}
}

static void log_lines_and_levels(void **state)
{
	struct log_reader r = {0};
	char text[256];
	struct why why;

	log_print(LOG_APIC, LOG_DEBUG, "not seen");
	log_info(LOG_APIC, "value %d", 7);
	text[log_read(&r, text, sizeof(text) - 1)] = '\0';
	assert_string_equal(text, "[    1.234567] n0.c0 apic: value 7\n");
	assert_int_equal(log_configure("apic=debug,dev=error", &why), 0);
	assert_true(log_enabled(LOG_APIC, LOG_DEBUG));
	assert_false(log_enabled(LOG_DEV, LOG_WARN));
	assert_int_equal(log_configure("apic=loud", &why), ERR_INVALID);
	assert_string_equal(why.text,
			    "log level 'loud' is unknown; expected error, warn, info or debug");
	assert_int_equal(log_configure("warp=info", &why), ERR_INVALID);
	assert_int_equal(log_configure("info", &why), 0);
}

static size_t read_all(struct log_reader *r, char *text, size_t size)
{
	size_t n = log_read(r, text, size - 1);

	text[n] = '\0';
	return n;
}

/*
 * The node's own readers see everything, those that carry the log elsewhere no private line, nor a part of
 * one.
 */
static void private_lines_stay_here(void **state)
{
	struct log_reader own = {0}, outside = {.outside = true};
	static char text[300 * 1024], line[400];

	(void)state;
	while (log_read(&own, text, sizeof(text)) > 0)
		;
	while (log_read(&outside, text, sizeof(text)) > 0)
		;
	log_info(LOG_BOOT, "before");
	log_private(LOG_BOOT, "password=secret\npassword=again\1 %d", 7);
	log_info(LOG_BOOT, "behind");
	read_all(&own, text, sizeof(text));
	assert_string_equal(text, "[    1.234567] n0.c0 boot: before\n"
				  "[    1.234567] n0.c0 boot: password=secret password=again  7\n"
				  "[    1.234567] n0.c0 boot: behind\n");
	/* Byte by byte: what is to be skipped may begin in one read and end in another. */
	for (size_t n = 0, got = 1; got > 0; n += got) {
		got = log_read(&outside, text + n, 1);
		text[n + got] = '\0';
	}
	assert_string_equal(text, "[    1.234567] n0.c0 boot: before\n"
				  "[    1.234567] n0.c0 boot: behind\n");
	/* A reader that comes when the private line's beginning has been overwritten. */
	memset(line, 's', sizeof(line) - 1);
	for (unsigned cut = 0; cut < 300; cut += 29) {
		struct log_reader late = {.outside = true};

		log_private(LOG_BOOT, "%s", line);
		for (unsigned i = 0; i < 256 * 1024 / 59 - 5; i++) /* 59 bytes each */
			log_info(LOG_BOOT, "%026u line", i);
		log_info(LOG_BOOT, "%0*u", (int)(cut + 1), 0);
		read_all(&late, text, sizeof(text));
		assert_null(strstr(text, "ss"));
	}
}

static void report_goes_where_it_is_wanted(void **state)
{
	char text[12];
	struct report to_text = {.buf = text, .size = sizeof(text)}, to_log = {0};
	struct log_reader r = {0};
	char log[1024];

	(void)state;
	while (log_read(&r, log, sizeof(log)) > 0)
		;
	report_line(&to_text, LOG_DEV, "%d", 12345);
	assert_string_equal(text, "12345\n");
	/* It would need one byte more than there is. */
	report_line(&to_text, LOG_DEV, "%d", 67890);
	assert_int_equal(to_text.len, 6);
	assert_string_equal(text, "12345\n");
	report_line(&to_text, LOG_DEV, "%d", 6789);
	assert_string_equal(text, "12345\n6789\n");

	report_line(&to_log, LOG_DEV, "to the log with %d", 7);
	log[log_read(&r, log, sizeof(log) - 1)] = '\0';
	assert_non_null(strstr(log, " dev: to the log with 7\n"));
	assert_null(strstr(log, "12345"));
}

static void log_says_what_was_lost(void **state)
{
	struct log_reader r = {0};
	static char text[300 * 1024];

	for (int i = 0; i < 10000; i++)
		log_info(LOG_DEV, "line %d of many, to fill the ring", i);
	size_t n = log_read(&r, text, sizeof(text) - 1);
	text[n] = '\0';
	assert_non_null(strstr(text, "bytes of log lost]"));
	assert_non_null(strstr(text, "line 9999 of many"));
}

/* Does the statement panic? */
#define PANICS(statement)                           \
	({                                          \
		volatile bool panicked = true;      \
                                                    \
		host_panic_expected = true;         \
		if (setjmp(host_panic_jump) == 0) { \
			statement;                  \
			panicked = false;           \
		}                                   \
		host_panic_expected = false;        \
		panicked;                           \
	})

static void lock_panics_on_second_take(void **state)
{
	struct spinlock l = SPINLOCK(RANK_LINK);

	spin_lock(&l);
	assert_true(PANICS(spin_lock(&l)));
	assert_true(PANICS(spin_trylock(&l)));
	spin_unlock(&l);
	assert_true(PANICS(spin_unlock(&l)));
	assert_true(spin_trylock(&l));
	spin_unlock(&l);
}

static void locks_are_taken_in_rising_order(void **state)
{
	struct spinlock outer = SPINLOCK(RANK_PC), inner, bare = {0};

	spin_init(&inner, RANK_LOG);
	assert_true(PANICS(spin_lock(&bare)));
	spin_lock(&inner);
	assert_true(PANICS(spin_lock(&outer)));
	assert_true(PANICS(spin_trylock(&outer)));
	spin_unlock(&inner);
	spin_lock(&outer);
	assert_true(spin_trylock(&inner));
	/* What was taken first may be given back first. */
	spin_unlock(&outer);
	assert_true(PANICS(spin_lock(&outer)));
	spin_unlock(&inner);
	spin_lock(&outer);
	spin_unlock(&outer);
}

static void *page;

static void gmem_is_one_page_at_a_time(void **state)
{
	struct spinlock link = SPINLOCK(RANK_LINK), log = SPINLOCK(RANK_LOG);

	host_ram_reset(8192);
	assert_ptr_equal(plat_gmem_acquire(16, 4, false), host_ram() + 16);
	assert_true(PANICS(page = plat_gmem_acquire(4096, 4, false)));
	assert_true(PANICS(page = plat_gmem_acquire(16, 4, false)));
	assert_true(PANICS(spin_lock(&link)));
	spin_lock(&log);
	spin_unlock(&log);
	assert_true(PANICS(plat_gmem_release(4096, 4, false)));
	assert_true(PANICS(plat_gmem_release(16, 8, false)));
	assert_true(PANICS(plat_gmem_release(16, 4, true)));
	plat_gmem_release(16, 4, false);
	assert_true(PANICS(plat_gmem_release(16, 4, false)));
	assert_true(PANICS(page = plat_gmem_acquire(4094, 4, true)));
	/* Nothing was acquired, so there is nothing in the way of the next. */
	assert_null(plat_gmem_acquire(8192, 4, true));
	assert_ptr_equal(plat_gmem_acquire(4096, 4, true), host_ram() + 4096);
	plat_gmem_release(4096, 4, true);
	host_ram_reset(0);
}

static void gmem_crosses_pages_and_ends(void **state)
{
	char in[9000], out[9000];

	host_ram_reset(16384);
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (char)(i * 7);
	assert_int_equal(gmem_write(4000, in, sizeof(in)), 0);
	assert_int_equal(gmem_read(4000, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(gmem_write(16384 - 10, in, 11), ERR_RANGE);
	assert_false(host_ram_held());
	host_ram_reset(0);
}

static void hist_quantiles(void **state)
{
	struct hist h = {0};

	assert_int_equal(hist_quantile(&h, 500), 0);
	for (unsigned i = 0; i < 99; i++)
		hist_add(&h, 100);
	hist_add(&h, 5000);
	assert_int_equal(hist_quantile(&h, 500), 127);
	assert_int_equal(hist_quantile(&h, 1000), 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fmt_equals_printf),
		cmocka_unit_test(fmt_cuts_and_terminates),
		cmocka_unit_test(bits_work),
		cmocka_unit_test(cmdline_takes_every_kind),
		cmocka_unit_test(cmdline_names_each_mistake),
		cmocka_unit_test(log_lines_and_levels),
		cmocka_unit_test(private_lines_stay_here),
		cmocka_unit_test(log_says_what_was_lost),
		cmocka_unit_test(report_goes_where_it_is_wanted),
		cmocka_unit_test(lock_panics_on_second_take),
		cmocka_unit_test(locks_are_taken_in_rising_order),
		cmocka_unit_test(gmem_is_one_page_at_a_time),
		cmocka_unit_test(gmem_crosses_pages_and_ends),
		cmocka_unit_test(hist_quantiles),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
