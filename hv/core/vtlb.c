#include "hv/core/vtlb.h"

#include "guest/layout.h"
#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/base/plat.h"
#include "hv/base/report.h"
#include "hv/base/string.h"
#include "hv/core/memory.h"
#include "hv/insn/walk.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pmem.h"

/* All CPUs of a node find room for theirs in the hole above the LAPIC. */
#define COPIES_ORDER 6u
#define COPIES       (1u << COPIES_ORDER)
STATIC_ASSERT(LAYOUT_COPIES + (uint64_t)VM_MAX_CPUS * COPIES * PAGE_SIZE <= LAYOUT_RAM_ABOVE,
	      "32-bit page directories reach all copies");

#define ENTRIES_MAX 1024u
#define NO_PARENT   UINT8_MAX
/* Faults in a row that found nothing amiss, before the guest gets one as it came. */
#define FUTILE_MAX  3

/*
 * What the CPU walks in place of a guest's table. The guest could reach the page itself, by an address
 * beyond its RAM, and write into it; so nothing but the CPU relies on what is in there.
 */
struct copy {
	gpa_t table;    /* the guest's */
	uint64_t entry; /* the guest's entry that led to it */
	uint8_t level;  /* 0: free */
	uint8_t parent; /* the copy that leads to it */
	uint16_t slot;  /* by this entry */
	/* Bit i: entry i leads to a table, a copy or the guest's own. */
	uint64_t links[BITMAP_WORDS(ENTRIES_MAX)];
};

struct vtlb {
	gpa_t base;   /* of the first copy for the guest; that of the top table */
	uint8_t *mem; /* the same for us */
	struct walk_mode mode;
	const struct walk_format *format;
	unsigned futile;
	uint64_t loads, made, faults, filled, lost, full;
	struct copy copies[COPIES];
};

/* SDM vol. 2A, CPUID, leaves 1 and 7 */
void vtlb_features(uint32_t words[CPU_WORDS])
{
	words[CPU_1_ECX] &= ~(uint32_t)BIT(17); /* PCID */
	words[CPU_7_EBX] &= ~(uint32_t)BIT(10); /* INVPCID */
}

int vtlb_create(struct vcpu *v, struct why *why)
{
	unsigned local = v->index - v->vm->nodes.first_cpu;
	hpa_t self, mem;
	int err = 0;

	if (!v->vm->features.walk_writes || !v->vm->far)
		return 0;
	self = pmem_alloc_zeroed(pmem_order(sizeof(struct vtlb)));
	mem = pmem_alloc(COPIES_ORDER);
	if (self == PMEM_NONE || mem == PMEM_NONE)
		return why_set(why, ERR_NOMEM, "no RAM for copies of vCPU %u's page tables",
			       v->index);
	v->vtlb = pmem_virt(self);
	v->vtlb->mem = pmem_virt(mem);
	v->vtlb->base = LAYOUT_COPIES + (gpa_t)local * COPIES * PAGE_SIZE;
	for (unsigned i = 0; i < COPIES && !err; i++)
		err = v->vm->ops->npt_map(v->vm->npt, v->vtlb->base + i * PAGE_SIZE,
					  mem + i * PAGE_SIZE, 0, NPT_RWX);
	return err ? why_set(why, err, "no RAM to map copies of vCPU %u's page tables", v->index)
		   : 0;
}

/* --- Entries --- */

static unsigned entry_count(const struct vtlb *t, const struct copy *c)
{
	return 1u << (c->level == t->format->levels ? t->format->top_bits : t->format->index_bits);
}

static void *entry_at(const struct vtlb *t, const struct copy *c, unsigned i)
{
	return t->mem + (size_t)(c - t->copies) * PAGE_SIZE + (size_t)i * t->format->entry_bytes;
}

static uint64_t entry_get(const struct vtlb *t, const struct copy *c, unsigned i)
{
	return walk_entry_read(entry_at(t, c, i), t->format->entry_bytes);
}

