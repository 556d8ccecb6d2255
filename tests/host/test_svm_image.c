/* hv/virt/state.c with hv/svm/svm_image.c: a state goes into a VMCB and comes out, nothing is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/svm/svm_vcpu.h"
#include "tests/host/state_rig.h"

#define ROUNDS 5000

struct svm_caps svm_caps;

static struct virt_vcpu v;
static struct svm_vcpu x;
static struct vmcb vmcb;
static struct vmcb_control *const c = &vmcb.control;
static struct vmcb_save *const s = &vmcb.save;
static uint64_t msrs[VIRT_MSRS];

static int msr_get(struct virt_vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	*value = msrs[rig_msr_index(msr)];
	return 0;
}

static int msr_set(struct virt_vcpu *vcpu, uint32_t msr, uint64_t value)
{
	msrs[rig_msr_index(msr)] = value;
	return 0;
}

static const struct virt_ops ops = {
	.reg_get = svm_reg_get,
	.reg_set = svm_reg_set,
	.seg_get = svm_seg_get,
	.seg_set = svm_seg_set,
	.msr_get = msr_get,
	.msr_set = msr_set,
	.state_get = svm_state_get,
	.state_set = svm_state_set,
};

#define SAVED(first, after)                                                          \
	{                                                                            \
		offsetof(struct vmcb_save, first), offsetof(struct vmcb_save, after) \
	}

/* What of the VMCB's save area is the image's. */
static const struct {
	uint16_t first, after;
} saved[] = {
	SAVED(es, gdtr),         SAVED(gdtr.limit, ldtr), SAVED(ldtr, idtr),
	SAVED(idtr.limit, tr),   SAVED(tr, reserveda0),   SAVED(cpl, reservedcc),
	SAVED(efer, reservedd8), SAVED(cr4, reserved180), SAVED(rsp, s_cet),
};

/* As after RESET, and worse. */
static void scribble(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(saved); i++)
		memset((uint8_t *)s + saved[i].first, 0x5a, saved[i].after - saved[i].first);
	memset(msrs, 0x5a, sizeof(msrs));
	memset(v.gpr, 0x5a, sizeof(v.gpr));
	v.cr2 = 0x5a5a;
	x.cr0_cache = CR0_CD | CR0_NW;
	svm_events_reset(&x);
	x.nmi = NMI_BLOCKED;
	c->shadow = SHADOW_ON;
	x.event = UINT64_MAX;
	x.again = true;
	x.todo = TODO_EVENT | TODO_SHUTDOWN;
}

static int setup(void **state)
{
	svm_caps = (struct svm_caps){.phys_bits = 48, .linear_bits = 48};
	memset(&v, 0, sizeof(v));
	memset(&x, 0, sizeof(x));
	memset(&vmcb, 0, sizeof(vmcb));
	x.vmcb = &vmcb;
	x.virt = &v;
	v.vendor = &x;
	svm_intercepts_init(&x);
	scribble();
	return 0;
}

/* What AMD-V has of it: the instruction is executed again, memory has the pointers, a #DB is due at once. */
static void state_here(uint64_t *seed, struct virt_state *st)
{
	rig_state(seed, st);
	st->pending_debug = 0;
	st->shadow = st->shadow ? VIRT_STI_SHADOW : VIRT_NO_SHADOW;
	st->pdptes_loaded = false;
	memset(st->pdpte, 0, sizeof(st->pdpte));
	if (st->queued < VIRT_QUEUED_INT_N)
		return;
	st->queued = VIRT_QUEUED_NOTHING;
	st->half_delivered = false;
	st->vector = st->insn_len = 0;
}

static void no_field_is_forgotten(void **state)
{
	uint64_t seed = 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct virt_state st, again;

		state_here(&seed, &st);
		rig_put(&ops, &v, &st);
		for (unsigned i = 0; i < ARRAY_LEN(saved); i++)
			for (unsigned at = saved[i].first; at + 8 <= saved[i].after; at += 8)
				if (!memcmp((uint8_t *)s + at, "ZZZZZZZZ", 8))
					fail_msg("round %u: the VMCB's save area at %#x is not set",
						 round, at);
		virt_state_get(&ops, &v, &again);
		assert_memory_equal(&st, &again, sizeof(st));
		scribble();
	}
}

