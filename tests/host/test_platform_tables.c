/*
 * hv/x86/acpi.c and mptable.c: on the tables that guest/ builds for its PC, which know nothing of these
 * parsers, and on tables made bad one way at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/acpi_build.h"
#include "guest/layout.h"
#include "guest/mptable_build.h"
#include "hv/base/log.h"
#include "hv/x86/acpi.h"
#include "hv/x86/mptable.h"
#include "tests/host/plat.h"

#define ACPI_BASE 0xe0000u
#define MP_BASE   0xf0000u

static const uint32_t apic_ids[] = {0, 2, 4, 300};
static const struct pc_config config = {
	.ram_bytes = MIB(64), .cpu_count = 4, .apic_ids = apic_ids, .ioapic_id = 9};

static struct platform pf;
static struct log_reader reader;

static bool read_ram(void *ctx, hpa_t pa, void *buf, size_t len)
{
	if (pa >= MIB(2) || len > MIB(2) - pa)
		return false;
	memcpy(buf, host_ram() + pa, len);
	return true;
}

static const struct phys_reader mem = {read_ram, NULL};

/* What the parsers have logged since the last call. */
static const char *logged(void)
{
	static char text[4096];

	text[log_read(&reader, text, sizeof(text) - 1)] = '\0';
	return text;
}

static uint32_t u32(hpa_t pa)
{
	uint32_t v;

	memcpy(&v, host_ram() + pa, 4);
	return v;
}

/* Makes bytes [pa, pa + len) sum up to 0 by the one at `at`. */
static void fix_sum(hpa_t pa, uint32_t len, hpa_t at)
{
	uint8_t sum = 0;

	host_ram()[at] = 0;
	for (uint32_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + host_ram()[pa + i]);
	host_ram()[at] = (uint8_t)-sum;
}

static hpa_t table(const char *signature)
{
	for (hpa_t pa = ACPI_BASE; pa < MP_BASE; pa += 4)
		if (!memcmp(host_ram() + pa, signature, 4))
			return pa;
	fail_msg("no table %s", signature);
	return 0;
}

static int build(void **state)
{
	struct why why;

	host_ram_reset(MIB(2));
	memset(&pf, 0, sizeof(pf));
	logged();
	return acpi_build(&config, ACPI_BASE, MP_BASE, &why) ||
	       mptable_build(&config, MP_BASE, 0x100000, &why);
}

static int drop(void **state)
{
	host_ram_reset(0);
	return 0;
}

static bool parse(void)
{
	memset(&pf, 0, sizeof(pf));
	return acpi_read(&mem, ACPI_BASE, &pf);
}

static void acpi_of_the_guest_pc(void **state)
{
	assert_int_equal(acpi_find_rsdp(&mem), ACPI_BASE);
	assert_true(parse());
	assert_int_equal(pf.source, PLATFORM_ACPI);
	assert_int_equal(pf.cpu_count, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pf.apic_ids[i], apic_ids[i]);
	assert_int_equal(pf.ioapic_count, 1);
	assert_int_equal(pf.ioapics[0].id, 9);
	assert_int_equal(pf.ioapics[0].base, LAYOUT_IOAPIC);
	assert_int_equal(pf.lapic_base, LAYOUT_LAPIC);
	assert_int_equal(pf.pm1a_cnt, LAYOUT_PM_PORT + 4);
	assert_int_equal(pf.pm_timer, LAYOUT_PM_PORT + 8);
	assert_true(pf.s5_known);
	assert_int_equal(pf.s5_slp_typ_a, 5);
	assert_int_equal(pf.reset.space, 1);
	assert_int_equal(pf.reset.address, LAYOUT_RESET_PORT);
	assert_int_equal(pf.reset_value, LAYOUT_RESET_VALUE);
	assert_string_equal(logged(), "");
}

static void mp_table_of_the_guest_pc(void **state)
{
	assert_true(mptable_read(&mem, &pf));
	assert_int_equal(pf.source, PLATFORM_MP);
	assert_int_equal(pf.cpu_count, 3); /* ID 300 has no place in it */
	assert_int_equal(pf.apic_ids[2], 4);
	assert_int_equal(pf.ioapic_count, 1);
	assert_int_equal(pf.lapic_base, LAYOUT_LAPIC);
	assert_string_equal(logged(), "");
}

static void rsdp_is_found_in_the_ebda(void **state)
{
	const uint16_t segment = LAYOUT_EBDA >> 4;

	memcpy(host_ram() + LAYOUT_EBDA + 0x20, host_ram() + ACPI_BASE, 36);
	assert_int_equal(acpi_find_rsdp(&mem), ACPI_BASE);
	memcpy(host_ram() + 0x40e, &segment, 2);
	assert_int_equal(acpi_find_rsdp(&mem), LAYOUT_EBDA + 0x20);
}

