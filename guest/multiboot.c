#include "guest/multiboot.h"
#include "guest/load_common.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/gmem.h"
#include "hv/base/string.h"

/* 3.1: the header and its flags */
#define SEARCH           8192u
#define HEADER_MAGIC     0x1badb002u
#define HEADER_SIZE      12u
#define HEADER_ADDRESSES 32u /* size with the address fields */
#define FLAG_ALIGN       0x00000001u
#define FLAG_MEMORY      0x00000002u
#define FLAG_VIDEO       0x00000004u
#define FLAG_ADDRESSES   0x00010000u
#define FLAGS_REQUIRED   0x0000ffffu
#define LOADER_MAGIC     0x2badb002u

/* 3.3: the information's flags */
#define INFO_MEMORY      0x001u
#define INFO_CMDLINE     0x004u
#define INFO_MODULES     0x008u
#define INFO_MMAP        0x040u
#define INFO_LOADER_NAME 0x200u

/* ELF: System V ABI, "ELF Header" and "Program Header" */
#define ELF_HEADER   52u
#define ELF_PHDR     32u
#define ELF_CLASS_32 1
#define ELF_LITTLE   1
#define ELF_EXEC     2
#define ELF_386      3
#define ELF_PT_LOAD  1

#define SEGMENTS 16u
#define MODULES  32u

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, loader_name;
	uint32_t apm_table;
} PACKED;
ASSERT_SIZE(struct info, 72);
ASSERT_OFFSET(struct info, mmap_length, 44);

struct mmap_entry {
	uint32_t size; /* of what follows */
	uint64_t base, length;
	uint32_t type;
} PACKED;
ASSERT_SIZE(struct mmap_entry, 24);

struct module {
	uint32_t start, end, string, reserved;
} PACKED;
ASSERT_SIZE(struct module, 16);

/* What lies in LOAD_INFO .. LOAD_INFO_END; the strings follow it. */
struct info_page {
	struct info info;
	struct mmap_entry mmap[LAYOUT_RANGES];
	struct module modules[MODULES];
} PACKED;

/* A piece of the image and where it goes. */
struct segment {
	uint32_t offset, file_size;
	uint32_t base, size; /* file_size bytes of it from the image, zeros after them */
};

/* Where the next string goes, behind the information. */
struct strings {
	uint32_t next;
};

struct plan {
	struct segment segment[SEGMENTS];
	unsigned count;
	uint32_t entry;
	uint64_t end; /* of the highest segment */
};

/* Offset of the header, or -1. */
static int find_header(const uint8_t *image, size_t size)
{
	for (size_t at = 0; at + HEADER_SIZE <= MIN(size, SEARCH); at += 4) {
		if (load_u32(image + at) == HEADER_MAGIC &&
		    (uint32_t)(HEADER_MAGIC + load_u32(image + at + 4) +
			       load_u32(image + at + 8)) == 0)
			return (int)at;
	}
	return -1;
}

