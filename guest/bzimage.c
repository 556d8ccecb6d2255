#include "guest/bzimage.h"
#include "guest/load_common.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/gmem.h"
#include "hv/base/string.h"

/* The setup header's fields, at these offsets of the image and of the zero page alike. */
#define SETUP_SECTS      0x1f1
#define SYSSIZE          0x1f4
#define BOOT_FLAG        0x1fe
#define JUMP_LENGTH      0x201 /* the header ends so many bytes after 0x202 */
#define MAGIC            0x202
#define VERSION          0x206
#define TYPE_OF_LOADER   0x210
#define LOADFLAGS        0x211
#define RAMDISK_IMAGE    0x218
#define RAMDISK_SIZE     0x21c
#define CMD_LINE_PTR     0x228
#define INITRD_ADDR_MAX  0x22c
#define KERNEL_ALIGNMENT 0x230
#define RELOCATABLE      0x234
#define CMDLINE_SIZE     0x238
#define SETUP_DATA       0x250
#define PREF_ADDRESS     0x258
#define INIT_SIZE        0x260
#define HEADER_END       0x264 /* of protocol 2.10 */
#define HEADER_MAX       0x290 /* the zero page has no more room for it */

/* Other fields of the zero page: Documentation/arch/x86/zero-page.rst */
#define EXT_MEM_K      0x002
#define ACPI_RSDP_ADDR 0x070
#define ALT_MEM_K      0x1e0
#define E820_ENTRIES   0x1e8
#define E820_TABLE     0x2d0
#define E820_SIZE      20

#define BOOT_FLAG_VALUE 0xaa55
#define MAGIC_VALUE     0x53726448 /* "HdrS" */
#define VERSION_2_10    0x020a
#define VERSION_2_14    0x020e
#define LOADED_HIGH     0x01
#define LOADER_UNKNOWN  0xff
#define SECTOR          512u

#define ZERO_PAGE LOAD_INFO
#define CMDLINE   (LOAD_INFO + PAGE_SIZE)
STATIC_ASSERT(CMDLINE + LOAD_CMDLINE <= LOAD_INFO_END, "the command line fits its place");

/* The image's own words, checked. */
struct kernel {
	const uint8_t *image;
	size_t size;
	size_t setup_size; /* where the protected-mode code begins in the image */
	uint16_t version;
	uint32_t header_end;
	uint64_t run, run_end; /* where the kernel will be while it unpacks itself */
};

bool bzimage_detect(const uint8_t *image, size_t size)
{
	return size >= VERSION + 2 && load_u16(image + BOOT_FLAG) == BOOT_FLAG_VALUE &&
	       load_u32(image + MAGIC) == MAGIC_VALUE;
}

static int check_header(struct kernel *k, struct why *why)
{
	const uint8_t *p = k->image;

	if (!bzimage_detect(p, k->size))
		return why_set(why, ERR_INVALID,
			       "the kernel image of %zu bytes is no Linux bzImage: "
			       "expected the boot flag 0xaa55 at 0x1fe and \"HdrS\" at 0x202",
			       k->size);
	k->version = load_u16(p + VERSION);
	if (k->version < VERSION_2_10)
		return why_set(why, ERR_UNSUPPORTED,
			       "the Linux kernel has boot protocol %u.%02u; expected 2.10 or later "
			       "(Linux 2.6.31)",
			       k->version >> 8, k->version & 0xffu);
	if (k->size < HEADER_MAX)
		return why_set(why, ERR_INVALID,
			       "the Linux kernel image ends after %zu bytes, "
			       "within its setup header",
			       k->size);
	k->header_end = MAGIC + p[JUMP_LENGTH];
	if (k->header_end < HEADER_END || k->header_end > HEADER_MAX)
		return why_set(why, ERR_INVALID,
			       "the Linux kernel's setup header ends at %#x; expected %#x to %#x",
			       k->header_end, HEADER_END, HEADER_MAX);
	if (!(p[LOADFLAGS] & LOADED_HIGH))
		return why_set(why, ERR_UNSUPPORTED,
			       "the Linux kernel is a zImage, made to be loaded below 1 MiB; "
			       "expected a bzImage");
	return 0;
}

