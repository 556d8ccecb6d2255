/* What is done about each reason for which a vCPU leaves the guest. */
#include "hv/base/log.h"
#include "hv/cpu/cpu_policy.h"
#include "hv/cpu/cr.h"
#include "hv/insn/emulate.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/cpu/kvm_pv.h"
#include "hv/core/memory.h"
#include "hv/core/vcpu.h"
#include "hv/core/vtlb.h"
#include "hv/insn/walk.h"
#include "hv/virt/fault.h"
#include "hv/x86/cpu.h"
#include "hv/x86/xstate.h"

void vcpu_inject(struct vcpu *v, uint8_t vector, uint32_t code)
{
	struct virt_event event = {EVENT_EXCEPTION, vector, fault_has_code(vector), code};

	v->vm->ops->inject(&v->virt, &event);
}

static void skip(struct vcpu *v, const struct vm_exit *exit)
{
	v->vm->ops->skip(&v->virt, exit->insn_len);
}

static void on_none(struct vcpu *v, const struct vm_exit *exit)
{
}

static void on_interrupt(struct vcpu *v, const struct vm_exit *exit)
{
	cpu_irq_window();
	v->recheck = true;
}

static void on_host_nmi(struct vcpu *v, const struct vm_exit *exit)
{
	/*
	 * The exit took the NMI; the handler behind the IDT runs by the instruction, and IRET unblocks NMIs.
	 */
	cpu_int_nmi();
}

static void on_recheck(struct vcpu *v, const struct vm_exit *exit)
{
	v->recheck = true;
}

static void on_cpuid(struct vcpu *v, const struct vm_exit *exit)
{
	uint64_t *gpr = v->virt.gpr;
	struct cpuid_regs r = cpu_policy_cpuid(v, (uint32_t)gpr[GPR_RAX], (uint32_t)gpr[GPR_RCX]);

	gpr[GPR_RAX] = r.eax;
	gpr[GPR_RBX] = r.ebx;
	gpr[GPR_RCX] = r.ecx;
	gpr[GPR_RDX] = r.edx;
	skip(v, exit);
}

static void on_hlt(struct vcpu *v, const struct vm_exit *exit)
{
	skip(v, exit);
	intr_halt(v);
}

/* It spins: for another vCPU, as likely as not. */
static void on_pause(struct vcpu *v, const struct vm_exit *exit)
{
	skip(v, exit);
	if (v->cpu->count > 1)
		vcpu_give_way(v);
}

static void on_io(struct vcpu *v, const struct vm_exit *exit)
{
	uint64_t *rax = &v->virt.gpr[GPR_RAX];
	unsigned size = exit->io.size;

	if (exit->io.string) {
		emulate(v, exit);
		return;
	}
	if (exit->io.in) {
		uint32_t value = (uint32_t)v->vm->io->read(v, exit->io.port, size, 0);

		*rax = size == 4 ? value : (*rax & ~BITS(size * 8 - 1, 0)) | value;
	} else {
		v->vm->io->write(v, exit->io.port, size, 0, (uint32_t)*rax);
	}
	skip(v, exit);
}

static void on_msr_read(struct vcpu *v, const struct vm_exit *exit)
{
	uint64_t value;

	if (vcpu_msr_read(v, (uint32_t)v->virt.gpr[GPR_RCX], &value)) {
		vcpu_inject(v, VECTOR_GP, 0);
		return;
	}
	v->virt.gpr[GPR_RAX] = (uint32_t)value;
	v->virt.gpr[GPR_RDX] = value >> 32;
	skip(v, exit);
}

static uint64_t edx_eax(const struct vcpu *v)
{
	return v->virt.gpr[GPR_RDX] << 32 | (uint32_t)v->virt.gpr[GPR_RAX];
}

static void on_msr_write(struct vcpu *v, const struct vm_exit *exit)
{
	if (vcpu_msr_write(v, (uint32_t)v->virt.gpr[GPR_RCX], edx_eax(v)))
		vcpu_inject(v, VECTOR_GP, 0);
	else
		skip(v, exit);
}

/* A page table or an event's stack lies in a hole: the walk in software finds the fault to raise. */
static void fault_in_hole(struct vcpu *v, const struct vm_exit *exit)
{
	struct walk_mode mode;
	struct virt_event fault;
	gpa_t gpa;
	enum walk_access access = exit->npf.fetch   ? WALK_FETCH
				  : exit->npf.write ? WALK_WRITE
						    : WALK_READ;

	walk_mode_read(v, &mode);

	int err = exit->npf.gla_valid ? walk(v, &mode, exit->npf.gla, access, &gpa, &fault) : 0;

	if (err == ERR_BUSY)
		return;
	if (err) {
		v->virt.cr2 = exit->npf.gla;
		v->vm->ops->inject(&v->virt, &fault);
		return;
	}
	log_info_few(LOG_GUEST,
		     "vCPU %u needs memory at %#llx, where there is none, to deliver an event: "
		     "it shuts down",
		     v->index, (unsigned long long)exit->npf.gpa);
	vm_stop(v->vm, VM_RESET);
}