static void damaged_root_is_refused(void **state)
{
	host_ram()[ACPI_BASE + 9] ^= 1;
	assert_int_equal(acpi_find_rsdp(&mem), 0);
	assert_false(parse());
	assert_non_null(strstr(logged(), "root pointer"));
}

static void bad_checksum_names_the_table(void **state)
{
	host_ram()[table("APIC") + 20] ^= 1;
	assert_true(parse());
	assert_int_equal(pf.cpu_count, 0);
	assert_true(pf.s5_known);
	assert_non_null(strstr(logged(), "table APIC at"));
}

static void bad_length_names_the_table(void **state)
{
	const uint32_t lengths[] = {0, 35, (uint32_t)MIB(1) + 1, UINT32_MAX};

	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		build(state);
		memcpy(host_ram() + table("FACP") + 4, &lengths[i], 4);
		assert_true(parse());
		assert_int_equal(pf.cpu_count, 4);
		assert_int_equal(pf.pm1a_cnt, 0);
		assert_non_null(strstr(logged(), "has length"));
	}
}

static void xsdt_that_is_bad_leaves_the_rsdt(void **state)
{
	host_ram()[table("XSDT") + 20] ^= 1;
	assert_true(parse());
	assert_int_equal(pf.cpu_count, 4);
	assert_non_null(strstr(logged(), "table XSDT at"));
}

static void madt_entry_of_no_length_ends_it(void **state)
{
	hpa_t madt = table("APIC");

	host_ram()[madt + 44 + 1] = 0;
	fix_sum(madt, u32(madt + 4), madt + 9);
	assert_true(parse());
	assert_int_equal(pf.cpu_count, 0);
	assert_non_null(strstr(logged(), "broken entry at offset 44"));
}

static void disabled_cpu_is_left_out(void **state)
{
	hpa_t madt = table("APIC");

	host_ram()[madt + 44 + 4] = 0;
	fix_sum(madt, u32(madt + 4), madt + 9);
	assert_true(parse());
	assert_int_equal(pf.cpu_count, 3);
	assert_int_equal(pf.apic_ids[0], 2);
}

static void fadt_of_acpi_1_has_no_reset(void **state)
{
	hpa_t fadt = table("FACP");
	uint32_t length = 116, flags = u32(fadt + 112) & ~(1u << 10);

	memcpy(host_ram() + fadt + 112, &flags, 4);
	fix_sum(fadt, u32(fadt + 4), fadt + 9);
	assert_true(parse());
	assert_int_equal(pf.reset.address, 0);
	memcpy(host_ram() + fadt + 4, &length, 4);
	fix_sum(fadt, length, fadt + 9);
	assert_true(parse());
	assert_int_equal(pf.reset.address, 0);
	assert_int_equal(pf.pm1a_cnt, LAYOUT_PM_PORT + 4);
	assert_true(pf.s5_known);
}

static void mp_table_with_a_bad_sum_is_named(void **state)
{
	host_ram()[u32(MP_BASE + 4) + 10] ^= 1;
	assert_false(mptable_read(&mem, &pf));
	assert_int_equal(pf.cpu_count, 0);
	assert_non_null(strstr(logged(), "is bad"));
}

static void mp_table_cut_short_is_named(void **state)
{
	hpa_t at = u32(MP_BASE + 4);
	uint16_t length = 44 + 30;

	memcpy(host_ram() + at + 4, &length, 2);
	fix_sum(at, length, at + 7);
	assert_true(mptable_read(&mem, &pf));
	assert_int_equal(pf.cpu_count, 1);
	assert_non_null(strstr(logged(), "entry 1 reaches past"));
}

static void mp_default_configuration_has_two_cpus(void **state)
{
	host_ram()[MP_BASE + 11] = 5;
	fix_sum(MP_BASE, 16, MP_BASE + 10);
	assert_true(mptable_read(&mem, &pf));
	assert_int_equal(pf.cpu_count, 2);
	assert_int_equal(pf.apic_ids[1], 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, build, drop)
	const struct CMUnitTest tests[] = {
		TEST(acpi_of_the_guest_pc),
		TEST(mp_table_of_the_guest_pc),
		TEST(rsdp_is_found_in_the_ebda),
		TEST(damaged_root_is_refused),
		TEST(bad_checksum_names_the_table),
		TEST(bad_length_names_the_table),
		TEST(xsdt_that_is_bad_leaves_the_rsdt),
		TEST(madt_entry_of_no_length_ends_it),
		TEST(disabled_cpu_is_left_out),
		TEST(fadt_of_acpi_1_has_no_reset),
		TEST(mp_table_with_a_bad_sum_is_named),
		TEST(mp_table_cut_short_is_named),
		TEST(mp_default_configuration_has_two_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
