#include "hv/vmx/vmx_check.h"

#include "hv/vmx/vmx_bits.h"
#include "hv/x86/msr.h"

#define DEBUGCTL_KNOWN   (BITS(15, 6) | BITS(2, 0))
#define EFER_KNOWN       (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define PENDING_RESERVED (BITS(63, 17) | BIT(15) | BIT(13) | BITS(11, 4))
#define SELECTOR_TI      4u
#define SELECTOR_RPL(s)  ((s)&3u)

#define SEG_TYPE_DATA_RW    3u /* read/write, accessed */
#define SEG_TYPE_LDT        2u
#define SEG_TYPE_BUSY_TSS16 3u
#define SEG_TYPE_BUSY_TSS32 11u /* the 64-bit one too */
#define SEG_TYPE_CODE       8u  /* bit */

/* All rules read the same: if (broken) return BROKEN("what is, what must be"). */
#define BROKEN(...) why_set(why, ERR_INVALID, __VA_ARGS__)

static const char *const seg_names[] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};

static bool canonical(const struct vmx_guest_state *g, uint64_t va)
{
	return is_sign_extended(va, g->linear_bits);
}

static bool is_64(const struct vmx_guest_state *g)
{
	return g->entry & ENTRY_GUEST_64;
}

static bool is_v86(const struct vmx_guest_state *g)
{
	return g->rflags & RFLAGS_VM;
}

static bool is_unrestricted(const struct vmx_guest_state *g)
{
	return (g->proc & PROC_SECONDARY) && (g->proc2 & PROC2_UNRESTRICTED);
}

static bool injects(const struct vmx_guest_state *g, enum intr_type type)
{
	return (g->entry_info & INTR_VALID) && INTR_TYPE(g->entry_info) == type;
}

static bool usable(const struct vmx_seg_state *s)
{
	return !(s->access & ACCESS_UNUSABLE);
}

/* 27.3.1.1: control registers */
static int check_control_registers(const struct vmx_guest_state *g, struct why *why)
{
	uint64_t cr0_one = g->cr0_fixed0, cr0_bad, cr4_bad;

	if (is_unrestricted(g))
		cr0_one &= ~(CR0_PE | CR0_PG);
	cr0_bad = (cr0_one & ~g->cr0) | (g->cr0 & ~g->cr0_fixed1);
	if (cr0_bad)
		return BROKEN("CR0 is %#llx; VT-x wants bits %#llx of it otherwise",
			      (unsigned long long)g->cr0, (unsigned long long)cr0_bad);
	if ((g->cr0 & CR0_PG) && !(g->cr0 & CR0_PE))
		return BROKEN("CR0 is %#llx: paging (PG) is on without protected mode (PE)",
			      (unsigned long long)g->cr0);
	cr4_bad = (g->cr4_fixed0 & ~g->cr4) | (g->cr4 & ~g->cr4_fixed1);
	if (cr4_bad)
		return BROKEN("CR4 is %#llx; VT-x wants bits %#llx of it otherwise",
			      (unsigned long long)g->cr4, (unsigned long long)cr4_bad);
	if (is_64(g) && (!(g->cr0 & CR0_PG) || !(g->cr4 & CR4_PAE)))
		return BROKEN("the entry is for an IA-32e mode guest, "
			      "but CR0.PG is %d and CR4.PAE is %d",
			      !!(g->cr0 & CR0_PG), !!(g->cr4 & CR4_PAE));
	if (!is_64(g) && (g->cr4 & CR4_PCIDE))
		return BROKEN("CR4.PCIDE is 1, which only an IA-32e mode guest may have");
	if (g->cr3 >> g->phys_bits)
		return BROKEN("CR3 is %#llx, beyond the %u physical address bits",
			      (unsigned long long)g->cr3, g->phys_bits);
	return 0;
}

bool vmx_pat_valid(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++, pat >>= 8) {
		uint8_t type = (uint8_t)pat;

		if (type == 2 || type == 3 || type > 7)
			return false;
	}
	return true;
}

