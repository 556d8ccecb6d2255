/*
 * Interrupts, NMIs and exceptions on their way into the guest. APM vol. 2, 15.20 and 15.21
 *
 * NMIs. AMD-V has no window for them and does not keep track of their blocking, so both are done here. An
 * injected NMI blocks further ones until the guest's IRET, which is intercepted before it executes. A second
 * NMI must come after it, so the IRET is stepped over: with RFLAGS.TF set in the VMCB it ends in a #DB, which
 * is intercepted, and the flags that it pops are the guest's own. All exceptions exit meanwhile: one that the
 * IRET raises itself ends the step too (an IRET unblocks NMIs even if it faults), and is injected with the
 * flags as they were. The same step leads over an instruction in the shadow of MOV SS. No interrupt is
 * injected during a step, or the handler's frame would get our TF.
 *
 * VMRUN has to take the guest's interrupt shadow from the VMCB (15.21.5). QEMU's does not, so an interrupt
 * that ended the guest's stay between STI and HLT would come before the HLT, which then sleeps for ever. So a
 * stay that began in a shadow and ended with RIP where it was is still in it, whatever the VMCB says, and if
 * the window opened nevertheless, the step leads over the instruction. Only PUSHF or INT right behind such an
 * STI would see our TF.
 *
 * Flags. QEMU's CMPXCHG8B can take the flags of a VMRUN, IRET or POPF before it for still valid when an
 * instruction in between has put its operand in their place, and leaves that in all of RFLAGS but ZF. Going
 * on with it, the guest would have its direction, its interrupts and more at random. An operand that is an
 * address has bits set which are always 0 in RFLAGS, and gives itself away. The guest's own flags are among
 * all that are set then: it keeps those of them with which it was entered, too.
 */
#include "hv/virt/fault.h"
#include "hv/svm/svm_vcpu.h"
#include "hv/x86/cpu.h"

#define VECTOR_BP 3
#define VECTOR_OF 4

#define NOT_SHADOWED UINT64_MAX /* no RIP */

#define EXCEPTIONS_WORD   (SVM_EXIT_EXCEPTION / 32)
/*
 * A machine check while the guest runs is the node's own, not the guest's. #DB and #AC can go on for ever
 * without an exit: see svm_event_reflect.
 */
#define EXCEPTIONS_ALWAYS (BIT(VECTOR_MC) | BIT(VECTOR_DB) | BIT(VECTOR_AC))

void svm_event_intercepts(struct svm_vcpu *x)
{
	uint32_t pf = x->walk_root ? (uint32_t)BIT(VECTOR_PF) : 0;

	x->vmcb->control.intercepts[EXCEPTIONS_WORD] =
		x->step.on ? UINT32_MAX : (uint32_t)EXCEPTIONS_ALWAYS | pf;
}

static uint64_t exception_of(const struct svm_vcpu *x, uint8_t vector, uint32_t code)
{
	bool has_code = (x->vmcb->save.cr0 & CR0_PE) && fault_has_code(vector);

	return EVENT_VALID | EVENT_TYPE_FIELD(EVENT_TYPE_EXCEPTION) | vector |
	       (has_code ? EVENT_HAS_CODE | EVENT_CODE_FIELD(code) : 0);
}

static uint64_t event_of(const struct svm_vcpu *x, const struct virt_event *event)
{
	switch (event->kind) {
	case EVENT_INTERRUPT:
		return EVENT_VALID | EVENT_TYPE_FIELD(EVENT_TYPE_INTR) | event->vector;
	case EVENT_NMI:
		return EVENT_VALID | EVENT_TYPE_FIELD(EVENT_TYPE_NMI) | VECTOR_NMI;
	case EVENT_EXCEPTION:
		break;
	}
	return exception_of(x, event->vector, event->has_code ? event->code : 0);
}

/* An exception met while another event is being delivered. */
static void combine(struct svm_vcpu *x, uint64_t event)
{
	int first = EVENT_TYPE(x->event) == EVENT_TYPE_EXCEPTION ? EVENT_VECTOR(x->event)
								 : FAULT_NO_EXCEPTION;

	ASSERT(EVENT_TYPE(event) == EVENT_TYPE_EXCEPTION);
	switch (fault_sum(first, EVENT_VECTOR(event))) {
	case FAULT_SHUTDOWN:
		x->todo |= TODO_SHUTDOWN;
		return;
	case FAULT_DOUBLE:
		event = exception_of(x, VECTOR_DF, 0);
		break;
	case FAULT_SECOND:
		break;
	}
	x->event = event;
}