/* Old boot sectors said 0 for 4. */
static int check_size(struct kernel *k, struct why *why)
{
	unsigned sectors = k->image[SETUP_SECTS] ? k->image[SETUP_SECTS] : 4;
	uint64_t system = (uint64_t)load_u32(k->image + SYSSIZE) * 16;

	k->setup_size = (sectors + 1) * SECTOR;
	if (k->setup_size >= k->size)
		return why_set(why, ERR_INVALID,
			       "the Linux kernel image has %zu bytes, "
			       "but its setup code alone has %zu",
			       k->size, k->setup_size);
	if (system > align_up(k->size - k->setup_size, 16))
		return why_set(why, ERR_INVALID,
			       "the Linux kernel image is cut short: %zu bytes of %llu are there",
			       k->size, (unsigned long long)k->setup_size + system);
	return 0;
}

/* The memory it needs from loading to unpacked. boot.rst, init_size */
static int check_room(struct kernel *k, uint64_t ram_end, struct why *why)
{
	const uint8_t *p = k->image;
	uint64_t load_end = LAYOUT_HIGH_MEMORY + (k->size - k->setup_size);
	uint32_t alignment = load_u32(p + KERNEL_ALIGNMENT);

	k->run = load_u64(p + PREF_ADDRESS);
	if (p[RELOCATABLE]) {
		if (!alignment || alignment & (alignment - 1))
			return why_set(why, ERR_INVALID,
				       "the Linux kernel wants an alignment of %#x; "
				       "expected a power of two",
				       alignment);
		k->run = MAX(align_up(LAYOUT_HIGH_MEMORY, alignment), k->run);
	}
	k->run_end = k->run + load_u32(p + INIT_SIZE);
	if (k->run < LAYOUT_HIGH_MEMORY || k->run_end < k->run ||
	    MAX(k->run_end, load_end) > ram_end)
		return why_set(why, ERR_RANGE,
			       "the Linux kernel needs memory from %#llx to %#llx, "
			       "the guest's RAM goes from 0x100000 to %#llx; give it more memory",
			       (unsigned long long)MIN(k->run, LAYOUT_HIGH_MEMORY),
			       (unsigned long long)MAX(k->run_end, load_end),
			       (unsigned long long)ram_end);
	k->run_end = MAX(k->run_end, load_end);
	return 0;
}

static void set_u32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* Several files make one initrd: each begins at a multiple of four, as cpio archives joined do. */
static int load_initrd(const struct load_request *req, const struct kernel *k, uint64_t ram_end,
		       uint8_t *zero_page, struct why *why)
{
	uint64_t limit = MIN((uint64_t)load_u32(k->image + INITRD_ADDR_MAX) + 1, ram_end);
	uint64_t size = 0, base;
	int err = 0;

	for (unsigned i = 0; i < req->file_count; i++)
		size = align_up(size, 4) + MIN(req->files[i].size, GIB(4));
	if (size == 0)
		return 0;
	base = size <= limit ? align_down(limit - size, PAGE_SIZE) : 0;
	if (base < k->run_end)
		return why_set(why, ERR_RANGE,
			       "the initrd of %llu bytes does not fit between the kernel's end "
			       "at %#llx and %#llx; give the guest more memory",
			       (unsigned long long)size, (unsigned long long)k->run_end,
			       (unsigned long long)limit);
	set_u32(zero_page + RAMDISK_IMAGE, (uint32_t)base);
	set_u32(zero_page + RAMDISK_SIZE, (uint32_t)size);
	for (unsigned i = 0; i < req->file_count && !err; i++) {
		size_t pad = (size_t)(align_up(base, 4) - base);

		if (gmem_fill(base, 0, pad))
			return why_set(why, ERR_RANGE,
				       "the guest has no RAM at %#llx for the initrd",
				       (unsigned long long)base);
		base += pad;
		err = load_write(base, req->files[i].data, req->files[i].size, "the initrd", why);
		base += req->files[i].size;
	}
	return err;
}