/* 27.3.1.1: debug registers and MSRs */
static int check_msrs(const struct vmx_guest_state *g, struct why *why)
{
	bool lma = g->efer & EFER_LMA, lme = g->efer & EFER_LME;

	if ((g->entry & ENTRY_LOAD_DEBUG) && (g->debugctl & ~DEBUGCTL_KNOWN))
		return BROKEN("IA32_DEBUGCTL is %#llx; its reserved bits must be 0",
			      (unsigned long long)g->debugctl);
	if ((g->entry & ENTRY_LOAD_DEBUG) && g->dr7 >> 32)
		return BROKEN("DR7 is %#llx; its upper half must be 0", (unsigned long long)g->dr7);
	if (!canonical(g, g->sysenter_esp) || !canonical(g, g->sysenter_eip))
		return BROKEN("IA32_SYSENTER_ESP %#llx or IA32_SYSENTER_EIP %#llx is not canonical",
			      (unsigned long long)g->sysenter_esp,
			      (unsigned long long)g->sysenter_eip);
	if ((g->entry & ENTRY_LOAD_PAT) && !vmx_pat_valid(g->pat))
		return BROKEN("IA32_PAT is %#llx; each byte must be 0, 1, 4, 5, 6 or 7",
			      (unsigned long long)g->pat);
	if (!(g->entry & ENTRY_LOAD_EFER))
		return 0;
	if (g->efer & ~EFER_KNOWN)
		return BROKEN("IA32_EFER is %#llx; its reserved bits must be 0",
			      (unsigned long long)g->efer);
	if (lma != is_64(g))
		return BROKEN("IA32_EFER.LMA is %d but the entry control 'IA-32e mode guest' is %d",
			      lma, is_64(g));
	if ((g->cr0 & CR0_PG) && lma != lme)
		return BROKEN("IA32_EFER.LMA is %d and LME is %d; with paging on they must agree",
			      lma, lme);
	return 0;
}

/* 27.3.1.2 for a virtual-8086 guest */
static int check_v86_seg(const struct vmx_seg_state *s, const char *name, struct why *why)
{
	if (s->base != (uint64_t)s->selector << 4)
		return BROKEN("%s base is %#llx; in virtual-8086 mode it must be selector %#x << 4",
			      name, (unsigned long long)s->base, s->selector);
	if (s->limit != 0xffff)
		return BROKEN("%s limit is %#x; in virtual-8086 mode it must be 0xffff", name,
			      s->limit);
	if (s->access != 0xf3)
		return BROKEN("%s access rights are %#x; in virtual-8086 mode they must be 0xf3",
			      name, s->access);
	return 0;
}

/* 27.3.1.2: what holds for every usable segment, system ones too */
static int check_common(const struct vmx_seg_state *s, const char *name, bool system,
			struct why *why)
{
	if (!(s->access & ACCESS_S) != system)
		return BROKEN("%s access rights are %#x: S must be %d", name, s->access, !system);
	if (!(s->access & ACCESS_P))
		return BROKEN("%s access rights are %#x: it is usable, so P must be 1", name,
			      s->access);
	if (s->access & ACCESS_RESERVED)
		return BROKEN("%s access rights are %#x: bits 31:17 and 11:8 must be 0", name,
			      s->access);
	if ((s->limit & 0xfff) != 0xfff && (s->access & ACCESS_G))
		return BROKEN("%s limit is %#x with G = 1; a limit in pages must end in 0xfff",
			      name, s->limit);
	if (s->limit >> 20 && !(s->access & ACCESS_G))
		return BROKEN("%s limit is %#x with G = 0; a limit in bytes must be below 1 MiB",
			      name, s->limit);
	return 0;
}

static int check_cs(const struct vmx_guest_state *g, struct why *why)
{
	const struct vmx_seg_state *cs = &g->seg[SEG_CS];
	unsigned type = ACCESS_TYPE(cs->access), dpl = ACCESS_DPL(cs->access);
	unsigned ss_dpl = ACCESS_DPL(g->seg[SEG_SS].access);

	if (cs->base >> 32)
		return BROKEN("CS base is %#llx; it must be below 4 GiB",
			      (unsigned long long)cs->base);
	switch (type) {
	case SEG_TYPE_DATA_RW:
		if (!is_unrestricted(g))
			return BROKEN("CS type is 3 (data) without unrestricted guest");
		if (dpl != 0)
			return BROKEN("CS type is 3 (data) with DPL %u; the DPL must be 0", dpl);
		break;
	case 9:
	case 11:
		if (dpl != ss_dpl)
			return BROKEN("CS DPL is %u but SS DPL is %u; "
				      "for non-conforming code they must be the same",
				      dpl, ss_dpl);
		break;
	case 13:
	case 15:
		if (dpl > ss_dpl)
			return BROKEN("CS DPL is %u but SS DPL is %u; "
				      "for conforming code it must not be above",
				      dpl, ss_dpl);
		break;
	default:
		return BROKEN("CS type is %u; it must be accessed code (9, 11, 13, 15) or 3", type);
	}
	if (is_64(g) && (cs->access & ACCESS_L) && (cs->access & ACCESS_DB))
		return BROKEN("CS has L = 1 and D = 1; 64-bit code must have D = 0");
	return 0;
}

