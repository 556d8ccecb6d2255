#include "hv/svm/svm_check.h"

#include "hv/x86/msr.h"

#define EFER_FFXSR BIT(14)
#define EFER_LMSLE BIT(13)
#define EFER_TCE   BIT(15)
#define EFER_KNOWN \
	(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | EFER_LMSLE | EFER_FFXSR | EFER_TCE)
#define CR4_CET   BIT(23)
#define CR4_KNOWN (BITS(11, 0) | BIT(12) | BITS(18, 16) | BITS(23, 20))

#define IOPM_BYTES  0x3000u
#define MSRPM_BYTES 0x2000u

#define VECTOR_OF 4
#define VECTOR_BR 5

/* All rules read the same: if (broken) return BROKEN("what is, what must be"). */
#define BROKEN(...) why_set(why, ERR_INVALID, __VA_ARGS__)
#define X(v)        ((unsigned long long)(v))

static bool long_mode(const struct vmcb_save *s)
{
	return (s->efer & EFER_LME) && (s->cr0 & CR0_PG);
}

static int check_control_registers(const struct vmcb *b, const struct svm_caps *caps,
				   struct why *why)
{
	const struct vmcb_save *s = &b->save;
	/* Bits 63:52 are the PCID's and LAM's business in CR3, the rest above the address must be 0. */
	uint64_t cr3_bad =
		s->cr3 & BITS(51, 0) & (caps->phys_bits < 52 ? BITS(51, caps->phys_bits) : 0);

	if (s->cr0 >> 32)
		return BROKEN("CR0 is %#llx; its upper half must be 0", X(s->cr0));
	if ((s->cr0 & CR0_NW) && !(s->cr0 & CR0_CD))
		return BROKEN("CR0 is %#llx: NW is 1, which CD = 0 does not allow", X(s->cr0));
	if (s->efer & EFER_LMA && cr3_bad)
		return BROKEN("CR3 is %#llx, beyond the %u physical address bits", X(s->cr3),
			      caps->phys_bits);
	if (s->cr4 & ~CR4_KNOWN)
		return BROKEN("CR4 is %#llx; bits %#llx of it must be 0", X(s->cr4),
			      X(s->cr4 & ~CR4_KNOWN));
	if ((s->cr4 & CR4_CET) && !(s->cr0 & CR0_WP))
		return BROKEN("CR4.CET is 1, which CR0.WP = 0 does not allow");
	return 0;
}

static int check_debug_registers(const struct vmcb *b, const struct svm_caps *caps, struct why *why)
{
	const struct vmcb_save *s = &b->save;

	if (s->dr6 >> 32)
		return BROKEN("DR6 is %#llx; its upper half must be 0", X(s->dr6));
	if (s->dr7 >> 32)
		return BROKEN("DR7 is %#llx; its upper half must be 0", X(s->dr7));
	return 0;
}

static int check_efer(const struct vmcb *b, const struct svm_caps *caps, struct why *why)
{
	const struct vmcb_save *s = &b->save;
	uint16_t cs = s->cs.attr;

	if (!(s->efer & EFER_SVME))
		return BROKEN("EFER is %#llx; SVME must be 1", X(s->efer));
	if (s->efer & ~EFER_KNOWN)
		return BROKEN("EFER is %#llx; bits %#llx of it must be 0", X(s->efer),
			      X(s->efer & ~EFER_KNOWN));
	if (long_mode(s) && !(s->cr4 & CR4_PAE))
		return BROKEN("EFER.LME and CR0.PG are 1, and CR4.PAE is 0; "
			      "long mode pages with PAE");
	if (long_mode(s) && !(s->cr0 & CR0_PE))
		return BROKEN("EFER.LME and CR0.PG are 1, and CR0.PE is 0");
	if (long_mode(s) && (cs & ATTR_L) && (cs & ATTR_DB))
		return BROKEN("CS attributes are %#x: L and D are both 1 in long mode", cs);
	return 0;
}

/* 15.25.4: the guest's PAT is checked where nested paging makes the CPU load it. */
static int check_pat(const struct vmcb *b, const struct svm_caps *caps, struct why *why)
{
	if (!(b->control.nested & NP_ENABLE))
		return 0;
	for (unsigned i = 0; i < 8; i++) {
		uint8_t type = (uint8_t)(b->save.pat >> (i * 8));

		if (type == 2 || type == 3 || type > 7)
			return BROKEN("the guest's PAT is %#llx; each byte must "
				      "be 0, 1, 4, 5, 6 or 7",
				      X(b->save.pat));
	}
	return 0;
}

static bool reaches_beyond(uint64_t base, uint64_t bytes, const struct svm_caps *caps)
{
	return !range_within(base, bytes, caps->phys_bits < 64 ? BIT(caps->phys_bits) : UINT64_MAX);
}

static int check_controls(const struct vmcb *b, const struct svm_caps *caps, struct why *why)
{
	const struct vmcb_control *c = &b->control;

	if (!(c->intercepts[SVM_EXIT_VMRUN / 32] & BIT(SVM_EXIT_VMRUN % 32)))
		return BROKEN("VMRUN is not intercepted, which every guest's VMCB must ask for");
	if (c->asid == 0)
		return BROKEN("the ASID is 0, which is the host's own");
	if (reaches_beyond(c->iopm_base & PAGE_MASK, IOPM_BYTES, caps))
		return BROKEN("the I/O permission map at %#llx reaches beyond the %u "
			      "physical address bits",
			      X(c->iopm_base), caps->phys_bits);
	if (reaches_beyond(c->msrpm_base & PAGE_MASK, MSRPM_BYTES, caps))
		return BROKEN("the MSR permission map at %#llx reaches beyond the %u "
			      "physical address bits",
			      X(c->msrpm_base), caps->phys_bits);
	if ((c->nested & NP_ENABLE) && reaches_beyond(c->nested_cr3, PAGE_SIZE, caps))
		return BROKEN("the nested page table at %#llx is beyond the %u "
			      "physical address bits",
			      X(c->nested_cr3), caps->phys_bits);
	return 0;
}

/* 15.20 */
static int check_event(const struct vmcb *b, const struct svm_caps *caps, struct why *why)
{
	uint64_t event = b->control.event_inject;
	uint8_t vector = EVENT_VECTOR(event);

	if (!(event & EVENT_VALID))
		return 0;
	switch (EVENT_TYPE(event)) {
	case EVENT_TYPE_INTR:
	case EVENT_TYPE_NMI:
	case EVENT_TYPE_SOFT:
		return 0;
	case EVENT_TYPE_EXCEPTION:
		break;
	default:
		return BROKEN("the event to inject is %#llx; type %llu does not exist", X(event),
			      X(EVENT_TYPE(event)));
	}
	if (vector == VECTOR_NMI || vector > 31)
		return BROKEN("the event to inject is exception %u, which does not exist", vector);
	if ((vector == VECTOR_OF || vector == VECTOR_BR) && long_mode(&b->save) &&
	    (b->save.cs.attr & ATTR_L))
		return BROKEN("the event to inject is exception %u, which 64-bit code can't raise",
			      vector);
	return 0;
}

int svm_check_guest(const struct vmcb *vmcb, const struct svm_caps *caps, struct why *why)
{
	static int (*const rules[])(const struct vmcb *, const struct svm_caps *, struct why *) = {
		check_control_registers, check_debug_registers, check_efer, check_pat,
		check_controls,          check_event,
	};

	for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
		int err = rules[i](vmcb, caps, why);

		if (err)
			return err;
	}
	return 0;
}