/* True when it was another. What was there may be in the CPU's own TLB. */
static bool entry_put(struct vcpu *v, struct copy *c, unsigned i, uint64_t entry)
{
	struct vtlb *t = v->vtlb;
	uint64_t old = entry_get(t, c, i);

	if (((old ^ entry) & ~(PTE_A | PTE_D)) == 0)
		return false;
	memcpy(entry_at(t, c, i), &entry, t->format->entry_bytes);
	if (old & PTE_P)
		v->vm->ops->npt_flush(v->vm->npt);
	return true;
}

static struct copy *child_of(struct vtlb *t, const struct copy *c, unsigned i)
{
	for (unsigned n = 1; bitmap_test(c->links, i) && n < COPIES; n++)
		if (t->copies[n].level && t->copies[n].parent == c - t->copies &&
		    t->copies[n].slot == i)
			return &t->copies[n];
	return NULL;
}

/* What the CPU may use of the guest's entry without a bit to set in it. */
static uint64_t usable(const struct vtlb *t, unsigned level, uint64_t entry)
{
	bool has_rights = level < t->format->levels || t->format->top_has_rights;

	if (!(entry & PTE_P) || (has_rights && !(entry & PTE_A)))
		return 0;
	if (walk_is_leaf(&t->mode, level, entry) && !(entry & PTE_D))
		return entry & ~PTE_W;
	return entry;
}

/* Can the walker do as it likes with the table that the entry leads to? */
static bool is_own(const struct vcpu *v, unsigned level, uint64_t entry)
{
	gpa_t next = walk_next(v->vtlb->format, entry);

	return level == 2 && memory_is_ram(v->vm, next) &&
	       v->vm->ops->npt_query(v->vm->npt, next, NULL) & NPT_WRITE;
}

/* The guest's entry as it is now; one in a hole is as good as none. */
static uint64_t guest_entry(const struct vtlb *t, const struct copy *c, unsigned i)
{
	unsigned bytes = t->format->entry_bytes;
	gpa_t at = c->table + i * bytes;
	const void *p = plat_gmem_acquire(at, bytes, false);
	uint64_t entry;

	if (!p)
		return 0;
	entry = walk_entry_read(p, bytes);
	plat_gmem_release(at, bytes, false);
	return entry;
}

/* --- Copies --- */

/* Copies all that can be used at once; tables that need a copy themselves are left to a fault. */
static void copy_fill(struct vcpu *v, struct copy *c)
{
	struct vtlb *t = v->vtlb;
	unsigned count = entry_count(t, c), bytes = t->format->entry_bytes;
	const uint8_t *p = plat_gmem_acquire(c->table, count * bytes, false);

	memset(entry_at(t, c, 0), 0, PAGE_SIZE);
	memset(c->links, 0, sizeof(c->links));
	if (!p)
		return;
	for (unsigned i = 0; i < count; i++) {
		uint64_t entry = walk_entry_read(p + (size_t)i * bytes, bytes);
		bool leaf = walk_is_leaf(&t->mode, c->level, entry);

		entry = usable(t, c->level, entry);
		if (!entry || (!leaf && !is_own(v, c->level, entry)))
			continue;
		memcpy(entry_at(t, c, i), &entry, bytes);
		if (!leaf)
			bitmap_set(c->links, i);
	}
	plat_gmem_release(c->table, count * bytes, false);
}

/* NULL when there is none free. */
static struct copy *copy_make(struct vcpu *v, const struct copy *parent, unsigned slot,
			      uint64_t entry)
{
	struct vtlb *t = v->vtlb;

	for (unsigned n = 1; n < COPIES; n++) {
		struct copy *c = &t->copies[n];

		if (c->level)
			continue;
		*c = (struct copy){.table = walk_next(t->format, entry),
				   .entry = entry,
				   .level = parent->level - 1,
				   .parent = (uint8_t)(parent - t->copies),
				   .slot = (uint16_t)slot};
		copy_fill(v, c);
		t->made++;
		return c;
	}
	t->full++;
	return NULL;
}

