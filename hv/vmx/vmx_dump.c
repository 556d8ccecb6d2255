/* The guest's state in words: for the entry check, and for the log when a vCPU can't go on. */
#include "hv/base/log.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/cpu.h"

void vmx_snapshot(struct vmx_guest_state *g)
{
	*g = (struct vmx_guest_state){
		.cr0 = vmreadn(VMCS_GUEST_CR0),
		.cr3 = vmreadn(VMCS_GUEST_CR3),
		.cr4 = vmreadn(VMCS_GUEST_CR4),
		.dr7 = vmreadn(VMCS_GUEST_DR7),
		.rsp = vmreadn(VMCS_GUEST_RSP),
		.rip = vmreadn(VMCS_GUEST_RIP),
		.rflags = vmreadn(VMCS_GUEST_RFLAGS),
		.pending_debug = vmreadn(VMCS_GUEST_PENDING_DEBUG),
		.debugctl = vmread64(VMCS_GUEST_DEBUGCTL),
		.pat = vmread64(VMCS_GUEST_PAT),
		.efer = vmread64(VMCS_GUEST_EFER),
		.sysenter_cs = vmread32(VMCS_GUEST_SYSENTER_CS),
		.sysenter_esp = vmreadn(VMCS_GUEST_SYSENTER_ESP),
		.sysenter_eip = vmreadn(VMCS_GUEST_SYSENTER_EIP),
		.link_pointer = vmread64(VMCS_LINK_POINTER),
		.gdtr_base = vmreadn(VMCS_GUEST_GDTR_BASE),
		.gdtr_limit = vmread32(VMCS_GUEST_GDTR_LIMIT),
		.idtr_base = vmreadn(VMCS_GUEST_IDTR_BASE),
		.idtr_limit = vmread32(VMCS_GUEST_IDTR_LIMIT),
		.interruptibility = vmread32(VMCS_GUEST_INTERRUPTIBILITY),
		.activity = vmread32(VMCS_GUEST_ACTIVITY),
		.pin = vmread32(VMCS_PIN_CONTROLS),
		.proc = vmread32(VMCS_PROC_CONTROLS),
		.proc2 = vmread32(VMCS_PROC2_CONTROLS),
		.entry = vmread32(VMCS_ENTRY_CONTROLS),
		.entry_info = vmread32(VMCS_ENTRY_INTR_INFO),
		.cr0_fixed0 = vmx_caps.cr0_fixed0,
		.cr0_fixed1 = vmx_caps.cr0_fixed1,
		.cr4_fixed0 = vmx_caps.cr4_fixed0,
		.cr4_fixed1 = vmx_caps.cr4_fixed1,
		.activity_states = vmx_caps.activity_states,
		.phys_bits = vmx_caps.phys_bits,
		.linear_bits = vmx_caps.linear_bits,
	};
	for (unsigned i = 0; i < ARRAY_LEN(g->pdpte); i++)
		g->pdpte[i] = vmread64(VMCS_GUEST_PDPTE0 + 2 * i);
	for (unsigned i = 0; i < ARRAY_LEN(g->seg); i++)
		g->seg[i] = (struct vmx_seg_state){
			.selector = vmread16(VMCS_GUEST_ES_SELECTOR + 2 * i),
			.limit = vmread32(VMCS_GUEST_ES_LIMIT + 2 * i),
			.access = vmread32(VMCS_GUEST_ES_ACCESS + 2 * i),
			.base = vmreadn(VMCS_GUEST_ES_BASE + 2 * i),
		};
}

#define LINE(...) log_error(LOG_VIRT, __VA_ARGS__)
#define X(v)      ((unsigned long long)(v))

static void dump_registers(const struct virt_vcpu *v, const struct vmx_guest_state *g)
{
	const uint64_t *r = v->gpr;

	LINE("rax %016llx rbx %016llx rcx %016llx rdx %016llx", X(r[GPR_RAX]), X(r[GPR_RBX]),
	     X(r[GPR_RCX]), X(r[GPR_RDX]));
	LINE("rsi %016llx rdi %016llx rbp %016llx rsp %016llx", X(r[GPR_RSI]), X(r[GPR_RDI]),
	     X(r[GPR_RBP]), X(g->rsp));
	LINE("r8  %016llx r9  %016llx r10 %016llx r11 %016llx", X(r[GPR_R8]), X(r[GPR_R9]),
	     X(r[GPR_R10]), X(r[GPR_R11]));
	LINE("r12 %016llx r13 %016llx r14 %016llx r15 %016llx", X(r[GPR_R12]), X(r[GPR_R13]),
	     X(r[GPR_R14]), X(r[GPR_R15]));
	LINE("rip %016llx rflags %08llx cr2 %016llx dr7 %08llx", X(g->rip), X(g->rflags), X(v->cr2),
	     X(g->dr7));
	LINE("cr0 %08llx (the guest sees %08llx) cr3 %016llx cr4 %08llx (the guest sees %08llx)",
	     X(g->cr0), X(vmx_reg_get((struct virt_vcpu *)v, REG_CR0)), X(g->cr3), X(g->cr4),
	     X(vmx_reg_get((struct virt_vcpu *)v, REG_CR4)));
	LINE("efer %04llx pat %016llx debugctl %04llx sysenter cs %04x eip %016llx esp %016llx",
	     X(g->efer), X(g->pat), X(g->debugctl), g->sysenter_cs, X(g->sysenter_eip),
	     X(g->sysenter_esp));
}

static void dump_segments(const struct vmx_guest_state *g)
{
	static const char *const names[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};

	for (unsigned i = 0; i < ARRAY_LEN(g->seg); i++)
		LINE("%-4s %04x base %016llx limit %08x access %05x%s", names[i],
		     g->seg[i].selector, X(g->seg[i].base), g->seg[i].limit, g->seg[i].access,
		     g->seg[i].access & ACCESS_UNUSABLE ? " unusable" : "");
	LINE("gdtr base %016llx limit %04x, idtr base %016llx limit %04x", X(g->gdtr_base),
	     g->gdtr_limit, X(g->idtr_base), g->idtr_limit);
}

static void dump_rest(const struct vmx_guest_state *g)
{
	LINE("activity %u interruptibility %#x pending debug %#llx event to inject %#x",
	     g->activity, g->interruptibility, X(g->pending_debug), g->entry_info);
	LINE("controls: pin %08x proc %08x proc2 %08x entry %08x", g->pin, g->proc, g->proc2,
	     g->entry);
	LINE("last exit: reason %#x qualification %#llx interruption %#x vectoring %#x",
	     vmread32(VMCS_EXIT_REASON), X(vmreadn(VMCS_EXIT_QUALIFICATION)),
	     vmread32(VMCS_EXIT_INTR_INFO), vmread32(VMCS_VECTORING_INFO));
	if (vmx_pae_paging(g->cr0, g->cr4, g->efer))
		LINE("pdptes %016llx %016llx %016llx %016llx", X(g->pdpte[0]), X(g->pdpte[1]),
		     X(g->pdpte[2]), X(g->pdpte[3]));
}

void vmx_dump(struct virt_vcpu *v)
{
	struct vmx_guest_state g;

	vmx_snapshot(&g);
	LINE("state of the guest on CPU %u:", plat_cpu());
	dump_registers(v, &g);
	dump_segments(&g);
	dump_rest(&g);
}
