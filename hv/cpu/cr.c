#include "hv/cpu/cr.h"
#include "hv/cpu/cpu_policy.h"

/* SDM vol. 3, 2.5 and 4.1.2: the combinations that MOV to a control register refuses. */
static bool cr_valid(struct vcpu *v, uint8_t cr, uint64_t value)
{
	const struct virt_ops *ops = v->vm->ops;
	uint64_t efer = ops->reg_get(&v->virt, REG_EFER);
	uint64_t cr4 = ops->reg_get(&v->virt, REG_CR4);

	if (cr == 0) {
		if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) ||
		    (value & CR0_NW && !(value & CR0_CD)))
			return false;
		return !(value & CR0_PG && efer & EFER_LME && !(cr4 & CR4_PAE));
	}
	if (cr == 3)
		return !(efer & EFER_LMA) || value >> 52 == 0;
	if (value & ~cpu_policy_cr4_allowed())
		return false;
	if (efer & EFER_LMA)
		return value & CR4_PAE;
	return !(value & CR4_PCIDE);
}

int vcpu_cr_write(struct vcpu *v, uint8_t cr, uint64_t value)
{
	static const enum virt_reg regs[] = {[0] = REG_CR0, [3] = REG_CR3, [4] = REG_CR4};

	if (!cr_valid(v, cr, value))
		return ERR_INVALID;
	v->vm->ops->reg_set(&v->virt, regs[cr], value);
	return 0;
}
