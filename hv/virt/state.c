#include "hv/virt/state.h"

#include "hv/base/bits.h"
#include "hv/base/string.h"
#include "hv/virt/fault.h"
#include "hv/x86/msr.h"

#define INSN_LEN_MAX 15u

const uint32_t virt_msr_numbers[VIRT_MSRS] = {
	[VIRT_MSR_PAT] = MSR_PAT,
	[VIRT_MSR_SYSENTER_CS] = MSR_SYSENTER_CS,
	[VIRT_MSR_SYSENTER_ESP] = MSR_SYSENTER_ESP,
	[VIRT_MSR_SYSENTER_EIP] = MSR_SYSENTER_EIP,
	[VIRT_MSR_STAR] = MSR_STAR,
	[VIRT_MSR_LSTAR] = MSR_LSTAR,
	[VIRT_MSR_CSTAR] = MSR_CSTAR,
	[VIRT_MSR_SFMASK] = MSR_SFMASK,
	[VIRT_MSR_KERNEL_GS_BASE] = MSR_KERNEL_GS_BASE,
	[VIRT_MSR_TSC_AUX] = MSR_TSC_AUX,
};

/* Paging before what asks for it: CR0 last. */
static const enum virt_reg order[REG_COUNT] = {REG_EFER, REG_CR4, REG_CR3,    REG_CR2, REG_CR0,
					       REG_RIP,  REG_RSP, REG_RFLAGS, REG_DR7};

/* --- Checks --- */

#define RULE(holds, what, value)                                                           \
	do {                                                                               \
		if (!(holds))                                                              \
			return why_set(why, ERR_INVALID, "a vCPU with %s (%#llx)", (what), \
				       (unsigned long long)(value));                       \
	} while (0)

/* SDM vol. 3, 2.5, 2.2.1 and 4.1.2 */
static int check_control(const struct virt_state *st, struct why *why)
{
	uint64_t cr0 = st->reg[REG_CR0], cr4 = st->reg[REG_CR4], efer = st->reg[REG_EFER];
	bool long_mode = cr0 & CR0_PG && efer & EFER_LME;

	RULE(!(cr0 >> 32) && cr0 & CR0_ET, "an impossible CR0", cr0);
	RULE(cr0 & CR0_PE || !(cr0 & CR0_PG), "paging, but no protection, in CR0", cr0);
	RULE(cr0 & CR0_CD || !(cr0 & CR0_NW), "NW, but no CD, in CR0", cr0);
	RULE(!(cr4 >> 32), "an impossible CR4", cr4);
	RULE(!(efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)), "an impossible EFER", efer);
	RULE(!(efer & EFER_LMA) == !long_mode, "LMA against CR0 and LME in EFER", efer);
	RULE(!long_mode || cr4 & CR4_PAE, "long mode, but no PAE, in CR4", cr4);
	return 0;
}

static int check_registers(const struct virt_state *st, struct why *why)
{
	uint64_t rflags = st->reg[REG_RFLAGS];

	RULE(!st->gpr[GPR_RSP], "a second RSP", st->gpr[GPR_RSP]);
	RULE(!(rflags & RFLAGS_RESERVED) && rflags & RFLAGS_FIXED, "impossible RFLAGS", rflags);
	RULE(!(st->reg[REG_DR7] >> 32), "an impossible DR7", st->reg[REG_DR7]);
	RULE(!(st->dr6 >> 32), "an impossible DR6", st->dr6);
	RULE(!(st->pending_debug & ~VIRT_PENDING_DEBUG), "impossible pending debug exceptions",
	     st->pending_debug);
	for (unsigned i = 0; i < 8; i++) {
		uint8_t type = st->msr[VIRT_MSR_PAT] >> (i * 8) & 0xff;

		RULE(type < 8 && type != 2 && type != 3, "an impossible PAT",
		     st->msr[VIRT_MSR_PAT]);
	}
	return 0;
}

static int check_segments(const struct virt_state *st, struct why *why)
{
	for (enum virt_seg_id id = 0; id < SEG_COUNT; id++) {
		const struct virt_seg *seg = &st->seg[id];

		RULE(seg->type < 16 && seg->dpl < 4, "an impossible segment", id);
		RULE((id != SEG_GDTR && id != SEG_IDTR) || seg->limit <= UINT16_MAX,
		     "a GDTR or IDTR of too large a limit", seg->limit);
	}
	return 0;
}