static void on_npf(struct vcpu *v, const struct vm_exit *exit)
{
	gpa_t gpa = exit->npf.gpa;

	if (memory_is_ram(v->vm, gpa)) {
		if (v->vtlb && exit->npf.table_walk && vtlb_walk_fault(v, gpa))
			return;
		v->vm->ram->fault(v, gpa, exit->npf.write);
		return;
	}
	v->mmio++;
	if (exit->npf.table_walk || exit->npf.delivery)
		fault_in_hole(v, exit);
	else if (exit->npf.fetch) /* what is read there is all ones, and FF FF is no instruction */
		vcpu_inject(v, VECTOR_UD, 0);
	else
		emulate(v, exit);
}

static void on_apic_access(struct vcpu *v, const struct vm_exit *exit)
{
	if (exit->apic.fetch)
		vcpu_inject(v, VECTOR_UD, 0);
	else
		emulate(v, exit);
}

static void on_apic_write(struct vcpu *v, const struct vm_exit *exit)
{
	struct lapic_actions actions;

	lapic_write_done(intr_lapic(v), exit->apic.offset, vm_guest_tsc(v->vm), &actions);
	intr_apply(v, &actions);
}

static void on_apic_eoi(struct vcpu *v, const struct vm_exit *exit)
{
	struct lapic_actions actions;

	lapic_eoi_done(intr_lapic(v), exit->apic.vector, &actions);
	intr_apply(v, &actions);
}

static void on_cr_write(struct vcpu *v, const struct vm_exit *exit)
{
	if (vcpu_cr_write(v, exit->cr.cr, exit->cr.value))
		vcpu_inject(v, VECTOR_GP, 0);
	else
		skip(v, exit);
}

static void on_emulate(struct vcpu *v, const struct vm_exit *exit)
{
	emulate(v, exit);
}

/* A CPU may exit before it has looked whether the guest has switched XSAVE on, and which level it is at. */
static void on_xsetbv(struct vcpu *v, const struct vm_exit *exit)
{
	uint64_t value = edx_eax(v);
	struct virt_seg ss;

	if (!(v->vm->ops->reg_get(&v->virt, REG_CR4) & CR4_OSXSAVE)) {
		vcpu_inject(v, VECTOR_UD, 0);
		return;
	}
	v->vm->ops->seg_get(&v->virt, SEG_SS, &ss);
	if (ss.dpl || (uint32_t)v->virt.gpr[GPR_RCX] != 0 ||
	    !xcr0_valid(value, cpu_policy_xcr0_allowed())) {
		vcpu_inject(v, VECTOR_GP, 0);
		return;
	}
	/* The hypervisor has no extended state of its own, so the guest's XCR0 stays loaded. */
	xsetbv(0, value);
	skip(v, exit);
}

static void on_hypercall(struct vcpu *v, const struct vm_exit *exit)
{
	kvm_pv_hypercall(v);
	skip(v, exit);
}

static void on_undefined(struct vcpu *v, const struct vm_exit *exit)
{
	vcpu_inject(v, VECTOR_UD, 0);
}

static void on_forbidden(struct vcpu *v, const struct vm_exit *exit)
{
	vcpu_inject(v, VECTOR_GP, 0);
}

static void on_irq_window(struct vcpu *v, const struct vm_exit *exit)
{
	v->irq_window = false;
	v->vm->ops->irq_window(&v->virt, false);
	v->recheck = true;
}

static void on_nmi_window(struct vcpu *v, const struct vm_exit *exit)
{
	v->nmi_window = false;
	v->vm->ops->nmi_window(&v->virt, false);
	v->recheck = true;
}

static void on_triple_fault(struct vcpu *v, const struct vm_exit *exit)
{
	log_info_few(LOG_GUEST, "triple fault on vCPU %u at %#llx: the machine resets", v->index,
		     (unsigned long long)v->vm->ops->reg_get(&v->virt, REG_RIP));
	vm_stop(v->vm, VM_RESET);
}

static void on_task_switch(struct vcpu *v, const struct vm_exit *exit)
{
	vm_fail(v->vm, "vCPU %u: %s", v->index, exit->detail);
}

static void on_broken(struct vcpu *v, const struct vm_exit *exit)
{
	v->vm->ops->dump(&v->virt);
	vm_fail(v->vm, "vCPU %u can't go on: %s", v->index, exit->detail);
}

