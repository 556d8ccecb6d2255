#include "hv/core/walk.h"
#include "hv/base/plat.h"
#include "hv/x86/msr.h"
#include "hv/x86/cpu.h"

#define PTE_P    BIT(0)
#define PTE_W    BIT(1)
#define PTE_U    BIT(2)
#define PTE_A    BIT(5)
#define PTE_D    BIT(6)
#define PTE_PS   BIT(7)
#define PTE_NX   BIT(63)
#define PTE_ADDR BITS(51, 12)

/* SDM vol. 3, 4.7: the error code of a page fault. */
#define PF_P     BIT(0)
#define PF_W     BIT(1)
#define PF_U     BIT(2)
#define PF_RSVD  BIT(3)
#define PF_FETCH BIT(4)

/* One of the four ways to walk. Index bits per level, top level first. */
struct format {
	uint8_t levels;
	uint8_t entry_bytes;
	uint8_t top_bits;    /* index bits of the top level */
	uint8_t index_bits;  /* of the others */
	bool top_has_rights; /* PAE's PDPTEs carry neither W nor U nor A */
};

static const struct format format_32 = {2, 4, 10, 10, true};
static const struct format format_pae = {3, 8, 2, 9, false};
static const struct format format_4level = {4, 8, 9, 9, true};

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

static const struct format *format_of(const struct walk_mode *mode)
{
	if (mode->efer & EFER_LMA)
		return &format_4level;
	return mode->cr4 & CR4_PAE ? &format_pae : &format_32;
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

static uint64_t entry_read(const void *p, unsigned bytes)
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

static gpa_t leaf_address(const struct format *f, uint64_t entry, gva_t gva, unsigned shift)
{
	uint64_t mask = BIT(shift) - 1;

	if (f == &format_32 && shift == 22) /* PSE-36, SDM vol. 3, table 4-4 */
		return (bits_get(entry, 20, 13) << 32) | (entry & BITS(31, 22)) | (gva & mask);
	return (entry & PTE_ADDR & ~mask) | (gva & mask);
}

/* One attempt; returns 1 when an entry changed under the walk and it has to start again. */
static int walk_once(const struct walk_mode *mode, gva_t gva, enum walk_access access, gpa_t *gpa,
		     struct virt_event *fault)
{
	const struct format *f = format_of(mode);
	bool nxe = mode->efer & EFER_NXE && f->entry_bytes == 8;
	bool w = true, u = true, nx = false;
	gpa_t table = f == &format_pae  ? mode->cr3 & BITS(31, 5)
		      : f == &format_32 ? mode->cr3 & BITS(31, 12)
					: mode->cr3 & PTE_ADDR;

	for (unsigned level = f->levels; level > 0; level--) {
		bool top = level == f->levels;
		unsigned shift = PAGE_SHIFT + (level - 1) * f->index_bits;
		unsigned bits = top ? f->top_bits : f->index_bits;
		gpa_t at = table + bits_get(gva, shift + bits - 1, shift) * f->entry_bytes;
		const void *p = plat_gmem_acquire(at, f->entry_bytes, false);

		if (!p) /* a page table in a hole reads all ones, and those set reserved bits */
			return fault_set(fault, mode, access, PF_P | PF_RSVD);

		uint64_t entry = entry_read(p, f->entry_bytes);

		plat_gmem_release(at, f->entry_bytes, false);
		if (!(entry & PTE_P))
			return fault_set(fault, mode, access, 0);
		if (entry & PTE_NX && f->entry_bytes == 8 && !nxe)
			return fault_set(fault, mode, access, PF_P | PF_RSVD);

		bool rights = !top || f->top_has_rights;
		bool leaf = level == 1;

		if (rights) {
			w &= !!(entry & PTE_W);
			u &= !!(entry & PTE_U);
			nx |= nxe && entry & PTE_NX;
		}
		if (entry & PTE_PS && (level == 2 || (level == 3 && f == &format_4level)))
			leaf = f != &format_32 || mode->cr4 & CR4_PSE;
		if (leaf && !allowed(mode, access, w, u, nx))
			return fault_set(fault, mode, access, PF_P);
		if (rights && !mark(at, f->entry_bytes, entry,
				    PTE_A | (leaf && access == WALK_WRITE ? PTE_D : 0)))
			return 1;
		if (leaf) {
			*gpa = leaf_address(f, entry, gva, shift);
			return 0;
		}
		table = entry & (f->entry_bytes == 4 ? BITS(31, 12) : PTE_ADDR);
	}
	return 0;
}

int walk(struct vcpu *v, const struct walk_mode *mode, gva_t gva, enum walk_access access,
	 gpa_t *gpa, struct virt_event *fault)
{
	int err;

	if (!(mode->cr0 & CR0_PG)) {
		*gpa = mode->efer & EFER_LMA ? gva : (uint32_t)gva;
		return 0;
	}
	do {
		err = walk_once(mode, gva, access, gpa, fault);
	} while (err == 1);
	return err;
}