static void link_drop(struct vcpu *v, struct copy *c, unsigned i);

static void copy_free(struct vcpu *v, struct copy *c)
{
	for (unsigned i = 0; c->level > 1 && i < entry_count(v->vtlb, c); i++)
		if (bitmap_test(c->links, i))
			link_drop(v, c, i);
	c->level = 0;
}

static void link_drop(struct vcpu *v, struct copy *c, unsigned i)
{
	struct copy *child = child_of(v->vtlb, c, i);

	if (child)
		copy_free(v, child);
	entry_put(v, c, i, 0);
	bitmap_clear(c->links, i);
}

void vtlb_load(struct vcpu *v)
{
	struct vtlb *t = v->vtlb;

	v->virt.tlb_dropped = false;
	t->loads++;
	for (unsigned n = 0; n < COPIES; n++)
		t->copies[n].level = 0;
	walk_mode_read(v, &t->mode);
	/* Without WP the kernel's writes heed no W, and D would be set in the copy. */
	if (!(t->mode.cr0 & CR0_PG) || !(t->mode.cr0 & CR0_WP)) {
		v->vm->ops->walk_root(&v->virt, 0);
		return;
	}
	t->format = walk_format(&t->mode);
	t->copies[0] = (struct copy){
		.table = walk_root(&t->mode), .level = t->format->levels, .parent = NO_PARENT};
	copy_fill(v, &t->copies[0]);
	v->vm->ops->walk_root(&v->virt, t->base);
}

/* --- What the guest does to its translations --- */

/* Is the link still what the guest's table says? Its walker sets A and D as time goes by. */
static bool link_holds(struct vtlb *t, const struct copy *c, unsigned i, uint64_t entry)
{
	const struct copy *child = child_of(t, c, i);
	uint64_t then = child ? child->entry : entry_get(t, c, i);

	return ((entry ^ then) & ~(PTE_A | PTE_D)) == 0;
}

static void check_links(struct vcpu *v, struct copy *c)
{
	struct vtlb *t = v->vtlb;
	unsigned count = entry_count(t, c), bytes = t->format->entry_bytes;
	const uint8_t *p = plat_gmem_acquire(c->table, count * bytes, false);

	for (unsigned word = 0; word < count / 64 + 1 && word < ARRAY_LEN(c->links); word++)
		for (uint64_t left = c->links[word]; left; left &= left - 1) {
			unsigned i = word * 64 + bit_lowest(left);

			if (!p ||
			    !link_holds(t, c, i, walk_entry_read(p + (size_t)i * bytes, bytes)))
				link_drop(v, c, i);
		}
	if (p)
		plat_gmem_release(c->table, count * bytes, false);
}

/*
 * The copy whose entry the CPU ends at for `gva`: it maps a page, leads to a table of the guest's, or is
 * empty.
 */
static struct copy *last_copy(struct vtlb *t, gva_t gva, unsigned *index)
{
	struct copy *c = &t->copies[0], *child = c;

	while (child) {
		c = child;
		*index = walk_index(t->format, c->level, gva);
		child = child_of(t, c, *index);
	}
	return c;
}

void vtlb_invlpg(struct vcpu *v, gva_t gva)
{
	struct vtlb *t = v->vtlb;
	struct copy *c;
	unsigned i;

	v->vm->ops->npt_flush(v->vm->npt);
	if (!t || !t->copies[0].level)
		return;
	for (unsigned n = 0; n < COPIES; n++)
		if (t->copies[n].level > 1)
			check_links(v, &t->copies[n]);
	c = last_copy(t, gva, &i);
	if (!bitmap_test(c->links, i))
		entry_put(v, c, i, 0);
}

/*
 * The entry of `c` that the CPU needs next becomes what the guest's says; the copy behind it, if one is
 * needed.
 */
