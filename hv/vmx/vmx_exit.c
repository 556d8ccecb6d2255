/*
 * Why the guest came back, in neutral words: a table indexed by the basic exit reason says what to
 * read, so that an exit costs only the fields it needs. SDM vol. 3, 28.2 and appendix C.
 */
#include "hv/base/fmt.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/cpu.h"

/* What has to be read for a reason. */
#define WANTS_LEN       1 /* the instruction's length */
#define WANTS_VECTORING 2 /* it can interrupt the delivery of an event */

struct exit_entry {
	const char *name; /* NULL: not in the table */
	uint8_t kind;     /* enum vm_exit_kind */
	uint8_t wants;
	void (*decode)(struct vmx_vcpu *x, struct vm_exit *out);
};

COLD static void decode_unknown(struct vmx_vcpu *x, struct vm_exit *out);

/* 28.2.1, table 28-1: #DB, #AC and machine checks, as the exception bitmap asks. */
static void decode_exception_or_nmi(struct vmx_vcpu *x, struct vm_exit *out)
{
	uint32_t info = vmread32(VMCS_EXIT_INTR_INFO);

	if (INTR_TYPE(info) == INTR_NMI) {
		out->kind = VM_EXIT_HOST_NMI;
		return;
	}
	if (INTR_VECTOR(info) == VECTOR_DB || INTR_VECTOR(info) == VECTOR_AC) {
		vmx_event_reflect(x, info);
		out->kind = VM_EXIT_REFLECTED;
		return;
	}
	out->kind = VM_EXIT_UNKNOWN;
	fmt_print(out->detail, sizeof(out->detail),
		  INTR_VECTOR(info) == VECTOR_MC
			  ? "the CPU reported a machine check while the guest ran (information %#x)"
			  : "an exception that was not asked for left the guest (information %#x)",
		  info);
}

/* Table 28-2 */
static void decode_task_switch(struct vmx_vcpu *x, struct vm_exit *out)
{
	static const char *const sources[] = {"CALL", "IRET", "JMP", "a task gate in the IDT"};
	uint64_t q = vmreadn(VMCS_EXIT_QUALIFICATION);

	fmt_print(out->detail, sizeof(out->detail),
		  "the guest switched to the hardware task %#x by %s at %#llx; "
		  "Amalgam does not support hardware task switches",
		  (unsigned)(q & 0xffff), sources[q >> 30 & 3],
		  (unsigned long long)vmreadn(VMCS_GUEST_RIP));
}

static bool in_64bit_code(void)
{
	return (vmread64(VMCS_GUEST_EFER) & EFER_LMA) &&
	       (vmread32(VMCS_GUEST_ES_ACCESS + 2 * SEG_CS) & ACCESS_L);
}

static uint64_t operand(struct vmx_vcpu *x, unsigned gpr)
{
	uint64_t value = gpr == GPR_RSP ? vmreadn(VMCS_GUEST_RSP) : x->virt->gpr[gpr];

	return in_64bit_code() ? value : (uint32_t)value;
}

/*
 * A write that turns PAE paging on, or changes what it depends on, loads the four page-directory
 * pointers and faults on a malformed one. Only this room knows that they are loaded: do it here.
 * SDM vol. 3, 4.4.1. True when the guest gets that #GP.
 */
static bool pdptes_fault(struct vmx_vcpu *x, unsigned cr, uint64_t value)
{
	static const struct virt_event gp = {
		.kind = EVENT_EXCEPTION, .vector = VECTOR_GP, .has_code = true};
	uint64_t cr0 = cr == 0 ? value : vmx_reg_get(x->virt, REG_CR0);
	uint64_t cr4 = cr == 4 ? value : vmx_reg_get(x->virt, REG_CR4);
	uint64_t pdpte[4];

	if (!vmx_pae_paging(cr0, cr4, vmread64(VMCS_GUEST_EFER)) ||
	    !vmx_pdptes_read(vmreadn(VMCS_GUEST_CR3), pdpte))
		return false;
	vmx_inject(x->virt, &gp);
	return true;
}

/* Table 28-3 */
static void decode_cr(struct vmx_vcpu *x, struct vm_exit *out)
{
	enum { MOV_TO, MOV_FROM, CLTS, LMSW };
	uint64_t q = vmreadn(VMCS_EXIT_QUALIFICATION), value;
	unsigned cr = q & 15, access = q >> 4 & 3;

	if (access == MOV_TO && (cr == 0 || cr == 4)) {
		value = operand(x, q >> 8 & 15);
	} else if (access == CLTS) {
		value = vmx_reg_get(x->virt, REG_CR0) & ~CR0_TS;
	} else if (access == LMSW) {
		/* It can set PE but not clear it. */
		value = (vmx_reg_get(x->virt, REG_CR0) & ~(CR0_MP | CR0_EM | CR0_TS)) |
			(q >> 16 & (CR0_PE | CR0_MP | CR0_EM | CR0_TS));
	} else {
		decode_unknown(x, out);
		return;
	}
	if (pdptes_fault(x, cr, value)) {
		out->kind = VM_EXIT_NONE;
		return;
	}
	out->cr.cr = (uint8_t)cr;
	out->cr.value = value;
}

