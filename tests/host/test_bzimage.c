/* guest/bzimage: what reaches guest memory, and the sentence for everything malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/load.h"
#include "hv/base/compiler.h"
#include "tests/host/guest_image.h"
#include "tests/host/plat.h"

#define RAM     MIB(16)
#define CODE    5000
#define MEMTEST "/boot/memtest86+ia32.bin"

static uint8_t image[1 << 20];

static uint32_t u32(gpa_t gpa)
{
	uint32_t v;

	memcpy(&v, host_ram() + gpa, 4);
	return v;
}

static struct load_request request(size_t size)
{
	host_ram_reset(RAM);
	return (struct load_request){.image = image, .size = size, .ram_bytes = RAM};
}

static void kernel_initrd_and_cmdline_are_in_place(void **state)
{
	static const struct load_file files[] = {{(const uint8_t *)"abcde", 5, NULL},
						 {(const uint8_t *)"fgh", 3, NULL}};
	struct load_request req = request(make_bzimage(image, CODE));
	struct load_result out;
	struct why why;

	req.cmdline = "console=ttyS0";
	req.files = files;
	req.file_count = 2;
	req.rsdp = 0xe0000;
	put_le(image + 0x206, 0x20f, 2);
	put_le(image + 0x250, 0xdeadbeef, 8);
	assert_int_equal(load_image(&req, &out, &why), 0);
	assert_int_equal(out.kind, IMAGE_BZIMAGE);
	assert_int_equal(out.entry, 0x100000);
	assert_int_equal(out.cs, 0x10);
	assert_int_equal(out.ds, 0x18);
	assert_int_equal(out.gdt_limit, 31);
	assert_int_equal(out.eax | out.ebx | out.edi | out.ebp, 0);
	assert_memory_equal(host_ram() + 0x100000, image + 3 * 512, CODE);
	assert_memory_equal(host_ram() + out.gdt + 0x10, "\xff\xff\0\0\0\x9a\xcf\0", 8);
	assert_memory_equal(host_ram() + out.gdt + 0x18, "\xff\xff\0\0\0\x92\xcf\0", 8);

	gpa_t zp = out.esi;
	assert_memory_equal(host_ram() + zp + 0x202, "HdrS", 4);
	assert_int_equal(host_ram()[zp + 0x210], 0xff);
	assert_string_equal((char *)host_ram() + u32(zp + 0x228), "console=ttyS0");
	assert_int_equal(u32(zp + 0x21c), 11);
	assert_int_equal(u32(zp + 0x218), RAM - 4096);
	assert_memory_equal(host_ram() + u32(zp + 0x218), "abcde\0\0\0fgh", 11);
	assert_int_equal(u32(zp + 0x70), 0xe0000);
	assert_int_equal(u32(zp + 0x250), 0);
	assert_int_equal(host_ram()[zp + 0x1e8], 6);
	/* the fourth range is the RAM from 1 MiB on */
	assert_int_equal(u32(zp + 0x2d0 + 60), 0x100000);
	assert_int_equal(u32(zp + 0x2d0 + 68), RAM - 0x100000);
	assert_int_equal(u32(zp + 0x2d0 + 76), 1);
	assert_int_equal(u32(zp + 0x1e0), (RAM - 0x100000) / 1024);
	assert_int_equal(host_ram_held(), 0);
}

static void initrd_stays_below_its_limit(void **state)
{
	static const struct load_file file = {(const uint8_t *)"x", 1, NULL};
	struct load_request req = request(make_bzimage(image, CODE));
	struct load_result out;
	struct why why;

	req.files = &file;
	req.file_count = 1;
	put_le(image + 0x22c, 0x7fffff, 4);
	assert_int_equal(load_image(&req, &out, &why), 0);
	assert_int_equal(u32(out.esi + 0x218), 0x7ff000);
}

static void memory_map_has_the_hole(void **state)
{
	struct layout_range map[LAYOUT_RANGES];
	unsigned n = layout_map(GIB(5), map);

	assert_int_equal(n, 7);
	for (unsigned i = 1; i < n; i++)
		assert_true(map[i - 1].base + map[i - 1].size <= map[i].base);
	assert_int_equal(map[3].base + map[3].size, 0xc0000000);
	assert_int_equal(map[6].base, GIB(4));
	assert_int_equal(map[6].size, GIB(2));
	assert_int_equal(layout_map(MIB(64), map), 6);
}

