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
	uint8_t got; /* of them, before a page that can't be fetched from */
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/*
 * All that follow return 0, ERR_INVALID with e->fault set, or ERR_BUSY when other CPUs were in the
 * way: the guest then runs the instruction again.
 */

/* Sets e->fault; returns ERR_INVALID. #UD has no error code. */
int emu_raise(struct emu *e, uint8_t vector, uint32_t code);
/* Fetches at least one byte; when fewer than 15, e->fault is why. */
int emu_fetch(struct emu *e) MUST_CHECK;
/* Where some bytes are: in one page or in two. */
struct emu_place {
	gpa_t gpa[2];
	uint8_t size, first; /* in all, 1 to 8 or #UD; in the first page */
};

/* Does the access's page walks, and moves nothing. */
int emu_locate(struct emu *e, gva_t gva, unsigned size, enum walk_access access,
	       struct emu_place *place) MUST_CHECK;
/* In RAM, what lies in one page moves in one access of its size, if that is 1, 2, 4 or 8. */
int emu_place_read(struct emu *e, const struct emu_place *place, uint64_t *value) MUST_CHECK;
int emu_place_write(struct emu *e, const struct emu_place *place, uint64_t value) MUST_CHECK;
/* Both at once. */
int emu_read_mem(struct emu *e, gva_t gva, uint64_t *value, unsigned size) MUST_CHECK;
int emu_write_mem(struct emu *e, gva_t gva, uint64_t value, unsigned size) MUST_CHECK;
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

/* An operand that is read and then written, or may be. */
struct emu_target {
	const ZydisDecodedOperand *op;
	struct emu_place place;
	uint64_t old;
};

int emu_target_read(struct emu *e, const ZydisDecodedOperand *op, bool write,
		    struct emu_target *target) MUST_CHECK;
/* A memory operand so many bytes further on. */
int emu_target_read_at(struct emu *e, const ZydisDecodedOperand *op, uint64_t further, bool write,
		       struct emu_target *target) MUST_CHECK;
/*
 * With LOCK, and for XCHG, RAM in one page is written only if it is still what was read, in one atomic
 * access; else ERR_BUSY, and nothing has happened.
 */
int emu_target_write(struct emu *e, const struct emu_target *target, uint64_t value) MUST_CHECK;

/*
 * Handlers: each finds its instruction decoded in one of the forms that emulate.c's table has for
 * it. They return 0 (done: RIP moves on), EMU_AGAIN (RIP stays, more iterations are to come),
 * ERR_INVALID with e->fault set, or ERR_BUSY (RIP stays, the guest runs it again).
 */
#define EMU_AGAIN 1

struct emu_form;

struct emu_row {
	ZydisMnemonic mnemonic;
	const struct emu_form *form;
	int (*run)(struct emu *e, unsigned arg);
	unsigned arg;
};

/* The row of what was decoded, or NULL when it is none that is emulated for such an exit. */
const struct emu_row *emu_row_for(const struct emu *e, const struct vm_exit *exit);
/* Can such an exit come from it, emulated or not? */
bool emu_may_cause(const struct emu *e, const struct vm_exit *exit);

/* emulate_data.c; the arithmetic takes an enum alu_op. */
int emu_mov(struct emu *e, unsigned arg);
int emu_movsx(struct emu *e, unsigned arg);
int emu_alu(struct emu *e, unsigned op);
int emu_bit(struct emu *e, unsigned op);
int emu_xchg(struct emu *e, unsigned arg);
int emu_xadd(struct emu *e, unsigned arg);
int emu_imul(struct emu *e, unsigned arg);
int emu_cmov(struct emu *e, unsigned arg);
int emu_set(struct emu *e, unsigned arg);
int emu_cmpxchg(struct emu *e, unsigned arg);
int emu_push(struct emu *e, unsigned arg);
int emu_pop(struct emu *e, unsigned arg);

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
/* Bytes of one element. */
unsigned emu_string_bytes(const struct emu *e);

/* Control registers; emulate_cr.c. */
int emu_mov_cr(struct emu *e, unsigned arg);
int emu_clts(struct emu *e, unsigned arg);
int emu_lmsw(struct emu *e, unsigned arg);
int emu_smsw(struct emu *e, unsigned arg);
int emu_invlpg(struct emu *e, unsigned arg);

#endif
