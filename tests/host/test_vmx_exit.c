/* hv/vmx/vmx_exit.c, vmx_event.c and vmx_regs.c: a VMCS as the CPU leaves it, and what becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/test_vmx_fake.h"

#include "hv/virt/vm_exit.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/msr.h"

struct vmx_caps vmx_caps;
uint64_t fake_vmcs[FAKE_VMCS_FIELDS];
unsigned fake_invvpids, fake_invepts;

static uint64_t dr6; /* the CPU's */

uint64_t vmx_dr6_get(void)
{
	return dr6;
}

void vmx_dr6_set(uint64_t value)
{
	dr6 = value;
}

void vmx_proc_set(struct vmx_vcpu *x, uint32_t bits, bool on)
{
	x->proc = on ? x->proc | bits : x->proc & ~bits;
}

static struct virt_vcpu v;
static struct vmx_vcpu x;

/* 32-bit protected mode, interrupts on. */
static int setup(void **state)
{
	memset(fake_vmcs, 0, sizeof(fake_vmcs));
	memset(&v, 0, sizeof(v));
	x = (struct vmx_vcpu){.virt = &v};
	v.vendor = &x;
	dr6 = DR6_RESET;
	fake_vmcs[VMCS_GUEST_CR0] = CR0_PE | CR0_ET | CR0_NE;
	fake_vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_FIXED | RFLAGS_IF;
	fake_vmcs[VMCS_GUEST_DR7] = DR7_RESET;
	return 0;
}

static struct vm_exit leave(uint32_t reason)
{
	struct vm_exit out;

	memset(&out, 0x5a, sizeof(out));
	vmx_exit_decode(&x, reason, &out);
	fake_vmcs[VMCS_VECTORING_INFO] = 0;
	return out;
}

/* An exception exits; `info` without the valid bit. */
static struct vm_exit exception(uint32_t info, uint64_t qualification)
{
	fake_vmcs[VMCS_EXIT_INTR_INFO] = INTR_VALID | info;
	fake_vmcs[VMCS_EXIT_QUALIFICATION] = qualification;
	return leave(REASON_EXCEPTION_OR_NMI);
}

/* What the next entry injects. */
static uint32_t entered(void)
{
	fake_vmcs[VMCS_ENTRY_INTR_INFO] = 0;
	if (x.todo & TODO_EVENT)
		vmx_event_load(&x);
	x.todo = 0;
	return (uint32_t)fake_vmcs[VMCS_ENTRY_INTR_INFO];
}

#define HARD(vector) (INTR_TYPE_FIELD(INTR_EXCEPTION) | (vector))
#define DB           HARD(VECTOR_DB)
#define AC           (HARD(VECTOR_AC) | INTR_HAS_CODE)

/* The exit has left DR6 and DR7 alone; the guest's handler must find them as the CPU would have made them. */
static void debug_exceptions_come_back(void **state)
{
	dr6 = DR6_RESET | DR6_STEP |
	      4; /* an earlier step's, which only software clears; an earlier hit */
	fake_vmcs[VMCS_GUEST_DR7] = DR7_RESET | DR7_GD | 2;
	assert_int_equal(exception(DB, 1).kind, VM_EXIT_REFLECTED);
	assert_int_equal(dr6, DR6_RESET | DR6_STEP | 1);
	assert_int_equal(fake_vmcs[VMCS_GUEST_DR7], DR7_RESET | 2);
	assert_false(vmx_irq_ready(&v) || vmx_nmi_ready(&v));
	assert_int_equal(entered(), INTR_VALID | DB);
	dr6 = DR6_RESET;
	exception(DB, DR6_BD);
	assert_int_equal(dr6, DR6_RESET | DR6_BD);
	entered();
	exception(DB, BIT(12) | BIT(4)); /* bits that are not defined */
	assert_int_equal(dr6, DR6_RESET | DR6_BD);
}

/* INT1 is an instruction: RIP is on it, its length travels with the event, and DR6 says nothing of it. */
static void int1_comes_back(void **state)
{
	dr6 = DR6_RESET | 2;
	fake_vmcs[VMCS_EXIT_INSN_LEN] = 1;
	exception(INTR_TYPE_FIELD(INTR_PRIV_SOFT_EXCEPTION) | VECTOR_DB, 0);
	assert_int_equal(entered(),
			 INTR_VALID | INTR_TYPE_FIELD(INTR_PRIV_SOFT_EXCEPTION) | VECTOR_DB);
	assert_int_equal(fake_vmcs[VMCS_ENTRY_INSN_LEN], 1);
	assert_int_equal(dr6, DR6_RESET | 2);
}

