/* Random states that a vCPU can be in, for the tests of images. */
#ifndef TESTS_HOST_STATE_RIG_H
#define TESTS_HOST_STATE_RIG_H

#include <stdint.h>
#include <string.h>

#include "hv/virt/fault.h"
#include "hv/virt/state.h"
#include "hv/x86/msr.h"

/* splitmix64 */
static inline uint64_t rig_random(uint64_t *seed)
{
	uint64_t z = (*seed += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline bool rig_flip(uint64_t *seed)
{
	return rig_random(seed) >> 63;
}

static inline uint64_t rig_address(uint64_t *seed)
{
	return (uint64_t)((int64_t)(rig_random(seed) << 16) >> 16);
}

static inline void rig_fill(uint64_t *seed, void *p, size_t size)
{
	for (uint8_t *byte = p; size--; byte++)
		*byte = (uint8_t)rig_random(seed);
}

static inline void rig_control(uint64_t *seed, uint64_t reg[REG_COUNT])
{
	const uint64_t cr0 = CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_CD;

	reg[REG_CR0] = (rig_random(seed) & cr0) | CR0_ET | (rig_flip(seed) ? CR0_PE : 0);
	if (reg[REG_CR0] & CR0_PE && rig_flip(seed))
		reg[REG_CR0] |= CR0_PG;
	if (reg[REG_CR0] & CR0_CD && rig_flip(seed))
		reg[REG_CR0] |= CR0_NW;
	reg[REG_CR4] = rig_random(seed) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_SMEP);
	reg[REG_EFER] = rig_random(seed) & (EFER_SCE | EFER_NXE | EFER_LME);
	if (reg[REG_EFER] & EFER_LME && reg[REG_CR0] & CR0_PG) {
		reg[REG_EFER] |= EFER_LMA;
		reg[REG_CR4] |= CR4_PAE;
	}
}

static inline void rig_segment(uint64_t *seed, enum virt_seg_id id, struct virt_seg *seg)
{
	*seg = (struct virt_seg){.base = rig_random(seed), .present = true};
	seg->limit = (uint32_t)rig_random(seed) >> (id >= SEG_GDTR ? 16 : 0);
	if (id >= SEG_GDTR)
		return;
	if (id == SEG_FS || id == SEG_GS)
		seg->base = rig_address(seed);
	seg->selector = (uint16_t)rig_random(seed);
	seg->type = rig_random(seed) & 15;
	seg->dpl = rig_random(seed) & 3;
	seg->s = rig_flip(seed);
	seg->avl = rig_flip(seed);
	seg->l = rig_flip(seed);
	seg->db = rig_flip(seed);
	seg->g = rig_flip(seed);
	seg->present = rig_flip(seed);
	seg->unusable = !seg->present;
}

static inline void rig_event(uint64_t *seed, struct virt_state *st)
{
	static const uint8_t vectors[VIRT_QUEUED_KINDS] = {[VIRT_QUEUED_NMI] = VECTOR_NMI,
							   [VIRT_QUEUED_INT1] = VECTOR_DB,
							   [VIRT_QUEUED_INT3] = 3};

	st->queued = (enum virt_queued)(rig_random(seed) % VIRT_QUEUED_KINDS);
	st->vector = vectors[st->queued];
	if (st->queued == VIRT_QUEUED_INTERRUPT || st->queued == VIRT_QUEUED_INT_N)
		st->vector = (uint8_t)rig_random(seed);
	if (st->queued == VIRT_QUEUED_EXCEPTION)
		st->vector = rig_flip(seed) ? VECTOR_PF : VECTOR_UD;
	st->has_code = st->queued == VIRT_QUEUED_EXCEPTION && fault_has_code(st->vector);
	st->code = st->has_code ? (uint32_t)rig_random(seed) : 0;
	st->insn_len = st->queued >= VIRT_QUEUED_INT_N ? 1 + rig_random(seed) % 15 : 0;
	st->half_delivered = st->queued && rig_flip(seed);
	st->shadow = (enum virt_shadow)(rig_random(seed) % VIRT_SHADOWS);
	st->nmi_blocked = st->queued != VIRT_QUEUED_NMI && rig_flip(seed);
	st->shutdown = rig_random(seed) % 8 == 0;
}

static inline void rig_msrs(uint64_t *seed, uint64_t msr[VIRT_MSRS])
{
	for (unsigned i = 0; i < VIRT_MSRS; i++)
		msr[i] = rig_address(seed);
	msr[VIRT_MSR_PAT] = 0x0007040600070406ull ^ (rig_random(seed) & 0x0001000000010000ull);
	msr[VIRT_MSR_SFMASK] = (uint32_t)rig_random(seed);
	msr[VIRT_MSR_SYSENTER_CS] = (uint32_t)rig_random(seed);
	msr[VIRT_MSR_TSC_AUX] = (uint32_t)rig_random(seed);
}

/* One that VT-x can have, in all its fields; AMD-V lacks some kinds. */
static inline void rig_state(uint64_t *seed, struct virt_state *st)
{
	memset(st, 0, sizeof(*st));
	for (unsigned i = 0; i < GPR_COUNT; i++)
		st->gpr[i] = i == GPR_RSP ? 0 : rig_random(seed);
	for (unsigned i = 0; i < REG_COUNT; i++)
		st->reg[i] = rig_random(seed);
	rig_control(seed, st->reg);
	st->reg[REG_RFLAGS] = (st->reg[REG_RFLAGS] & ~RFLAGS_RESERVED) | RFLAGS_FIXED;
	st->reg[REG_DR7] = (uint32_t)st->reg[REG_DR7];
	for (unsigned i = 0; i < SEG_COUNT; i++)
		rig_segment(seed, (enum virt_seg_id)i, &st->seg[i]);
	rig_msrs(seed, st->msr);
	st->dr6 = (uint32_t)rig_random(seed);
	st->pending_debug = rig_random(seed) & VIRT_PENDING_DEBUG;
	rig_event(seed, st);
	st->pdptes_loaded = st->reg[REG_CR0] & CR0_PG && st->reg[REG_CR4] & CR4_PAE &&
			    !(st->reg[REG_EFER] & EFER_LME) && rig_flip(seed);
	for (unsigned i = 0; i < 4 && st->pdptes_loaded; i++)
		st->pdpte[i] = rig_random(seed) & (BITS(47, 12) | 1);
}

/* Where rig_state() has an MSR's value. */
static inline int rig_msr_index(uint32_t msr)
{
	for (int i = 0; i < VIRT_MSRS; i++)
		if (virt_msr_numbers[i] == msr)
			return i;
	return -1;
}

/* Into a vCPU; the test fails when the state is refused. */
static inline void rig_put(const struct virt_ops *ops, struct virt_vcpu *v,
			   const struct virt_state *st)
{
	struct why why = {""};

	if (virt_state_check(st, &why) || virt_state_set(ops, v, st, &why))
		fail_msg("%s", why.text);
}

#endif