static void the_vmcb_is_the_same(void **state)
{
	uint64_t seed = 2;

	for (unsigned round = 0; round < 500; round++) {
		struct vmcb before;
		struct virt_state st;
		struct svm_vcpu was;

		state_here(&seed, &st);
		rig_put(&ops, &v, &st);
		before = vmcb;
		was = x;
		virt_state_get(&ops, &v, &st);
		scribble();
		rig_put(&ops, &v, &st);
		assert_memory_equal(&before, &vmcb, sizeof(before));
		assert_int_equal(was.todo, x.todo);
		assert_int_equal(was.again, x.again);
		assert_int_equal(was.nmi, x.nmi);
		assert_int_equal(was.cr0_cache, x.cr0_cache);
		if (x.todo & TODO_EVENT)
			assert_int_equal(was.event, x.event);
	}
}

/* The guest's own CR3 is the image's, not that of the copies the CPU walks. */
static void copies_of_tables_stay_behind(void **state)
{
	uint64_t seed = 3;
	struct virt_state st, again;

	state_here(&seed, &st);
	rig_put(&ops, &v, &st);
	svm_walk_root(&v, 0x1000);
	virt_state_get(&ops, &v, &again);
	assert_int_equal(again.reg[REG_CR3], st.reg[REG_CR3]);
}

static void nothing_queued(struct virt_state *st)
{
	uint64_t seed = 4;

	state_here(&seed, st);
	st->queued = VIRT_QUEUED_NOTHING;
	st->half_delivered = st->has_code = st->shutdown = st->nmi_blocked = false;
	st->shadow = VIRT_NO_SHADOW;
	st->vector = st->insn_len = 0;
	st->code = 0;
	st->dr6 = DR6_RESET & UINT32_MAX;
	st->reg[REG_RFLAGS] &= ~RFLAGS_TF;
}

/* In the middle of the step over an IRET: neither our TF nor the cleared DR6 is seen, it is stepped again. */
static void a_step_begins_anew(void **state)
{
	struct virt_state st, before;

	nothing_queued(&st);
	st.nmi_blocked = true;
	st.dr6 |= DR6_STEP | 1;
	rig_put(&ops, &v, &st);
	virt_state_get(&ops, &v, &before);
	svm_event_iret(&x);
	assert_true(x.step.on && s->rflags & RFLAGS_TF && !(s->dr6 & DR6_STEP));
	virt_state_get(&ops, &v, &st);
	assert_memory_equal(&before, &st, sizeof(st));
	scribble();
	rig_put(&ops, &v, &st);
	assert_false(x.step.on);
	assert_true(c->intercepts[3] >> (SVM_EXIT_IRET - 0x60) & 1);
	svm_event_iret(&x);
	assert_true(x.step.on && x.step.iret);
}

/* An NMI in mid-delivery blocks others once it is delivered. */
static void half_an_nmi(void **state)
{
	static const struct virt_event nmi = {.kind = EVENT_NMI, .vector = VECTOR_NMI};
	struct virt_state st;

	nothing_queued(&st);
	rig_put(&ops, &v, &st);
	svm_inject(&v, &nmi);
	svm_event_load(&x);
	svm_event_keep(&x, c->event_inject);
	virt_state_get(&ops, &v, &st);
	assert_true(st.half_delivered && st.queued == VIRT_QUEUED_NMI && !st.nmi_blocked);
	scribble();
	rig_put(&ops, &v, &st);
	assert_true(svm_event_pending(&v));
	svm_event_load(&x);
	assert_int_equal(c->event_inject,
			 EVENT_VALID | EVENT_TYPE_FIELD(EVENT_TYPE_NMI) | VECTOR_NMI);
	assert_false(svm_nmi_ready(&v));
	virt_state_get(&ops, &v, &st);
	assert_true(st.nmi_blocked);
}

/* What only VT-x leaves open. */
static void states_of_the_other_vendor(void **state)
{
	struct virt_state st;

	nothing_queued(&st);
	st.queued = VIRT_QUEUED_INT_N;
	st.vector = 0x80;
	st.insn_len = 2;
	st.half_delivered = true;
	rig_put(&ops, &v, &st);
	assert_false(svm_event_pending(&v) || x.todo);
	nothing_queued(&st);
	st.pending_debug = DR6_STEP | BIT(12) | 2;
	scribble();
	rig_put(&ops, &v, &st);
	assert_int_equal(s->dr6, DR6_RESET | DR6_STEP | 2);
	assert_int_equal(x.event, EVENT_VALID | EVENT_TYPE_FIELD(EVENT_TYPE_EXCEPTION) | VECTOR_DB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_field_is_forgotten, setup),
		cmocka_unit_test_setup(the_vmcb_is_the_same, setup),
		cmocka_unit_test_setup(copies_of_tables_stay_behind, setup),
		cmocka_unit_test_setup(a_step_begins_anew, setup),
		cmocka_unit_test_setup(half_an_nmi, setup),
		cmocka_unit_test_setup(states_of_the_other_vendor, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