static int check_ss(const struct vmx_guest_state *g, struct why *why)
{
	const struct vmx_seg_state *ss = &g->seg[SEG_SS];
	unsigned type = ACCESS_TYPE(ss->access), dpl = ACCESS_DPL(ss->access);
	unsigned rpl = SELECTOR_RPL(ss->selector);

	if (!is_unrestricted(g)) {
		if (rpl != SELECTOR_RPL(g->seg[SEG_CS].selector))
			return BROKEN("SS RPL is %u but CS RPL is %u; they must be the same", rpl,
				      SELECTOR_RPL(g->seg[SEG_CS].selector));
		if (dpl != rpl)
			return BROKEN("SS DPL is %u but its RPL is %u; they must be the same", dpl,
				      rpl);
	}
	if (dpl != 0 &&
	    (!(g->cr0 & CR0_PE) || ACCESS_TYPE(g->seg[SEG_CS].access) == SEG_TYPE_DATA_RW))
		return BROKEN("SS DPL is %u; in real mode, or with CS type 3, it must be 0", dpl);
	if (usable(ss) && type != 3 && type != 7)
		return BROKEN("SS type is %u; it must be accessed writable data (3 or 7)", type);
	return 0;
}

static int check_data_seg(const struct vmx_guest_state *g, enum virt_seg_id id, struct why *why)
{
	const struct vmx_seg_state *s = &g->seg[id];
	unsigned type = ACCESS_TYPE(s->access);

	if (!(type & 1))
		return BROKEN("%s type is %u; a usable segment must have been accessed (bit 0)",
			      seg_names[id], type);
	if ((type & SEG_TYPE_CODE) && !(type & 2))
		return BROKEN("%s type is %u; code there must be readable (bit 1)", seg_names[id],
			      type);
	if (!is_unrestricted(g) && type <= 11 && ACCESS_DPL(s->access) < SELECTOR_RPL(s->selector))
		return BROKEN("%s DPL is %u, below its RPL %u", seg_names[id],
			      ACCESS_DPL(s->access), SELECTOR_RPL(s->selector));
	return 0;
}

/* Bases: FS and GS canonical; CS, and SS, DS, ES where usable, below 4 GiB. CS has its own check. */
static int check_base(const struct vmx_guest_state *g, enum virt_seg_id id, struct why *why)
{
	const struct vmx_seg_state *s = &g->seg[id];

	if ((id == SEG_FS || id == SEG_GS) && !canonical(g, s->base))
		return BROKEN("%s base %#llx is not canonical", seg_names[id],
			      (unsigned long long)s->base);
	if ((id == SEG_SS || id == SEG_DS || id == SEG_ES) && usable(s) && s->base >> 32)
		return BROKEN("%s base is %#llx; it must be below 4 GiB", seg_names[id],
			      (unsigned long long)s->base);
	return 0;
}

static int check_segment(const struct vmx_guest_state *g, enum virt_seg_id id, struct why *why)
{
	const struct vmx_seg_state *s = &g->seg[id];
	int err = check_base(g, id, why);

	if (!err && id == SEG_CS)
		err = check_cs(g, why);
	if (!err && id == SEG_SS)
		err = check_ss(g, why);
	if (err || (!usable(s) && id != SEG_CS))
		return err;
	if (id != SEG_CS && id != SEG_SS)
		err = check_data_seg(g, id, why);
	return err ? err : check_common(s, seg_names[id], false, why);
}

static int check_segments(const struct vmx_guest_state *g, struct why *why)
{
	for (enum virt_seg_id id = SEG_ES; id <= SEG_GS; id++) {
		int err = is_v86(g) ? check_v86_seg(&g->seg[id], seg_names[id], why)
				    : check_segment(g, id, why);

		if (err)
			return err;
	}
	return 0;
}

