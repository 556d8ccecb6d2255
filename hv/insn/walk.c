#include "hv/insn/walk.h"
#include "hv/base/plat.h"
#include "hv/x86/msr.h"
#include "hv/x86/cpu.h"

#define WALK_TRIES 16u

static const struct walk_format format_32 = {2, 4, 10, 10, true};
static const struct walk_format format_pae = {3, 8, 2, 9, false};
static const struct walk_format format_4level = {4, 8, 9, 9, true};

void walk_mode_read(struct vcpu *v, struct walk_mode *mode)
{
	const struct virt_ops *ops = v->vm->ops;
	struct virt_seg ss;

	mode->cr0 = ops->reg_get(&v->virt, REG_CR0);
	mode->cr3 = ops->reg_get(&v->virt, REG_CR3);
	mode->cr4 = ops->reg_get(&v->virt, REG_CR4);
	mode->efer = ops->reg_get(&v->virt, REG_EFER);
	mode->ac = ops->reg_get(&v->virt, REG_RFLAGS) & RFLAGS_AC;
	ops->seg_get(&v->virt, SEG_SS, &ss);
	mode->user = ss.dpl == 3;
}

const struct walk_format *walk_format(const struct walk_mode *mode)
{
	if (mode->efer & EFER_LMA)
		return &format_4level;
	return mode->cr4 & CR4_PAE ? &format_pae : &format_32;
}

gpa_t walk_root(const struct walk_mode *mode)
{
	if (mode->efer & EFER_LMA)
		return mode->cr3 & PTE_ADDR;
	return mode->cr3 & (mode->cr4 & CR4_PAE ? BITS(31, 5) : BITS(31, 12));
}

unsigned walk_shift(const struct walk_format *f, unsigned level)
{
	return PAGE_SHIFT + (level - 1) * f->index_bits;
}

unsigned walk_index(const struct walk_format *f, unsigned level, gva_t gva)
{
	unsigned bits = level == f->levels ? f->top_bits : f->index_bits;

	return (unsigned)(gva >> walk_shift(f, level)) & ((1u << bits) - 1);
}

bool walk_is_leaf(const struct walk_mode *mode, unsigned level, uint64_t entry)
{
	const struct walk_format *f = walk_format(mode);

	if (level == 1)
		return true;
	if (!(entry & PTE_PS) || (level != 2 && !(level == 3 && f == &format_4level)))
		return false;
	return f != &format_32 || mode->cr4 & CR4_PSE;
}

gpa_t walk_next(const struct walk_format *f, uint64_t entry)
{
	return entry & (f->entry_bytes == 4 ? BITS(31, 12) : PTE_ADDR);
}

static int fault_set(struct virt_event *fault, const struct walk_mode *mode,
		     enum walk_access access, uint32_t code)
{
	bool fetch_bit = mode->cr4 & CR4_SMEP || (mode->efer & EFER_NXE && mode->cr4 & CR4_PAE);

	if (access == WALK_WRITE)
		code |= PF_W;
	if (mode->user)
		code |= PF_U;
	if (access == WALK_FETCH && fetch_bit)
		code |= PF_FETCH;
	*fault = (struct virt_event){EVENT_EXCEPTION, VECTOR_PF, true, code};
	return ERR_INVALID;
}

uint64_t walk_entry_read(const void *p, unsigned bytes)
{
	return bytes == 4 ? __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED)
			  : __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
}

