/* An image out of the calling CPU's vCPU, and back into one. */
#include "hv/base/string.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/cpu/cpu_policy.h"
#include "hv/image/image.h"
#include "hv/x86/cpu.h"

void image_take(struct vcpu *v, struct image *out)
{
	memset(out, 0, sizeof(*out));
	out->cpu = v->index;
	out->state = v->state;
	out->nmi_pending = v->nmi_pending;
	out->extint = v->extint;
	out->pv_unhalt = atomic_exchange(&v->pv_unhalt, false);
	virt_state_get(v->vm->ops, &v->virt, &out->cpu_state);
	breakpoints_get(out->dr);
	xstate_get(&out->xstate);
	lapic_get(intr_lapic(v), &out->lapic);
	apic_post_take(&v->post, &out->posted);
	out->kvm_clock_msr = v->kvm_clock_msr;
	out->kvm_wall_msr = v->kvm_wall_msr;
	out->misc_enable = v->misc_enable;
}

/* What is the guest's choice among the features that its CPUs show, has to be possible here. */
static int check_features(const struct vcpu *v, const struct image *image, struct why *why)
{
	uint64_t cr4 = image->cpu_state.reg[REG_CR4], efer = image->cpu_state.reg[REG_EFER];

	if (image->cpu != v->index)
		return why_set(why, ERR_INVALID, "the image is of vCPU %u, not of vCPU %u",
			       image->cpu, v->index);
	if (cr4 & ~cpu_policy_cr4_allowed() || efer & ~cpu_policy_efer_allowed())
		return why_set(
			why, ERR_INVALID,
			"vCPU %u uses features in CR4 %#llx or EFER %#llx that the machine's "
			"CPUs do not have (%#llx, %#llx)",
			v->index, (unsigned long long)cr4, (unsigned long long)efer,
			(unsigned long long)cpu_policy_cr4_allowed(),
			(unsigned long long)cpu_policy_efer_allowed());
	return xstate_check(&image->xstate, why);
}

int image_load(struct vcpu *v, const struct image *image, struct why *why)
{
	struct lapic_actions mode = {.mode_changed = true};
	int err = check_features(v, image, why);

	if (!err)
		err = lapic_set(&v->lapic, &image->lapic, vm_guest_tsc(v->vm), why);
	if (!err)
		err = virt_state_set(v->vm->ops, &v->virt, &image->cpu_state, why);
	if (err)
		return err;
	v->state = image->state;
	v->nmi_pending = image->nmi_pending;
	v->extint = image->extint;
	if (image->pv_unhalt)
		atomic_store(&v->pv_unhalt, true);
	breakpoints_set(image->dr);
	xstate_set(&image->xstate);
	apic_post_give(&v->post, &image->posted);
	v->kvm_clock_msr = image->kvm_clock_msr;
	v->kvm_wall_msr = image->kvm_wall_msr;
	v->misc_enable = image->misc_enable;
	/* No window is asked for, and the host timer may be armed for others: the next look at events. */
	v->irq_window = v->nmi_window = false;
	v->vid_stale = false;
	v->recheck = true;
	intr_apply(v, &mode);
	return 0;
}