bool multiboot_detect(const uint8_t *image, size_t size)
{
	return find_header(image, size) >= 0;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* A segment may lie in free low memory or from 1 MiB on. */
static bool in_free_ram(const struct segment *s, uint64_t ram_end)
{
	if (s->base >= LAYOUT_HIGH_MEMORY)
		return range_within(s->base, s->size, ram_end);
	return s->base >= PAGE_SIZE && (uint64_t)s->base + s->size <= LAYOUT_EBDA &&
	       !overlap(s->base, s->size, LOAD_GDT, LOAD_INFO_END - LOAD_GDT);
}

static int add_segment(struct plan *p, const struct segment *s, const struct load_request *req,
		       struct why *why)
{
	uint64_t ram_end = layout_ram_low(req->ram_bytes);

	if (s->size == 0)
		return 0;
	if (p->count == SEGMENTS)
		return why_set(why, ERR_UNSUPPORTED,
			       "the Multiboot image has more than %u segments to load", SEGMENTS);
	if (s->file_size > s->size)
		return why_set(why, ERR_INVALID,
			       "a segment of the Multiboot image has %u bytes "
			       "in the file for %u in memory",
			       s->file_size, s->size);
	if (!range_within(s->offset, s->file_size, req->size))
		return why_set(why, ERR_INVALID,
			       "a segment of the Multiboot image goes from %#x to %#llx "
			       "in the file, which has %zu bytes",
			       s->offset, (unsigned long long)s->offset + s->file_size, req->size);
	if (!in_free_ram(s, ram_end))
		return why_set(why, ERR_RANGE,
			       "the Multiboot image wants memory from %#x to %#llx; "
			       "free are 0x1000 to %#x, %#x to %#x and 0x100000 to %#llx",
			       s->base, (unsigned long long)s->base + s->size, LOAD_GDT,
			       LOAD_INFO_END, LAYOUT_EBDA, (unsigned long long)ram_end);
	for (unsigned i = 0; i < p->count; i++) {
		if (overlap(s->base, s->size, p->segment[i].base, p->segment[i].size))
			return why_set(why, ERR_INVALID,
				       "two segments of the Multiboot image overlap at %#x",
				       MAX(s->base, p->segment[i].base));
	}
	p->segment[p->count++] = *s;
	p->end = MAX(p->end, (uint64_t)s->base + s->size);
	return 0;
}

/* The address fields: 3.1.3. The image from there on is one piece. */
static int plan_addresses(const struct load_request *req, unsigned header, struct plan *p,
			  struct why *why)
{
	const uint8_t *h = req->image + header;
	uint32_t header_addr, load, load_end, bss_end;
	struct segment s;

	if (header + HEADER_ADDRESSES > req->size)
		return why_set(why, ERR_INVALID,
			       "the Multiboot image ends after %zu bytes, "
			       "within its header's address fields",
			       req->size);
	header_addr = load_u32(h + 12);
	load = load_u32(h + 16);
	load_end = load_u32(h + 20);
	bss_end = load_u32(h + 24);
	p->entry = load_u32(h + 28);
	if (header_addr < load || header_addr - load > header)
		return why_set(why, ERR_INVALID,
			       "the Multiboot header says it is at %#x with the image at %#x, "
			       "but it is %#x bytes into the file",
			       header_addr, load, header);
	s.offset = header - (header_addr - load);
	if (load_end && load_end < load)
		return why_set(why, ERR_INVALID,
			       "the Multiboot header ends its load at %#x, before its begin at %#x",
			       load_end, load);
	s.base = load;
	s.file_size = load_end ? load_end - load : (uint32_t)MIN(req->size - s.offset, UINT32_MAX);
	s.size = MAX(s.file_size, bss_end > load ? bss_end - load : 0);
	return add_segment(p, &s, req, why);
}

static int check_elf(const struct load_request *req, struct why *why)
{
	const uint8_t *e = req->image;
	unsigned phnum, phentsize;

	if (req->size < ELF_HEADER || load_u32(e) != 0x464c457f)
		return why_set(why, ERR_INVALID,
			       "the Multiboot image has no address fields and is no ELF file; "
			       "expected one of them");
	if (e[4] != ELF_CLASS_32 || e[5] != ELF_LITTLE || load_u16(e + 18) != ELF_386 ||
	    load_u16(e + 16) != ELF_EXEC)
		return why_set(why, ERR_UNSUPPORTED,
			       "the Multiboot image is an ELF file of class %u, type %u, machine "
			       "%u; expected a 32-bit executable for the 80386 (1, 2, 3)",
			       e[4], load_u16(e + 16), load_u16(e + 18));
	phentsize = load_u16(e + 42);
	phnum = load_u16(e + 44);
	if (phentsize != ELF_PHDR ||
	    !range_within(load_u32(e + 28), (uint64_t)phnum * ELF_PHDR, req->size))
		return why_set(why, ERR_INVALID,
			       "the ELF program header table (%u entries of %u bytes at %#x) "
			       "is not within the file's %zu bytes",
			       phnum, phentsize, load_u32(e + 28), req->size);
	return 0;
}

static int plan_elf(const struct load_request *req, struct plan *p, struct why *why)
{
	const uint8_t *e = req->image, *ph;
	int err = check_elf(req, why);

	if (err)
		return err;
	p->entry = load_u32(e + 24);
	ph = e + load_u32(e + 28);
	for (unsigned n = load_u16(e + 44); n && !err; n--, ph += ELF_PHDR) {
		uint32_t vaddr = load_u32(ph + 8);
		struct segment s = {
			.offset = load_u32(ph + 4),
			.file_size = load_u32(ph + 16),
			.base = load_u32(ph + 12),
			.size = load_u32(ph + 20),
		};

		if (load_u32(ph) != ELF_PT_LOAD)
			continue;
		err = add_segment(p, &s, req, why);
		/* An entry given as a linear address is meant where its segment is loaded. */
		if (load_u32(e + 24) - vaddr < s.size)
			p->entry = load_u32(e + 24) - vaddr + s.base;
	}
	return err;
}

static int check_plan(const struct plan *p, struct why *why)
{
	for (unsigned i = 0; i < p->count; i++) {
		const struct segment *s = &p->segment[i];

		if (p->entry >= s->base && p->entry - s->base < s->size)
			return 0;
	}
	return why_set(why, ERR_INVALID,
		       "the Multiboot image's entry point %#x is in none of its %u loaded segments",
		       p->entry, p->count);
}

static int load_segments(const struct load_request *req, const struct plan *p, struct why *why)
{
	for (unsigned i = 0; i < p->count; i++) {
		const struct segment *s = &p->segment[i];
		int err = load_write(s->base, req->image + s->offset, s->file_size,
				     "a Multiboot segment", why);

		if (err)
			return err;
		if (gmem_fill(s->base + (gpa_t)s->file_size, 0, s->size - s->file_size))
			return why_set(why, ERR_RANGE,
				       "the guest has no RAM for %u bytes at %#x "
				       "of the Multiboot image",
				       s->size, s->base);
	}
	return 0;
}

/* Returns the string's address through `at`. */
static int put_string(struct strings *s, const char *text, uint32_t *at, struct why *why)
{
	size_t size = strlen(text) + 1;

	if (size > LOAD_INFO_END - s->next)
		return why_set(why, ERR_RANGE,
			       "the command lines of the Multiboot image and its modules have more "
			       "than the %u bytes that are set aside",
			       (unsigned)(LOAD_INFO_END - LOAD_INFO - sizeof(struct info_page)));
	*at = s->next;
	s->next += (uint32_t)size;
	return load_write(*at, text, size, "a command line", why);
}

/* Modules go page by page behind the image: page alignment is right whether asked for or not. */
static int load_modules(const struct load_request *req, uint64_t from, struct info_page *page,
			struct strings *strings, struct why *why)
{
	uint64_t ram_end = layout_ram_low(req->ram_bytes);
	uint64_t at = align_up(MAX(from, (uint64_t)LAYOUT_HIGH_MEMORY), PAGE_SIZE);

	if (req->file_count > MODULES)
		return why_set(why, ERR_UNSUPPORTED,
			       "%u Multiboot modules are given; %u can be loaded", req->file_count,
			       MODULES);
	for (unsigned i = 0; i < req->file_count; i++) {
		const struct load_file *f = &req->files[i];
		struct module *m = &page->modules[i];
		uint32_t string;
		int err;

		if (!range_within(at, f->size, ram_end))
			return why_set(why, ERR_RANGE,
				       "Multiboot module %u of %zu bytes does not fit between "
				       "%#llx and the end of RAM at %#llx; "
				       "give the guest more memory",
				       i + 1, f->size, (unsigned long long)at,
				       (unsigned long long)ram_end);
		err = load_write(at, f->data, f->size, "a Multiboot module", why);
		if (!err)
			err = put_string(strings, f->args ? f->args : "", &string, why);
		if (err)
			return err;
		*m = (struct module){(uint32_t)at, (uint32_t)(at + f->size), string, 0};
		at = align_up(at + f->size, PAGE_SIZE);
	}
	return 0;
}

static void fill_memory(struct info_page *page, uint64_t ram_bytes)
{
	struct layout_range map[LAYOUT_RANGES];
	unsigned count = layout_map(ram_bytes, map);

	for (unsigned i = 0; i < count; i++)
		page->mmap[i] = (struct mmap_entry){
			.size = sizeof(struct mmap_entry) - sizeof(uint32_t),
			.base = map[i].base,
			.length = map[i].size,
			.type = map[i].kind,
		};
	page->info.mmap_addr = LOAD_INFO + offsetof(struct info_page, mmap);
	page->info.mmap_length = count * (uint32_t)sizeof(struct mmap_entry);
	page->info.mem_lower = LAYOUT_EBDA / 1024;
	page->info.mem_upper = (uint32_t)((layout_ram_low(ram_bytes) - LAYOUT_HIGH_MEMORY) >> 10);
}

static int load_info(const struct load_request *req, const struct plan *p, struct why *why)
{
	struct info_page page = {.info.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES |
					       INFO_MMAP | INFO_LOADER_NAME};
	struct strings strings = {.next = LOAD_INFO + sizeof(page)};
	uint32_t at = 0;
	int err;

	fill_memory(&page, req->ram_bytes);
	page.info.mods_count = req->file_count;
	page.info.mods_addr = LOAD_INFO + offsetof(struct info_page, modules);
	err = put_string(&strings, req->cmdline ? req->cmdline : "", &at, why);
	page.info.cmdline = at;
	if (!err)
		err = put_string(&strings, "Amalgam", &at, why);
	page.info.loader_name = at;
	if (!err)
		err = load_modules(req, p->end, &page, &strings, why);
	if (!err)
		err = load_write(LOAD_INFO, &page, sizeof(page), "the Multiboot information", why);
	return err;
}

static int make_plan(const struct load_request *req, struct plan *p, struct why *why)
{
	int header = find_header(req->image, req->size), err;
	uint32_t flags;

	if (header < 0)
		return why_set(why, ERR_INVALID,
			       "the kernel image of %zu bytes has no Multiboot header "
			       "in its first 8 KiB",
			       req->size);
	flags = load_u32(req->image + header + 4);
	if (flags & FLAGS_REQUIRED & ~(FLAG_ALIGN | FLAG_MEMORY))
		return why_set(why, ERR_UNSUPPORTED,
			       "the Multiboot image requires features %#x; known are 0x3 (%s)",
			       flags & FLAGS_REQUIRED,
			       flags & FLAG_VIDEO
				       ? "it asks for a video mode, and there is no display"
				       : "aligned modules, memory information");
	err = flags & FLAG_ADDRESSES ? plan_addresses(req, (unsigned)header, p, why)
				     : plan_elf(req, p, why);
	return err ? err : check_plan(p, why);
}

int multiboot_load(const struct load_request *req, struct load_result *out, struct why *why)
{
	struct plan plan = {.count = 0};
	int err = 0;

	if (layout_ram_low(req->ram_bytes) < LAYOUT_HIGH_MEMORY)
		err = why_set(why, ERR_RANGE,
			      "the guest has %llu bytes of RAM; expected 1 MiB at least",
			      (unsigned long long)req->ram_bytes);
	if (!err)
		err = make_plan(req, &plan, why);
	if (!err)
		err = load_segments(req, &plan, why);
	if (!err)
		err = load_info(req, &plan, why);
	if (!err)
		err = load_start_state(out, IMAGE_MULTIBOOT, plan.entry, why);
	if (!err) {
		out->eax = LOADER_MAGIC;
		out->ebx = LOAD_INFO;
	}
	return err;
}
