/* guest/mptable_build: the tables walked entry by entry, as MP 1.4 chapter 4 has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/layout.h"
#include "guest/mptable_build.h"
#include "tests/host/plat.h"

#define BASE 0xf0000

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint8_t sum(const uint8_t *p, unsigned size)
{
	uint8_t s = 0;

	while (size--)
		s = (uint8_t)(s + *p++);
	return s;
}

struct found {
	unsigned cpus, boot_cpus, buses, ioapics, interrupts, pit, sci, pci, extint, nmi;
};

static void note_interrupt(const uint8_t *e, struct found *f)
{
	f->interrupts++;
	assert_int_equal(e[1], 0);
	assert_int_equal(e[6], 7);
	if (e[4] == 0) {
		f->pci++;
		assert_int_equal(e[2], 0xf);
		assert_int_equal(e[7], layout_pci_gsi(e[5] >> 2, e[5] & 3));
	} else {
		f->pit += e[5] == 0 && e[7] == 2;
		f->sci += e[5] == 9 && e[7] == 9 && e[2] == 0xd;
	}
}

static struct found walk(const uint8_t *table)
{
	struct found f = {0};
	const uint8_t *e = table + 44;
	unsigned entries = u32(table + 34) & 0xffff;

	while (entries--) {
		switch (*e) {
		case 0:
			f.cpus++;
			f.boot_cpus += e[3] == 3;
			e += 20;
			continue;
		case 1:
			assert_memory_equal(e + 2, e[1] ? "ISA   " : "PCI   ", 6);
			f.buses++;
			break;
		case 2:
			assert_int_equal(e[1], 7);
			assert_int_equal(u32(e + 4), 0xfec00000);
			f.ioapics++;
			break;
		case 3:
			note_interrupt(e, &f);
			break;
		case 4:
			f.extint += e[1] == 3 && e[6] == 4 && e[7] == 0;
			f.nmi += e[1] == 1 && e[6] == 0xff && e[7] == 1;
			break;
		default:
			fail_msg("entry type %u", *e);
		}
		e += 8;
	}
	assert_int_equal(e - table, u32(table + 4) & 0xffff);
	return f;
}

static void tables_are_complete(void **state)
{
	static const uint32_t ids[] = {4, 5, 254, 255, 300};
	struct pc_config config = {.cpu_count = 5, .apic_ids = ids, .ioapic_id = 7};
	const uint8_t *p, *table;
	struct found f;
	struct why why;

	host_ram_reset(MIB(1));
	assert_int_equal(mptable_build(&config, BASE, BASE + 0x2000, &why), 0);
	p = host_ram() + BASE;
	assert_memory_equal(p, "_MP_", 4);
	assert_int_equal(p[8], 1);
	assert_int_equal(p[9], 4);
	assert_int_equal(sum(p, 16), 0);
	table = host_ram() + u32(p + 4);
	assert_memory_equal(table, "PCMP", 4);
	assert_int_equal(sum(table, u32(table + 4) & 0xffff), 0);
	assert_int_equal(u32(table + 36), 0xfee00000);
	f = walk(table);
	assert_int_equal(f.cpus, 3);
	assert_int_equal(f.boot_cpus, 1);
	assert_int_equal(f.buses, 2);
	assert_int_equal(f.ioapics, 1);
	assert_int_equal(f.interrupts, 15 + 31 * 4);
	assert_int_equal(f.pit, 1);
	assert_int_equal(f.sci, 1);
	assert_int_equal(f.pci, 31 * 4);
	assert_int_equal(f.extint, 1);
	assert_int_equal(f.nmi, 1);
}

static void too_little_space_is_named(void **state)
{
	static const uint32_t ids[] = {0};
	struct pc_config config = {.cpu_count = 1, .apic_ids = ids};
	struct why why;

	assert_int_equal(mptable_build(&config, BASE, BASE + 0x100, &why), ERR_NOMEM);
	assert_non_null(strstr(why.text, "the guest's MP table for 1 CPUs would be "));
	host_ram_reset(0);
	assert_int_equal(mptable_build(&config, BASE, BASE + 0x2000, &why), ERR_RANGE);
	assert_non_null(strstr(why.text, "for its MP table"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_complete),
		cmocka_unit_test(too_little_space_is_named),
	};

	return cmocka_run_group_tests_name("mptable_build", tests, NULL, NULL);
}