/* 27.3.1.2 for TR and LDTR, 27.3.1.3 for GDTR and IDTR */
static int check_tables(const struct vmx_guest_state *g, struct why *why)
{
	const struct vmx_seg_state *tr = &g->seg[SEG_TR], *ldtr = &g->seg[SEG_LDTR];
	unsigned type = ACCESS_TYPE(tr->access);
	int err;

	if (!usable(tr))
		return BROKEN("TR is unusable; a guest must have a task register");
	if (tr->selector & SELECTOR_TI)
		return BROKEN("TR selector is %#x; it must not refer to the LDT", tr->selector);
	if (type != SEG_TYPE_BUSY_TSS32 && (is_64(g) || type != SEG_TYPE_BUSY_TSS16))
		return BROKEN("TR type is %u; it must be a busy TSS (11%s)", type,
			      is_64(g) ? "" : " or 3");
	if (!canonical(g, tr->base))
		return BROKEN("TR base %#llx is not canonical", (unsigned long long)tr->base);
	if ((err = check_common(tr, "TR", true, why)))
		return err;
	if (usable(ldtr)) {
		if (ldtr->selector & SELECTOR_TI)
			return BROKEN("LDTR selector is %#x; it must not refer to the LDT",
				      ldtr->selector);
		if (ACCESS_TYPE(ldtr->access) != SEG_TYPE_LDT)
			return BROKEN("LDTR type is %u; it must be 2", ACCESS_TYPE(ldtr->access));
		if (!canonical(g, ldtr->base))
			return BROKEN("LDTR base %#llx is not canonical",
				      (unsigned long long)ldtr->base);
		if ((err = check_common(ldtr, "LDTR", true, why)))
			return err;
	}
	if (!canonical(g, g->gdtr_base) || !canonical(g, g->idtr_base))
		return BROKEN("GDTR base %#llx or IDTR base %#llx is not canonical",
			      (unsigned long long)g->gdtr_base, (unsigned long long)g->idtr_base);
	if (g->gdtr_limit > 0xffff || g->idtr_limit > 0xffff)
		return BROKEN("GDTR limit %#x or IDTR limit %#x is above 0xffff", g->gdtr_limit,
			      g->idtr_limit);
	return 0;
}

/* 27.3.1.4 */
static int check_rip_rflags(const struct vmx_guest_state *g, struct why *why)
{
	bool wide = is_64(g) && (g->seg[SEG_CS].access & ACCESS_L);

	if (!wide && g->rip >> 32)
		return BROKEN("RIP is %#llx; outside 64-bit code it must be below 4 GiB",
			      (unsigned long long)g->rip);
	if (wide && !canonical(g, g->rip))
		return BROKEN("RIP %#llx is not canonical", (unsigned long long)g->rip);
	if ((g->rflags & RFLAGS_RESERVED) || !(g->rflags & RFLAGS_FIXED))
		return BROKEN("RFLAGS is %#llx; bit 1 must be 1, bits 63:22, 15, 5 and 3 must be 0",
			      (unsigned long long)g->rflags);
	if (is_v86(g) && (is_64(g) || !(g->cr0 & CR0_PE)))
		return BROKEN("RFLAGS.VM is 1 in IA-32e mode or in real mode");
	if (injects(g, INTR_EXTERNAL) && !(g->rflags & RFLAGS_IF))
		return BROKEN("an external interrupt is to be injected, but RFLAGS.IF is 0");
	return 0;
}

