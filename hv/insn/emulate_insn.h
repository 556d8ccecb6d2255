/* What the parts of the emulator share: one instruction under way. */
#ifndef HV_INSN_EMULATE_INSN_H
#define HV_INSN_EMULATE_INSN_H

#include <Zydis/Zydis.h>

#include "hv/insn/walk.h"

struct emu {
	struct vcpu *v;
	struct walk_mode mode;
	bool long_mode; /* 64-bit code segment */
	uint64_t rip, rflags;
	struct virt_event fault; /* set when a step fails with ERR_INVALID */
	uint64_t fault_address;
	uint8_t bytes[15];
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* All return 0, or ERR_INVALID with e->fault set. */
int emu_fetch(struct emu *e) MUST_CHECK;
/* Up to 8 bytes; more are refused with #UD. */
int emu_read_mem(struct emu *e, gva_t gva, void *buf, unsigned size) MUST_CHECK;
int emu_write_mem(struct emu *e, gva_t gva, const void *buf, unsigned size) MUST_CHECK;
/* Could this write go through? Does its page walk, but stores nothing. */
int emu_probe_write(struct emu *e, gva_t gva, unsigned size) MUST_CHECK;
/* Segment base plus offset after the segment's checks. SDM vol. 3, 5.3 */
int emu_linear(struct emu *e, ZydisRegister segment, uint64_t offset, unsigned size, bool write,
	       gva_t *gva) MUST_CHECK;

uint64_t emu_reg_read(struct emu *e, ZydisRegister reg);
void emu_reg_write(struct emu *e, ZydisRegister reg, uint64_t value);
/* AL, AX, EAX or RAX. */
ZydisRegister emu_accumulator(unsigned bytes);

int emu_operand_read(struct emu *e, const ZydisDecodedOperand *op, uint64_t *value) MUST_CHECK;
int emu_operand_write(struct emu *e, const ZydisDecodedOperand *op, uint64_t value) MUST_CHECK;
/* Linear address of a memory operand. */
int emu_operand_address(struct emu *e, const ZydisDecodedOperand *op, bool write,
			gva_t *gva) MUST_CHECK;

/*
 * Handlers: each finds its instruction decoded in one of the forms that emulate.c's table has for
 * it. They return 0 (done: RIP moves on), EMU_AGAIN (RIP stays, more iterations are to come) or
 * ERR_INVALID with e->fault set.
 */
#define EMU_AGAIN 1

/* emulate_string.c; arg is an enum string_kind. */
enum string_kind {
	STRING_MOVS,
	STRING_STOS,
	STRING_LODS,
	STRING_INS,
	STRING_OUTS,
	STRING_CMPS,
	STRING_SCAS,
};

int emu_string(struct emu *e, unsigned kind); /* enum string_kind */

/* Control registers; emulate_cr.c. */
int emu_mov_cr(struct emu *e, unsigned arg);
int emu_clts(struct emu *e, unsigned arg);
int emu_lmsw(struct emu *e, unsigned arg);
int emu_smsw(struct emu *e, unsigned arg);
int emu_invlpg(struct emu *e, unsigned arg);

#endif
