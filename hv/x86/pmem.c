#include "hv/x86/pmem.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/spinlock.h"
#include "hv/base/string.h"
#include "hv/x86/buddy.h"
#include "hv/x86/pmem_init.h"

#define LOW_LIMIT GIB(4)

/* Below 1 MiB firmware keeps data that no map lists; only real-mode pages are taken there. */
#define REAL_MODE_FLOOR 0x1000u
#define REAL_MODE_END   0x9f000u

STATIC_ASSERT(PMEM_MAX_ORDER == BUDDY_MAX_ORDER, "one is the other's public name");

static struct {
	struct spinlock lock;
	struct buddy low, high; /* below and from 4 GiB on */
	const struct memmap *map;
	hpa_t early_base, early_next, early_end;
	hpa_t real_mode_next;
	bool mapped; /* the direct map is there */
} pm = {.lock = SPINLOCK(RANK_PMEM)};

int pmem_early_init(const struct memmap *map, struct why *why)
{
	struct handoff_range r;

	if (!memmap_largest_ram(map, MIB(1), LOW_LIMIT, &r))
		return why_set(why, ERR_NOMEM,
			       "the memory map has no RAM between 1 MiB and 4 GiB; "
			       "the core needs some there");
	pm.map = map;
	pm.early_base = pm.early_next = r.base;
	pm.early_end = r.base + r.size;
	pm.real_mode_next = REAL_MODE_FLOOR;
	return 0;
}

hpa_t pmem_early_alloc(uint64_t size)
{
	hpa_t pa = pm.early_next;

	size = align_up(size, PAGE_SIZE);
	if (!range_within(pa, size, pm.early_end))
		plat_panic("the largest range of RAM below 4 GiB, "
			   "%llu KiB, is too small for the core's tables",
			   (unsigned long long)(pm.early_end - pm.early_base) >> 10);
	pm.early_next += size;
	memset(pm.mapped ? phys_to_virt(pa) : (void *)(uintptr_t)pa, 0, size);
	return pa;
}

/* Adds [base, end) to the allocator of its half, without what was taken early. */
static void add(hpa_t base, hpa_t end)
{
	if (base < pm.early_next && end > pm.early_base) {
		if (base < pm.early_base)
			add(base, pm.early_base);
		if (end > pm.early_next)
			add(pm.early_next, end);
		return;
	}
	if (base < LOW_LIMIT)
		buddy_add(&pm.low, base >> PAGE_SHIFT, (MIN(end, LOW_LIMIT) - base) >> PAGE_SHIFT);
	if (end > LOW_LIMIT) {
		base = MAX(base, LOW_LIMIT);
		buddy_add(&pm.high, (base - LOW_LIMIT) >> PAGE_SHIFT, (end - base) >> PAGE_SHIFT);
	}
}

void pmem_init(const struct memmap *map)
{
	uint64_t top = memmap_top(map);
	uint64_t low = MIN(top, LOW_LIMIT) >> PAGE_SHIFT;
	uint64_t high = top > LOW_LIMIT ? (top - LOW_LIMIT) >> PAGE_SHIFT : 0;

	pm.mapped = true;
	buddy_init(&pm.low, phys_to_virt(0), phys_to_virt(pmem_early_alloc(low)), low);
	buddy_init(&pm.high, phys_to_virt(LOW_LIMIT), phys_to_virt(pmem_early_alloc(high)), high);
	for (unsigned i = 0; i < map->count; i++) {
		hpa_t base = MAX(map->ranges[i].base, MIB(1));
		hpa_t end = map->ranges[i].base + map->ranges[i].size;

		if (map->ranges[i].kind == HANDOFF_RAM && base < end)
			add(base, end);
	}
	log_info(LOG_X86, "%llu MiB of RAM free, %llu MiB of it from 4 GiB on",
		 (unsigned long long)pmem_free_bytes() >> 20,
		 (unsigned long long)pm.high.free_frames >> (20 - PAGE_SHIFT));
}

static hpa_t alloc_from(struct buddy *b, hpa_t base, unsigned order)
{
	uint64_t frame = buddy_alloc(b, order);

	return frame == BUDDY_NONE ? PMEM_NONE : base + (frame << PAGE_SHIFT);
}

hpa_t pmem_alloc(unsigned order)
{
	hpa_t pa;

	if (order > PMEM_MAX_ORDER)
		return PMEM_NONE;
	spin_lock(&pm.lock);
	pa = alloc_from(&pm.high, LOW_LIMIT, order);
	if (pa == PMEM_NONE)
		pa = alloc_from(&pm.low, 0, order);
	spin_unlock(&pm.lock);
	return pa;
}

hpa_t pmem_alloc_low(unsigned order)
{
	hpa_t pa;

	if (order > PMEM_MAX_ORDER)
		return PMEM_NONE;
	spin_lock(&pm.lock);
	pa = alloc_from(&pm.low, 0, order);
	spin_unlock(&pm.lock);
	return pa;
}

hpa_t pmem_alloc_zeroed(unsigned order)
{
	hpa_t pa = pmem_alloc(order);

	if (pa != PMEM_NONE)
		memset(phys_to_virt(pa), 0, (size_t)PAGE_SIZE << order);
	return pa;
}

hpa_t pmem_take(size_t bytes)
{
	uint64_t pages = align_up(MAX(bytes, (size_t)1), PAGE_SIZE) >> PAGE_SHIFT;
	unsigned order = pmem_order(bytes);
	hpa_t pa = pmem_alloc(order);

	if (pa == PMEM_NONE)
		return PMEM_NONE;
	memset(phys_to_virt(pa), 0, pages << PAGE_SHIFT);
	spin_lock(&pm.lock);
	if (pa < LOW_LIMIT)
		buddy_trim(&pm.low, pa >> PAGE_SHIFT, order, pages);
	else
		buddy_trim(&pm.high, (pa - LOW_LIMIT) >> PAGE_SHIFT, order, pages);
	spin_unlock(&pm.lock);
	return pa;
}

void pmem_free(hpa_t base, unsigned order)
{
	spin_lock(&pm.lock);
	if (base < LOW_LIMIT)
		buddy_free(&pm.low, base >> PAGE_SHIFT, order);
	else
		buddy_free(&pm.high, (base - LOW_LIMIT) >> PAGE_SHIFT, order);
	spin_unlock(&pm.lock);
}

uint64_t pmem_free_bytes(void)
{
	uint64_t frames;

	spin_lock(&pm.lock);
	frames = pm.low.free_frames + pm.high.free_frames;
	spin_unlock(&pm.lock);
	return frames << PAGE_SHIFT;
}

uint64_t pmem_total_bytes(void)
{
	return (pm.low.total_frames + pm.high.total_frames) << PAGE_SHIFT;
}

hpa_t pmem_take_real_mode_page(void)
{
	for (hpa_t pa = pm.real_mode_next; pa < REAL_MODE_END; pa += PAGE_SIZE)
		for (unsigned i = 0; i < pm.map->count; i++) {
			const struct handoff_range *r = &pm.map->ranges[i];

			if (r->kind != HANDOFF_RAM || pa < r->base || pa >= r->base + r->size)
				continue;
			pm.real_mode_next = pa + PAGE_SIZE;
			return pa;
		}
	pm.real_mode_next = REAL_MODE_END;
	return PMEM_NONE;
}