static bool is_instruction(enum virt_queued kind)
{
	return kind == VIRT_QUEUED_INT_N || kind == VIRT_QUEUED_INT1 || kind == VIRT_QUEUED_INT3;
}

/* SDM vol. 3, 27.2.1.3: what an entry may deliver. */
static bool vector_fits(const struct virt_state *st)
{
	switch (st->queued) {
	case VIRT_QUEUED_NOTHING:
		return st->vector == 0;
	case VIRT_QUEUED_NMI:
		return st->vector == VECTOR_NMI;
	case VIRT_QUEUED_EXCEPTION:
		return st->vector < 32 && st->vector != VECTOR_NMI;
	case VIRT_QUEUED_INT1:
		return st->vector == VECTOR_DB;
	case VIRT_QUEUED_INT3:
		return st->vector == 3 || st->vector == 4;
	case VIRT_QUEUED_INTERRUPT:
	case VIRT_QUEUED_INT_N:
		return true;
	case VIRT_QUEUED_KINDS:
		break;
	}
	return false;
}

static int check_event(const struct virt_state *st, struct why *why)
{
	bool insn = is_instruction(st->queued);

	RULE(st->shadow < VIRT_SHADOWS, "an interrupt shadow of no kind", st->shadow);
	RULE(vector_fits(st), "an event that there is not", st->vector);
	RULE(!st->half_delivered || st->queued, "half an event of no kind", st->queued);
	RULE(!st->has_code || (st->queued == VIRT_QUEUED_EXCEPTION && fault_has_code(st->vector)),
	     "an error code on an event that has none", st->vector);
	RULE(st->has_code || !st->code, "an error code that belongs to nothing", st->code);
	RULE(insn ? st->insn_len && st->insn_len <= INSN_LEN_MAX : !st->insn_len,
	     "an event of an instruction without a length, or the other way round", st->insn_len);
	return 0;
}

static int check_pdptes(const struct virt_state *st, struct why *why)
{
	const uint64_t reserved = BITS(2, 1) | BITS(8, 5) | BITS(63, 52);

	for (unsigned i = 0; i < 4; i++) {
		RULE(st->pdptes_loaded || !st->pdpte[i],
		     "page-directory pointers that are not loaded", st->pdpte[i]);
		RULE(!(st->pdpte[i] & 1) || !(st->pdpte[i] & reserved),
		     "a malformed page-directory pointer", st->pdpte[i]);
	}
	return 0;
}

int virt_state_check(const struct virt_state *st, struct why *why)
{
	static int (*const checks[])(const struct virt_state *st, struct why *why) = {
		check_control, check_registers, check_segments, check_event, check_pdptes};
	int err = 0;

	for (unsigned i = 0; i < ARRAY_LEN(checks) && !err; i++)
		err = checks[i](st, why);
	return err;
}

/* --- Out of a vCPU, and into one --- */

void virt_state_get(const struct virt_ops *ops, struct virt_vcpu *v, struct virt_state *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->gpr, v->gpr, sizeof(out->gpr));
	out->gpr[GPR_RSP] = 0;
	for (enum virt_reg reg = 0; reg < REG_COUNT; reg++)
		out->reg[reg] = ops->reg_get(v, reg);
	for (enum virt_seg_id id = 0; id < SEG_COUNT; id++)
		ops->seg_get(v, id, &out->seg[id]);
	for (unsigned i = 0; i < VIRT_MSRS; i++)
		if (ops->msr_get(v, virt_msr_numbers[i], &out->msr[i]))
			out->msr[i] = 0;
	ops->state_get(v, out);
}

int virt_state_set(const struct virt_ops *ops, struct virt_vcpu *v, const struct virt_state *st,
		   struct why *why)
{
	memcpy(v->gpr, st->gpr, sizeof(v->gpr));
	for (unsigned i = 0; i < REG_COUNT; i++)
		ops->reg_set(v, order[i], st->reg[order[i]]);
	for (enum virt_seg_id id = 0; id < SEG_COUNT; id++)
		ops->seg_set(v, id, &st->seg[id]);
	for (unsigned i = 0; i < VIRT_MSRS; i++) {
		int err = ops->msr_set(v, virt_msr_numbers[i], st->msr[i]);

		if (err == ERR_INVALID || (err && st->msr[i]))
			return why_set(why, ERR_INVALID,
				       "this CPU does not take %#llx for the vCPU's MSR %#x",
				       (unsigned long long)st->msr[i], virt_msr_numbers[i]);
	}
	ops->state_set(v, st);
	return 0;
}