/* Sets bits as the walker does: only if the entry is still what was read. */
static bool entry_set_bits(void *p, unsigned bytes, uint64_t old, uint64_t set)
{
	if (bytes == 4) {
		uint32_t expect = (uint32_t)old;

		return __atomic_compare_exchange_n((uint32_t *)p, &expect, expect | (uint32_t)set,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	return __atomic_compare_exchange_n((uint64_t *)p, &old, old | set, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/* SDM vol. 3, 4.6: may this access use a page with these combined rights? */
static bool allowed(const struct walk_mode *mode, enum walk_access access, bool w, bool u, bool nx)
{
	if (mode->user) {
		if (!u)
			return false;
		return access == WALK_WRITE ? w : access == WALK_FETCH ? !nx : true;
	}
	if (access == WALK_FETCH)
		return !nx && !(u && mode->cr4 & CR4_SMEP);
	if (u && mode->cr4 & CR4_SMAP && !mode->ac)
		return false;
	return access != WALK_WRITE || w || !(mode->cr0 & CR0_WP);
}

/* Writes the accessed (and for the last level of a write, the dirty) bit back into the entry. */
static bool mark(gpa_t at, unsigned bytes, uint64_t entry, uint64_t set)
{
	if ((entry & set) == set)
		return true;

	void *p = plat_gmem_acquire(at, bytes, true);

	if (!p)
		return true; /* a table in a hole: its bits can't be kept, and hardware drops the write too */

	bool ok = entry_set_bits(p, bytes, entry, set);

	plat_gmem_release(at, bytes, true);
	return ok;
}

static gpa_t leaf_address(const struct walk_format *f, uint64_t entry, gva_t gva, unsigned shift)
{
	uint64_t mask = BIT(shift) - 1;

	if (f == &format_32 && shift == 22) /* PSE-36, SDM vol. 3, table 4-4 */
		return (bits_get(entry, 20, 13) << 32) | (entry & BITS(31, 22)) | (gva & mask);
	return (entry & PTE_ADDR & ~mask) | (gva & mask);
}

/* One attempt; ERR_BUSY when an entry changed under the walk and it has to start again. */
static int walk_once(const struct walk_mode *mode, gva_t gva, enum walk_access access, gpa_t *gpa,
		     struct virt_event *fault)
{
	const struct walk_format *f = walk_format(mode);
	bool nxe = mode->efer & EFER_NXE && f->entry_bytes == 8;
	bool w = true, u = true, nx = false;
	gpa_t table = walk_root(mode);

	for (unsigned level = f->levels; level > 0; level--) {
		gpa_t at = table + walk_index(f, level, gva) * f->entry_bytes;
		const void *p = plat_gmem_acquire(at, f->entry_bytes, false);

		if (!p) /* a page table in a hole reads all ones, and those set reserved bits */
			return fault_set(fault, mode, access, PF_P | PF_RSVD);

		uint64_t entry = walk_entry_read(p, f->entry_bytes);

		plat_gmem_release(at, f->entry_bytes, false);
		if (!(entry & PTE_P))
			return fault_set(fault, mode, access, 0);
		if (entry & PTE_NX && f->entry_bytes == 8 && !nxe)
			return fault_set(fault, mode, access, PF_P | PF_RSVD);

		bool rights = level < f->levels || f->top_has_rights;
		bool leaf = walk_is_leaf(mode, level, entry);

		if (rights) {
			w &= !!(entry & PTE_W);
			u &= !!(entry & PTE_U);
			nx |= nxe && entry & PTE_NX;
		}
		if (leaf && !allowed(mode, access, w, u, nx))
			return fault_set(fault, mode, access, PF_P);
		if (rights && !mark(at, f->entry_bytes, entry,
				    PTE_A | (leaf && access == WALK_WRITE ? PTE_D : 0)))
			return ERR_BUSY;
		if (leaf) {
			*gpa = leaf_address(f, entry, gva, walk_shift(f, level));
			return 0;
		}
		table = walk_next(f, entry);
	}
	return 0;
}

int walk(struct vcpu *v, const struct walk_mode *mode, gva_t gva, enum walk_access access,
	 gpa_t *gpa, struct virt_event *fault)
{
	int err = ERR_BUSY;

	if (!(mode->cr0 & CR0_PG)) {
		*gpa = mode->efer & EFER_LMA ? gva : (uint32_t)gva;
		return 0;
	}
	/* Another CPU of the guest can change entries for ever; the guest waits for that, not this CPU. */
	for (unsigned n = 0; n < WALK_TRIES && err == ERR_BUSY; n++)
		err = walk_once(mode, gva, access, gpa, fault);
	return err;
}
