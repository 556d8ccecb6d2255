#include "hv/core/memory.h"
#include "guest/layout.h"
#include "hv/base/plat.h"
#include "hv/base/string.h"
#include "hv/core/arch.h"
#include "hv/x86/pmem.h"

#define LARGE_ORDER         9u
#define LARGE_SIZE          MIB(2)
#define NO_FRAME            UINT64_MAX
#define LAYOUT_VGA_HOLE_END 0xc0000u

/* Index into vm->frames, or NO_FRAME for what is not RAM. The VGA hole keeps its (unused) entries. */
static uint64_t frame_index(const struct vm *vm, gpa_t gpa)
{
	uint64_t low = layout_ram_low(vm->ram_bytes);

	if (gpa >= LAYOUT_VGA_HOLE && gpa < LAYOUT_VGA_HOLE_END)
		return NO_FRAME;
	if (gpa < low)
		return gpa >> PAGE_SHIFT;
	if (gpa >= LAYOUT_RAM_ABOVE && gpa - LAYOUT_RAM_ABOVE < layout_ram_above(vm->ram_bytes))
		return (low + gpa - LAYOUT_RAM_ABOVE) >> PAGE_SHIFT;
	return NO_FRAME;
}

int memory_init(struct vm *vm, uint64_t bytes, struct why *why)
{
	uint64_t count = bytes >> PAGE_SHIFT;
	uint64_t table = align_up(count * sizeof(hpa_t), PAGE_SIZE);
	unsigned order = pmem_order(table);
	hpa_t frames = pmem_alloc_zeroed(order);

	if (frames == PMEM_NONE)
		return why_set(why, ERR_NOMEM,
			       "no %llu KiB of contiguous RAM for the frame table of a %llu MiB "
			       "guest; give the guest less memory (mem=)",
			       (unsigned long long)(table >> 10),
			       (unsigned long long)(bytes >> 20));
	vm->ram_bytes = bytes;
	vm->frame_count = count;
	vm->frames = pmem_virt(frames);
	return 0;
}

bool memory_is_ram(const struct vm *vm, gpa_t gpa)
{
	return frame_index(vm, gpa) != NO_FRAME;
}

/* A 2 MiB page serves when all of it is RAM and none of it is backed yet. */
static bool large_fits(const struct vm *vm, gpa_t base)
{
	uint64_t first = frame_index(vm, base);

	if (!vm->features.large_pages || first == NO_FRAME || base < MIB(2))
		return false;
	if (frame_index(vm, base + LARGE_SIZE - 1) != first + BIT(LARGE_ORDER) - 1)
		return false;
	for (uint64_t i = 0; i < BIT(LARGE_ORDER); i++)
		if (vm->frames[first + i])
			return false;
	return true;
}

static int map_large(struct vm *vm, gpa_t base)
{
	uint64_t first = frame_index(vm, base);
	hpa_t hpa = pmem_alloc_zeroed(LARGE_ORDER);

	if (hpa == PMEM_NONE)
		return ERR_NOMEM;

	int err = vm->ops->npt_map(vm->npt, base, hpa, LARGE_ORDER, NPT_RWX);

	if (err) {
		pmem_free(hpa, LARGE_ORDER);
		return err;
	}
	for (uint64_t i = 0; i < BIT(LARGE_ORDER); i++)
		vm->frames[first + i] = hpa + (i << PAGE_SHIFT);
	atomic_fetch_add_explicit(&vm->backed, BIT(LARGE_ORDER), memory_order_relaxed);
	return 0;
}

static int map_small(struct vm *vm, gpa_t page, uint64_t index)
{
	hpa_t hpa = pmem_alloc_zeroed(0);

	if (hpa == PMEM_NONE)
		return ERR_NOMEM;

	int err = vm->ops->npt_map(vm->npt, page, hpa, 0, NPT_RWX);

	if (err) {
		pmem_free(hpa, 0);
		return err;
	}
	vm->frames[index] = hpa;
	atomic_fetch_add_explicit(&vm->backed, 1, memory_order_relaxed);
	return 0;
}

int memory_populate(struct vm *vm, gpa_t gpa)
{
	gpa_t page = gpa & PAGE_MASK, large = align_down(gpa, LARGE_SIZE);
	uint64_t index = frame_index(vm, gpa);
	int err = 0;

	if (index == NO_FRAME)
		return ERR_RANGE;
	spin_lock(&vm->mem_lock);
	if (!vm->frames[index]) {
		err = large_fits(vm, large) ? map_large(vm, large) : ERR_NOMEM;
		if (err)
			err = map_small(vm, page, index);
	}
	spin_unlock(&vm->mem_lock);
	return err;
}

/* --- A node by itself: every page is its own for good, once it has a frame --- */

static bool back(struct vm *vm, gpa_t gpa)
{
	if (!memory_populate(vm, gpa))
		return true;
	vm_fail(vm,
		"this node has no RAM left to back guest address %#llx; give the guest less memory "
		"(mem=) or the node more",
		(unsigned long long)gpa);
	return false;
}

static void *alone_acquire(struct vm *vm, gpa_t gpa, bool write)
{
	uint64_t index = frame_index(vm, gpa);

	if (!vm->frames[index] && !back(vm, gpa))
		return NULL;
	return (uint8_t *)pmem_virt(vm->frames[index]) + (gpa & ~PAGE_MASK);
}

static void *alone_acquire_here(struct vm *vm, gpa_t gpa)
{
	return alone_acquire(vm, gpa, true);
}

static void alone_release(struct vm *vm)
{
}

static void alone_fault(struct vcpu *v, gpa_t gpa, bool write)
{
	if (back(v->vm, gpa))
		v->pages_backed++;
}

static uint64_t alone_backed(const struct vm *vm)
{
	return atomic_load_explicit(&vm->backed, memory_order_relaxed) << PAGE_SHIFT;
}

const struct vm_ram memory_alone = {
	.acquire = alone_acquire,
	.acquire_here = alone_acquire_here,
	.release = alone_release,
	.fault = alone_fault,
	.backed = alone_backed,
};

/* --- For code that has no vm at hand --- */

void *plat_gmem_acquire(gpa_t gpa, uint32_t len, bool write)
{
	struct vm *vm = arch_vcpu()->vm;
	void *page;

	ASSERT(len > 0 && (gpa & ~PAGE_MASK) + len <= PAGE_SIZE);
	rank_check(RANK_GUEST_PAGE);
	if (!memory_is_ram(vm, gpa))
		return NULL;
	page = vm->ram->acquire(vm, gpa, write);
	if (page)
		rank_take(RANK_GUEST_PAGE);
	return page;
}

void plat_gmem_release(gpa_t gpa, uint32_t len, bool write)
{
	struct vm *vm = arch_vcpu()->vm;

	rank_drop(RANK_GUEST_PAGE);
	vm->ram->release(vm);
}
