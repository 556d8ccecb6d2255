/* hv/virt/state.c with hv/vmx/vmx_image.c: a state goes into a VMCS and comes out, nothing is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/test_vmx_fake.h"

#include "hv/vmx/vmx_vcpu.h"
#include "tests/host/state_rig.h"

#define ROUNDS   5000
#define SCRIBBLE 0x5a5a5a5a5a5a5a5aull

struct vmx_caps vmx_caps;
uint64_t fake_vmcs[FAKE_VMCS_FIELDS];
unsigned fake_invvpids, fake_invepts;

static struct virt_vcpu v;
static struct vmx_vcpu x;
static uint64_t dr6, msrs[VIRT_MSRS];

uint64_t vmx_dr6_get(void)
{
	return dr6;
}

void vmx_dr6_set(uint64_t value)
{
	dr6 = value;
}

void vmx_proc_set(struct vmx_vcpu *vcpu, uint32_t bits, bool on)
{
}

/* As a CPU without RDTSCP, on which a vCPU has no TSC_AUX. */
static bool no_tsc_aux;

static int msr_get(struct virt_vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	if (msr == MSR_TSC_AUX && no_tsc_aux)
		return ERR_NOTFOUND;
	*value = msrs[rig_msr_index(msr)];
	return 0;
}

static int msr_set(struct virt_vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (msr == MSR_TSC_AUX && no_tsc_aux)
		return ERR_NOTFOUND;
	if (msr == MSR_LSTAR && !is_sign_extended(value, 48))
		return ERR_INVALID;
	msrs[rig_msr_index(msr)] = value;
	return 0;
}

static const struct virt_ops ops = {
	.reg_get = vmx_reg_get,
	.reg_set = vmx_reg_set,
	.seg_get = vmx_seg_get,
	.seg_set = vmx_seg_set,
	.msr_get = msr_get,
	.msr_set = msr_set,
	.state_get = vmx_state_get,
	.state_set = vmx_state_set,
};

/* Guest-state fields of the VMCS that belong to a vCPU's image: first, last, both by twos. */
static const struct {
	uint16_t first, last;
} guest_fields[] = {
	{VMCS_GUEST_ES_SELECTOR, VMCS_GUEST_ES_SELECTOR + 14},
	{VMCS_GUEST_EFER, VMCS_GUEST_EFER},
	{VMCS_GUEST_ES_LIMIT, VMCS_GUEST_INTERRUPTIBILITY},
	{VMCS_CR0_SHADOW, VMCS_CR4_SHADOW},
	{VMCS_GUEST_CR0, VMCS_GUEST_PENDING_DEBUG},
};

static void scribble(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(guest_fields); i++)
		for (unsigned f = guest_fields[i].first; f <= guest_fields[i].last; f += 2)
			fake_vmcs[f] = SCRIBBLE;
	for (unsigned i = 0; i < 4; i++)
		fake_vmcs[VMCS_GUEST_PDPTE0 + 2 * i] = SCRIBBLE;
	for (unsigned i = 0; i < VIRT_MSRS; i++)
		msrs[i] = SCRIBBLE;
	memset(v.gpr, 0x5a, sizeof(v.gpr));
	memset(&x.event, 0x5a, sizeof(x.event));
	v.cr2 = dr6 = SCRIBBLE;
	x.again = true;
	x.todo = TODO_EVENT | TODO_PDPTES | TODO_SHUTDOWN;
}

static int setup(void **state)
{
	memset(fake_vmcs, 0, sizeof(fake_vmcs));
	memset(&v, 0, sizeof(v));
	x = (struct vmx_vcpu){.virt = &v, .cr4_owned = CR4_VMXE | CR4_PGE};
	v.vendor = &x;
	vmx_caps.phys_bits = 48;
	no_tsc_aux = false;
	scribble();
	return 0;
}

