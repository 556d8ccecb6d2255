/*
 * Instructions on control registers, and INVLPG, for CPUs that say that one was met but not which. SDM vol.
 * 2, MOV to and from control registers, CLTS, INVLPG, LMSW, SMSW; APM vol. 3 has the same.
 */
#include "hv/cpu/cr.h"
#include "hv/insn/emulate_insn.h"
#include "hv/core/intr.h"
#include "hv/core/vtlb.h"
#include "hv/x86/msr.h"

#define MSW_BITS (CR0_PE | CR0_MP | CR0_EM | CR0_TS)

static bool is_cr(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_CONTROL;
}

static unsigned cr_number(const ZydisDecodedOperand *op)
{
	return (unsigned)ZydisRegisterGetId(op->reg.value);
}

static bool is_known(unsigned cr)
{
	return cr == 0 || (cr >= 2 && cr <= 4) || cr == 8;
}

static int gp(struct emu *e)
{
	return emu_raise(e, VECTOR_GP, 0);
}

/* The processor checks the privilege before it exits, so this is for one that does not. */
static bool privileged(struct emu *e)
{
	struct virt_seg ss;

	e->v->vm->ops->seg_get(&e->v->virt, SEG_SS, &ss);
	return ss.dpl == 0 && !(e->rflags & RFLAGS_VM);
}

static uint64_t cr_read(struct vcpu *v, unsigned cr)
{
	static const enum virt_reg regs[] = {
		[0] = REG_CR0, [2] = REG_CR2, [3] = REG_CR3, [4] = REG_CR4};

	return cr == 8 ? lapic_cr8_read(intr_lapic(v)) : v->vm->ops->reg_get(&v->virt, regs[cr]);
}

/* CR8 is the upper half of the LAPIC's TPR. SDM vol. 3, 11.8.6 */
static int cr8_write(struct emu *e, uint64_t value)
{
	struct lapic_actions actions;

	if (value >> 4)
		return gp(e);
	lapic_cr8_write(intr_lapic(e->v), (uint8_t)value, &actions);
	intr_apply(e->v, &actions);
	return 0;
}

static int cr_write(struct emu *e, unsigned cr, uint64_t value)
{
	switch (cr) {
	case 0:
	case 3:
	case 4:
		return vcpu_cr_write(e->v, (uint8_t)cr, value) ? gp(e) : 0;
	case 2:
		e->v->vm->ops->reg_set(&e->v->virt, REG_CR2, value);
		return 0;
	default:
		return cr8_write(e, value);
	}
}

int emu_mov_cr(struct emu *e, unsigned arg)
{
	bool write = is_cr(&e->op[0]);
	unsigned cr = cr_number(&e->op[write ? 0 : 1]);

	if (!is_known(cr)) {
		return emu_raise(e, VECTOR_UD, 0);
	}
	if (!privileged(e))
		return gp(e);
	if (write)
		return cr_write(e, cr, emu_reg_read(e, e->op[1].reg.value));
	emu_reg_write(e, e->op[0].reg.value, cr_read(e->v, cr));
	return 0;
}

int emu_clts(struct emu *e, unsigned arg)
{
	return privileged(e) ? cr_write(e, 0, cr_read(e->v, 0) & ~CR0_TS) : gp(e);
}

/* It can set PE but not clear it. */
int emu_lmsw(struct emu *e, unsigned arg)
{
	uint64_t cr0 = cr_read(e->v, 0), value;
	int err;

	if (!privileged(e))
		return gp(e);
	err = emu_operand_read(e, &e->op[0], &value);
	return err ? err : cr_write(e, 0, (cr0 & ~(MSW_BITS & ~CR0_PE)) | (value & MSW_BITS));
}

/* Allowed to everybody, but under UMIP. */
int emu_smsw(struct emu *e, unsigned arg)
{
	if (!privileged(e) && cr_read(e->v, 4) & CR4_UMIP)
		return gp(e);
	return emu_operand_write(e, &e->op[0], cr_read(e->v, 0));
}

/* The address need not be one that an access could use. */
int emu_invlpg(struct emu *e, unsigned arg)
{
	gva_t gva;
	int err;

	if (!privileged(e))
		return gp(e);
	err = emu_operand_address(e, &e->op[0], false, &gva);
	if (!err)
		vtlb_invlpg(e->v, gva);
	return err;
}
