/* A vCPU's state in the manuals' words, in so far as no other entry of virt_ops has it. */
#include "hv/virt/state.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"

/* By enum virt_queued. SDM vol. 3, 25.8.3 */
static const uint8_t intr_types[VIRT_QUEUED_KINDS] = {
	[VIRT_QUEUED_INTERRUPT] = INTR_EXTERNAL,       [VIRT_QUEUED_NMI] = INTR_NMI,
	[VIRT_QUEUED_EXCEPTION] = INTR_EXCEPTION,      [VIRT_QUEUED_INT_N] = INTR_SOFT_INTERRUPT,
	[VIRT_QUEUED_INT1] = INTR_PRIV_SOFT_EXCEPTION, [VIRT_QUEUED_INT3] = INTR_SOFT_EXCEPTION,
};

static enum virt_queued queued_of(uint32_t info)
{
	enum virt_queued kind = VIRT_QUEUED_NOTHING + 1;

	while (kind < VIRT_QUEUED_KINDS && intr_types[kind] != INTR_TYPE(info))
		kind++;
	ASSERT(kind < VIRT_QUEUED_KINDS);
	return kind;
}

static void event_get(const struct vmx_vcpu *x, struct virt_state *out)
{
	const struct vmx_event *e = &x->event;

	out->shutdown = x->todo & TODO_SHUTDOWN;
	if (!(x->todo & TODO_EVENT))
		return;
	out->half_delivered = x->again;
	out->queued = queued_of(e->info);
	out->vector = INTR_VECTOR(e->info);
	out->has_code = e->info & INTR_HAS_CODE;
	if (out->has_code)
		out->code = e->code;
	if (INTR_TYPE(e->info) >= INTR_SOFT_INTERRUPT)
		out->insn_len = (uint8_t)e->insn_len;
}

static void event_set(struct vmx_vcpu *x, const struct virt_state *st)
{
	x->todo &= (uint8_t) ~(TODO_EVENT | TODO_SHUTDOWN);
	x->todo |= (st->queued ? TODO_EVENT : 0) | (st->shutdown ? TODO_SHUTDOWN : 0);
	x->again = st->half_delivered;
	x->event = (struct vmx_event){.info = INTR_VALID | st->vector |
					      INTR_TYPE_FIELD(intr_types[st->queued]) |
					      (st->has_code ? INTR_HAS_CODE : 0),
				      .code = st->code,
				      .insn_len = st->insn_len};
}

/* What software has changed and the CPU has not loaded yet is not there. */
static void pdptes_get(const struct vmx_vcpu *x, struct virt_state *out)
{
	out->pdptes_loaded =
		!(x->todo & TODO_PDPTES) &&
		vmx_pae_paging(out->reg[REG_CR0], out->reg[REG_CR4], out->reg[REG_EFER]);
	for (unsigned i = 0; i < 4 && out->pdptes_loaded; i++)
		out->pdpte[i] = vmread64(VMCS_GUEST_PDPTE0 + 2 * i);
}

static void pdptes_set(struct vmx_vcpu *x, const struct virt_state *st)
{
	if (!st->pdptes_loaded) {
		x->todo |= TODO_PDPTES;
		return;
	}
	x->todo &= (uint8_t)~TODO_PDPTES;
	for (unsigned i = 0; i < 4; i++)
		vmwrite64(VMCS_GUEST_PDPTE0 + 2 * i, st->pdpte[i]);
}

void vmx_state_get(struct virt_vcpu *v, struct virt_state *out)
{
	const struct vmx_vcpu *x = v->vendor;
	uint32_t state = vmread32(VMCS_GUEST_INTERRUPTIBILITY);

	out->dr6 = vmx_dr6_get();
	out->pending_debug = vmreadn(VMCS_GUEST_PENDING_DEBUG) & VIRT_PENDING_DEBUG;
	out->shadow = state & BLOCKED_BY_STI      ? VIRT_STI_SHADOW
		      : state & BLOCKED_BY_MOV_SS ? VIRT_MOV_SS_SHADOW
						  : VIRT_NO_SHADOW;
	out->nmi_blocked = state & BLOCKED_BY_NMI;
	event_get(x, out);
	pdptes_get(x, out);
}

void vmx_state_set(struct virt_vcpu *v, const struct virt_state *st)
{
	static const uint32_t shadows[VIRT_SHADOWS] = {
		[VIRT_STI_SHADOW] = BLOCKED_BY_STI, [VIRT_MOV_SS_SHADOW] = BLOCKED_BY_MOV_SS};

	vmx_dr6_set(st->dr6);
	vmwriten(VMCS_GUEST_PENDING_DEBUG, st->pending_debug);
	vmwrite32(VMCS_GUEST_INTERRUPTIBILITY,
		  shadows[st->shadow] | (st->nmi_blocked ? BLOCKED_BY_NMI : 0));
	event_set(v->vendor, st);
	pdptes_set(v->vendor, st);
}
