/* Interrupts, NMIs and exceptions on their way into the guest. SDM vol. 3, 27.6 */
#include "hv/virt/fault.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/cpu.h"

static uint32_t exception_info(const struct virt_event *event)
{
	bool protected_mode = vmreadn(VMCS_GUEST_CR0) & CR0_PE;
	bool code = protected_mode && fault_has_code(event->vector);

	/* Real mode pushes no code, whatever the vector; the entry check insists. SDM vol. 3, 27.2.1.3 */
	return INTR_TYPE_FIELD(INTR_EXCEPTION) | (code ? INTR_HAS_CODE : 0);
}

static uint32_t event_info(const struct virt_event *event)
{
	switch (event->kind) {
	case EVENT_INTERRUPT:
		return INTR_TYPE_FIELD(INTR_EXTERNAL) | event->vector;
	case EVENT_NMI:
		return INTR_TYPE_FIELD(INTR_NMI) | VECTOR_NMI;
	case EVENT_EXCEPTION:
		break;
	}
	return exception_info(event) | event->vector;
}

/* An exception met while another event is being delivered. */
static void combine(struct vmx_vcpu *x, const struct vmx_event *second)
{
	uint32_t old = x->event.info, code = second->info & INTR_HAS_CODE;
	int first = INTR_TYPE(old) == INTR_EXCEPTION ? INTR_VECTOR(old) : FAULT_NO_EXCEPTION;

	switch (fault_sum(first, INTR_VECTOR(second->info))) {
	case FAULT_SHUTDOWN:
		x->todo |= TODO_SHUTDOWN;
		return;
	case FAULT_DOUBLE:
		x->event = (struct vmx_event){.info = INTR_VALID | INTR_TYPE_FIELD(INTR_EXCEPTION) |
						      VECTOR_DF | code};
		return;
	case FAULT_SECOND:
		x->event = *second;
	}
}

static void queue(struct vmx_vcpu *x, const struct vmx_event *event)
{
	if (x->again) {
		combine(x, event);
		return;
	}
	ASSERT(!(x->todo & TODO_EVENT));
	x->event = *event;
	x->todo |= TODO_EVENT;
}

void vmx_inject(struct virt_vcpu *v, const struct virt_event *event)
{
	struct vmx_vcpu *x = v->vendor;

	ASSERT(!x->again || event->kind == EVENT_EXCEPTION);
	queue(x, &(struct vmx_event){.info = INTR_VALID | event_info(event),
				     .code = event->has_code ? event->code : 0});
}

/*
 * What a CPU does to the debug registers when it delivers #DB, and does not do when that exits or is
 * injected: the exit qualification has DR6's bits. INT1 sets none of them. SDM vol. 3, 28.1 and table 28-1
 */
static void debug_registers(bool int1)
{
	uint64_t met = vmreadn(VMCS_EXIT_QUALIFICATION) & (DR6_BREAKPOINTS | DR6_BD | DR6_STEP);

	if (!int1)
		vmx_dr6_set((vmx_dr6_get() & ~DR6_BREAKPOINTS) | met);
	vmwriten(VMCS_GUEST_DR7, vmreadn(VMCS_GUEST_DR7) & ~DR7_GD);
}

/*
 * A #DB whose delivery touches a watched address is followed by another before the handler's first
 * instruction, and a #AC on a stack that is not aligned by the next while it is delivered. Such a CPU
 * takes no interrupt and would never leave the guest, so both exit each time. The shadow of STI or MOV SS
 * ends with the delivery; left on while RFLAGS.TF is set, it would make the entry ask for a pending step
 * that this exit has taken already (27.3.1.5).
 */
