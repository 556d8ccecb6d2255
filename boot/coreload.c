#include "boot/coreload.h"

#define PAGE 4096u
#define GIB  (1ull << 30)

/* System V ABI, ELF-64 object file format: the parts a loader needs. */
struct elf64_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf64_header) == 64, "ELF-64 header");

struct elf64_segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf64_segment) == 56, "ELF-64 program header");

#define PT_LOAD   1
#define EM_X86_64 62
#define CORE_MAX  (64u << 20)

#define PTE_PRESENT 1ull
#define PTE_WRITE   2ull
#define PTE_LARGE   0x80ull

static const struct elf64_segment *segments(const struct coreload *c, unsigned *count)
{
	const struct elf64_header *h = (const struct elf64_header *)(const void *)c->elf;

	*count = h->phnum;
	return (const struct elf64_segment *)(const void *)(c->elf + h->phoff);
}

/* Page-table pages: PML4, PDPTs and (without 1 GiB pages) PDs of the identity map, then the core's. */
static uint32_t table_pages(const struct coreload *c)
{
	uint32_t gibs = (uint32_t)(c->identity_top / GIB);
	uint32_t pdpts = (gibs + 511) / 512;
	uint32_t core_pts = (c->image_bytes + (2u << 20) - 1) >> 21;

	return 1 + pdpts + (c->gib_pages ? 0 : gibs) + 2 + core_pts;
}

const char *coreload_plan(struct coreload *c, const uint8_t *elf, uint32_t size, uint64_t ram_top,
			  bool gib_pages)
{
	const struct elf64_header *h = (const struct elf64_header *)(const void *)elf;
	const struct elf64_segment *s;
	uint64_t end = 0;
	unsigned count;

	if (size < sizeof(*h) || h->ident[0] != 0x7f || h->ident[1] != 'E' || h->ident[2] != 'L' ||
	    h->ident[3] != 'F' || h->machine != EM_X86_64)
		return "the core inside this boot image is not a 64-bit x86 ELF file; "
		       "build the image again";
	if (h->phentsize != sizeof(*s) || h->phoff > size ||
	    h->phnum > (size - h->phoff) / sizeof(*s))
		return "the core inside this boot image is cut short; build the image again";
	c->elf = elf;
	c->entry = h->entry;
	s = segments(c, &count);
	for (unsigned i = 0; i < count; i++) {
		if (s[i].type != PT_LOAD)
			continue;
		if (s[i].offset > size || s[i].filesz > size - s[i].offset ||
		    s[i].filesz > s[i].memsz || s[i].vaddr < HANDOFF_CORE_VIRT ||
		    s[i].vaddr - HANDOFF_CORE_VIRT > CORE_MAX || s[i].memsz > CORE_MAX)
			return "the core inside this boot image has a segment out of bounds; "
			       "build the image again";
		if (s[i].vaddr + s[i].memsz - HANDOFF_CORE_VIRT > end)
			end = s[i].vaddr + s[i].memsz - HANDOFF_CORE_VIRT;
	}
	c->image_bytes = ((uint32_t)end + PAGE - 1) & ~(PAGE - 1);
	c->gib_pages = gib_pages;
	c->identity_top = ram_top < 4 * GIB ? 4 * GIB : (ram_top + GIB - 1) & ~(GIB - 1);
	c->table_bytes = table_pages(c) * PAGE;
	return 0;
}

static void copy(uint8_t *to, const uint8_t *from, uint32_t n)
{
	while (n--)
		*to++ = *from++;
}

static void clear(uint8_t *to, uint32_t n)
{
	while (n--)
		*to++ = 0;
}

void coreload_place(const struct coreload *c, uint8_t *image)
{
	unsigned count;
	const struct elf64_segment *s = segments(c, &count);

	clear(image, c->image_bytes);
	for (unsigned i = 0; i < count; i++)
		if (s[i].type == PT_LOAD)
			copy(image + (uint32_t)(s[i].vaddr - HANDOFF_CORE_VIRT),
			     c->elf + (uint32_t)s[i].offset, (uint32_t)s[i].filesz);
}

/* Takes the next page of the table area. */
static uint64_t *next_table(uint8_t **at)
{
	uint64_t *t = (uint64_t *)(void *)*at;

	*at += PAGE;
	return t;
}

static uint64_t table_entry(const uint64_t *t)
{
	return (uintptr_t)t | PTE_PRESENT | PTE_WRITE;
}

static void map_identity(const struct coreload *c, uint64_t *pml4, uint8_t **at)
{
	uint32_t gibs = (uint32_t)(c->identity_top / GIB);
	uint64_t *pdpt = 0;

	for (uint32_t g = 0; g < gibs; g++) {
		uint64_t *pd;

		if (g % 512 == 0) {
			pdpt = next_table(at);
			pml4[g / 512] = table_entry(pdpt);
		}
		if (c->gib_pages) {
			pdpt[g % 512] = g * GIB | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
			continue;
		}
		pd = next_table(at);
		pdpt[g % 512] = table_entry(pd);
		for (uint32_t m = 0; m < 512; m++)
			pd[m] = (g * GIB + ((uint64_t)m << 21)) | PTE_PRESENT | PTE_WRITE |
				PTE_LARGE;
	}
}

uint64_t coreload_tables(const struct coreload *c, uint8_t *tables, uint64_t core_base)
{
	uint8_t *at = tables;
	uint64_t *pml4, *pdpt, *pd, *pt = 0;

	clear(tables, c->table_bytes);
	pml4 = next_table(&at);
	map_identity(c, pml4, &at);
	pdpt = next_table(&at);
	pd = next_table(&at);
	pml4[HANDOFF_CORE_VIRT >> 39 & 511] = table_entry(pdpt);
	pdpt[HANDOFF_CORE_VIRT >> 30 & 511] = table_entry(pd);
	for (uint32_t page = 0; page < c->image_bytes / PAGE; page++) {
		if (page % 512 == 0) {
			pt = next_table(&at);
			pd[page / 512] = table_entry(pt);
		}
		pt[page % 512] = (core_base + (uint64_t)page * PAGE) | PTE_PRESENT | PTE_WRITE;
	}
	return (uintptr_t)pml4;
}

static uint32_t extended_features(void)
{
	uint32_t a = 0x80000000u, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (a < 0x80000001u)
		return 0;
	a = 0x80000001u;
	c = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return d;
}

bool coreload_cpu_has_gib_pages(void)
{
	return extended_features() >> 26 & 1;
}

bool coreload_cpu_has_long_mode(void)
{
	return extended_features() >> 29 & 1;
}
