/* guest/firmware: ACPI tables read back as an OS would, iasl's verdict on the DSDT, BIOS areas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/acpi_build.h"
#include "guest/firmware.h"
#include "tests/host/plat.h"

static const uint32_t apic_ids[] = {0, 1, 2, 300};
static const struct pc_config config = {
	.ram_bytes = MIB(64), .cpu_count = 4, .apic_ids = apic_ids, .ioapic_id = 9};

static uint32_t u32(gpa_t gpa)
{
	uint32_t v;

	memcpy(&v, host_ram() + gpa, 4);
	return v;
}

static uint16_t u16(gpa_t gpa)
{
	return (uint16_t)u32(gpa);
}

static uint8_t u8(gpa_t gpa)
{
	return host_ram()[gpa];
}

static uint8_t sum(gpa_t gpa, uint32_t size)
{
	uint8_t s = 0;

	while (size--)
		s = (uint8_t)(s + u8(gpa++));
	return s;
}

static void build(void)
{
	struct firmware fw;
	struct why why;

	host_ram_reset(MIB(2));
	memset(host_ram(), 0xcc, MIB(2));
	assert_int_equal(firmware_build(&config, &fw, &why), 0);
	assert_int_equal(fw.rsdp, 0xe0000);
	assert_int_equal(fw.mp_floating, 0xf0000);
	assert_int_equal(host_ram_held(), 0);
}

/* The table with this signature in the XSDT, checked against the RSDT's. */
static gpa_t find(const char *signature)
{
	gpa_t rsdt = u32(0xe0010), xsdt = u32(0xe0018);

	assert_memory_equal(host_ram() + rsdt, "RSDT", 4);
	assert_memory_equal(host_ram() + xsdt, "XSDT", 4);
	assert_int_equal(sum(rsdt, u32(rsdt + 4)), 0);
	assert_int_equal(sum(xsdt, u32(xsdt + 4)), 0);
	for (unsigned i = 0; i < (u32(xsdt + 4) - 36) / 8; i++) {
		gpa_t t = u32(xsdt + 36 + 8 * i);

		assert_int_equal(t, u32(rsdt + 36 + 4 * i));
		assert_int_equal(u32(xsdt + 36 + 8 * i + 4), 0);
		if (memcmp(host_ram() + t, signature, 4) == 0) {
			assert_int_equal(sum(t, u32(t + 4)), 0);
			return t;
		}
	}
	fail_msg("no %s", signature);
	return 0;
}

static void root_and_fadt(void **state)
{
	gpa_t f;

	build();
	assert_memory_equal(host_ram() + 0xe0000, "RSD PTR ", 8);
	assert_int_equal(sum(0xe0000, 20), 0);
	assert_int_equal(sum(0xe0000, 36), 0);
	assert_int_equal(u8(0xe000f), 2);
	f = find("FACP");
	assert_int_equal(u32(f + 4), 244);
	assert_true(u8(f + 8) >= 3);
	assert_int_equal(u16(f + 46), 9);
	assert_int_equal(u32(f + 48), 0);
	assert_int_equal(u32(f + 56), 0x600);
	assert_int_equal(u32(f + 64), 0x604);
	assert_int_equal(u32(f + 76), 0x608);
	assert_int_equal(u8(f + 88), 4);
	assert_int_equal(u8(f + 91), 4);
	assert_int_equal(u8(f + 108), 0x32);
	assert_true(u32(f + 112) & 1 << 10);
	assert_memory_equal(host_ram() + f + 116, "\1\10\0\1\xf9\x0c\0\0\0\0\0\0\6", 13);
	assert_memory_equal(host_ram() + f + 148, "\1\40\0\3\0\6\0\0\0\0\0\0", 12);
	assert_memory_equal(host_ram() + f + 172, "\1\20\0\2\4\6\0\0\0\0\0\0", 12);
	assert_memory_equal(host_ram() + f + 208, "\1\40\0\3\x08\6\0\0\0\0\0\0", 12);
	assert_int_equal(u32(f + 36) % 64, 0);
	assert_memory_equal(host_ram() + u32(f + 36), "FACS\x40\0\0\0", 8);
	assert_int_equal(u32(f + 40), u32(f + 140));
}

