/* SDM vol. 3, 4.5: 4-level paging. Mappings are only ever added, so no other CPU's TLB needs a flush. */
#include "hv/x86/paging.h"
#include "hv/base/assert.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/spinlock.h"
#include "hv/base/string.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pmem.h"
#include "hv/x86/pmem_init.h"

#define PTE_P         BIT(0)
#define PTE_W         BIT(1)
#define PTE_PWT       BIT(3)
#define PTE_PCD       BIT(4)
#define PTE_PS        BIT(7)
#define PTE_G         BIT(8)
#define SOFT_WC       BIT(9) /* ours; the CPU ignores bits 11:9 */
#define PTE_PAT_SMALL BIT(7)
#define PTE_PAT_LARGE BIT(12)
#define PTE_NX        BIT(63)
#define PTE_ADDR      BITS(51, 12)

#define MAP_RW    (PTE_P | PTE_W | PTE_NX | PTE_G)
#define MAP_RO    (PTE_P | PTE_NX | PTE_G)
#define MAP_RX    (PTE_P | PTE_G)
#define MAP_UC    (MAP_RW | PTE_PCD | PTE_PWT)
/*
 * Write-combining, by pcpu_setup.c's PAT entry 4. Its bit in the entry is another one in large pages: map()
 * sets it.
 */
#define MAP_WC    (MAP_RW | SOFT_WC)
#define MAP_TABLE (PTE_P | PTE_W)

#define MMIO_END   (PAGING_MMIO + GIB(1024))
#define STACKS_END (PAGING_STACKS + GIB(1))

extern const uint8_t core_start[], core_text_end[], core_rodata[], core_data[], core_end[];

hpa_t paging_core_base;

static struct {
	struct spinlock lock;
	hpa_t root;
	bool live; /* the tables are in use and pmem is ready */
	bool gib_pages;
	uint64_t phys_limit;
	uint64_t mmio_next, stack_next;
} pg = {.lock = SPINLOCK(RANK_PAGING), .mmio_next = PAGING_MMIO, .stack_next = PAGING_STACKS};

static uint64_t *table_at(hpa_t pa)
{
	return pg.live ? phys_to_virt(pa) : (uint64_t *)(uintptr_t)pa;
}

static hpa_t new_table(void)
{
	return pg.live ? pmem_alloc_zeroed(0) : pmem_early_alloc(PAGE_SIZE);
}

/* Levels count from 0 (4 KiB entries) to 3 (PML4). */
static unsigned index_at(uint64_t va, unsigned level)
{
	return va >> (PAGE_SHIFT + 9 * level) & 511;
}

static uint64_t size_at(unsigned level)
{
	return BIT(PAGE_SHIFT + 9 * level);
}

/* Replaces a large page by a table that maps the same. */
static bool split(uint64_t *entry, unsigned level)
{
	hpa_t table = new_table();
	uint64_t step = size_at(level - 1), base = *entry & PTE_ADDR & ~(size_at(level) - 1);
	uint64_t flags = *entry & ~PTE_ADDR;

	if (table == PMEM_NONE)
		return false;
	if (level == 1)
		flags &= ~PTE_PS;
	for (unsigned i = 0; i < 512; i++)
		table_at(table)[i] = (base + i * step) | flags;
	*entry = table | MAP_TABLE;
	return true;
}

/* The entry for `va` at `level`, with the tables above it made; NULL when out of memory. */
static uint64_t *entry_for(uint64_t va, unsigned level)
{
	uint64_t *table = table_at(pg.root);

	for (unsigned l = 3; l > level; l--) {
		uint64_t *e = &table[index_at(va, l)];

		if (!(*e & PTE_P)) {
			hpa_t t = new_table();

			if (t == PMEM_NONE)
				return NULL;
			*e = t | MAP_TABLE;
		} else if ((*e & PTE_PS) && !split(e, l)) {
			return NULL;
		}
		table = table_at(*e & PTE_ADDR);
	}
	return &table[index_at(va, level)];
}

/* Maps whole pages with the largest page size that fits. */
static bool map(uint64_t va, hpa_t pa, uint64_t size, uint64_t flags)
{
	while (size) {
		unsigned level = pg.gib_pages ? 2 : 1;
		uint64_t *e;

		while (level && (!is_aligned(va | pa, size_at(level)) || size < size_at(level)))
			level--;
		e = entry_for(va, level);
		if (!e)
			return false;
		*e = pa | flags | (level ? PTE_PS : 0);
		if (flags & SOFT_WC)
			*e |= level ? PTE_PAT_LARGE : PTE_PAT_SMALL;
		va += size_at(level);
		pa += size_at(level);
		size -= size_at(level);
	}
	return true;
}

/* The leaf entry that maps `va`, or NULL. */
static const uint64_t *lookup(uint64_t va)
{
	const uint64_t *table = table_at(pg.root);

	for (unsigned l = 3;; l--) {
		const uint64_t *e = &table[index_at(va, l)];

		if (!(*e & PTE_P))
			return NULL;
		if (l == 0 || (*e & PTE_PS))
			return e;
		table = table_at(*e & PTE_ADDR);
	}
}

