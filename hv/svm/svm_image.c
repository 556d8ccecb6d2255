/* A vCPU's state in the manuals' words, in so far as no other entry of virt_ops has it. */
#include "hv/svm/svm_vcpu.h"
#include "hv/virt/state.h"
#include "hv/x86/msr.h"

/* By enum virt_queued; an instruction's event is none here, for it is executed again. APM vol. 2, 15.20 */
static const uint8_t event_types[VIRT_QUEUED_KINDS] = {
	[VIRT_QUEUED_INTERRUPT] = EVENT_TYPE_INTR,
	[VIRT_QUEUED_NMI] = EVENT_TYPE_NMI,
	[VIRT_QUEUED_EXCEPTION] = EVENT_TYPE_EXCEPTION,
};

static enum virt_queued queued_of(uint64_t event)
{
	switch (EVENT_TYPE(event)) {
	case EVENT_TYPE_INTR:
		return VIRT_QUEUED_INTERRUPT;
	case EVENT_TYPE_NMI:
		return VIRT_QUEUED_NMI;
	default:
		return VIRT_QUEUED_EXCEPTION;
	}
}

static void event_get(const struct svm_vcpu *x, struct virt_state *out)
{
	out->shutdown = x->todo & TODO_SHUTDOWN;
	if (!(x->todo & TODO_EVENT))
		return;
	out->half_delivered = x->again;
	out->queued = queued_of(x->event);
	out->vector = EVENT_VECTOR(x->event);
	out->has_code = x->event & EVENT_HAS_CODE;
	if (out->has_code)
		out->code = EVENT_CODE(x->event);
}

/* A step over an instruction begins anew when it is asked for; what it has changed is ours alone. */
static void step_hide(const struct svm_vcpu *x, struct virt_state *out)
{
	if (!x->step.on)
		return;
	out->dr6 = x->step.dr6;
	if (!x->step.tf)
		out->reg[REG_RFLAGS] &= ~RFLAGS_TF;
}

void svm_state_get(struct virt_vcpu *v, struct virt_state *out)
{
	const struct svm_vcpu *x = v->vendor;

	out->dr6 = x->vmcb->save.dr6;
	out->shadow = x->vmcb->control.shadow & SHADOW_ON ? VIRT_STI_SHADOW : VIRT_NO_SHADOW;
	step_hide(x, out);
	event_get(x, out);
	out->nmi_blocked = x->nmi == NMI_BLOCKED && out->queued != VIRT_QUEUED_NMI;
}

/* A #DB that VT-x keeps until the instruction is over is due at once here: the instruction is. */
static void debug_set(struct svm_vcpu *x, const struct virt_state *st)
{
	static const struct virt_event db = {.kind = EVENT_EXCEPTION, .vector = VECTOR_DB};

	if (!st->pending_debug || x->todo & (TODO_EVENT | TODO_SHUTDOWN))
		return;
	x->vmcb->save.dr6 |= st->pending_debug & (DR6_BREAKPOINTS | DR6_STEP);
	svm_inject(x->virt, &db);
}

void svm_state_set(struct virt_vcpu *v, const struct virt_state *st)
{
	struct svm_vcpu *x = v->vendor;
	bool event = st->queued && st->queued < VIRT_QUEUED_INT_N;
	bool nmi = st->nmi_blocked || st->queued == VIRT_QUEUED_NMI;

	x->vmcb->save.dr6 = st->dr6;
	x->vmcb->control.shadow = st->shadow ? SHADOW_ON : 0;
	x->nmi = nmi ? NMI_BLOCKED : NMI_OPEN;
	svm_intercept(x, SVM_EXIT_IRET, nmi);
	x->event = EVENT_VALID | EVENT_TYPE_FIELD(event_types[st->queued]) | st->vector |
		   (st->has_code ? EVENT_HAS_CODE | EVENT_CODE_FIELD(st->code) : 0);
	x->again = event && st->half_delivered;
	x->todo = (uint8_t)((event ? TODO_EVENT : 0) | (st->shutdown ? TODO_SHUTDOWN : 0));
	debug_set(x, st);
}
