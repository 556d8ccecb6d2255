/* hv/svm/svm_caps.c: which CPUs will do, and what the others are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/virt/preflight.h"
#include "hv/svm/svm_caps.h"

#define LOCK   8u
#define SVMDIS 16u
#define NP     1u

/* A CPU with all that is asked for. */
static const struct svm_raw good = {
	.svm = true,
	.rdtscp = true,
	.asids = 64,
	.features = 0x1000 | 0x400 | 0x80 | 0x40 | 8 | NP,
	.phys_bits = 48,
	.linear_bits = 48,
};

static void refused(const struct svm_raw *raw, const char *sentence)
{
	struct svm_caps caps;
	struct preflight report;
	struct why why;

	assert_int_equal(svm_caps_settle(raw, &caps, &why), ERR_UNSUPPORTED);
	assert_non_null(strstr(why.text, sentence));
	preflight_init(&report);
	svm_caps_preflight(raw, &report);
	assert_false(preflight_passed(&report));
	assert_string_equal(preflight_first_missing(&report), why.text);
}

static void names_what_is_missing(void **state)
{
	struct svm_raw raw = good;

	raw.svm = false;
	refused(&raw, "this CPU has no AMD-V");
	raw = good;
	raw.features &= ~NP;
	refused(&raw, "AMD-V without nested paging");
	raw = good;
	raw.asids = 1;
	refused(&raw, "1 address space identifiers");
}

static void takes_what_is_there(void **state)
{
	struct svm_raw raw = good;
	struct svm_caps caps;
	struct why why;

	assert_int_equal(svm_caps_settle(&raw, &caps, &why), 0);
	assert_true(caps.next_rip && caps.decode_assist && caps.flush_asid && caps.pause_filter &&
		    caps.rdtscp);
	assert_int_equal(caps.phys_bits, 48);
	/* The least that will do; a PAUSE filter without the threshold is none. */
	raw.features = NP | 0x400;
	raw.asids = 2;
	raw.rdtscp = false;
	assert_int_equal(svm_caps_settle(&raw, &caps, &why), 0);
	assert_false(caps.next_rip || caps.decode_assist || caps.flush_asid || caps.pause_filter ||
		     caps.rdtscp);
}

/* VM_CR, APM vol. 2, 15.30.1: off but not locked is ours to change. */
static void heeds_the_firmwares_lock(void **state)
{
	static const struct {
		uint64_t vm_cr;
		const char *found; /* NULL: refused */
	} rows[] = {
		{0, "left to us by the firmware"},
		{SVMDIS, "left to us by the firmware"},
		{LOCK, "enabled by the firmware"},
		{LOCK | SVMDIS, NULL},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct svm_raw raw = good;
		struct preflight report;
		struct svm_caps caps;
		struct why why;

		raw.vm_cr = rows[i].vm_cr;
		if (!rows[i].found) {
			refused(&raw,
				"firmware has locked AMD-V off (VM_CR is 0x18); enable SVM Mode "
				"in the firmware setup and switch the machine off and on");
			continue;
		}
		assert_int_equal(svm_caps_settle(&raw, &caps, &why), 0);
		preflight_init(&report);
		svm_caps_preflight(&raw, &report);
		assert_true(preflight_passed(&report));
		assert_string_equal(report.lines[0].text, rows[i].found);
	}
}

static enum preflight_verdict verdict(const struct preflight *p, const char *need)
{
	for (unsigned i = 0; i < p->count; i++)
		if (!strcmp(p->lines[i].need, need))
			return p->lines[i].verdict;
	fail_msg("'%s' is not in the report", need);
	return PREFLIGHT_MISSING;
}

static void reports_options(void **state)
{
	struct svm_raw raw = good;
	struct preflight report;

	raw.features &= ~0x80u;
	preflight_init(&report);
	svm_caps_preflight(&raw, &report);
	assert_true(preflight_passed(&report));
	assert_int_equal(verdict(&report, "AMD-V"), PREFLIGHT_FOUND);
	assert_int_equal(verdict(&report, "nested paging"), PREFLIGHT_FOUND);
	assert_int_equal(verdict(&report, "next RIP on exit"), PREFLIGHT_FOUND);
	assert_int_equal(verdict(&report, "decode assists"), PREFLIGHT_WITHOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_what_is_missing),
		cmocka_unit_test(takes_what_is_there),
		cmocka_unit_test(heeds_the_firmwares_lock),
		cmocka_unit_test(reports_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