static void on_exception(struct vcpu *v, const struct vm_exit *exit)
{
	if (LIKELY(v->vtlb && exit->exception.vector == VECTOR_PF)) {
		vtlb_page_fault(v, exit->exception.address, exit->exception.code);
		return;
	}
	v->vm->ops->dump(&v->virt);
	vm_fail(v->vm, "vCPU %u: exception %u was intercepted, and nobody asked for it", v->index,
		exit->exception.vector);
}

/* Where the CPU does not tell the length, what is there must still be that instruction. */
bool vcpu_exit_measure(struct vcpu *v, struct vm_exit *exit)
{
	exit->insn_len = (uint8_t)emulate_insn_length(v, exit->kind);
	return exit->insn_len != 0;
}

// clang-format off
const vcpu_exit_fn vcpu_exit_handlers[VM_EXIT_KINDS] = {
	[VM_EXIT_NONE]         = on_none,
	[VM_EXIT_INTERRUPT]    = on_interrupt,
	[VM_EXIT_HOST_NMI]     = on_host_nmi,
	[VM_EXIT_TIMER]        = on_recheck,
	[VM_EXIT_CPUID]        = on_cpuid,
	[VM_EXIT_HLT]          = on_hlt,
	[VM_EXIT_PAUSE]        = on_pause,
	[VM_EXIT_IO]           = on_io,
	[VM_EXIT_MSR_READ]     = on_msr_read,
	[VM_EXIT_MSR_WRITE]    = on_msr_write,
	[VM_EXIT_NPF]          = on_npf,
	[VM_EXIT_APIC_ACCESS]  = on_apic_access,
	[VM_EXIT_APIC_WRITE]   = on_apic_write,
	[VM_EXIT_APIC_EOI]     = on_apic_eoi,
	[VM_EXIT_CR_WRITE]     = on_cr_write,
	[VM_EXIT_EMULATE]      = on_emulate,
	[VM_EXIT_XSETBV]       = on_xsetbv,
	[VM_EXIT_HYPERCALL]    = on_hypercall,
	[VM_EXIT_UNDEFINED]    = on_undefined,
	[VM_EXIT_FORBIDDEN]    = on_forbidden,
	[VM_EXIT_CACHE]        = skip,
	[VM_EXIT_IRQ_WINDOW]   = on_irq_window,
	[VM_EXIT_NMI_WINDOW]   = on_nmi_window,
	[VM_EXIT_EXCEPTION]    = on_exception,
	[VM_EXIT_REFLECTED]    = on_interrupt,
	[VM_EXIT_TASK_SWITCH]  = on_task_switch,
	[VM_EXIT_TRIPLE_FAULT] = on_triple_fault,
	[VM_EXIT_INIT]         = on_none,
	[VM_EXIT_ENTRY_FAILED] = on_broken,
	[VM_EXIT_UNKNOWN]      = on_broken,
};

const char *const vcpu_exit_names[VM_EXIT_KINDS] = {
	[VM_EXIT_NONE]         = "none",         [VM_EXIT_INTERRUPT]    = "interrupt",
	[VM_EXIT_HOST_NMI]     = "host NMI",     [VM_EXIT_TIMER]        = "time slice",
	[VM_EXIT_CPUID]        = "CPUID",        [VM_EXIT_HLT]          = "HLT",
	[VM_EXIT_PAUSE]        = "PAUSE",        [VM_EXIT_IO]           = "port I/O",
	[VM_EXIT_MSR_READ]     = "RDMSR",        [VM_EXIT_MSR_WRITE]    = "WRMSR",
	[VM_EXIT_NPF]          = "nested page fault", [VM_EXIT_APIC_ACCESS] = "APIC access",
	[VM_EXIT_APIC_WRITE]   = "APIC write",   [VM_EXIT_APIC_EOI]     = "APIC EOI",
	[VM_EXIT_CR_WRITE]     = "CR write",     [VM_EXIT_XSETBV]       = "XSETBV",
	[VM_EXIT_HYPERCALL]    = "hypercall",    [VM_EXIT_UNDEFINED]    = "hidden instruction",
	[VM_EXIT_CACHE]        = "WBINVD",       [VM_EXIT_IRQ_WINDOW]   = "interrupt window",
	[VM_EXIT_NMI_WINDOW]   = "NMI window",   [VM_EXIT_EXCEPTION]    = "exception",
	[VM_EXIT_TASK_SWITCH]  = "task switch",  [VM_EXIT_TRIPLE_FAULT] = "triple fault",
	[VM_EXIT_INIT]         = "INIT",         [VM_EXIT_ENTRY_FAILED] = "failed entry",
	[VM_EXIT_UNKNOWN]      = "unknown",      [VM_EXIT_EMULATE]      = "CR access",
	[VM_EXIT_REFLECTED]    = "#DB or #AC",   [VM_EXIT_FORBIDDEN]    = "forbidden instruction",
};
// clang-format on
