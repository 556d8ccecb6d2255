/* guest/multiboot: ELF and address-field images, the information structure, every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest/load.h"
#include "hv/base/compiler.h"
#include "tests/host/guest_image.h"
#include "tests/host/plat.h"

#define RAM MIB(4)

static uint8_t image[4096];

static uint32_t u32(gpa_t gpa)
{
	uint32_t v;

	memcpy(&v, host_ram() + gpa, 4);
	return v;
}

static struct load_request request(size_t size)
{
	host_ram_reset(RAM);
	memset(host_ram(), 0xaa, RAM);
	return (struct load_request){.image = image, .size = size, .ram_bytes = RAM};
}

static void elf_and_information(void **state)
{
	static const struct load_file files[] = {{(const uint8_t *)"one", 3, "first arg"},
						 {(const uint8_t *)"two", 3, NULL}};
	struct load_request req = request(make_multiboot_elf(image));
	struct load_result out;
	struct why why;
	uint32_t mods, mmap;

	req.cmdline = "test=1";
	req.files = files;
	req.file_count = 2;
	assert_int_equal(load_image(&req, &out, &why), 0);
	assert_int_equal(out.kind, IMAGE_MULTIBOOT);
	assert_int_equal(out.eax, 0x2badb002);
	assert_int_equal(out.entry, 0x100004);
	assert_memory_equal(host_ram() + 0x100000, image + 0x80, 16);
	for (unsigned i = 16; i < 32; i++)
		assert_int_equal(host_ram()[0x100000 + i], 0);
	assert_int_equal(host_ram()[0x100020], 0xaa);
	assert_int_equal(u32(out.ebx), 0x24d);
	assert_int_equal(u32(out.ebx + 4), 639);
	assert_int_equal(u32(out.ebx + 8), 3 * 1024);
	assert_string_equal((char *)host_ram() + u32(out.ebx + 16), "test=1");
	assert_string_equal((char *)host_ram() + u32(out.ebx + 64), "Amalgam");
	assert_int_equal(u32(out.ebx + 20), 2);
	mods = u32(out.ebx + 24);
	assert_int_equal(u32(mods), 0x101000);
	assert_int_equal(u32(mods + 4), 0x101003);
	assert_string_equal((char *)host_ram() + u32(mods + 8), "first arg");
	assert_memory_equal(host_ram() + u32(mods + 16), "two", 3);
	mmap = u32(out.ebx + 48);
	assert_int_equal(u32(out.ebx + 44), 6 * 24);
	assert_int_equal(u32(mmap), 20);
	assert_int_equal(u32(mmap + 12), 0x9fc00);
	assert_int_equal(u32(mmap + 20), 1);
	assert_int_equal(host_ram_held(), 0);
}

static void address_fields(void **state)
{
	struct load_request req = request(make_multiboot_flat(image));
	struct load_result out;
	struct why why;

	assert_int_equal(load_image(&req, &out, &why), 0);
	assert_int_equal(out.entry, 0x100020);
	assert_memory_equal(host_ram() + 0x100000, image, 64);
	assert_int_equal(host_ram()[0x100040], 0);
	assert_int_equal(host_ram()[0x100fff], 0);
	assert_int_equal(host_ram()[0x101000], 0xaa);
}

struct mistake {
	unsigned offset;
	uint32_t value;
	unsigned size;
	const char *says;
};

static void expect_mistakes(size_t (*make)(uint8_t *), const struct mistake *bad, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct load_request req = request(make(image));
		struct load_result out;
		struct why why = {""};

		put_le(image + bad[i].offset, bad[i].value, bad[i].size);
		assert_true(load_image(&req, &out, &why) < 0);
		if (!strstr(why.text, bad[i].says))
			fail_msg("%zu: '%s' does not say '%s'", i, why.text, bad[i].says);
		/* nothing was written past the refusal of the plan */
		assert_int_equal(host_ram()[0x100000], 0xaa);
	}
}

