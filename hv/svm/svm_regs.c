/* The guest's registers and segments in the VMCB. */
#include "hv/svm/svm_vcpu.h"
#include "hv/x86/cpu.h"

#define CR0_CACHE (CR0_CD | CR0_NW)

/* EFER.LMA follows from EFER.LME and CR0.PG; SVME is ours, and hidden from the guest. */
static void efer_set(struct svm_vcpu *x, uint64_t cr0, uint64_t efer)
{
	bool lma = (cr0 & CR0_PG) && (efer & EFER_LME);

	x->vmcb->save.efer = (lma ? efer | EFER_LMA : efer & ~EFER_LMA) | EFER_SVME;
}

/* QEMU 10.0 takes the bit for reads of CR0 to be about reads of all control registers. */
static void cr0_intercept(struct svm_vcpu *x)
{
	svm_intercept(x, SVM_EXIT_CR0_READ, x->cr0_cache || x->walk_root);
	svm_intercept(x, SVM_EXIT_CR0_WRITE, x->cr0_cache);
}

/*
 * The cache is never really off: that would cost the node, and buy the guest nothing. As long as the
 * guest thinks it is, CR0 differs from what the CPU has and every access to it exits; else only writes
 * that change more than TS and MP do.
 */
static void cr0_set(struct virt_vcpu *v, uint64_t value)
{
	struct svm_vcpu *x = v->vendor;
	struct vmcb_save *s = &x->vmcb->save;
	uint64_t old = s->cr0;

	x->cr0_cache = value & CR0_CACHE;
	cr0_intercept(x);
	s->cr0 = (value | CR0_ET) & ~CR0_CACHE;
	efer_set(x, s->cr0, s->efer);
	if ((old ^ value) & CR0_TRANSLATION)
		svm_tlb_flush(v);
}

static void cr4_set(struct virt_vcpu *v, uint64_t value)
{
	struct svm_vcpu *x = v->vendor;
	uint64_t old = x->vmcb->save.cr4;

	x->vmcb->save.cr4 = value;
	if ((old ^ value) & CR4_TRANSLATION)
		svm_tlb_flush(v);
}

uint64_t svm_reg_get(struct virt_vcpu *v, enum virt_reg reg)
{
	const struct svm_vcpu *x = v->vendor;
	const struct vmcb_save *s = &x->vmcb->save;

	switch (reg) {
	case REG_RIP:
		return s->rip;
	case REG_RSP:
		return s->rsp;
	case REG_RFLAGS:
		return s->rflags;
	case REG_CR0:
		return s->cr0 | x->cr0_cache;
	case REG_CR2:
		return v->cr2;
	case REG_CR3:
		return x->walk_root ? x->cr3 : s->cr3;
	case REG_CR4:
		return s->cr4;
	case REG_DR7:
		return s->dr7;
	case REG_EFER:
		return s->efer & ~EFER_SVME;
	case REG_COUNT:
		break;
	}
	plat_panic("there is no guest register %d", reg);
}

void svm_reg_set(struct virt_vcpu *v, enum virt_reg reg, uint64_t value)
{
	struct svm_vcpu *x = v->vendor;
	struct vmcb_save *s = &x->vmcb->save;

	switch (reg) {
	case REG_RIP:
		s->rip = value;
		return;
	case REG_RSP:
		s->rsp = value;
		return;
	case REG_RFLAGS:
		s->rflags = value | RFLAGS_FIXED;
		return;
	case REG_CR0:
		cr0_set(v, value);
		return;
	case REG_CR2:
		v->cr2 = value;
		return;
	case REG_CR3:
		*(x->walk_root ? &x->cr3 : &s->cr3) = value;
		svm_tlb_flush(v);
		return;
	case REG_CR4:
		cr4_set(v, value);
		return;
	case REG_DR7:
		s->dr7 = (uint32_t)value;
		return;
	case REG_EFER:
		efer_set(x, s->cr0, value);
		svm_tlb_flush(v); /* NXE changes what entries mean */
		return;
	case REG_COUNT:
		break;
	}
	plat_panic("there is no guest register %d", reg);
}