static void madt_entries(void **state)
{
	// clang-format off
	static const uint8_t expected[] = {
		0, 8, 0, 0, 1, 0, 0, 0, 0, 8, 1, 1, 1, 0, 0, 0, 0, 8, 2, 2, 1, 0, 0, 0,
		9, 16, 0, 0, 0x2c, 1, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0,
		1, 12, 9, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,
		2, 10, 0, 0, 2, 0, 0, 0, 0, 0,
		2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0,
		4, 6, 0xff, 0, 0, 1,
		10, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0,
	};
	// clang-format on
	gpa_t m;

	build();
	m = find("APIC");
	assert_int_equal(u32(m + 4), 44 + sizeof(expected));
	assert_int_equal(u32(m + 36), 0xfee00000);
	assert_int_equal(u32(m + 40), 1);
	assert_memory_equal(host_ram() + m + 44, expected, sizeof(expected));
}

/* iasl turns the bytes back into source; what an OS needs must be in it. */
static void dsdt_means_what_it_should(void **state)
{
	static const char *const wanted[] = {
		"Name (\\_S5",          "EisaId (\"PNP0A03\")", "EisaId (\"PNP0501\")",
		"EisaId (\"PNP0B00\")", "EisaId (\"PNP0100\")", "Method (\\_PIC, 1",
		"Method (_PRT, 0",      "Return (PRTA",         "0x0018FFFF",
		"WordBusNumber",        "0xFEBFFFFF",           "0x3EC00000",
	};
	char dir[] = "/tmp/acpi.XXXXXX", path[64], command[160], *text;
	static char source[1 << 18];
	gpa_t dsdt;
	FILE *f;

	build();
	dsdt = u32(find("FACP") + 40);
	assert_int_equal(sum(dsdt, u32(dsdt + 4)), 0);
	if (system("iasl -v >/dev/null 2>&1") != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/dsdt.aml", dir);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(host_ram() + dsdt, 1, u32(dsdt + 4), f), u32(dsdt + 4));
	fclose(f);
	/* back to source, and the source through the compiler's checks */
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d dsdt.aml >log 2>&1 && iasl -we -p again dsdt.dsl >>log 2>&1",
		 dir);
	if (system(command) != 0) {
		snprintf(command, sizeof(command), "cat %s/log", dir);
		fail_msg("iasl refuses the DSDT (%d)", system(command));
	}
	snprintf(path, sizeof(path), "%s/dsdt.dsl", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	source[fread(source, 1, sizeof(source) - 1, f)] = '\0';
	fclose(f);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		text = strstr(source, wanted[i]);
		if (!text)
			fail_msg("the DSDT has no %s", wanted[i]);
	}
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void bios_areas(void **state)
{
	gpa_t handler;

	build();
	handler = (gpa_t)u16(4 * 0x10 + 2) * 16 + u16(4 * 0x10);
	assert_int_equal(u8(handler), 0xcf);
	assert_int_equal(u32(4 * 0xff), u32(4 * 0x10));
	assert_int_equal(u16(0x400), 0x3f8);
	assert_int_equal(u16(0x40e), 0x9fc0);
	assert_int_equal(u16(0x413), 639);
	assert_int_equal(u8(0x9fc00), 1);
	assert_memory_equal(host_ram() + 0xffff0, "\xfa\xf4\xeb\xfd", 4);
	assert_int_equal(u8(0xffffe), 0xfc);
}

static void what_does_not_fit_is_named(void **state)
{
	struct firmware fw;
	struct why why;

	host_ram_reset(MIB(2));
	assert_int_equal(acpi_build(&config, 0xe0000, 0xe0400, &why), ERR_NOMEM);
	assert_non_null(strstr(why.text, "the guest's ACPI tables for 4 CPUs would be "));
	assert_non_null(strstr(why.text, "1024 are set aside"));
	assert_int_equal(u32(0xe0400), 0);
	host_ram_reset(0xe8000);
	assert_int_equal(firmware_build(&config, &fw, &why), ERR_RANGE);
	host_ram_reset(0);
}

static void many_cpus_fit(void **state)
{
	static uint32_t ids[512];
	struct pc_config many = {.cpu_count = 512, .apic_ids = ids, .ram_bytes = MIB(64)};
	struct firmware fw;
	struct why why;

	for (unsigned i = 0; i < 512; i++)
		ids[i] = i;
	host_ram_reset(MIB(2));
	assert_int_equal(firmware_build(&many, &fw, &why), 0);
	host_ram_reset(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_and_fadt),
		cmocka_unit_test(madt_entries),
		cmocka_unit_test(dsdt_means_what_it_should),
		cmocka_unit_test(bios_areas),
		cmocka_unit_test(what_does_not_fit_is_named),
		cmocka_unit_test(many_cpus_fit),
	};

	return cmocka_run_group_tests_name("acpi_build", tests, NULL, NULL);
}