static void memtest_loads(void **state)
{
	FILE *f = fopen(MEMTEST, "rb");
	struct load_request req;
	struct load_result out;
	struct why why;

	if (!f)
		skip();
	req = request(fread(image, 1, sizeof(image), f));
	fclose(f);
	req.cmdline = "console=ttyS0,115200";
	assert_int_equal(load_image(&req, &out, &why), 0);
	assert_int_equal(out.entry, 0x100000);
	/* more than its header allows */
	req.cmdline = NULL;
	assert_int_equal(load_image(&req, &out, &why), 0);
}

/* One mistake each: what is changed in the image, and what the sentence must say. */
static void each_mistake_is_named(void **state)
{
	static const struct {
		unsigned offset;
		uint32_t value;
		unsigned size;
		const char *says;
	} bad[] = {
		{0x1fe, 0, 2, "neither a Linux bzImage"},
		{0x202, 0, 4, "neither a Linux bzImage"},
		{0x206, 0x209, 2, "boot protocol 2.09; expected 2.10 or later"},
		{0x201, 0x10, 1, "setup header ends at 0x212; expected 0x264 to 0x290"},
		{0x201, 0xff, 1, "setup header ends at 0x301"},
		{0x211, 0, 1, "is a zImage"},
		{0x1f1, 60, 1, "its setup code alone has 31232"},
		{0x1f4, 0x1000, 4, "is cut short: 6536 bytes of 67072 are there"},
		{0x260, 0xf00001, 4, "needs memory from 0x100000 to 0x1000001"},
		{0x258, 0x1000, 4, "needs memory from 0x1000 to 0x101388"},
		{0x25c, 0x1, 4, "needs memory from 0x100000 to 0x100120000"},
		{0x234, 1, 1, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct load_request req = request(make_bzimage(image, CODE));
		struct load_result out;
		struct why why = {""};

		put_le(image + bad[i].offset, bad[i].value, bad[i].size);
		if (!bad[i].says) {
			assert_int_equal(load_image(&req, &out, &why), 0);
			continue;
		}
		assert_true(load_image(&req, &out, &why) < 0);
		if (!strstr(why.text, bad[i].says))
			fail_msg("'%s' does not say '%s'", why.text, bad[i].says);
	}
}

static void what_does_not_fit_is_named(void **state)
{
	struct load_request req = request(make_bzimage(image, CODE));
	struct load_file file = {image, RAM - 0x110000, NULL};
	char line[300];
	struct load_result out;
	struct why why;

	file.data = calloc(1, file.size);
	req.files = &file;
	req.file_count = 1;
	assert_int_equal(load_image(&req, &out, &why), ERR_RANGE);
	assert_non_null(strstr(why.text, "the initrd of 15663104 bytes does not fit between "
					 "the kernel's end at 0x120000 and 0x1000000"));
	free((void *)file.data);
	req.file_count = 0;
	memset(line, 'a', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	req.cmdline = line;
	assert_int_equal(load_image(&req, &out, &why), ERR_RANGE);
	assert_non_null(strstr(why.text, "has 299 characters; this kernel takes 255"));
	req.cmdline = NULL;
	/* an alignment that is no power of two */
	put_le(image + 0x230, 3, 4);
	image[0x234] = 1;
	assert_int_equal(load_image(&req, &out, &why), ERR_INVALID);
	/* every shorter image */
	make_bzimage(image, CODE);
	for (req.size = 0; req.size < 3 * 512 + CODE - 15; req.size++)
		assert_true(load_image(&req, &out, &why) < 0);
	host_ram_reset(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_initrd_and_cmdline_are_in_place),
		cmocka_unit_test(initrd_stays_below_its_limit),
		cmocka_unit_test(memory_map_has_the_hole),
		cmocka_unit_test(memtest_loads),
		cmocka_unit_test(each_mistake_is_named),
		cmocka_unit_test(what_does_not_fit_is_named),
	};

	return cmocka_run_group_tests_name("bzimage", tests, NULL, NULL);
}