static struct vmcb_seg *seg_of(struct virt_vcpu *v, enum virt_seg_id id)
{
	struct vmcb_save *s = &((struct svm_vcpu *)v->vendor)->vmcb->save;
	struct vmcb_seg *const segs[SEG_COUNT] = {
		[SEG_ES] = &s->es,     [SEG_CS] = &s->cs, [SEG_SS] = &s->ss,
		[SEG_DS] = &s->ds,     [SEG_FS] = &s->fs, [SEG_GS] = &s->gs,
		[SEG_LDTR] = &s->ldtr, [SEG_TR] = &s->tr, [SEG_GDTR] = &s->gdtr,
		[SEG_IDTR] = &s->idtr,
	};

	return segs[id];
}

void svm_seg_get(struct virt_vcpu *v, enum virt_seg_id id, struct virt_seg *out)
{
	const struct vmcb_seg *seg = seg_of(v, id);

	*out = (struct virt_seg){.base = seg->base, .limit = seg->limit, .present = true};
	if (id == SEG_GDTR || id == SEG_IDTR)
		return;
	out->selector = seg->selector;
	out->type = ATTR_TYPE(seg->attr);
	out->s = seg->attr & ATTR_S;
	out->dpl = ATTR_DPL(seg->attr);
	out->present = seg->attr & ATTR_P;
	out->avl = seg->attr & ATTR_AVL;
	out->l = seg->attr & ATTR_L;
	out->db = seg->attr & ATTR_DB;
	out->g = seg->attr & ATTR_G;
	out->unusable = !out->present;
	/* The CPL is a field of its own; SS has it everywhere else. APM vol. 2, 15.5.1 */
	if (id == SEG_SS)
		out->dpl = ((struct svm_vcpu *)v->vendor)->vmcb->save.cpl;
}

void svm_seg_set(struct virt_vcpu *v, enum virt_seg_id id, const struct virt_seg *seg)
{
	struct vmcb_seg *out = seg_of(v, id);

	out->base = seg->base;
	out->limit = seg->limit;
	if (id == SEG_GDTR || id == SEG_IDTR)
		return;
	out->selector = seg->selector;
	out->attr = (uint16_t)(seg->type | (seg->s ? ATTR_S : 0) | ATTR_DPL_FIELD(seg->dpl) |
			       (seg->present && !seg->unusable ? ATTR_P : 0) |
			       (seg->avl ? ATTR_AVL : 0) | (seg->l ? ATTR_L : 0) |
			       (seg->db ? ATTR_DB : 0) | (seg->g ? ATTR_G : 0));
	if (id == SEG_SS)
		((struct svm_vcpu *)v->vendor)->vmcb->save.cpl = seg->dpl;
}

bool svm_in_64bit_code(const struct svm_vcpu *x)
{
	return (x->vmcb->save.efer & EFER_LMA) && (x->vmcb->save.cs.attr & ATTR_L);
}

void svm_skip(struct virt_vcpu *v, unsigned insn_len)
{
	struct svm_vcpu *x = v->vendor;
	uint64_t rip = x->vmcb->save.rip + insn_len;

	/* RIP wraps at 4 GiB outside 64-bit code, and this is where that shows. */
	x->vmcb->save.rip = svm_in_64bit_code(x) ? rip : (uint32_t)rip;
	x->vmcb->control.shadow &= ~SHADOW_ON;
	if (UNLIKELY(x->vmcb->save.rflags & RFLAGS_TF))
		svm_event_skipped(x);
}

void svm_tlb_flush(struct virt_vcpu *v)
{
	struct svm_vcpu *x = v->vendor;

	x->flush = true;
	v->tlb_dropped = true;
}

void svm_walk_root(struct virt_vcpu *v, gpa_t root)
{
	struct svm_vcpu *x = v->vendor;
	uint64_t cr3 = svm_reg_get(v, REG_CR3);

	x->walk_root = root;
	x->cr3 = cr3;
	x->vmcb->save.cr3 = root ? root : cr3;
	cr0_intercept(x);
	svm_intercept(x, SVM_EXIT_CR3_READ, root);
	svm_intercept(x, SVM_EXIT_CR3_WRITE, root);
	svm_intercept(x, SVM_EXIT_INVLPG, root);
	svm_event_intercepts(x);
	x->flush = true;
}
