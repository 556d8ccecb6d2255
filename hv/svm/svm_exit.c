/*
 * What leaves the guest and why it came back, in neutral words: one table says what is intercepted and
 * what each exit means. APM vol. 2, appendix C.
 */
#include "hv/base/fmt.h"
#include "hv/base/string.h"
#include "hv/svm/svm_vcpu.h"
#include "hv/x86/cpu.h"

#define ON   1 /* intercepted at all times; others come and go */
#define LEN  2 /* an instruction that hv/core skips */
/*
 * An instruction for level 0 alone. Some exit before the CPU has looked at the level (15.9), XSETBV for
 * one, and no handler in hv/core should have to know which.
 */
#define CPL0 4

struct exit_entry {
	const char *name; /* NULL: not in the table */
	uint8_t kind;     /* enum vm_exit_kind */
	uint8_t flags;
	void (*decode)(struct svm_vcpu *x, struct vm_exit *out);
};

static void decode_unknown(struct svm_vcpu *x, struct vm_exit *out);

static const struct vmcb_control *control(const struct svm_vcpu *x)
{
	return &x->vmcb->control;
}

static uint64_t operand(const struct svm_vcpu *x, unsigned gpr)
{
	const struct vmcb_save *s = &x->vmcb->save;
	uint64_t value = gpr == GPR_RSP ? s->rsp : x->virt->gpr[gpr];

	return svm_in_64bit_code(x) ? value : (uint32_t)value;
}

/* Only MOV to CR0, CR3 and CR4 says what it writes, and only where there are decode assists. 15.33.1 */
static void decode_cr_write(struct svm_vcpu *x, struct vm_exit *out)
{
	uint64_t info = control(x)->exit_info1;

	if (!svm_caps.decode_assist || !svm_caps.next_rip || !(info & CR_ACCESS_MOV))
		return;
	out->kind = VM_EXIT_CR_WRITE;
	out->cr.cr = (uint8_t)(out->reason - SVM_EXIT_CR0_WRITE);
	out->cr.value = operand(x, CR_ACCESS_GPR(info));
}

/* 15.12: a #PF that may be the copies'; the #DB and others of a step; #DB and #AC; and a machine check. */
static void decode_exception(struct svm_vcpu *x, struct vm_exit *out)
{
	uint8_t vector = (uint8_t)(out->reason - SVM_EXIT_EXCEPTION);

	if (vector == VECTOR_PF && x->walk_root) {
		out->kind = VM_EXIT_EXCEPTION;
		out->exception.vector = vector;
		out->exception.has_code = true;
		out->exception.code = (uint32_t)control(x)->exit_info1;
		out->exception.address = control(x)->exit_info2;
		return;
	}
	if (svm_event_exception(x, vector)) {
		out->kind = x->nmi_window   ? VM_EXIT_NMI_WINDOW
			    : x->irq_window ? VM_EXIT_IRQ_WINDOW
					    : VM_EXIT_NONE;
		return;
	}
	if (vector == VECTOR_DB || vector == VECTOR_AC) {
		svm_event_reflect(x, vector);
		out->kind = VM_EXIT_REFLECTED;
		return;
	}
	out->kind = VM_EXIT_UNKNOWN;
	fmt_print(out->detail, sizeof(out->detail),
		  vector == VECTOR_MC
			  ? "the CPU reported a machine check while the guest ran (vector %u)"
			  : "exception %u, which was not asked for, left the guest",
		  vector);
}

static void decode_irq_window(struct svm_vcpu *x, struct vm_exit *out)
{
	if (!svm_event_irq_window(x))
		out->kind = VM_EXIT_NONE;
}

static void decode_iret(struct svm_vcpu *x, struct vm_exit *out)
{
	svm_event_iret(x);
}

/* 15.10.2: the second information is the RIP of the next instruction, on every CPU. */
static void decode_io(struct svm_vcpu *x, struct vm_exit *out)
{
	uint64_t info = control(x)->exit_info1;

	out->io.port = IOIO_PORT(info);
	out->io.size = IOIO_SIZE(info);
	out->io.in = info & IOIO_IN;
	out->io.string = info & IOIO_STRING;
	out->insn_len = (uint8_t)(control(x)->exit_info2 - x->vmcb->save.rip);
}

