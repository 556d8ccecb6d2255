#include "guest/load.h"
#include "guest/bzimage.h"
#include "guest/load_common.h"
#include "guest/multiboot.h"
#include "hv/base/gmem.h"

/* SDM vol. 3, 3.4.5: base 0, limit 4 GiB, 32 bits; code readable, data writable. */
#define DESCRIPTOR_CODE 0x00cf9a000000ffffull
#define DESCRIPTOR_DATA 0x00cf92000000ffffull

enum image_kind image_identify(const uint8_t *image, size_t size)
{
	if (bzimage_detect(image, size))
		return IMAGE_BZIMAGE;
	if (multiboot_detect(image, size))
		return IMAGE_MULTIBOOT;
	return IMAGE_UNKNOWN;
}

const char *image_kind_name(enum image_kind kind)
{
	switch (kind) {
	case IMAGE_BZIMAGE:
		return "Linux bzImage";
	case IMAGE_MULTIBOOT:
		return "Multiboot image";
	default:
		return "unknown image";
	}
}

int load_image(const struct load_request *req, struct load_result *out, struct why *why)
{
	switch (image_identify(req->image, req->size)) {
	case IMAGE_BZIMAGE:
		return bzimage_load(req, out, why);
	case IMAGE_MULTIBOOT:
		return multiboot_load(req, out, why);
	default:
		return why_set(why, ERR_INVALID,
			       "the kernel image of %zu bytes is neither a Linux bzImage "
			       "(no \"HdrS\" at 0x202) nor a Multiboot image "
			       "(no header in the first 8 KiB)",
			       req->size);
	}
}

int load_write(gpa_t gpa, const void *bytes, size_t size, const char *what, struct why *why)
{
	if (gmem_write(gpa, bytes, size))
		return why_set(why, ERR_RANGE,
			       "the guest has no RAM at %#llx for %s of %zu bytes; "
			       "give it more memory",
			       (unsigned long long)gpa, what, size);
	return 0;
}

int load_start_state(struct load_result *out, enum image_kind kind, gpa_t entry, struct why *why)
{
	static const uint64_t gdt[] = {0, 0, DESCRIPTOR_CODE, DESCRIPTOR_DATA};

	*out = (struct load_result){
		.kind = kind,
		.entry = entry,
		.gdt = LOAD_GDT,
		.gdt_limit = sizeof(gdt) - 1,
		.cs = LOAD_CS,
		.ds = LOAD_DS,
	};
	return load_write(LOAD_GDT, gdt, sizeof(gdt), "the GDT", why);
}