void vmx_event_reflect(struct vmx_vcpu *x, uint32_t info)
{
	uint32_t state = vmread32(VMCS_GUEST_INTERRUPTIBILITY);
	struct vmx_event event = {.info = info & ~INTR_IRET_UNBLOCKED_NMI};
	bool int1 = INTR_TYPE(info) == INTR_PRIV_SOFT_EXCEPTION;

	if (info & INTR_HAS_CODE)
		event.code = vmread32(VMCS_EXIT_INTR_CODE);
	if (int1)
		event.insn_len = vmread32(VMCS_EXIT_INSN_LEN);
	if (INTR_VECTOR(info) == VECTOR_DB)
		debug_registers(int1);
	vmwrite32(VMCS_GUEST_INTERRUPTIBILITY, state & ~(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));
	queue(x, &event);
}

bool vmx_event_pending(struct virt_vcpu *v)
{
	const struct vmx_vcpu *x = v->vendor;

	return x->again;
}

void vmx_event_keep(struct vmx_vcpu *x, uint32_t info)
{
	enum intr_type type = INTR_TYPE(info);

	/* Bit 12 is undefined here and must be 0 at entry. */
	x->event.info = info & ~INTR_IRET_UNBLOCKED_NMI;
	x->event.code = info & INTR_HAS_CODE ? vmread32(VMCS_VECTORING_ERROR_CODE) : 0;
	if (type == INTR_SOFT_INTERRUPT || type == INTR_PRIV_SOFT_EXCEPTION ||
	    type == INTR_SOFT_EXCEPTION)
		x->event.insn_len = vmread32(VMCS_EXIT_INSN_LEN);
	x->again = true;
	x->todo |= TODO_EVENT;
	/* Its delivery had begun to block NMIs, and would be refused for that. SDM vol. 3, 28.2.4 */
	if (type == INTR_NMI) {
		uint32_t state = vmread32(VMCS_GUEST_INTERRUPTIBILITY);

		vmwrite32(VMCS_GUEST_INTERRUPTIBILITY, state & ~BLOCKED_BY_NMI);
	}
}

void vmx_event_load(struct vmx_vcpu *x)
{
	vmwrite32(VMCS_ENTRY_INTR_INFO, x->event.info);
	if (x->event.info & INTR_HAS_CODE)
		vmwrite32(VMCS_ENTRY_ERROR_CODE, x->event.code);
	if (INTR_TYPE(x->event.info) >= INTR_SOFT_INTERRUPT)
		vmwrite32(VMCS_ENTRY_INSN_LEN, x->event.insn_len);
	x->again = false;
}

static bool in_shadow(uint32_t interruptibility)
{
	return interruptibility & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
}

/*
 * A step that is due comes before any interrupt; an entry that injects one would drop it. SDM vol. 3, 27.7.3
 */
static bool step_due(uint64_t rflags)
{
	return UNLIKELY(rflags & RFLAGS_TF) && vmreadn(VMCS_GUEST_PENDING_DEBUG);
}

bool vmx_irq_ready(struct virt_vcpu *v)
{
	const struct vmx_vcpu *x = v->vendor;
	uint64_t rflags = vmreadn(VMCS_GUEST_RFLAGS);

	return !(x->todo & TODO_EVENT) && (rflags & RFLAGS_IF) && !step_due(rflags) &&
	       !in_shadow(vmread32(VMCS_GUEST_INTERRUPTIBILITY));
}

bool vmx_nmi_ready(struct virt_vcpu *v)
{
	const struct vmx_vcpu *x = v->vendor;
	uint32_t state = vmread32(VMCS_GUEST_INTERRUPTIBILITY);

	/* Whether STI blocks NMIs too is the CPU's choice; waiting is right for all. */
	return !(x->todo & TODO_EVENT) && !in_shadow(state) && !(state & BLOCKED_BY_NMI) &&
	       !step_due(vmreadn(VMCS_GUEST_RFLAGS));
}

void vmx_irq_window(struct virt_vcpu *v, bool on)
{
	vmx_proc_set(v->vendor, PROC_INTERRUPT_WINDOW, on);
}

void vmx_nmi_window(struct virt_vcpu *v, bool on)
{
	vmx_proc_set(v->vendor, PROC_NMI_WINDOW, on);
}
