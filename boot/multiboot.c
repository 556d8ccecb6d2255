/* The BIOS side's loader: from Multiboot 1 information to the handoff and the core. */
#include "boot/coreload.h"
#include "boot/ranges.h"

#define LOADER_MAGIC 0x2badb002u

#define INFO_MEM         (1u << 0)
#define INFO_CMDLINE     (1u << 2)
#define INFO_MODS        (1u << 3)
#define INFO_MMAP        (1u << 6)
#define INFO_FRAMEBUFFER (1u << 12)

#define FRAMEBUFFER_RGB 1

#define PAGE     4096u
#define COM1     0x3f8
#define VGA_TEXT 0xb8000u

/* Multiboot Specification 0.6.96, 3.3 */
struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, loader_name,
		apm_table;
	uint32_t vbe_control, vbe_mode_info;
	uint16_t vbe_mode, vbe_seg, vbe_off, vbe_len;
	uint64_t fb_addr;
	uint32_t fb_pitch, fb_width, fb_height;
	uint8_t fb_bpp, fb_type, red_position, red_size, green_position, green_size, blue_position,
		blue_size;
} __attribute__((packed));
_Static_assert(sizeof(struct info) == 116, "Multiboot information");

struct mmap_entry {
	uint32_t size; /* of the rest */
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

struct module {
	uint32_t start, end, string, reserved;
};

extern const uint8_t core_elf[], core_elf_end[], stub_start[], stub_end[];

void enter_core(uint32_t cr3, uint64_t entry, uint32_t handoff);
void multiboot_main(uint32_t magic, const struct info *info);
void __stack_chk_fail(void);

uintptr_t __stack_chk_guard; /* set by multiboot_entry.S; the name is the compiler's */

static struct handoff work; /* built here, then copied to where it stays */

static void serial_byte(char c)
{
	uint8_t ready = 0;

	for (unsigned i = 0; i < 100000 && !(ready & 0x20); i++)
		__asm__ volatile("inb %w1, %0" : "=a"(ready) : "d"(COM1 + 5));
	__asm__ volatile("outb %0, %w1" ::"a"(c), "d"(COM1));
}

/* The one sentence a stub that can't go on has: on COM1 and at the top of the screen. */
static void stop(const char *sentence)
{
	volatile uint16_t *screen = (volatile uint16_t *)VGA_TEXT;

	for (const char *s = "amalgam: "; *s; s++) {
		serial_byte(*s);
		*screen++ = (uint16_t)(0x0f00 | *s);
	}
	for (; *sentence; sentence++) {
		serial_byte(*sentence);
		*screen++ = (uint16_t)(0x0f00 | *sentence);
	}
	serial_byte('\r');
	serial_byte('\n');
	for (;;)
		__asm__ volatile("cli; hlt");
}

void __stack_chk_fail(void)
{
	stop("the boot image overran a buffer on its stack; please report this");
}

static void set(uint64_t base, uint64_t size, enum handoff_kind kind)
{
	if (!ranges_set(&work, base, size, kind))
		stop("the memory map has more pieces than the boot image can take; "
		     "this firmware is not supported");
}

/* 3.3, "mmap_*": types as in ACPI 6.4, table 15.4. */
static enum handoff_kind kind_of(uint32_t type)
{
	switch (type) {
	case 1:
		return HANDOFF_RAM;
	case 3:
		return HANDOFF_ACPI;
	case 4:
		return HANDOFF_NVS;
	case 5:
		return HANDOFF_BAD;
	default:
		return HANDOFF_RESERVED;
	}
}

static void read_memory_map(const struct info *info)
{
	uint32_t at = info->mmap_addr, end = at + info->mmap_length;

	if (!(info->flags & INFO_MMAP)) {
		if (!(info->flags & INFO_MEM))
			stop("the boot loader gave no memory map; "
			     "use a Multiboot 1 loader such as iPXE");
		set(0, (uint64_t)info->mem_lower << 10, HANDOFF_RAM);
		set(1u << 20, (uint64_t)info->mem_upper << 10, HANDOFF_RAM);
		return;
	}
	while (at < end) {
		const struct mmap_entry *e = (const struct mmap_entry *)at;

		set(e->base, e->length, kind_of(e->type));
		at += e->size + sizeof(e->size);
	}
}

static uint32_t length(const char *s)
{
	uint32_t n = 0;

	while (s[n])
		n++;
	return n;
}

/* Copies at most max - 1 bytes; false when that cut something off. */
static bool copy_text(char *to, const char *from, uint32_t n, uint32_t max)
{
	uint32_t i = 0;

	for (; i < n && i < max - 1; i++)
		to[i] = from[i];
	to[i] = '\0';
	return i == n;
}

static const char *skip_blanks(const char *s)
{
	while (*s == ' ')
		s++;
	return s;
}

/* The first word of `s`: its length, and where within it the last path component begins. */
static uint32_t first_word(const char *s, uint32_t *base)
{
	uint32_t n = 0;

	*base = 0;
	for (; s[n] && s[n] != ' '; n++)
		if (s[n] == '/')
			*base = n + 1;
	return n;
}

/* Loaders put the image's name or URI first, or nothing at all; an option has '=' or is a bare word. */
static bool is_image_name(const char *s, uint32_t n)
{
	bool path = false;

	for (uint32_t i = 0; i < n; i++) {
		if (s[i] == '=')
			return false;
		path |= s[i] == '/' || s[i] == '.';
	}
	return path;
}

static void read_cmdline(const struct info *info)
{
	const char *s;
	uint32_t n, base;

	if (!(info->flags & INFO_CMDLINE))
		return;
	s = skip_blanks((const char *)info->cmdline);
	n = first_word(s, &base);
	if (is_image_name(s, n))
		s = skip_blanks(s + n);
	work.cmdline_cut = !copy_text(work.cmdline, s, length(s), HANDOFF_CMDLINE);
}

static void read_modules(const struct info *info)
{
	const struct module *m = (const struct module *)info->mods_addr;

	if (!(info->flags & INFO_MODS))
		return;
	if (info->mods_count > HANDOFF_FILES)
		stop("more than 16 boot files; leave some out");
	for (uint32_t i = 0; i < info->mods_count; i++) {
		struct handoff_file *f = &work.files[work.file_count++];
		const char *s = m[i].string ? skip_blanks((const char *)m[i].string) : "";
		uint32_t base, n = first_word(s, &base);

		f->base = m[i].start;
		f->size = m[i].end - m[i].start;
		if (!copy_text(f->name, s + base, n - base, HANDOFF_NAME))
			stop("a boot file's name is longer than 63 bytes; rename the file");
		s = skip_blanks(s + n);
		if (!copy_text(f->args, s, length(s), HANDOFF_ARGS))
			stop("a boot file's arguments are longer than 447 bytes; shorten them");
		set(f->base & ~(uint64_t)(PAGE - 1),
		    (f->base % PAGE + f->size + PAGE - 1) & ~(uint64_t)(PAGE - 1), HANDOFF_FILE);
	}
}

static void read_framebuffer(const struct info *info)
{
	if (!(info->flags & INFO_FRAMEBUFFER) || info->fb_type != FRAMEBUFFER_RGB ||
	    info->fb_bpp != 32)
		return;
	work.fb = (struct handoff_framebuffer){info->fb_addr, info->fb_pitch, info->fb_width,
					       info->fb_height, info->blue_position == 0};
}

/* Whole pages of RAM below 4 GiB that nothing uses, as high as possible; from then on the core's. */
static uint32_t take_pages(uint32_t bytes)
{
	bytes = (bytes + PAGE - 1) & ~(PAGE - 1);
	for (uint32_t i = work.range_count; i-- > 0;) {
		const struct handoff_range *r = &work.ranges[i];
		uint64_t top = r->base + r->size, at;

		if (r->kind != HANDOFF_RAM)
			continue;
		if (top > 0xfffff000u)
			top = 0xfffff000u;
		at = (top - bytes) & ~(uint64_t)(PAGE - 1);
		if (top < bytes || at < r->base || at < (1u << 20))
			continue;
		set(at, bytes, HANDOFF_CORE);
		return (uint32_t)at;
	}
	stop("no room in memory below 4 GiB for the core; add RAM or give smaller boot files");
	return 0;
}

static void start_core(void)
{
	struct coreload core;
	const char *bad = coreload_plan(&core, core_elf, (uint32_t)(core_elf_end - core_elf),
					ranges_ram_top(&work), coreload_cpu_has_gib_pages());
	uint32_t at, tables, handoff, cr3;

	if (bad)
		stop(bad);
	at = take_pages(core.image_bytes);
	tables = take_pages(core.table_bytes);
	handoff = take_pages(sizeof(work));
	coreload_place(&core, (uint8_t *)at);
	cr3 = (uint32_t)coreload_tables(&core, (uint8_t *)tables, at);
	work.core_base = at;
	work.core_size = core.image_bytes;
	/* The stub itself is in the way of nobody any more. */
	set((uint32_t)stub_start, (uint32_t)(stub_end - stub_start), HANDOFF_RAM);
	*(struct handoff *)handoff = work;
	enter_core(cr3, core.entry, handoff);
}

void multiboot_main(uint32_t magic, const struct info *info)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	if (magic != LOADER_MAGIC)
		stop("not started by a Multiboot 1 loader; "
		     "boot this image with iPXE's 'kernel' command or GRUB's 'multiboot'");
	if (!coreload_cpu_has_long_mode())
		stop("this CPU has no 64-bit mode; Amalgam needs an x86-64 CPU with VT-x and EPT");
	work.magic = HANDOFF_MAGIC;
	work.version = HANDOFF_VERSION;
	work.size = sizeof(work);
	work.loader = HANDOFF_MULTIBOOT;
	work.start_tsc = (uint64_t)hi << 32 | lo;
	read_memory_map(info);
	set((uint32_t)stub_start, (uint32_t)(stub_end - stub_start), HANDOFF_CORE);
	read_cmdline(info);
	read_modules(info);
	read_framebuffer(info);
	start_core();
}