/* 27.3.1.5: activity state, with what may be injected in it */
static int check_activity(const struct vmx_guest_state *g, struct why *why)
{
	uint8_t vector = INTR_VECTOR(g->entry_info);
	bool nmi = injects(g, INTR_NMI), mc = injects(g, INTR_EXCEPTION) && vector == VECTOR_MC;
	bool db = injects(g, INTR_EXCEPTION) && vector == VECTOR_DB;

	if (g->activity > ACTIVITY_WAIT_SIPI || !(g->activity_states >> g->activity & 1))
		return BROKEN("the activity state is %u, which this CPU does not support",
			      g->activity);
	if (g->activity == ACTIVITY_HLT && ACCESS_DPL(g->seg[SEG_SS].access))
		return BROKEN("the activity state is HLT, but SS DPL is %u",
			      ACCESS_DPL(g->seg[SEG_SS].access));
	if ((g->interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) && g->activity)
		return BROKEN("the activity state is %u while STI or MOV SS block events; "
			      "it must be active",
			      g->activity);
	if (!(g->entry_info & INTR_VALID))
		return 0;
	if ((g->activity == ACTIVITY_HLT &&
	     !(injects(g, INTR_EXTERNAL) || nmi || mc || db || injects(g, INTR_OTHER))) ||
	    (g->activity == ACTIVITY_SHUTDOWN && !nmi && !mc) || g->activity == ACTIVITY_WAIT_SIPI)
		return BROKEN("the event to inject (%#x) is not allowed in activity state %u",
			      g->entry_info, g->activity);
	return 0;
}

/* 27.3.1.5: interruptibility state */
static int check_interruptibility(const struct vmx_guest_state *g, struct why *why)
{
	uint32_t shadow = g->interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);

	if (g->interruptibility >> 5)
		return BROKEN("the interruptibility state is %#x; bits 31:5 must be 0",
			      g->interruptibility);
	if (shadow == (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS))
		return BROKEN("events are blocked by both STI and MOV SS");
	if ((shadow & BLOCKED_BY_STI) && !(g->rflags & RFLAGS_IF))
		return BROKEN("events are blocked by STI, but RFLAGS.IF is 0");
	if (injects(g, INTR_EXTERNAL) && shadow)
		return BROKEN("an external interrupt is to be injected "
			      "in the shadow of STI or MOV SS");
	if (injects(g, INTR_NMI) && shadow)
		return BROKEN("an NMI is to be injected in the shadow of STI or MOV SS");
	if (g->interruptibility & BLOCKED_BY_SMI)
		return BROKEN("SMIs are marked as blocked, outside system-management mode");
	if (injects(g, INTR_NMI) && (g->pin & PIN_VIRTUAL_NMIS) &&
	    (g->interruptibility & BLOCKED_BY_NMI))
		return BROKEN("an NMI is to be injected while NMIs are blocked");
	return 0;
}

/* 27.3.1.5: pending debug exceptions and the link pointer */
static int check_pending(const struct vmx_guest_state *g, struct why *why)
{
	bool held = (g->interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) ||
		    g->activity == ACTIVITY_HLT;
	bool step = (g->rflags & RFLAGS_TF) && !(g->debugctl & DEBUGCTL_BTF);
	bool bs = g->pending_debug & PENDING_DEBUG_BS;

	if (g->pending_debug & PENDING_RESERVED)
		return BROKEN("the pending debug exceptions are %#llx; reserved bits must be 0",
			      (unsigned long long)g->pending_debug);
	if (held && bs != step)
		return BROKEN("a single step is %s, but pending-debug bit BS is %d",
			      step ? "due (TF = 1, BTF = 0)" : "not due (TF = 0 or BTF = 1)", bs);
	if (g->link_pointer != UINT64_MAX)
		return BROKEN("the VMCS link pointer is %#llx; it must be all ones",
			      (unsigned long long)g->link_pointer);
	return 0;
}

/* 27.3.1.6 */
static int check_pdptes(const struct vmx_guest_state *g, struct why *why)
{
	uint64_t reserved = BITS(2, 1) | BITS(8, 5) | BITS(63, g->phys_bits);

	if (!(g->cr0 & CR0_PG) || !(g->cr4 & CR4_PAE) || is_64(g))
		return 0;
	for (unsigned i = 0; i < 4; i++)
		if ((g->pdpte[i] & 1) && (g->pdpte[i] & reserved))
			return BROKEN("PDPTE %u is %#llx: it is present with reserved bits set", i,
				      (unsigned long long)g->pdpte[i]);
	return 0;
}

int vmx_check_guest(const struct vmx_guest_state *g, struct why *why)
{
	static int (*const rules[])(const struct vmx_guest_state *, struct why *) = {
		check_control_registers,
		check_msrs,
		check_segments,
		check_tables,
		check_rip_rflags,
		check_activity,
		check_interruptibility,
		check_pending,
		check_pdptes,
	};

	for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
		int err = rules[i](g, why);

		if (err)
			return err;
	}
	return 0;
}
