/* boot/: the memory map builder against a map of bytes, amalgam.cfg, the core loader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/config.h"
#include "boot/coreload.h"
#include "boot/ranges.h"

#define SPACE 200u

static struct handoff h;

static void check_map(const uint8_t *bytes)
{
	uint8_t seen[SPACE] = {0};

	for (uint32_t i = 0; i < h.range_count; i++) {
		const struct handoff_range *r = &h.ranges[i];

		assert_true(r->size > 0);
		if (i) {
			const struct handoff_range *before = &h.ranges[i - 1];

			assert_true(before->base + before->size <= r->base);
			assert_false(before->base + before->size == r->base &&
				     before->kind == r->kind);
		}
		memset(seen + r->base, (int)r->kind, r->size);
	}
	assert_memory_equal(seen, bytes, SPACE);
}

static void ranges_like_bytes(void **state)
{
	srand(7);
	for (int run = 0; run < 300; run++) {
		uint8_t bytes[SPACE] = {0};

		h.range_count = 0;
		for (int n = 0; n < 40; n++) {
			uint64_t base = (uint64_t)rand() % SPACE,
				 size = (uint64_t)rand() % (SPACE - base);
			int kind = 1 + rand() % 7;

			assert_true(ranges_set(&h, base, size, kind));
			memset(bytes + base, kind, size);
			check_map(bytes);
		}
	}
}

static void ranges_full_changes_nothing(void **state)
{
	h.range_count = 0;
	for (uint32_t i = 0; i < HANDOFF_RANGES; i++)
		assert_true(ranges_set(&h, i * 2, 1, HANDOFF_RAM));
	assert_false(ranges_set(&h, 5000, 1, HANDOFF_RAM));
	assert_int_equal(h.range_count, HANDOFF_RANGES);
	assert_true(
		ranges_set(&h, HANDOFF_RANGES * 2 - 1, 1, HANDOFF_RAM)); /* joins the last one */
	assert_int_equal(ranges_ram_top(&h), HANDOFF_RANGES * 2);
}

static int parse(const char *text, struct config *c, char *why)
{
	return config_parse(text, (uint32_t)strlen(text), c, why);
}

static void config_good(void **state)
{
	struct config c;
	char why[CONFIG_WHY] = "";

	assert_int_equal(
		parse("# a comment\r\n\n options serial=com1\nfile vmlinuz console=ttyS0  ro \n"
		      "file initrd.gz\noptions mem=64M",
		      &c, why),
		0);
	assert_string_equal(c.options, "serial=com1 mem=64M");
	assert_int_equal(c.file_count, 2);
	assert_string_equal(c.files[0].name, "vmlinuz");
	assert_string_equal(c.files[0].args, "console=ttyS0  ro");
	assert_string_equal(c.files[1].name, "initrd.gz");
	assert_string_equal(c.files[1].args, "");
}

static void config_bad(void **state)
{
	static struct config c;
	static char text[4096];
	char why[CONFIG_WHY] = "";

	assert_int_equal(parse("\nkernel x\n", &c, why), -1);
	assert_string_equal(why,
			    "amalgam.cfg, line 2: expected 'options ...', 'file NAME ARGUMENTS...' "
			    "or a comment after '#'");
	assert_int_equal(parse("file\n", &c, why), -1);
	assert_string_equal(why, "amalgam.cfg, line 1: 'file' without a name; "
				 "expected 'file NAME ARGUMENTS...'");
	assert_int_equal(parse("files x\n", &c, why), -1);
	assert_int_equal(config_parse("file a\nfile \0b\n", 15, &c, why), -1);
	assert_string_equal(why, "amalgam.cfg, line 2: not text; write the file with a text "
				 "editor, in ASCII or UTF-8");
	strcpy(text, "file ");
	memset(text + 5, 'n', 64);
	assert_int_equal(parse(text, &c, why), -1);
	assert_string_equal(why, "amalgam.cfg, line 1: a file name is longer than 63 bytes; "
				 "rename the file");
	text[5 + 63] = '\0';
	assert_int_equal(parse(text, &c, why), 0);
	memset(text, 0, sizeof(text));
	for (int i = 0; i < 17; i++)
		strcat(text, "file a\n");
	assert_int_equal(parse(text, &c, why), -1);
	assert_string_equal(why, "amalgam.cfg, line 17: more than 16 files; leave some out");
	strcpy(text, "options ");
	memset(text + 8, 'o', 2048);
	text[8 + 2048] = '\0';
	assert_int_equal(parse(text, &c, why), -1);
}

/* A core of one segment with 3 bytes of data, 2 pages in memory. */
static void coreload_maps_and_places(void **state)
{
	static _Alignas(4096) uint8_t tables[64 * 4096], image[2 * 4096];
	uint8_t elf[200] = {0x7f, 'E', 'L', 'F'};
	uint64_t *seg = (uint64_t *)(void *)(elf + 64), cr3;
	uint64_t *pml4, *pdpt, *pd, *pt;
	struct coreload c;

	elf[18] = 62;
	*(uint64_t *)(void *)(elf + 24) = HANDOFF_CORE_VIRT + 1;
	elf[32] = 64;
	elf[54] = 56;
	elf[56] = 1;
	seg[0] = 1;
	seg[1] = 150; /* offset */
	seg[2] = HANDOFF_CORE_VIRT + 0x10;
	seg[4] = 3;
	seg[5] = 0x1ff0;
	memcpy(elf + 150, "abc", 3);
	assert_null(coreload_plan(&c, elf, sizeof(elf), 5ull << 30, false));
	assert_int_equal(c.image_bytes, 2 * 4096);
	assert_int_equal(c.identity_top, 5ull << 30);
	assert_int_equal(c.table_bytes, (1 + 1 + 5 + 2 + 1) * 4096);
	memset(image, 0xaa, sizeof(image));
	coreload_place(&c, image);
	assert_memory_equal(image + 0x10, "abc", 4);
	assert_int_equal(image[0x1fff], 0);
	cr3 = coreload_tables(&c, tables, 0x7000000);
	pml4 = (uint64_t *)cr3;
	pdpt = (uint64_t *)(pml4[511] & ~0xfffull);
	pd = (uint64_t *)(pdpt[510] & ~0xfffull);
	pt = (uint64_t *)(pd[0] & ~0xfffull);
	assert_int_equal(pt[1], 0x7001003);
	assert_int_equal(pt[2], 0);
	pdpt = (uint64_t *)(pml4[0] & ~0xfffull);
	pd = (uint64_t *)(pdpt[4] & ~0xfffull);
	assert_int_equal(pd[3], (4ull << 30) + (3u << 21) + 0x83);
	assert_int_equal(pdpt[5], 0);

	seg[4] = 60; /* more than the file has */
	assert_non_null(coreload_plan(&c, elf, sizeof(elf), 0, true));
	elf[1] = 'X';
	assert_non_null(coreload_plan(&c, elf, sizeof(elf), 0, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_like_bytes),
		cmocka_unit_test(ranges_full_changes_nothing),
		cmocka_unit_test(config_good),
		cmocka_unit_test(config_bad),
		cmocka_unit_test(coreload_maps_and_places),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