static void restore_tf(struct svm_vcpu *x)
{
	if (!x->step.tf)
		x->vmcb->save.rflags &= ~RFLAGS_TF;
}

static void step_end(struct svm_vcpu *x)
{
	x->step.on = false;
	x->vmcb->control.shadow &= ~SHADOW_ON;
	svm_event_intercepts(x);
	if (x->step.iret)
		x->nmi = NMI_OPEN;
}

/* The instruction is done by the hypervisor, or faults: DR6 and TF become the guest's again. */
static void step_undo(struct svm_vcpu *x)
{
	step_end(x);
	restore_tf(x);
	x->vmcb->save.dr6 = x->step.dr6;
}

void svm_inject(struct virt_vcpu *v, const struct virt_event *event)
{
	struct svm_vcpu *x = v->vendor;

	if (UNLIKELY(x->step.on))
		step_undo(x);
	if (x->again) {
		combine(x, event_of(x, event));
		return;
	}
	ASSERT(!(x->todo & TODO_EVENT));
	x->event = event_of(x, event);
	x->todo |= TODO_EVENT;
	if (event->kind == EVENT_NMI) {
		x->nmi = NMI_BLOCKED;
		svm_intercept(x, SVM_EXIT_IRET, true);
	}
}

bool svm_event_pending(struct virt_vcpu *v)
{
	const struct svm_vcpu *x = v->vendor;

	return x->again;
}

/* INT n, INT3 and INTO have not retired, and are simply executed again: RIP is still on them. */
void svm_event_keep(struct svm_vcpu *x, uint64_t info)
{
	uint8_t vector = EVENT_VECTOR(info);

	if (EVENT_TYPE(info) == EVENT_TYPE_SOFT)
		return;
	if (EVENT_TYPE(info) == EVENT_TYPE_EXCEPTION &&
	    (vector == VECTOR_BP || vector == VECTOR_OF))
		return;
	x->event = info;
	x->again = true;
	x->todo |= TODO_EVENT;
}

static void step_begin(struct svm_vcpu *x, bool iret)
{
	struct vmcb_save *s = &x->vmcb->save;

	x->step = (struct svm_step){
		.on = true, .iret = iret, .tf = s->rflags & RFLAGS_TF, .dr6 = s->dr6};
	s->rflags |= RFLAGS_TF;
	s->dr6 &= ~(DR6_STEP | DR6_BREAKPOINTS);
	svm_event_intercepts(x);
}

/* The #DB at the step's end: the guest gets it if it asked for it, by its own TF or a breakpoint. */
static void step_done(struct svm_vcpu *x)
{
	static const struct virt_event db = {.kind = EVENT_EXCEPTION, .vector = VECTOR_DB};
	struct vmcb_save *s = &x->vmcb->save;
	uint64_t met = s->dr6 & (DR6_BREAKPOINTS | (x->step.tf ? DR6_STEP : 0));

	step_end(x);
	if (!x->step.iret)
		restore_tf(x);
	s->dr6 = x->step.dr6 | met;
	if (met)
		svm_inject(x->virt, &db);
}

/* An exception that exited goes on to the guest. */
static void give_back(struct svm_vcpu *x, uint8_t vector)
{
	const struct vmcb_control *c = &x->vmcb->control;
	struct virt_event event = {EVENT_EXCEPTION, vector, fault_has_code(vector),
				   (uint32_t)c->exit_info1};

	if (vector == VECTOR_PF)
		x->virt->cr2 = c->exit_info2;
	svm_inject(x->virt, &event);
}

void svm_event_iret(struct svm_vcpu *x)
{
	svm_intercept(x, SVM_EXIT_IRET, false);
	if (x->step.on)
		x->step.iret = true;
	else
		step_begin(x, true);
}

bool svm_event_exception(struct svm_vcpu *x, uint8_t vector)
{
	if (!x->step.on || vector == VECTOR_MC)
		return false;
	if (vector == VECTOR_DB)
		step_done(x);
	else
		give_back(x, vector);
	return true;
}

