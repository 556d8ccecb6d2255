/* Any bytes as a Linux kernel: it is loaded within the guest's RAM or refused with a sentence. */
#include <stdlib.h>
#include <string.h>

#include "guest/bzimage.h"
#include "tests/host/plat.h"

#define RAM MIB(4)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t initrd[5000];
	const struct load_file files[] = {{initrd, 4999, NULL}, {initrd, 3, NULL}};
	struct load_request req = {
		.image = data,
		.size = size,
		.cmdline = "console=ttyS0",
		.files = files,
		.file_count = size % 3,
		.ram_bytes = RAM,
		.rsdp = 0xe0000,
	};
	struct load_result out;
	struct why why = {""};
	int err;

	if (!host_ram())
		host_ram_reset(RAM);
	err = bzimage_load(&req, &out, &why);
	if (host_ram_held() || (err && !why.text[0]) || err > 0)
		abort();
	if (!err && (out.entry != 0x100000 || out.esi >= RAM || out.gdt >= RAM))
		abort();
	return 0;
}
