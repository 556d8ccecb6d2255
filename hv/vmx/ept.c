/*
 * Decisions. Accessed/dirty flags stay off: with them on, every guest page walk counts as a write to
 * the guest's page tables, which shared memory would pay for. All RAM is write-back and the guest's PAT
 * is ignored: no guest device reads memory behind the cache, and one memory type everywhere keeps the
 * guest's view and the hypervisor's own write-back mapping of a page from ever disagreeing.
 *
 * Changes are made under the table's lock; the CPU, and ept_query, read entries without it, so each
 * entry changes in one store. A table page is never given back: an idle CPU may still have it in its
 * paging-structure cache.
 */
#include "hv/vmx/ept.h"

#include <stdatomic.h>

#include "hv/base/bits.h"
#include "hv/base/spinlock.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/pmem.h"

/* SDM vol. 3, tables 29-1 to 29-7 */
#define EPT_ENTRIES     512u
#define EPT_LEVELS      4u
#define EPT_PERM        7ull
#define EPT_WB          (6ull << 3)
#define EPT_IGNORE_PAT  BIT(6)
#define EPT_LARGE       BIT(7)
#define EPT_ADDRESS     BITS(51, 12)
#define EPT_POINTER_WB  6ull
#define EPT_POINTER_LEN ((EPT_LEVELS - 1) << 3)

/* What is mapped stays one of the guest's 48 address bits. */
#define EPT_LIMIT BIT(48)

typedef _Atomic uint64_t ept_entry;

struct npt {
	hpa_t root;
	hpa_t apic_page; /* PMEM_NONE until npt_map_apic */
	struct spinlock lock;
};

STATIC_ASSERT(NPT_READ == 1 && NPT_WRITE == 2 && NPT_EXEC == 4, "npt_perm is EPT's bits 2:0");

static uint64_t load(ept_entry *e)
{
	return atomic_load_explicit(e, memory_order_relaxed);
}

static void store(ept_entry *e, uint64_t value)
{
	atomic_store_explicit(e, value, memory_order_release);
}

/* Level 1 holds 4 KiB pages, level 4 is the root. */
static ept_entry *entry_of(hpa_t table, gpa_t gpa, unsigned level)
{
	ept_entry *entries = pmem_virt(table);

	return &entries[gpa >> (PAGE_SHIFT + 9 * (level - 1)) & (EPT_ENTRIES - 1)];
}

static uint64_t leaf(hpa_t hpa, enum npt_perm perm, bool large)
{
	if (perm == NPT_NONE)
		return 0;
	return hpa | EPT_WB | EPT_IGNORE_PAT | (large ? EPT_LARGE : 0) | (uint64_t)perm;
}

struct npt *ept_create(struct why *why)
{
	hpa_t page = pmem_alloc_zeroed(0), root = pmem_alloc_zeroed(0);
	struct npt *npt;

	if (page == PMEM_NONE || root == PMEM_NONE) {
		why_set(why, ERR_NOMEM,
			"no memory for the guest's nested page table; give the node more "
			"RAM or the guest less");
		return NULL;
	}
	npt = pmem_virt(page);
	npt->root = root;
	npt->apic_page = PMEM_NONE;
	return npt;
}

/* Replaces a 2 MiB mapping (or nothing) by a table that says the same. Returns the new entry, 0 without memory. */
static uint64_t split(ept_entry *e, uint64_t old)
{
	hpa_t table = pmem_alloc_zeroed(0);
	ept_entry *entries;

	if (table == PMEM_NONE)
		return 0;
	entries = pmem_virt(table);
	if (old & EPT_LARGE)
		for (unsigned i = 0; i < EPT_ENTRIES; i++)
			atomic_init(&entries[i], (old & ~EPT_LARGE) + ((uint64_t)i << PAGE_SHIFT));
	store(e, table | EPT_PERM);
	return table | EPT_PERM;
}

/* The entry for `gpa` at `level`, its tables made as needed; NULL without memory. */
static ept_entry *walk_to(struct npt *npt, gpa_t gpa, unsigned level)
{
	hpa_t table = npt->root;

	for (unsigned l = EPT_LEVELS; l > level; l--) {
		ept_entry *e = entry_of(table, gpa, l);
		uint64_t v = load(e);

		if (!(v & EPT_PERM) || (v & EPT_LARGE))
			v = split(e, v);
		if (!v)
			return NULL;
		table = v & EPT_ADDRESS;
	}
	return entry_of(table, gpa, level);
}