/* Table 28-5 */
static void decode_io(struct vmx_vcpu *x, struct vm_exit *out)
{
	uint64_t q = vmreadn(VMCS_EXIT_QUALIFICATION);

	out->io.port = (uint16_t)(q >> 16);
	out->io.size = (uint8_t)((q & 7) + 1);
	out->io.in = q >> 3 & 1;
	out->io.string = q >> 4 & 1;
}

/* SDM vol. 3, 28.2.3: an IRET that had unblocked NMIs before it faulted is going to run again. */
static void iret_again(struct vmx_vcpu *x)
{
	if (x->again)
		return;
	vmwrite32(VMCS_GUEST_INTERRUPTIBILITY,
		  vmread32(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKED_BY_NMI);
}

/* Table 28-7 */
static void decode_ept_violation(struct vmx_vcpu *x, struct vm_exit *out)
{
	uint64_t q = vmreadn(VMCS_EXIT_QUALIFICATION);

	out->npf.gpa = vmread64(VMCS_GUEST_PHYSICAL_ADDRESS);
	out->npf.read = q & 1;
	out->npf.write = q >> 1 & 1;
	out->npf.fetch = q >> 2 & 1;
	out->npf.gla_valid = q >> 7 & 1;
	out->npf.table_walk = out->npf.gla_valid && !(q >> 8 & 1);
	out->npf.gla = out->npf.gla_valid ? vmreadn(VMCS_GUEST_LINEAR_ADDRESS) : 0;
	out->npf.delivery = x->again;
	if (UNLIKELY(q >> 12 & 1))
		iret_again(x);
}

static void decode_ept_misconfig(struct vmx_vcpu *x, struct vm_exit *out)
{
	fmt_print(out->detail, sizeof(out->detail),
		  "the CPU found a malformed nested page-table entry on the way "
		  "to guest-physical %#llx",
		  (unsigned long long)vmread64(VMCS_GUEST_PHYSICAL_ADDRESS));
}

/* Table 28-6: types 0 and 1 are data reads and writes, 2 a fetch; the others have no instruction. */
static void decode_apic_access(struct vmx_vcpu *x, struct vm_exit *out)
{
	enum { READ, WRITE, FETCH };
	uint64_t q = vmreadn(VMCS_EXIT_QUALIFICATION);
	unsigned type = q >> 12 & 15;

	out->apic.offset = q & 0xfff;
	out->apic.write = type == WRITE;
	out->apic.fetch = type == FETCH;
	out->apic.vector = 0;
	if (type <= FETCH)
		return;
	out->kind = VM_EXIT_UNKNOWN;
	fmt_print(out->detail, sizeof(out->detail),
		  "the guest's local APIC page was used by event delivery or a page walk "
		  "(offset %#x, type %u)",
		  (unsigned)(q & 0xfff), type);
}

static void decode_apic_write(struct vmx_vcpu *x, struct vm_exit *out)
{
	out->apic.offset = vmreadn(VMCS_EXIT_QUALIFICATION) & 0xfff;
	out->apic.write = true;
	out->apic.fetch = false;
	out->apic.vector = 0;
}

static void decode_tpr_threshold(struct vmx_vcpu *x, struct vm_exit *out)
{
	out->apic.offset = 0x80;
	out->apic.write = true;
	out->apic.fetch = false;
	out->apic.vector = 0;
}

static void decode_eoi(struct vmx_vcpu *x, struct vm_exit *out)
{
	out->apic.offset = 0xb0;
	out->apic.write = true;
	out->apic.fetch = false;
	out->apic.vector = (uint8_t)vmreadn(VMCS_EXIT_QUALIFICATION);
}

#define LEN WANTS_LEN
#define VEC WANTS_VECTORING

// clang-format off
static const struct exit_entry exits[REASON_COUNT] = {
	[REASON_EXCEPTION_OR_NMI]   = { "exception or NMI", VM_EXIT_EXCEPTION, VEC, decode_exception_or_nmi },
	[REASON_EXTERNAL_INTERRUPT] = { "external interrupt", VM_EXIT_INTERRUPT, 0, NULL },
	[REASON_TRIPLE_FAULT]       = { "triple fault", VM_EXIT_TRIPLE_FAULT, 0, NULL },
	[REASON_INIT]               = { "INIT", VM_EXIT_INIT, 0, NULL },
	[REASON_SIPI]               = { "SIPI", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_INTERRUPT_WINDOW]   = { "interrupt window", VM_EXIT_IRQ_WINDOW, 0, NULL },
	[REASON_NMI_WINDOW]         = { "NMI window", VM_EXIT_NMI_WINDOW, 0, NULL },
	[REASON_TASK_SWITCH]        = { "task switch", VM_EXIT_TASK_SWITCH, VEC, decode_task_switch },
	[REASON_CPUID]              = { "CPUID", VM_EXIT_CPUID, LEN, NULL },
	[REASON_GETSEC]             = { "GETSEC", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_HLT]                = { "HLT", VM_EXIT_HLT, LEN, NULL },
	[REASON_INVD]               = { "INVD", VM_EXIT_CACHE, LEN, NULL },
	[REASON_INVLPG]             = { "INVLPG", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_RDPMC]              = { "RDPMC", VM_EXIT_FORBIDDEN, LEN, NULL },
	[REASON_RDTSC]              = { "RDTSC", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_RSM]                = { "RSM", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_VMCALL]             = { "VMCALL", VM_EXIT_HYPERCALL, LEN, NULL },
	[REASON_VMCLEAR ... REASON_VMXON] = { "VMX instruction", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_CR_ACCESS]          = { "control-register access", VM_EXIT_CR_WRITE, LEN, decode_cr },
	[REASON_DR_ACCESS]          = { "debug-register access", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_IO]                 = { "I/O", VM_EXIT_IO, LEN, decode_io },
	[REASON_RDMSR]              = { "RDMSR", VM_EXIT_MSR_READ, LEN, NULL },
	[REASON_WRMSR]              = { "WRMSR", VM_EXIT_MSR_WRITE, LEN, NULL },
	[REASON_MWAIT]              = { "MWAIT", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_TRAP_FLAG]          = { "monitor trap flag", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_MONITOR]            = { "MONITOR", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_PAUSE]              = { "PAUSE", VM_EXIT_PAUSE, LEN, NULL },
	[REASON_TPR_THRESHOLD]      = { "TPR below threshold", VM_EXIT_APIC_WRITE, 0, decode_tpr_threshold },
	[REASON_APIC_ACCESS]        = { "APIC access", VM_EXIT_APIC_ACCESS, VEC, decode_apic_access },
	[REASON_EOI]                = { "virtualized EOI", VM_EXIT_APIC_EOI, 0, decode_eoi },
	[REASON_GDTR_IDTR]          = { "GDTR or IDTR access", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_LDTR_TR]            = { "LDTR or TR access", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_EPT_VIOLATION]      = { "EPT violation", VM_EXIT_NPF, VEC, decode_ept_violation },
	[REASON_EPT_MISCONFIG]      = { "EPT misconfiguration", VM_EXIT_UNKNOWN, VEC, decode_ept_misconfig },
	[REASON_INVEPT]             = { "INVEPT", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_RDTSCP]             = { "RDTSCP", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_TIMER]              = { "preemption timer", VM_EXIT_TIMER, 0, NULL },
	[REASON_INVVPID]            = { "INVVPID", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_WBINVD]             = { "WBINVD", VM_EXIT_CACHE, LEN, NULL },
	[REASON_XSETBV]             = { "XSETBV", VM_EXIT_XSETBV, LEN, NULL },
	[REASON_APIC_WRITE]         = { "APIC write", VM_EXIT_APIC_WRITE, 0, decode_apic_write },
	[REASON_INVPCID]            = { "INVPCID", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_VMFUNC]             = { "VMFUNC", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_ENCLS]              = { "ENCLS", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_XSAVES]             = { "XSAVES", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_XRSTORS]            = { "XRSTORS", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[REASON_UMWAIT]             = { "UMWAIT", VM_EXIT_UNDEFINED, LEN, NULL },
	[REASON_TPAUSE]             = { "TPAUSE", VM_EXIT_UNDEFINED, LEN, NULL },
};
// clang-format on

COLD static void decode_unknown(struct vmx_vcpu *x, struct vm_exit *out)
{
	const char *name = out->reason < REASON_COUNT ? exits[out->reason].name : NULL;

	out->kind = VM_EXIT_UNKNOWN;
	fmt_print(out->detail, sizeof(out->detail),
		  "VT-x exit %u (%s) is not expected; qualification %#llx at %#llx", out->reason,
		  name ? name : "of a kind newer than this program",
		  (unsigned long long)vmreadn(VMCS_EXIT_QUALIFICATION),
		  (unsigned long long)vmreadn(VMCS_GUEST_RIP));
}

void vmx_exit_decode(struct vmx_vcpu *x, uint32_t reason, struct vm_exit *out)
{
	const struct exit_entry *e;

	out->reason = EXIT_REASON_BASIC(reason);
	if (UNLIKELY(out->reason >= REASON_COUNT || !exits[out->reason].name)) {
		out->insn_len = 0;
		decode_unknown(x, out);
		return;
	}
	e = &exits[out->reason];
	out->kind = e->kind;
	out->insn_len = 0;
	if (e->wants & WANTS_LEN)
		out->insn_len = (uint8_t)vmread32(VMCS_EXIT_INSN_LEN);
	if (e->wants & WANTS_VECTORING) {
		uint32_t info = vmread32(VMCS_VECTORING_INFO);

		if (info & INTR_VALID)
			vmx_event_keep(x, info);
	}
	if (e->decode)
		e->decode(x, out);
}