bool paging_is_mapped(uint64_t va)
{
	uint64_t top = va >> 47;

	return (top == 0 || top == 0x1ffff) && lookup(va);
}

/* RAM at its offset; the core's text and constants are read-only there too. */
static void map_direct(uint64_t base, uint64_t end)
{
	hpa_t ro_base = paging_core_base;
	hpa_t ro_end = paging_core_base + (uint64_t)(core_data - core_start);

	if (base < ro_end && end > ro_base) {
		if (base < ro_base)
			map_direct(base, ro_base);
		if (end > ro_end)
			map_direct(ro_end, end);
		base = MAX(base, ro_base);
		end = MIN(end, ro_end);
		map(PAGING_DIRECT_MAP + base, base, end - base, MAP_RO);
		return;
	}
	map(PAGING_DIRECT_MAP + base, base, end - base, MAP_RW);
}

static void map_core(const uint8_t *from, const uint8_t *to, uint64_t flags)
{
	uint64_t va = (uintptr_t)from;

	map(va, virt_to_phys(from), align_up((uintptr_t)to, PAGE_SIZE) - va, flags);
}

void paging_init(const struct memmap *mm, hpa_t core_base)
{
	struct cpuid_regs ext = cpuid(0x80000001, 0);

	paging_core_base = core_base;
	pg.gib_pages = ext.edx & CPUID_EXT1_EDX_1GB;
	pg.phys_limit = BIT(cpuid_has(0x80000008) ? cpuid(0x80000008, 0).eax & 0xff : 36);
	pg.root = new_table();
	/* The first MiB whole: BIOS data, EBDA and VGA memory belong to no range of RAM. */
	map_direct(0, MIB(1));
	for (unsigned i = 0; i < mm->count; i++) {
		uint64_t base = MAX(mm->ranges[i].base, MIB(1));
		uint64_t end = mm->ranges[i].base + mm->ranges[i].size;

		if (memmap_is_memory(mm->ranges[i].kind) && base < end)
			map_direct(base, end);
	}
	map_core(core_start, core_text_end, MAP_RX);
	map_core(core_rodata, core_data, MAP_RO);
	map_core(core_data, core_end, MAP_RW);
	write_cr3(pg.root);
	pg.live = true;
}

hpa_t paging_root(void)
{
	return pg.root;
}

static void *map_device(hpa_t pa, uint64_t size, uint64_t flags)
{
	uint64_t first = align_down(pa, PAGE_SIZE), bytes = align_up(pa + size, PAGE_SIZE) - first;
	uint64_t va;
	bool ok;

	spin_lock(&pg.lock);
	/* Framebuffers get large pages: same offset within 2 MiB. No two mappings share one. */
	va = align_up(pg.mmio_next, MIB(2)) + (first & (MIB(2) - 1));
	ok = size && pa < pg.phys_limit && size <= pg.phys_limit - pa && bytes < MMIO_END - va &&
	     map(va, first, bytes, flags);
	if (ok)
		pg.mmio_next = va + bytes;
	spin_unlock(&pg.lock);
	return ok ? (void *)(uintptr_t)(va + (pa - first)) : NULL;
}

void *paging_map_mmio(hpa_t pa, uint64_t size)
{
	return map_device(pa, size, MAP_UC);
}

void *paging_map_wc(hpa_t pa, uint64_t size)
{
	return map_device(pa, size, MAP_WC);
}

const void *paging_map_table(hpa_t pa, uint64_t size)
{
	uint64_t at = align_down(pa, PAGE_SIZE);
	bool ok = size && pa < pg.phys_limit && size <= pg.phys_limit - pa;

	spin_lock(&pg.lock);
	for (; ok && at < pa + size; at += PAGE_SIZE)
		if (!lookup(PAGING_DIRECT_MAP + at))
			ok = map(PAGING_DIRECT_MAP + at, at, PAGE_SIZE, MAP_RO);
	spin_unlock(&pg.lock);
	return ok ? phys_to_virt(pa) : NULL;
}

uint8_t *paging_alloc_stack(uint64_t size)
{
	uint64_t va;
	bool ok;

	spin_lock(&pg.lock);
	va = pg.stack_next + PAGE_SIZE;
	ok = va + size <= STACKS_END;
	for (uint64_t at = 0; ok && at < size; at += PAGE_SIZE) {
		hpa_t pa = pmem_alloc_zeroed(0);

		ok = pa != PMEM_NONE && map(va + at, pa, PAGE_SIZE, MAP_RW);
	}
	if (ok)
		pg.stack_next = va + size;
	spin_unlock(&pg.lock);
	return ok ? (uint8_t *)(uintptr_t)(va + size) : NULL;
}

const char *paging_describe_fault(uint64_t va)
{
	if (va >= PAGING_STACKS && va < pg.stack_next && !paging_is_mapped(va))
		return "the unmapped page below a stack: the stack has overflowed";
	if (va < PAGE_SIZE)
		return "a null pointer";
	return NULL;
}