static int map_small(struct npt *npt, gpa_t gpa, hpa_t hpa, enum npt_perm perm)
{
	ept_entry *e = walk_to(npt, gpa, 1);

	if (!e)
		return ERR_NOMEM;
	store(e, leaf(hpa, perm, false));
	return 0;
}

/* A region that has a table keeps it: see the note on table pages above. */
static int map_large(struct npt *npt, gpa_t gpa, hpa_t hpa, enum npt_perm perm)
{
	ept_entry *e = walk_to(npt, gpa, 2);
	uint64_t v;

	if (!e)
		return ERR_NOMEM;
	v = load(e);
	if (!(v & EPT_PERM) || (v & EPT_LARGE)) {
		store(e, leaf(hpa, perm, true));
		return 0;
	}
	for (unsigned i = 0; i < EPT_ENTRIES; i++)
		store(entry_of(v & EPT_ADDRESS, (gpa_t)i << PAGE_SHIFT, 1),
		      leaf(hpa + ((hpa_t)i << PAGE_SHIFT), perm, false));
	return 0;
}

static bool perm_possible(enum npt_perm perm)
{
	/* Write without read is a misconfiguration; execute alone only where the CPU has it. */
	return !((perm & NPT_WRITE) && !(perm & NPT_READ)) &&
	       !(perm == NPT_EXEC && !(vmx_caps.ept_vpid & EPT_CAP_EXEC_ONLY));
}

int ept_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm)
{
	uint64_t size = (uint64_t)PAGE_SIZE << order;
	int err;

	ASSERT(order == 0 || (order == 9 && (vmx_caps.ept_vpid & EPT_CAP_2M)));
	ASSERT(is_aligned(gpa, size) && gpa < EPT_LIMIT && perm_possible(perm));
	ASSERT(perm == NPT_NONE || (is_aligned(hpa, size) && hpa >> vmx_caps.phys_bits == 0));
	if (perm == NPT_NONE && order == 0 && ept_query(npt, gpa, NULL) == NPT_NONE)
		return 0; /* no table page for nothing */
	spin_lock(&npt->lock);
	err = order ? map_large(npt, gpa, hpa, perm) : map_small(npt, gpa, hpa, perm);
	spin_unlock(&npt->lock);
	return err;
}

enum npt_perm ept_query(struct npt *npt, gpa_t gpa, hpa_t *hpa)
{
	hpa_t table = npt->root;

	if (gpa >= EPT_LIMIT)
		return NPT_NONE;
	for (unsigned l = EPT_LEVELS;; l--) {
		uint64_t v = load(entry_of(table, gpa, l));

		if (!(v & EPT_PERM))
			return NPT_NONE;
		if (l == 1 || (v & EPT_LARGE)) {
			uint64_t offset = BITS(PAGE_SHIFT - 1 + 9 * (l - 1), 0);

			if (hpa)
				*hpa = ((v & EPT_ADDRESS) & ~offset) | (gpa & offset);
			return (enum npt_perm)(v & EPT_PERM);
		}
		table = v & EPT_ADDRESS;
	}
}

int ept_map_apic(struct npt *npt, gpa_t gpa)
{
	/* Nothing is ever stored in this page: hardware redirects accesses to each vCPU's own page. */
	if (npt->apic_page == PMEM_NONE)
		npt->apic_page = pmem_alloc_zeroed(0);
	if (npt->apic_page == PMEM_NONE)
		return ERR_NOMEM;
	return ept_map(npt, gpa, npt->apic_page, 0, NPT_READ | NPT_WRITE);
}

void ept_flush(struct npt *npt)
{
	bool one = vmx_caps.ept_vpid & EPT_CAP_INVEPT_ONE;
	bool done = vmx_invept(one ? VMX_INV_ONE : VMX_INV_ALL, ept_pointer(npt));

	ASSERT(done);
}

uint64_t ept_pointer(const struct npt *npt)
{
	return npt->root | EPT_POINTER_LEN | EPT_POINTER_WB;
}

hpa_t ept_apic_access_page(const struct npt *npt)
{
	return npt->apic_page;
}
