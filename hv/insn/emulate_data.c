/* Instructions on data: moves, arithmetic, bits, exchanges and the stack. SDM vol. 2 */
#include "hv/insn/alu.h"
#include "hv/insn/emulate_insn.h"

int emu_mov(struct emu *e, unsigned arg)
{
	uint64_t value;
	int err = emu_operand_read(e, &e->op[1], &value);

	return err ? err : emu_operand_write(e, &e->op[0], value);
}

int emu_movsx(struct emu *e, unsigned arg)
{
	uint64_t value;
	unsigned bits = e->op[1].size;
	int err = emu_operand_read(e, &e->op[1], &value);

	if (err)
		return err;
	value = (uint64_t)((int64_t)(value << (64 - bits)) >> (64 - bits));
	return emu_operand_write(e, &e->op[0], value);
}

static bool stores(unsigned op)
{
	return op != ALU_CMP && op != ALU_TEST && op != ALU_BT;
}

static int alu_on(struct emu *e, unsigned op, struct emu_target *dst, unsigned bytes, uint64_t b)
{
	uint64_t flags = e->rflags, r = alu(op, dst->old, b, bytes, &flags);
	int err = stores(op) ? emu_target_write(e, dst, r) : 0;

	if (!err)
		e->rflags = flags;
	return err;
}

/* One or two operands, the first is the destination. */
int emu_alu(struct emu *e, unsigned op)
{
	struct emu_target dst;
	uint64_t b = 0;
	int err = emu_target_read(e, &e->op[0], stores(op), &dst);

	if (!err && e->insn.operand_count_visible > 1)
		err = emu_operand_read(e, &e->op[1], &b);
	return err ? err : alu_on(e, op, &dst, e->op[0].size / 8u, b);
}

/* BTx with a register index addresses memory beyond the operand (SDM vol. 2A, BT). */
int emu_bit(struct emu *e, unsigned op)
{
	unsigned bytes = e->op[0].size / 8u;
	struct emu_target dst;
	uint64_t index;
	int64_t bit;
	int err = emu_operand_read(e, &e->op[1], &index);

	if (err)
		return err;
	if (e->op[0].type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    e->op[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return emu_alu(e, op);
	bit = (int64_t)(index << (64 - bytes * 8)) >> (64 - bytes * 8);
	bit = (bit >> (bytes == 2 ? 4 : bytes == 4 ? 5 : 6)) * (int64_t)bytes;
	err = emu_target_read_at(e, &e->op[0], (uint64_t)bit, stores(op), &dst);
	return err ? err : alu_on(e, op, &dst, bytes, index);
}

int emu_xchg(struct emu *e, unsigned arg)
{
	/* The memory operand is written first, so that a fault leaves both as they were. */
	bool first_is_mem = e->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	const ZydisDecodedOperand *reg = &e->op[first_is_mem ? 1 : 0];
	struct emu_target mem;
	uint64_t r;
	int err = emu_target_read(e, &e->op[first_is_mem ? 0 : 1], true, &mem);

	if (!err)
		err = emu_operand_read(e, reg, &r);
	if (!err)
		err = emu_target_write(e, &mem, r);
	return err ? err : emu_operand_write(e, reg, mem.old);
}

int emu_xadd(struct emu *e, unsigned arg)
{
	struct emu_target dst;
	uint64_t b;
	int err = emu_target_read(e, &e->op[0], true, &dst);

	if (!err)
		err = emu_operand_read(e, &e->op[1], &b);
	if (!err)
		err = alu_on(e, ALU_ADD, &dst, e->op[0].size / 8u, b);
	return err ? err : emu_operand_write(e, &e->op[1], dst.old);
}

/* Two or three operands; the first is a register. */
int emu_imul(struct emu *e, unsigned arg)
{
	const ZydisDecodedOperand *last = &e->op[e->insn.operand_count_visible - 1];
	uint64_t a, b, r, flags = e->rflags;
	int err = emu_operand_read(e, last - 1, &a);

	if (!err)
		err = emu_operand_read(e, last, &b);
	if (err)
		return err;
	r = alu(ALU_IMUL, a, b, e->op[0].size / 8u, &flags);
	e->rflags = flags;
	return emu_operand_write(e, &e->op[0], r);
}

/* CMOVcc reads its source in either case (SDM vol. 2A). */
int emu_cmov(struct emu *e, unsigned arg)
{
	unsigned cc = e->insn.opcode & 0xf;
	uint64_t old, value;
	int err = emu_operand_read(e, &e->op[0], &old);

	if (!err)
		err = emu_operand_read(e, &e->op[1], &value);
	return err ? err
		   : emu_operand_write(e, &e->op[0], alu_condition(cc, e->rflags) ? value : old);
}

int emu_set(struct emu *e, unsigned arg)
{
	return emu_operand_write(e, &e->op[0], alu_condition(e->insn.opcode & 0xf, e->rflags));
}

int emu_cmpxchg(struct emu *e, unsigned arg)
{
	unsigned bytes = e->op[0].size / 8u;
	ZydisRegister acc = emu_accumulator(bytes);
	uint64_t src, old = emu_reg_read(e, acc), flags = e->rflags;
	struct emu_target dst;
	int err = emu_target_read(e, &e->op[0], true, &dst);

	if (!err)
		err = emu_operand_read(e, &e->op[1], &src);
	if (err)
		return err;
	alu(ALU_CMP, old, dst.old, bytes, &flags);
	/* The destination is written in either case (SDM vol. 2A, CMPXCHG). */
	err = emu_target_write(e, &dst, old == dst.old ? src : dst.old);
	if (err)
		return err;
	if (old != dst.old)
		emu_reg_write(e, acc, dst.old);
	e->rflags = flags;
	return 0;
}

int emu_push(struct emu *e, unsigned arg)
{
	unsigned bytes = e->insn.operand_width / 8u;
	const struct virt_ops *ops = e->v->vm->ops;
	uint64_t value, rsp = ops->reg_get(&e->v->virt, REG_RSP);
	uint64_t mask = BITS(e->insn.stack_width - 1u, 0), top = (rsp - bytes) & mask;
	gva_t gva;
	int err = emu_operand_read(e, &e->op[0], &value);

	if (!err)
		err = emu_linear(e, ZYDIS_REGISTER_SS, top, bytes, true, &gva);
	if (!err)
		err = emu_write_mem(e, gva, value, bytes);
	if (!err)
		ops->reg_set(&e->v->virt, REG_RSP, (rsp & ~mask) | top);
	return err;
}

int emu_pop(struct emu *e, unsigned arg)
{
	unsigned bytes = e->insn.operand_width / 8u;
	const struct virt_ops *ops = e->v->vm->ops;
	uint64_t value = 0, rsp = ops->reg_get(&e->v->virt, REG_RSP);
	uint64_t mask = BITS(e->insn.stack_width - 1u, 0);
	gva_t gva;
	int err = emu_linear(e, ZYDIS_REGISTER_SS, rsp & mask, bytes, false, &gva);

	if (!err)
		err = emu_read_mem(e, gva, &value, bytes);
	if (err)
		return err;
	/* The destination's address is computed with RSP already raised (SDM vol. 2B, POP). */
	ops->reg_set(&e->v->virt, REG_RSP, (rsp & ~mask) | ((rsp + bytes) & mask));
	err = emu_operand_write(e, &e->op[0], value);
	if (err)
		ops->reg_set(&e->v->virt, REG_RSP, rsp);
	return err;
}