static void no_field_is_forgotten(void **state)
{
	uint64_t seed = 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct virt_state st, again;

		rig_state(&seed, &st);
		rig_put(&ops, &v, &st);
		for (unsigned i = 0; i < ARRAY_LEN(guest_fields); i++)
			for (unsigned f = guest_fields[i].first; f <= guest_fields[i].last; f += 2)
				if (fake_vmcs[f] == SCRIBBLE)
					fail_msg("round %u: field %#x is not set", round, f);
		virt_state_get(&ops, &v, &again);
		assert_memory_equal(&st, &again, sizeof(st));
		scribble();
	}
}

/* What the CPU would be entered with is the same after the way through the state. */
static void the_vmcs_is_the_same(void **state)
{
	static uint64_t before[FAKE_VMCS_FIELDS];
	uint64_t seed = 2;

	for (unsigned round = 0; round < 200; round++) {
		struct virt_state st;
		struct vmx_event event;
		uint8_t todo;

		rig_state(&seed, &st);
		rig_put(&ops, &v, &st);
		memcpy(before, fake_vmcs, sizeof(before));
		todo = x.todo;
		event = x.event;
		virt_state_get(&ops, &v, &st);
		scribble();
		rig_put(&ops, &v, &st);
		/* Pointers that are not loaded are no state. */
		for (unsigned i = 0; i < 4 && !st.pdptes_loaded; i++)
			fake_vmcs[VMCS_GUEST_PDPTE0 + 2 * i] = before[VMCS_GUEST_PDPTE0 + 2 * i];
		assert_memory_equal(before, fake_vmcs, sizeof(before));
		assert_int_equal(todo, x.todo);
		if (todo & TODO_EVENT)
			assert_memory_equal(&event, &x.event, sizeof(event));
	}
}

/* What exits leave behind: half a delivery, an NMI that is half through, a shadow. */
static void half_an_nmi(void **state)
{
	uint64_t seed = 3;
	struct virt_state st;

	rig_state(&seed, &st);
	st.queued = VIRT_QUEUED_NOTHING;
	st.half_delivered = st.has_code = st.shutdown = false;
	st.vector = st.insn_len = 0;
	st.code = 0;
	rig_put(&ops, &v, &st);
	fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKED_BY_NMI;
	vmx_event_keep(&x, INTR_VALID | INTR_TYPE_FIELD(INTR_NMI) | VECTOR_NMI);
	virt_state_get(&ops, &v, &st);
	assert_true(st.half_delivered && st.queued == VIRT_QUEUED_NMI && !st.nmi_blocked);
	scribble();
	rig_put(&ops, &v, &st);
	assert_true(vmx_event_pending(&v));
	vmx_event_load(&x);
	assert_int_equal(fake_vmcs[VMCS_ENTRY_INTR_INFO],
			 INTR_VALID | INTR_TYPE_FIELD(INTR_NMI) | VECTOR_NMI);
	assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY] & BLOCKED_BY_NMI, 0);
}

static void msrs_that_are_not_there(void **state)
{
	struct why why = {""};
	uint64_t seed = 4;
	struct virt_state st;

	rig_state(&seed, &st);
	st.msr[VIRT_MSR_TSC_AUX] = 1;
	no_tsc_aux = true;
	assert_int_equal(virt_state_set(&ops, &v, &st, &why), ERR_INVALID);
	assert_non_null(strstr(why.text, "MSR 0xc0000103"));
	st.msr[VIRT_MSR_TSC_AUX] = 0;
	assert_int_equal(virt_state_set(&ops, &v, &st, &why), 0);
	st.msr[VIRT_MSR_LSTAR] = BIT(50);
	assert_int_equal(virt_state_set(&ops, &v, &st, &why), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_field_is_forgotten, setup),
		cmocka_unit_test_setup(the_vmcs_is_the_same, setup),
		cmocka_unit_test_setup(half_an_nmi, setup),
		cmocka_unit_test_setup(msrs_that_are_not_there, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
