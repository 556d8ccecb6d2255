/*
 * hv/core/exits.c on a CPU that does not tell instructions' lengths: nothing is done about an exit unless
 * the instruction that is there now is one that it can come from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/core/vcpu.h"
#include "hv/core/vtlb.h"
#include "hv/cpu/cpu_policy.h"
#include "hv/cpu/kvm_pv.h"
#include "hv/x86/cpu.h"
#include "hv/x86/msr.h"
#include "tests/host/emulate_rig.h"
#include "tests/host/plat.h"

static struct fake *f;
static struct vcpu *v;
static unsigned msr_writes, hypercalls;

struct cpuid_regs cpu_policy_cpuid(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	return (struct cpuid_regs){leaf + 1, 2, 3, 4};
}

uint64_t cpu_policy_xcr0_allowed(void)
{
	return 7;
}

int vcpu_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	*value = 0x1122334455667788;
	return 0;
}

int vcpu_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	msr_writes++;
	return 0;
}

void kvm_pv_hypercall(struct vcpu *vcpu)
{
	hypercalls++;
}

void vtlb_page_fault(struct vcpu *vcpu, gva_t gva, uint32_t code)
{
}

bool vtlb_walk_fault(struct vcpu *vcpu, gpa_t gpa)
{
	return false;
}

void vm_stop(struct vm *vm, enum vm_stop how)
{
}

uint64_t vm_guest_tsc(const struct vm *vm)
{
	return 0;
}

static int setup(void **state)
{
	f = rig_reset();
	v = &f->vm.vcpus[0];
	v->state = VCPU_RUNNING;
	v->cpu = &f->vm.cpus[0];
	v->cpu->count = 1;
	f->seg[SEG_SS].dpl = 3;
	msr_writes = hypercalls = 0;
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(host_ram_held(), 0);
	host_ram_reset(0);
	return 0;
}

/* Exits so at RIG_CODE, where these bytes are by then. */
static void leave(enum vm_exit_kind kind, uint8_t insn_len, const char *bytes)
{
	struct vm_exit exit = {.kind = kind, .insn_len = insn_len};

	memcpy(host_ram() + RIG_CODE, bytes, strlen(bytes));
	f->reg[REG_RIP] = RIG_CODE;
	f->injected = false;
	vcpu_exit(v, &exit);
	assert_string_equal(dev.failure, "");
}

static void the_instruction_is_there(void **state)
{
	leave(VM_EXIT_CPUID, 0, "\x0f\xa2");
	assert_int_equal(f->reg[REG_RIP], RIG_CODE + 2);
	assert_int_equal(v->virt.gpr[GPR_RBX], 2);
	leave(VM_EXIT_PAUSE, 0, "\xf3\x90");
	assert_int_equal(f->reg[REG_RIP], RIG_CODE + 2);
	leave(VM_EXIT_MSR_READ, 0, "\x0f\x32");
	assert_int_equal(v->virt.gpr[GPR_RDX], 0x11223344);
	leave(VM_EXIT_HYPERCALL, 0, "\x0f\x01\xd9");
	assert_int_equal(f->reg[REG_RIP], RIG_CODE + 3);
	leave(VM_EXIT_HLT, 0, "\xf4");
	assert_int_equal(v->state, VCPU_HALTED);
	/* Told by the CPU: no byte is looked at. */
	leave(VM_EXIT_CPUID, 3, "\x06");
	assert_int_equal(f->reg[REG_RIP], RIG_CODE + 3);
	assert_int_equal(hypercalls, 1);
}

/* A CPU that leaves at PAUSE has a use for that where others of its vCPUs wait for a turn. */
static void who_spins_gives_way(void **state)
{
	leave(VM_EXIT_PAUSE, 0, "\xf3\x90");
	assert_false(v->cpu->sched.gives_way || v->recheck);
	v->cpu->count = 2;
	leave(VM_EXIT_PAUSE, 0, "\xf3\x90");
	assert_true(v->cpu->sched.gives_way && v->recheck);
}

/* Neither another instruction nor bytes that are none get what was meant for the one that exited. */
static void it_is_there_no_more(void **state)
{
	static const struct {
		enum vm_exit_kind kind;
		const char *bytes;
		bool undefined;
	} cases[] = {
		{VM_EXIT_CPUID, "\x90", false},         {VM_EXIT_CPUID, "\x0f\x04", true},
		{VM_EXIT_PAUSE, "\x0f\xa2", false},     {VM_EXIT_PAUSE, "\xf0\xf4", true},
		{VM_EXIT_HLT, "\x0f\xa2", false},       {VM_EXIT_HLT, "\x0f\x04", true},
		{VM_EXIT_MSR_WRITE, "\x0f\x32", false}, {VM_EXIT_MSR_READ, "\x0f\x30", false},
		{VM_EXIT_HYPERCALL, "\x90", false},     {VM_EXIT_CACHE, "\x90", false},
		{VM_EXIT_XSETBV, "\x0f\x04", true},
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t gpr[GPR_COUNT];

		memcpy(gpr, v->virt.gpr, sizeof(gpr));
		v->changed = 0;
		leave(cases[i].kind, 0, cases[i].bytes);
		assert_int_equal(f->injected, cases[i].undefined);
		if (f->injected)
			assert_int_equal(f->event.vector, VECTOR_UD);
		assert_int_equal(f->reg[REG_RIP], RIG_CODE);
		assert_memory_equal(v->virt.gpr, gpr, sizeof(gpr));
		assert_int_equal(v->state, VCPU_RUNNING);
	}
	assert_int_equal(msr_writes + hypercalls + f->skips, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_instruction_is_there),
		T(who_spins_gives_way),
		T(it_is_there_no_more),
	};

	return cmocka_run_group_tests_name("exits", tests, NULL, NULL);
}