static void decode_msr(struct svm_vcpu *x, struct vm_exit *out)
{
	out->kind = control(x)->exit_info1 ? VM_EXIT_MSR_WRITE : VM_EXIT_MSR_READ;
}

/* 15.14.1 */
static void decode_task_switch(struct svm_vcpu *x, struct vm_exit *out)
{
	uint64_t info = control(x)->exit_info2;

	fmt_print(out->detail, sizeof(out->detail),
		  "the guest switched to the hardware task %#x by %s at %#llx; "
		  "Amalgam does not support hardware task switches",
		  (unsigned)(control(x)->exit_info1 & 0xffff),
		  info & BIT(36)   ? "IRET"
		  : info & BIT(38) ? "JMP"
				   : "CALL or a task gate in the IDT",
		  (unsigned long long)x->vmcb->save.rip);
}

/* 15.25.6 */
static void decode_npf(struct svm_vcpu *x, struct vm_exit *out)
{
	uint64_t info = control(x)->exit_info1;

	if (UNLIKELY(info & NPF_RESERVED)) {
		out->kind = VM_EXIT_UNKNOWN;
		fmt_print(out->detail, sizeof(out->detail),
			  "the CPU found a malformed nested page-table entry on the way "
			  "to guest-physical %#llx",
			  (unsigned long long)control(x)->exit_info2);
		return;
	}
	out->npf.gpa = control(x)->exit_info2;
	out->npf.gla = 0;
	out->npf.gla_valid = false;
	out->npf.write = info & NPF_WRITE;
	out->npf.fetch = info & NPF_FETCH;
	out->npf.read = !out->npf.write && !out->npf.fetch;
	out->npf.table_walk = info & NPF_TABLE_WALK;
	out->npf.delivery = control(x)->exit_int_info & EVENT_VALID;
}

/*
 * An NMI stays pending over its exit and has been taken by the host's handler as soon as STGI was
 * executed (15.13.2), so nothing is left to do for it.
 */
// clang-format off
static const struct exit_entry exits[SVM_INTERCEPTS] = {
	[SVM_EXIT_CR0_READ]    = { "read of CR0", VM_EXIT_EMULATE, 0, NULL },
	[SVM_EXIT_CR3_READ]    = { "read of CR3", VM_EXIT_EMULATE, CPL0, NULL },
	[SVM_EXIT_CR8_READ]    = { "read of CR8", VM_EXIT_EMULATE, ON | CPL0, NULL },
	[SVM_EXIT_CR0_WRITE]   = { "write of CR0", VM_EXIT_EMULATE, LEN | CPL0, decode_cr_write },
	[SVM_EXIT_CR3_WRITE]   = { "write of CR3", VM_EXIT_EMULATE, LEN | CPL0, decode_cr_write },
	[SVM_EXIT_CR4_WRITE]   = { "write of CR4", VM_EXIT_EMULATE, ON | LEN | CPL0, decode_cr_write },
	[SVM_EXIT_CR8_WRITE]   = { "write of CR8", VM_EXIT_EMULATE, ON | CPL0, NULL },
	[SVM_EXIT_EXCEPTION ... SVM_EXIT_EXCEPTION + 31] = { "exception", VM_EXIT_NONE, 0, decode_exception },
	[SVM_EXIT_INTR]        = { "interrupt", VM_EXIT_INTERRUPT, ON, NULL },
	[SVM_EXIT_NMI]         = { "NMI", VM_EXIT_NONE, ON, NULL },
	[SVM_EXIT_SMI]         = { "SMI", VM_EXIT_UNKNOWN, 0, decode_unknown },
	[SVM_EXIT_INIT]        = { "INIT", VM_EXIT_INIT, ON, NULL },
	[SVM_EXIT_VINTR]       = { "interrupt window", VM_EXIT_IRQ_WINDOW, ON, decode_irq_window },
	[SVM_EXIT_CR0_SEL]     = { "write of CR0", VM_EXIT_EMULATE, ON | CPL0, NULL },
	[SVM_EXIT_RDPMC]       = { "RDPMC", VM_EXIT_FORBIDDEN, ON, NULL },
	[SVM_EXIT_CPUID]       = { "CPUID", VM_EXIT_CPUID, ON | LEN, NULL },
	[SVM_EXIT_IRET]        = { "IRET", VM_EXIT_NONE, 0, decode_iret },
	[SVM_EXIT_INVD]        = { "INVD", VM_EXIT_CACHE, ON | LEN | CPL0, NULL },
	[SVM_EXIT_PAUSE]       = { "PAUSE", VM_EXIT_PAUSE, LEN, NULL },
	[SVM_EXIT_HLT]         = { "HLT", VM_EXIT_HLT, ON | LEN | CPL0, NULL },
	[SVM_EXIT_INVLPG]      = { "INVLPG", VM_EXIT_EMULATE, CPL0, NULL },
	[SVM_EXIT_INVLPGA]     = { "INVLPGA", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_IOIO]        = { "port I/O", VM_EXIT_IO, ON, decode_io },
	[SVM_EXIT_MSR]         = { "RDMSR or WRMSR", VM_EXIT_MSR_READ, ON | LEN | CPL0, decode_msr },
	[SVM_EXIT_TASK]        = { "task switch", VM_EXIT_TASK_SWITCH, ON, decode_task_switch },
	[SVM_EXIT_SHUTDOWN]    = { "shutdown", VM_EXIT_TRIPLE_FAULT, ON, NULL },
	[SVM_EXIT_VMRUN]       = { "VMRUN", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_VMMCALL]     = { "VMMCALL", VM_EXIT_HYPERCALL, ON | LEN, NULL },
	[SVM_EXIT_VMLOAD]      = { "VMLOAD", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_VMSAVE]      = { "VMSAVE", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_STGI]        = { "STGI", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_CLGI]        = { "CLGI", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_SKINIT]      = { "SKINIT", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_WBINVD]      = { "WBINVD", VM_EXIT_CACHE, ON | LEN | CPL0, NULL },
	[SVM_EXIT_MONITOR]     = { "MONITOR", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_MWAIT]       = { "MWAIT", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_MWAIT_ARMED] = { "MWAIT", VM_EXIT_UNDEFINED, ON, NULL },
	[SVM_EXIT_XSETBV]      = { "XSETBV", VM_EXIT_XSETBV, ON | LEN | CPL0, NULL },
};
// clang-format on

