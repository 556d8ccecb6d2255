/*
 * Changes are made under the table's lock; the CPU, and nested_query, read entries without it, so each
 * entry changes in one store. A table page is never given back: an idle CPU may still have it in its
 * paging-structure cache.
 */
#include "hv/virt/nested.h"

#include <stdatomic.h>

#include "hv/base/bits.h"
#include "hv/x86/pmem.h"

#define ENTRIES 512u

typedef _Atomic uint64_t nested_entry;

static uint64_t load(nested_entry *e)
{
	return atomic_load_explicit(e, memory_order_relaxed);
}

static void store(nested_entry *e, uint64_t value)
{
	atomic_store_explicit(e, value, memory_order_release);
}

/* Level 1 holds 4 KiB pages, level 4 is the root. */
static nested_entry *entry_of(hpa_t table, gpa_t gpa, unsigned level)
{
	nested_entry *entries = pmem_virt(table);

	return &entries[gpa >> (PAGE_SHIFT + 9 * (level - 1)) & (ENTRIES - 1)];
}

static uint64_t leaf(const struct npt *npt, hpa_t hpa, enum npt_perm perm, bool large)
{
	if (perm == NPT_NONE)
		return 0;
	return hpa | npt->format->leaf(perm) | (large ? NESTED_LARGE : 0);
}

struct npt *nested_create(const struct nested_format *format, struct why *why)
{
	hpa_t page = pmem_alloc_zeroed(0), root = pmem_alloc_zeroed(0);
	struct npt *npt;

	if (page == PMEM_NONE || root == PMEM_NONE) {
		why_set(why, ERR_NOMEM,
			"no memory for the guest's nested page table; "
			"give the node more RAM or the guest less");
		return NULL;
	}
	npt = pmem_virt(page);
	npt->format = format;
	npt->root = root;
	npt->apic_page = PMEM_NONE;
	spin_init(&npt->lock, RANK_NPT);
	return npt;
}

/*
 * Replaces a 2 MiB mapping (or nothing) by a table that says the same. Returns the new entry, 0 without
 * memory.
 */
static uint64_t split(const struct npt *npt, nested_entry *e, uint64_t old)
{
	hpa_t table = pmem_alloc_zeroed(0);
	nested_entry *entries;

	if (table == PMEM_NONE)
		return 0;
	entries = pmem_virt(table);
	if (old & NESTED_LARGE)
		for (unsigned i = 0; i < ENTRIES; i++)
			atomic_init(&entries[i],
				    (old & ~NESTED_LARGE) + ((uint64_t)i << PAGE_SHIFT));
	store(e, table | npt->format->table);
	return table | npt->format->table;
}

/* The entry for `gpa` at `level`, its tables made as needed; NULL without memory. */
static nested_entry *walk_to(struct npt *npt, gpa_t gpa, unsigned level)
{
	hpa_t table = npt->root;

	for (unsigned l = NESTED_LEVELS; l > level; l--) {
		nested_entry *e = entry_of(table, gpa, l);
		uint64_t v = load(e);

		if (!(v & npt->format->present) || (v & NESTED_LARGE))
			v = split(npt, e, v);
		if (!v)
			return NULL;
		table = v & NESTED_ADDRESS;
	}
	return entry_of(table, gpa, level);
}

static int map_small(struct npt *npt, gpa_t gpa, hpa_t hpa, enum npt_perm perm)
{
	nested_entry *e = walk_to(npt, gpa, 1);

	if (!e)
		return ERR_NOMEM;
	store(e, leaf(npt, hpa, perm, false));
	return 0;
}

/* A region that has a table keeps it: see the note on table pages above. */
static int map_large(struct npt *npt, gpa_t gpa, hpa_t hpa, enum npt_perm perm)
{
	nested_entry *e = walk_to(npt, gpa, 2);
	uint64_t v;

	if (!e)
		return ERR_NOMEM;
	v = load(e);
	if (!(v & npt->format->present) || (v & NESTED_LARGE)) {
		store(e, leaf(npt, hpa, perm, true));
		return 0;
	}
	for (unsigned i = 0; i < ENTRIES; i++)
		store(entry_of(v & NESTED_ADDRESS, (gpa_t)i << PAGE_SHIFT, 1),
		      leaf(npt, hpa + ((hpa_t)i << PAGE_SHIFT), perm, false));
	return 0;
}

int nested_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm)
{
	uint64_t size = (uint64_t)PAGE_SIZE << order;
	int err;

	ASSERT(order == 0 || order == 9);
	ASSERT(is_aligned(gpa, size) && gpa < NESTED_LIMIT);
	ASSERT(perm == NPT_NONE || (is_aligned(hpa, size) && !(hpa & ~NESTED_ADDRESS)));
	if (perm == NPT_NONE && order == 0 && nested_query(npt, gpa, NULL) == NPT_NONE)
		return 0; /* no table page for nothing */
	spin_lock(&npt->lock);
	err = order ? map_large(npt, gpa, hpa, perm) : map_small(npt, gpa, hpa, perm);
	spin_unlock(&npt->lock);
	return err;
}

enum npt_perm nested_query(struct npt *npt, gpa_t gpa, hpa_t *hpa)
{
	hpa_t table = npt->root;

	if (gpa >= NESTED_LIMIT)
		return NPT_NONE;
	for (unsigned l = NESTED_LEVELS;; l--) {
		uint64_t v = load(entry_of(table, gpa, l));

		if (!(v & npt->format->present))
			return NPT_NONE;
		if (l == 1 || (v & NESTED_LARGE)) {
			uint64_t offset = BITS(PAGE_SHIFT - 1 + 9 * (l - 1), 0);

			if (hpa)
				*hpa = ((v & NESTED_ADDRESS) & ~offset) | (gpa & offset);
			return npt->format->perm(v);
		}
		table = v & NESTED_ADDRESS;
	}
}