/* With TF and a shadow the entry would want a pending step, which this exit has taken: 27.3.1.5 */
static void step_in_a_shadow_can_be_entered(void **state)
{
	static const uint32_t shadows[] = {BLOCKED_BY_STI, BLOCKED_BY_MOV_SS};

	for (unsigned i = 0; i < ARRAY_LEN(shadows); i++) {
		fake_vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_TF;
		fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY] = shadows[i] | BLOCKED_BY_NMI;
		exception(DB, DR6_STEP);
		assert_int_equal(fake_vmcs[VMCS_GUEST_INTERRUPTIBILITY], BLOCKED_BY_NMI);
		assert_int_equal(fake_vmcs[VMCS_GUEST_PENDING_DEBUG], 0);
		assert_true(dr6 & DR6_STEP);
		assert_int_equal(entered(), INTR_VALID | DB);
	}
}

/* Each one of an endless row of #AC, met while the one before was delivered, leaves the guest. */
static void alignment_checks_come_back(void **state)
{
	fake_vmcs[VMCS_EXIT_INTR_CODE] = 0;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(exception(AC | INTR_IRET_UNBLOCKED_NMI, 0).kind,
				 VM_EXIT_REFLECTED);
		assert_int_equal(entered(), INTR_VALID | AC);
		assert_int_equal(fake_vmcs[VMCS_ENTRY_ERROR_CODE], 0);
		fake_vmcs[VMCS_VECTORING_INFO] = INTR_VALID | AC;
	}
	assert_int_equal(dr6, DR6_RESET);
}

static void other_exceptions_end_the_machine(void **state)
{
	struct vm_exit e = exception(HARD(VECTOR_MC), 0);

	assert_int_equal(e.kind, VM_EXIT_UNKNOWN);
	assert_non_null(strstr(e.detail, "machine check"));
	assert_int_equal(exception(HARD(VECTOR_UD), 0).kind, VM_EXIT_UNKNOWN);
	assert_int_equal(exception(INTR_TYPE_FIELD(INTR_NMI) | VECTOR_NMI, 0).kind,
			 VM_EXIT_HOST_NMI);
}

static const struct virt_event irq = {.kind = EVENT_INTERRUPT, .vector = 0x31};
static const struct virt_event gp = {EVENT_EXCEPTION, VECTOR_GP, true, 0x18};

static void injects(void **state)
{
	assert_true(vmx_irq_ready(&v));
	vmx_inject(&v, &irq);
	assert_false(vmx_irq_ready(&v) || vmx_event_pending(&v));
	assert_int_equal(entered(), INTR_VALID | 0x31);
	assert_int_equal(entered(), 0);
	vmx_inject(&v, &gp);
	assert_int_equal(entered(), INTR_VALID | INTR_HAS_CODE | HARD(VECTOR_GP));
	assert_int_equal(fake_vmcs[VMCS_ENTRY_ERROR_CODE], 0x18);
	fake_vmcs[VMCS_GUEST_CR0] &= ~CR0_PE; /* real mode pushes no code */
	vmx_inject(&v, &gp);
	assert_int_equal(entered(), INTR_VALID | HARD(VECTOR_GP));
}

/* The step after an instruction that was carried out here comes first, and the interrupt after it. */
static void step_before_interrupt(void **state)
{
	fake_vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_TF;
	assert_true(vmx_irq_ready(&v) && vmx_nmi_ready(&v));
	vmx_skip(&v, 2);
	assert_int_equal(fake_vmcs[VMCS_GUEST_PENDING_DEBUG], PENDING_DEBUG_BS);
	assert_false(vmx_irq_ready(&v) || vmx_nmi_ready(&v));
	fake_vmcs[VMCS_GUEST_PENDING_DEBUG] = 0;
	assert_true(vmx_irq_ready(&v) && vmx_nmi_ready(&v));
}

static void faults_add_up(void **state)
{
	fake_vmcs[VMCS_VECTORING_INFO] = INTR_VALID | INTR_HAS_CODE | HARD(VECTOR_TS);
	fake_vmcs[VMCS_VECTORING_ERROR_CODE] = 0x10;
	leave(REASON_EPT_VIOLATION);
	assert_true(vmx_event_pending(&v));
	vmx_inject(&v, &gp);
	assert_int_equal(entered(), INTR_VALID | INTR_HAS_CODE | HARD(VECTOR_DF));
	assert_int_equal(fake_vmcs[VMCS_ENTRY_ERROR_CODE], 0);
	fake_vmcs[VMCS_VECTORING_INFO] = INTR_VALID | 0x31; /* an interrupt is no fault */
	leave(REASON_EPT_VIOLATION);
	vmx_inject(&v, &gp);
	assert_int_equal(INTR_VECTOR(entered()), VECTOR_GP);
	fake_vmcs[VMCS_VECTORING_INFO] = INTR_VALID | INTR_HAS_CODE | HARD(VECTOR_DF);
	leave(REASON_EPT_VIOLATION);
	vmx_inject(&v, &gp);
	assert_true(x.todo & TODO_SHUTDOWN);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(debug_exceptions_come_back),
		T(int1_comes_back),
		T(step_in_a_shadow_can_be_entered),
		T(alignment_checks_come_back),
		T(other_exceptions_end_the_machine),
		T(injects),
		T(step_before_interrupt),
		T(faults_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
