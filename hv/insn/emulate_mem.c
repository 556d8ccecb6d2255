/* The emulator's hands: registers, segments, memory and operands. */
#include "hv/base/gmem.h"
#include "hv/base/string.h"
#include "hv/insn/emulate_insn.h"
#include "hv/core/memory.h"
#include "hv/x86/msr.h"

/* No operand is larger: emulate.c's table sees to it, and what sizes a copy is checked here again. */
#define MAX_BYTES 8u

static int raise(struct emu *e, uint8_t vector, uint32_t code)
{
	e->fault = (struct virt_event){EVENT_EXCEPTION, vector, vector != VECTOR_UD, code};
	return ERR_INVALID;
}

static enum virt_seg_id segment_id(ZydisRegister segment)
{
	switch (segment) {
	case ZYDIS_REGISTER_ES:
		return SEG_ES;
	case ZYDIS_REGISTER_CS:
		return SEG_CS;
	case ZYDIS_REGISTER_SS:
		return SEG_SS;
	case ZYDIS_REGISTER_FS:
		return SEG_FS;
	case ZYDIS_REGISTER_GS:
		return SEG_GS;
	default:
		return SEG_DS;
	}
}

/* SDM vol. 3, 3.4.5.1: data segments may grow down, code segments are not writable. */
static bool segment_allows(const struct virt_seg *seg, uint64_t offset, unsigned size, bool write)
{
	bool code = seg->type & 8;
	uint64_t last = offset + size - 1;

	if (seg->unusable || !seg->present)
		return false;
	if (write && (code || !(seg->type & 2)))
		return false;
	if (!write && code && !(seg->type & 2))
		return false;
	if (!code && seg->type & 4) /* expand down: valid above the limit */
		return offset > seg->limit && last <= (seg->db ? 0xffffffffu : 0xffffu);
	return last <= seg->limit && last >= offset;
}

int emu_linear(struct emu *e, ZydisRegister segment, uint64_t offset, unsigned size, bool write,
	       gva_t *gva)
{
	struct virt_seg seg;
	enum virt_seg_id id = segment_id(segment);

	e->v->vm->ops->seg_get(&e->v->virt, id, &seg);
	if (e->long_mode) {
		*gva = offset + (id == SEG_FS || id == SEG_GS ? seg.base : 0);
		return 0;
	}
	if (!segment_allows(&seg, offset, size, write))
		return raise(e, id == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
	*gva = (uint32_t)(seg.base + offset);
	return 0;
}

static int translate(struct emu *e, gva_t gva, enum walk_access access, gpa_t *gpa)
{
	int err = walk(e->v, &e->mode, gva, access, gpa, &e->fault);

	if (err)
		e->fault_address = gva;
	return err;
}

/* One piece that lies within a page; device memory gets accesses of natural size. */
static int access_piece(struct emu *e, gpa_t gpa, uint8_t *buf, unsigned size, bool write)
{
	if (memory_is_ram(e->v->vm, gpa))
		return write ? gmem_write(gpa, buf, size) : gmem_read(gpa, buf, size);
	while (size) {
		unsigned n = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
		uint64_t value = 0;

		if (!is_aligned(gpa, n) && n != size)
			n = 1;
		if (write) {
			memcpy(&value, buf, n);
			e->v->vm->io->write(e->v, gpa, n, VM_IO_MMIO, value);
		} else {
			value = e->v->vm->io->read(e->v, gpa, n, VM_IO_MMIO);
			memcpy(buf, &value, n);
		}
		gpa += n;
		buf += n;
		size -= n;
	}
	return 0;
}

/* Both pages of a crossing access are translated before the first byte moves. */
static int access_memory(struct emu *e, gva_t gva, uint8_t *buf, unsigned size,
			 enum walk_access access)
{
	bool write = access == WALK_WRITE;

	if (!size || size > MAX_BYTES)
		return raise(e, VECTOR_UD, 0);

	unsigned first = (unsigned)MIN((uint64_t)size, PAGE_SIZE - (gva & ~PAGE_MASK));
	gpa_t gpa[2];
	int err = translate(e, gva, access, &gpa[0]);

	if (!err && first < size)
		err = translate(e, gva + first, access, &gpa[1]);
	if (err || !buf)
		return err;
	err = access_piece(e, gpa[0], buf, first, write);
	if (!err && first < size)
		err = access_piece(e, gpa[1], buf + first, size - first, write);
	return err ? raise(e, VECTOR_GP, 0) : 0;
}

int emu_read_mem(struct emu *e, gva_t gva, void *buf, unsigned size)
{
	return access_memory(e, gva, buf, size, WALK_READ);
}

int emu_write_mem(struct emu *e, gva_t gva, const void *buf, unsigned size)
{
	uint8_t copy[MAX_BYTES];

	if (size > sizeof(copy))
		return raise(e, VECTOR_UD, 0);
	memcpy(copy, buf, size);
	return access_memory(e, gva, copy, size, WALK_WRITE);
}

int emu_probe_write(struct emu *e, gva_t gva, unsigned size)
{
	return access_memory(e, gva, NULL, size, WALK_WRITE);
}

/* Up to 15 bytes; fewer when the next page is not there, and then the decoder tells if they do. */
int emu_fetch(struct emu *e)
{
	struct virt_seg cs;
	gpa_t gpa;
	unsigned got = 0;

	e->v->vm->ops->seg_get(&e->v->virt, SEG_CS, &cs);
	while (got < sizeof(e->bytes)) {
		gva_t gva = (e->long_mode ? 0 : cs.base) + e->rip + got;

		if (!e->long_mode)
			gva = (uint32_t)gva;

		unsigned n = (unsigned)MIN(sizeof(e->bytes) - got, PAGE_SIZE - (gva & ~PAGE_MASK));

		if (translate(e, gva, WALK_FETCH, &gpa) || !memory_is_ram(e->v->vm, gpa) ||
		    gmem_read(gpa, e->bytes + got, n))
			break;
		got += n;
	}
	if (!got)
		return e->fault.vector ? ERR_INVALID : raise(e, VECTOR_GP, 0);
	memset(e->bytes + got, 0, sizeof(e->bytes) - got);
	e->fault.vector = 0;
	return 0;
}

/* AL CL DL BL AH CH DH BH SPL BPL SIL DIL R8B ...: Zydis's order of the byte registers. */
static unsigned byte_register(unsigned id, bool *high)
{
	*high = id >= 4 && id < 8;
	if (id < 4)
		return id;
	return id - 4;
}

static uint64_t gpr_read(struct emu *e, unsigned index)
{
	if (index == GPR_RSP)
		return e->v->vm->ops->reg_get(&e->v->virt, REG_RSP);
	return e->v->virt.gpr[index];
}

static void gpr_write(struct emu *e, unsigned index, uint64_t value)
{
	if (index == GPR_RSP)
		e->v->vm->ops->reg_set(&e->v->virt, REG_RSP, value);
	else
		e->v->virt.gpr[index] = value;
}

ZydisRegister emu_accumulator(unsigned bytes)
{
	return bytes == 1   ? ZYDIS_REGISTER_AL
	       : bytes == 2 ? ZYDIS_REGISTER_AX
	       : bytes == 4 ? ZYDIS_REGISTER_EAX
			    : ZYDIS_REGISTER_RAX;
}

uint64_t emu_reg_read(struct emu *e, ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);
	unsigned id = (unsigned)ZydisRegisterGetId(reg);
	bool high;

	switch (class) {
	case ZYDIS_REGCLASS_GPR8: {
		unsigned index = byte_register(id, &high);

		return gpr_read(e, index) >> (high ? 8 : 0) & 0xff;
	}
	case ZYDIS_REGCLASS_GPR16:
		return gpr_read(e, id) & 0xffff;
	case ZYDIS_REGCLASS_GPR32:
		return gpr_read(e, id) & 0xffffffff;
	case ZYDIS_REGCLASS_GPR64:
		return gpr_read(e, id);
	case ZYDIS_REGCLASS_SEGMENT: {
		struct virt_seg seg;

		e->v->vm->ops->seg_get(&e->v->virt, segment_id(reg), &seg);
		return seg.selector;
	}
	case ZYDIS_REGCLASS_IP:
		return e->insn.address_width == 64 ? e->rip + e->insn.length
						   : (uint32_t)(e->rip + e->insn.length);
	default:
		return 0;
	}
}