static int load_cmdline(const struct load_request *req, const struct kernel *k, uint8_t *zero_page,
			struct why *why)
{
	const char *line = req->cmdline ? req->cmdline : "";
	size_t limit = MIN(load_u32(k->image + CMDLINE_SIZE), LOAD_CMDLINE - 1),
	       length = strlen(line);

	if (length > limit)
		return why_set(why, ERR_RANGE,
			       "the guest's command line has %zu characters; this kernel takes %zu",
			       length, limit);
	set_u32(zero_page + CMD_LINE_PTR, CMDLINE);
	return load_write(CMDLINE, line, length + 1, "the command line", why);
}

static void fill_memory_map(uint8_t *zero_page, uint64_t ram_bytes)
{
	struct layout_range map[LAYOUT_RANGES];
	unsigned count = layout_map(ram_bytes, map);
	uint64_t above_1m_kib = (layout_ram_low(ram_bytes) - LAYOUT_HIGH_MEMORY) >> 10;

	for (unsigned i = 0; i < count; i++) {
		uint8_t *entry = zero_page + E820_TABLE + i * E820_SIZE;

		memcpy(entry, &map[i].base, 8);
		memcpy(entry + 8, &map[i].size, 8);
		set_u32(entry + 16, map[i].kind);
	}
	zero_page[E820_ENTRIES] = (uint8_t)count;
	/* what the older BIOS calls 88h and E801h would say */
	set_u32(zero_page + ALT_MEM_K, (uint32_t)above_1m_kib);
	above_1m_kib = MIN(above_1m_kib, 0xfc00u);
	memcpy(zero_page + EXT_MEM_K, &above_1m_kib, 2);
}

static int load_zero_page(const struct load_request *req, const struct kernel *k, uint64_t ram_end,
			  struct why *why)
{
	uint8_t zero_page[PAGE_SIZE] = {0};
	int err;

	memcpy(zero_page + SETUP_SECTS, k->image + SETUP_SECTS, k->header_end - SETUP_SECTS);
	zero_page[TYPE_OF_LOADER] = LOADER_UNKNOWN;
	if (k->version >= VERSION_2_14)
		memcpy(zero_page + ACPI_RSDP_ADDR, &req->rsdp, sizeof(req->rsdp));
	fill_memory_map(zero_page, req->ram_bytes);
	/* pointers that the image has no say in */
	memset(zero_page + SETUP_DATA, 0, 8);
	memset(zero_page + RAMDISK_IMAGE, 0, 8);
	err = load_initrd(req, k, ram_end, zero_page, why);
	if (!err)
		err = load_cmdline(req, k, zero_page, why);
	if (!err)
		err = load_write(ZERO_PAGE, zero_page, sizeof(zero_page), "the zero page", why);
	return err;
}

int bzimage_load(const struct load_request *req, struct load_result *out, struct why *why)
{
	struct kernel k = {.image = req->image, .size = req->size};
	uint64_t ram_end = layout_ram_low(req->ram_bytes);
	int err = check_header(&k, why);

	if (!err)
		err = check_size(&k, why);
	if (!err)
		err = check_room(&k, ram_end, why);
	if (!err)
		err = load_write(LAYOUT_HIGH_MEMORY, k.image + k.setup_size, k.size - k.setup_size,
				 "the Linux kernel", why);
	if (!err)
		err = load_zero_page(req, &k, ram_end, why);
	if (!err)
		err = load_start_state(out, IMAGE_BZIMAGE, LAYOUT_HIGH_MEMORY, why);
	if (!err)
		out->esi = ZERO_PAGE;
	return err;
}