static const struct exit_entry npf_exit = {"nested page fault", VM_EXIT_NPF, 0, decode_npf};

static const struct exit_entry *entry_of(uint32_t code)
{
	if (code == SVM_EXIT_NPF)
		return &npf_exit;
	return code < SVM_INTERCEPTS && exits[code].name ? &exits[code] : NULL;
}

COLD static void decode_unknown(struct svm_vcpu *x, struct vm_exit *out)
{
	const struct exit_entry *e = entry_of(out->reason);

	out->kind = VM_EXIT_UNKNOWN;
	fmt_print(out->detail, sizeof(out->detail),
		  "AMD-V exit %#x (%s) is not expected; information %#llx and %#llx at %#llx",
		  out->reason, e ? e->name : "of a kind newer than this program",
		  (unsigned long long)control(x)->exit_info1,
		  (unsigned long long)control(x)->exit_info2,
		  (unsigned long long)x->vmcb->save.rip);
}

void svm_intercept(struct svm_vcpu *x, unsigned code, bool on)
{
	uint32_t *word = &x->vmcb->control.intercepts[code / 32];
	uint32_t bit = (uint32_t)BIT(code % 32);

	*word = on ? *word | bit : *word & ~bit;
}

void svm_intercepts_init(struct svm_vcpu *x)
{
	for (unsigned code = 0; code < SVM_INTERCEPTS; code++)
		svm_intercept(x, code, exits[code].flags & ON);
}

void svm_exit_decode(struct svm_vcpu *x, struct vm_exit *out)
{
	const struct vmcb_control *c = control(x);
	const struct exit_entry *e;

	out->reason = (uint32_t)c->exit_code;
	out->insn_len = 0;
	svm_event_left(x);
	e = entry_of(out->reason);
	if (UNLIKELY(!e)) {
		decode_unknown(x, out);
		return;
	}
	out->kind = e->kind;
	if (UNLIKELY(c->exit_int_info & EVENT_VALID))
		svm_event_keep(x, c->exit_int_info);
	if (UNLIKELY(e->flags & CPL0 && x->vmcb->save.cpl)) {
		out->kind = VM_EXIT_FORBIDDEN;
		return;
	}
	if (e->flags & LEN && svm_caps.next_rip)
		out->insn_len = (uint8_t)(c->next_rip - x->vmcb->save.rip);
	if (e->decode)
		e->decode(x, out);
}