void emu_reg_write(struct emu *e, ZydisRegister reg, uint64_t value)
{
	unsigned id = (unsigned)ZydisRegisterGetId(reg);
	uint64_t old, mask;
	bool high = false;

	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
		id = byte_register(id, &high);
		mask = high ? 0xff00 : 0xff;
		break;
	case ZYDIS_REGCLASS_GPR16:
		mask = 0xffff;
		break;
	case ZYDIS_REGCLASS_GPR32: /* clears the upper half (SDM vol. 1, 3.4.1.1) */
		gpr_write(e, id, (uint32_t)value);
		return;
	case ZYDIS_REGCLASS_GPR64:
		gpr_write(e, id, value);
		return;
	default: /* no other is in a form of the table */
		return;
	}
	old = gpr_read(e, id);
	gpr_write(e, id, (old & ~mask) | ((value << (high ? 8 : 0)) & mask));
}

int emu_operand_address(struct emu *e, const ZydisDecodedOperand *op, bool write, gva_t *gva)
{
	uint64_t offset = (uint64_t)op->mem.disp.value;

	if (op->mem.base != ZYDIS_REGISTER_NONE)
		offset += emu_reg_read(e, op->mem.base);
	if (op->mem.index != ZYDIS_REGISTER_NONE)
		offset += emu_reg_read(e, op->mem.index) * op->mem.scale;
	if (e->insn.address_width < 64)
		offset &= BITS(e->insn.address_width - 1u, 0);
	return emu_linear(e, op->mem.segment, offset, op->size / 8u, write, gva);
}

int emu_operand_read(struct emu *e, const ZydisDecodedOperand *op, uint64_t *value)
{
	gva_t gva;
	int err;

	*value = 0;
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		*value = emu_reg_read(e, op->reg.value);
		return 0;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		*value = op->imm.value.u;
		return 0;
	default:
		err = emu_operand_address(e, op, false, &gva);
		return err ? err : emu_read_mem(e, gva, value, op->size / 8u);
	}
}

int emu_operand_write(struct emu *e, const ZydisDecodedOperand *op, uint64_t value)
{
	gva_t gva;
	int err;

	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		emu_reg_write(e, op->reg.value, value);
		return 0;
	}
	err = emu_operand_address(e, op, true, &gva);
	return err ? err : emu_write_mem(e, gva, &value, op->size / 8u);
}