static struct copy *follow(struct vcpu *v, struct copy *c, unsigned i, bool *changed)
{
	struct vtlb *t = v->vtlb;
	uint64_t entry = guest_entry(t, c, i);
	bool leaf = walk_is_leaf(&t->mode, c->level, entry);
	struct copy *child;

	if (bitmap_test(c->links, i) && !link_holds(t, c, i, entry)) {
		link_drop(v, c, i);
		*changed = true;
	}
	child = child_of(t, c, i);
	if (child)
		return child;
	entry = usable(t, c->level, entry);
	if (!entry || leaf || is_own(v, c->level, entry)) {
		*changed |= entry_put(v, c, i, entry);
		if (entry && !leaf)
			bitmap_set(c->links, i);
		return NULL;
	}
	*changed = true;
	child = copy_make(v, c, i, entry);
	if (!child) {
		vtlb_load(v);
		return NULL;
	}
	entry &= ~walk_next(t->format, entry);
	entry_put(v, c, i, entry | (t->base + (gpa_t)(child - t->copies) * PAGE_SIZE));
	bitmap_set(c->links, i);
	return child;
}

/* Brings the copies as far as the CPU needs them for `gva`; false when they were. */
static bool fill(struct vcpu *v, gva_t gva)
{
	struct vtlb *t = v->vtlb;
	struct copy *c = &t->copies[0];
	bool changed = false;

	while (c)
		c = follow(v, c, walk_index(t->format, c->level, gva), &changed);
	return changed;
}

void vtlb_page_fault(struct vcpu *v, gva_t gva, uint32_t code)
{
	struct vtlb *t = v->vtlb;
	enum walk_access access = code & PF_FETCH ? WALK_FETCH
				  : code & PF_W   ? WALK_WRITE
						  : WALK_READ;
	struct virt_event fault = {EVENT_EXCEPTION, VECTOR_PF, true, code};
	struct walk_mode mode;
	gpa_t gpa;

	t->faults++;
	walk_mode_read(v, &mode);
	mode.user = code & PF_U;

	int err = code & PF_RSVD ? ERR_INVALID : walk(v, &mode, gva, access, &gpa, &fault);

	if (err == ERR_BUSY)
		return;
	if (!err) {
		t->futile = fill(v, gva) ? 0 : t->futile + 1;
		if (t->futile <= FUTILE_MAX) {
			t->filled++;
			return;
		}
		fault = (struct virt_event){EVENT_EXCEPTION, VECTOR_PF, true, code};
	}
	t->futile = 0;
	v->virt.cr2 = gva;
	v->vm->ops->inject(&v->virt, &fault);
}

bool vtlb_walk_fault(struct vcpu *v, gpa_t gpa)
{
	struct vtlb *t = v->vtlb;
	bool found = false;

	for (unsigned n = 0; n < COPIES; n++) {
		struct copy *c = &t->copies[n];

		for (unsigned i = 0; c->level > 1 && i < entry_count(t, c); i++) {
			if (!bitmap_test(c->links, i) || child_of(t, c, i) ||
			    walk_next(t->format, entry_get(t, c, i)) != (gpa & PAGE_MASK))
				continue;
			link_drop(v, c, i);
			found = true;
		}
	}
	t->lost += found;
	return found;
}

void vtlb_report(struct report *r, const struct vcpu *v)
{
	const struct vtlb *t = v->vtlb;

	if (t)
		report_line(r, LOG_VCPU,
			    "vCPU %u: page tables loaded %llu times, %llu copies of tables made "
			    "(%llu tables lost, out of room %llu times), %llu page faults, "
			    "%llu of them the copies' alone",
			    v->index, (unsigned long long)t->loads, (unsigned long long)t->made,
			    (unsigned long long)t->lost, (unsigned long long)t->full,
			    (unsigned long long)t->faults, (unsigned long long)t->filled);
}
