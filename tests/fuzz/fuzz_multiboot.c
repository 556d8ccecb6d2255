/* Any bytes as a Multiboot image: it is loaded within the guest's RAM or refused with a sentence. */
#include <stdlib.h>
#include <string.h>

#include "guest/multiboot.h"
#include "tests/host/plat.h"

#define RAM (MIB(1) + KIB(64))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The loader's own area, the BIOS's below it and the tables above it must stay what they are. */
static void check_untouched(gpa_t from, gpa_t to)
{
	const uint8_t *p = host_ram() + from;

	if (p[0] || memcmp(p, p + 1, to - from - 1) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t module[5000] = {1};
	const struct load_file files[] = {{module, sizeof(module), "arg"}, {module, 1, NULL}};
	struct load_request req = {
		.image = data,
		.size = size,
		.files = files,
		.file_count = size % 3,
		.ram_bytes = RAM,
	};
	struct load_result out;
	struct why why = {""};
	int err;

	if (!host_ram())
		host_ram_reset(RAM);
	err = multiboot_load(&req, &out, &why);
	if (host_ram_held() || (err && !why.text[0]) || err > 0)
		abort();
	if (!err && (out.entry >= RAM || out.ebx >= RAM || out.eax != 0x2badb002))
		abort();
	if (!err) {
		check_untouched(0, 0x1000);
		check_untouched(0x9fc00, 0x100000);
	}
	return 0;
}
