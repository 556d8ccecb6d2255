/* The emulator's hands: registers, segments, memory and operands. */
#include "hv/base/gmem.h"
#include "hv/base/plat.h"
#include "hv/base/string.h"
#include "hv/insn/emulate_insn.h"
#include "hv/core/memory.h"
#include "hv/x86/msr.h"

/* No operand is larger: emulate.c's table sees to it, and what sizes a copy is checked here again. */
#define MAX_BYTES 8u

int emu_raise(struct emu *e, uint8_t vector, uint32_t code)
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

/* SDM vol. 1, 3.3.7.1: with 4 levels of page tables. */
static bool canonical(gva_t gva)
{
	return (int64_t)(gva << 16) >> 16 == (int64_t)gva;
}

int emu_linear(struct emu *e, ZydisRegister segment, uint64_t offset, unsigned size, bool write,
	       gva_t *gva)
{
	struct virt_seg seg;
	enum virt_seg_id id = segment_id(segment);

	e->v->vm->ops->seg_get(&e->v->virt, id, &seg);
	if (e->long_mode) {
		*gva = offset + (id == SEG_FS || id == SEG_GS ? seg.base : 0);
		if (!canonical(*gva) || !canonical(*gva + size - 1))
			return emu_raise(e, id == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
		return 0;
	}
	if (!segment_allows(&seg, offset, size, write))
		return emu_raise(e, id == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
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

/* RAM is in use by other CPUs meanwhile: an operand must not be seen half old, half new. */
typedef uint8_t any8;
typedef uint16_t ALIGNED(1) any16;
typedef uint32_t ALIGNED(1) any32;
typedef uint64_t ALIGNED(1) any64;

static void ram_load(uint8_t *to, const void *from, unsigned n)
{
	if (n == 8)
		*(any64 *)to = *(const volatile any64 *)from;
	else if (n == 4)
		*(any32 *)to = *(const volatile any32 *)from;
	else if (n == 2)
		*(any16 *)to = *(const volatile any16 *)from;
	else
		memcpy(to, from, n);
}

static void ram_store(void *to, const uint8_t *from, unsigned n)
{
	if (n == 8)
		*(volatile any64 *)to = *(const any64 *)from;
	else if (n == 4)
		*(volatile any32 *)to = *(const any32 *)from;
	else if (n == 2)
		*(volatile any16 *)to = *(const any16 *)from;
	else
		memcpy(to, from, n);
}

/* Stores `value` if `old` is still there. Not __atomic: the operand may be unaligned, as LOCK allows it. */
static bool ram_swap(void *at, uint64_t old, uint64_t value, unsigned n)
{
	bool same;

#define SWAP(suffix, bits)                                                  \
	__asm__ volatile("lock cmpxchg" suffix " %3, %1"                    \
			 : "=@ccz"(same), "+m"(*(any##bits *)at), "+a"(old) \
			 : "r"((uint##bits##_t)value)                       \
			 : "memory")
	if (n == 8)
		SWAP("q", 64);
	else if (n == 4)
		SWAP("l", 32);
	else if (n == 2)
		SWAP("w", 16);
	else
		SWAP("b", 8);
#undef SWAP
	return same;
}

static int ram_access(struct emu *e, gpa_t gpa, uint8_t *buf, unsigned size, bool write)
{
	void *p = plat_gmem_acquire(gpa, size, write);

	if (!p)
		return emu_raise(e, VECTOR_GP, 0);
	if (write)
		ram_store(p, buf, size);
	else
		ram_load(buf, p, size);
	plat_gmem_release(gpa, size, write);
	return 0;
}

/* One piece that lies within a page; device memory gets accesses of natural size. */
static int access_piece(struct emu *e, gpa_t gpa, uint8_t *buf, unsigned size, bool write)
{
	if (memory_is_ram(e->v->vm, gpa))
		return ram_access(e, gpa, buf, size, write);
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

static int access_place(struct emu *e, const struct emu_place *p, uint8_t *buf, bool write)
{
	int err = access_piece(e, p->gpa[0], buf, p->first, write);

	if (!err && p->first < p->size)
		err = access_piece(e, p->gpa[1], buf + p->first, p->size - p->first, write);
	return err;
}

/* Both pages of a crossing access are translated before the first byte moves. */
int emu_locate(struct emu *e, gva_t gva, unsigned size, enum walk_access access,
	       struct emu_place *place)
{
	uint64_t rest = PAGE_SIZE - (gva & ~PAGE_MASK);
	gva_t second = gva + rest;
	int err;

	if (!size || size > MAX_BYTES)
		return emu_raise(e, VECTOR_UD, 0);
	place->size = (uint8_t)size;
	place->first = (uint8_t)MIN((uint64_t)size, rest);
	err = translate(e, gva, access, &place->gpa[0]);
	if (!err && place->first < size)
		err = translate(e, e->long_mode ? second : (uint32_t)second, access,
				&place->gpa[1]);
	return err;
}

int emu_place_read(struct emu *e, const struct emu_place *place, uint64_t *value)
{
	*value = 0;
	return access_place(e, place, (uint8_t *)value, false);
}

int emu_place_write(struct emu *e, const struct emu_place *place, uint64_t value)
{
	return access_place(e, place, (uint8_t *)&value, true);
}

int emu_read_mem(struct emu *e, gva_t gva, uint64_t *value, unsigned size)
{
	struct emu_place place;
	int err = emu_locate(e, gva, size, WALK_READ, &place);

	return err ? err : emu_place_read(e, &place, value);
}

int emu_write_mem(struct emu *e, gva_t gva, uint64_t value, unsigned size)
{
	struct emu_place place;
	int err = emu_locate(e, gva, size, WALK_WRITE, &place);

	return err ? err : emu_place_write(e, &place, value);
}

/* What is in a hole can't be fetched from either: it reads as FF FF, which is no instruction. */
int emu_fetch(struct emu *e)
{
	struct virt_seg cs;
	gpa_t gpa;

	e->v->vm->ops->seg_get(&e->v->virt, SEG_CS, &cs);
	e->got = 0;
	while (e->got < sizeof(e->bytes)) {
		gva_t gva = (e->long_mode ? 0 : cs.base) + e->rip + e->got;
		uint64_t rest;
		unsigned n;
		int err;

		if (!e->long_mode)
			gva = (uint32_t)gva;
		rest = PAGE_SIZE - (gva & ~PAGE_MASK);
		n = (unsigned)MIN(sizeof(e->bytes) - e->got, rest);
		err = translate(e, gva, WALK_FETCH, &gpa);
		if (!err && (!memory_is_ram(e->v->vm, gpa) || gmem_read(gpa, e->bytes + e->got, n)))
			err = emu_raise(e, VECTOR_UD, 0);
		if (err)
			return err == ERR_INVALID && e->got ? 0 : err;
		e->got = (uint8_t)(e->got + n);
	}
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

/*
 * SDM vol. 2, table 2-3, note 1: whatever REX.B says. Zydis 4.0.0 takes R13D for a base there when
 * addresses have 32 bits, and loses the displacement.
 */
static bool has_no_base(const struct emu *e)
{
	return e->insn.attributes & ZYDIS_ATTRIB_HAS_SIB && e->insn.raw.modrm.mod == 0 &&
	       e->insn.raw.sib.base == 5;
}

static int operand_linear(struct emu *e, const ZydisDecodedOperand *op, uint64_t further,
			  bool write, gva_t *gva)
{
	uint64_t offset = further;

	if (has_no_base(e))
		offset += (uint64_t)e->insn.raw.disp.value;
	else
		offset += (uint64_t)op->mem.disp.value;
	if (op->mem.base != ZYDIS_REGISTER_NONE && !has_no_base(e))
		offset += emu_reg_read(e, op->mem.base);
	if (op->mem.index != ZYDIS_REGISTER_NONE)
		offset += emu_reg_read(e, op->mem.index) * op->mem.scale;
	if (e->insn.address_width < 64)
		offset &= BITS(e->insn.address_width - 1u, 0);
	return emu_linear(e, op->mem.segment, offset, op->size / 8u, write, gva);
}

int emu_operand_address(struct emu *e, const ZydisDecodedOperand *op, bool write, gva_t *gva)
{
	return operand_linear(e, op, 0, write, gva);
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
	return err ? err : emu_write_mem(e, gva, value, op->size / 8u);
}

int emu_target_read_at(struct emu *e, const ZydisDecodedOperand *op, uint64_t further, bool write,
		       struct emu_target *target)
{
	gva_t gva;
	int err;

	target->op = op;
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		target->old = emu_reg_read(e, op->reg.value);
		return 0;
	}
	err = operand_linear(e, op, further, write, &gva);
	if (!err)
		err = emu_locate(e, gva, op->size / 8u, write ? WALK_WRITE : WALK_READ,
				 &target->place);
	return err ? err : emu_place_read(e, &target->place, &target->old);
}

int emu_target_read(struct emu *e, const ZydisDecodedOperand *op, bool write,
		    struct emu_target *target)
{
	return emu_target_read_at(e, op, 0, write, target);
}

static int write_locked(struct emu *e, const struct emu_target *t, uint64_t value)
{
	const struct emu_place *place = &t->place;
	void *p = plat_gmem_acquire(place->gpa[0], place->size, true);
	bool done;

	if (!p)
		return emu_raise(e, VECTOR_GP, 0);
	done = ram_swap(p, t->old, value, place->size);
	plat_gmem_release(place->gpa[0], place->size, true);
	return done ? 0 : ERR_BUSY;
}

int emu_target_write(struct emu *e, const struct emu_target *target, uint64_t value)
{
	const struct emu_place *place = &target->place;

	if (target->op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		emu_reg_write(e, target->op->reg.value, value);
		return 0;
	}
	if ((e->insn.attributes & ZYDIS_ATTRIB_HAS_LOCK ||
	     e->insn.mnemonic == ZYDIS_MNEMONIC_XCHG) &&
	    place->first == place->size && memory_is_ram(e->v->vm, place->gpa[0]))
		return write_locked(e, target, value);
	return emu_place_write(e, place, value);
}