static void each_elf_mistake_is_named(void **state)
{
	static const struct mistake bad[] = {
		{0x60, 0, 4, "no header in the first 8 KiB"},
		{0, 0, 4, "is no ELF file"},
		{4, 2, 1, "class 2"},
		{16, 3, 2, "type 3"},
		{18, 62, 2, "machine 62"},
		{42, 56, 2, "entries of 56 bytes"},
		{44, 99, 2, "is not within the file's 144 bytes"},
		{28, 0xfffffff0, 4, "is not within the file's 144 bytes"},
		{56, 0x81, 4, "goes from 0x81 to 0x91 in the file"},
		{68, 33, 4, "33 bytes in the file for 32"},
		{64, 0x3fffff0, 4, "wants memory from 0x3fffff0"},
		{64, 0x3ffff0, 4, "wants memory from 0x3ffff0 to 0x400010"},
		{64, 0xfffffff0, 4, "wants memory from 0xfffffff0 to 0x100000010"},
		{64, 0x9000, 4, "wants memory from 0x9000"},
		{64, 0x7ff0, 4, "wants memory from 0x7ff0"},
		{64, 0x0, 4, "wants memory from 0"},
		{64, 0x9fbf0, 4, "wants memory from 0x9fbf0"},
		{64, 0xa0000, 4, "wants memory from 0xa0000"},
		{24, 0xc0100020, 4, "entry point 0xc0100020 is in none of its 1"},
		{52, 2, 4, "is in none of its 0"},
	};

	expect_mistakes(make_multiboot_elf, bad, ARRAY_LEN(bad));
}

static size_t make_video(uint8_t *p)
{
	size_t n = make_multiboot_elf(p);

	put_le(p + 0x64, 7, 4);
	put_le(p + 0x68, (uint32_t) - (0x1badb002 + 7), 4);
	return n;
}

static size_t make_overlap(uint8_t *p)
{
	make_multiboot_elf(p);
	put_le(p + 44, 2, 2);
	/* the second entry begins at 84 and runs into the header, which moves to 0x78 */
	memcpy(p + 84, p + 52, 32);
	put_le(p + 84 + 12, 0x10001f, 4);
	put_le(p + 0x78, 0x1badb002, 4);
	put_le(p + 0x7c, 3, 4);
	put_le(p + 0x80, (uint32_t) - (0x1badb002 + 3), 4);
	return 0x90;
}

static void other_mistakes_are_named(void **state)
{
	static const struct mistake video[] = {{0x80, 0xf4, 1, "asks for a video mode"}};
	static const struct mistake same[] = {{0x8f, 0, 1, "overlap at 0x10001f"}};
	static const struct mistake flat[] = {
		{12, 0xfffff, 4, "it is at 0xfffff with the image at 0x100000"},
		{12, 0x100001, 4, "but it is 0 bytes into the file"},
		{20, 0xfffff, 4, "ends its load at 0xfffff"},
		{20, 0x100041, 4, "goes from 0 to 0x41 in the file, which has 64"},
		{24, 0xffffffff, 4, "wants memory from 0x100000 to 0xffffffff"},
		{28, 0x101000, 4, "entry point 0x101000"},
	};

	expect_mistakes(make_video, video, 1);
	expect_mistakes(make_overlap, same, 1);
	expect_mistakes(make_multiboot_flat, flat, ARRAY_LEN(flat));
}

static void modules_and_strings_must_fit(void **state)
{
	static char line[30000];
	static uint8_t big[RAM];
	struct load_request req = request(make_multiboot_elf(image));
	struct load_file files[33] = {{big, RAM - 0x101000 + 1, NULL}};
	struct load_result out;
	struct why why;

	req.files = files;
	req.file_count = 1;
	assert_int_equal(load_image(&req, &out, &why), ERR_RANGE);
	assert_non_null(strstr(why.text, "module 1 of 3141633 bytes does not fit"));
	files[0].size--;
	assert_int_equal(load_image(&req, &out, &why), 0);
	req.file_count = 33;
	assert_int_equal(load_image(&req, &out, &why), ERR_UNSUPPORTED);
	req.file_count = 0;
	memset(line, 'a', sizeof(line) - 1);
	req.cmdline = line;
	assert_int_equal(load_image(&req, &out, &why), ERR_RANGE);
	assert_non_null(strstr(why.text, "that are set aside"));
	host_ram_reset(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elf_and_information),
		cmocka_unit_test(address_fields),
		cmocka_unit_test(each_elf_mistake_is_named),
		cmocka_unit_test(other_mistakes_are_named),
		cmocka_unit_test(modules_and_strings_must_fit),
	};

	return cmocka_run_group_tests_name("multiboot", tests, NULL, NULL);
}