/*
 * A #DB whose delivery touches a watched address is followed by another before the handler's first
 * instruction, and a #AC on a stack that is not aligned by the next while it is delivered. Such a CPU
 * takes no interrupt and would never leave the guest, so both exit each time. DR6 and DR7 are what the
 * handler has to see already (APM vol. 2, 15.12.2); the interrupt shadow ends with the delivery.
 */
void svm_event_reflect(struct svm_vcpu *x, uint8_t vector)
{
	x->vmcb->control.shadow &= ~SHADOW_ON;
	give_back(x, vector);
}

/* APM vol. 2, 13.1.4: an instruction that was carried out here and is no branch. */
COLD void svm_event_skipped(struct svm_vcpu *x)
{
	static const struct virt_event db = {.kind = EVENT_EXCEPTION, .vector = VECTOR_DB};

	if (x->step.on)
		step_undo(x);
	if (!(x->vmcb->save.rflags & RFLAGS_TF) || x->todo & TODO_EVENT)
		return;
	x->vmcb->save.dr6 |= DR6_STEP;
	svm_inject(x->virt, &db);
}

static bool in_shadow(const struct svm_vcpu *x)
{
	return x->vmcb->control.shadow & SHADOW_ON;
}

/*
 * Nothing but IRET says when an NMI could come, so while one waits the guest is brought back when that
 * may have changed: after the event that is injected first, or past the shadow.
 */
static void watch_for_nmi(struct svm_vcpu *x)
{
	if (x->nmi != NMI_OPEN || x->step.on)
		return;
	if (x->todo & TODO_EVENT)
		x->come_back = true;
	else if (in_shadow(x))
		step_begin(x, false);
}

void svm_event_load(struct svm_vcpu *x)
{
	struct vmcb_control *c = &x->vmcb->control;

	x->come_back = false;
	if (UNLIKELY(x->nmi_window))
		watch_for_nmi(x);
	x->shadowed_rip =
		in_shadow(x) && !(x->todo & TODO_EVENT) ? x->vmcb->save.rip : NOT_SHADOWED;
	/* A virtual interrupt of the highest priority, only to see it exit before it is taken. */
	c->vintr = VINTR_MASKING;
	if (x->irq_window && !x->step.on)
		c->vintr |= VINTR_IRQ | VINTR_IGNORE_TPR | VINTR_PRIO(15);
	c->event_inject = x->todo & TODO_EVENT ? x->event : 0;
	x->entered_rflags = x->vmcb->save.rflags;
	x->todo = 0;
	x->again = false;
}

void svm_event_left(struct svm_vcpu *x)
{
	if (UNLIKELY(x->vmcb->save.rflags & RFLAGS_RESERVED))
		x->vmcb->save.rflags &= RFLAGS_STATUS | (x->entered_rflags & ~RFLAGS_RESERVED);
	if (UNLIKELY(x->vmcb->save.rip == x->shadowed_rip))
		x->vmcb->control.shadow |= SHADOW_ON;
}

bool svm_event_irq_window(struct svm_vcpu *x)
{
	if (LIKELY(!in_shadow(x)))
		return true;
	step_begin(x, false);
	return false;
}

bool svm_irq_ready(struct virt_vcpu *v)
{
	const struct svm_vcpu *x = v->vendor;

	return !(x->todo & TODO_EVENT) && !x->step.on && (x->vmcb->save.rflags & RFLAGS_IF) &&
	       !in_shadow(x);
}

bool svm_nmi_ready(struct virt_vcpu *v)
{
	const struct svm_vcpu *x = v->vendor;

	return !(x->todo & TODO_EVENT) && !x->step.on && x->nmi == NMI_OPEN && !in_shadow(x);
}

void svm_irq_window(struct virt_vcpu *v, bool on)
{
	struct svm_vcpu *x = v->vendor;

	x->irq_window = on;
}

void svm_nmi_window(struct virt_vcpu *v, bool on)
{
	struct svm_vcpu *x = v->vendor;

	x->nmi_window = on;
}

void svm_events_reset(struct svm_vcpu *x)
{
	x->again = x->come_back = x->irq_window = x->nmi_window = false;
	x->todo = 0;
	x->nmi = NMI_OPEN;
	x->step = (struct svm_step){.on = false};
	svm_event_intercepts(x);
	svm_intercept(x, SVM_EXIT_IRET, false);
}
