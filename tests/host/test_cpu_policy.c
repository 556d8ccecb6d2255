/* hv/cpu/cpu_policy.c, on this machine's own CPU: what the guest sees alone, and in a cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/cpu/kvm_pv.h"
#include "tests/host/fake_virt.h"

#define EXTENDED_1 0x80000001u

struct cpuid_regs kvm_pv_cpuid(const struct vcpu *v, uint32_t leaf)
{
	return (struct cpuid_regs){leaf, 0, 0, 0};
}

static struct cpuid_regs seen(uint32_t leaf, uint32_t subleaf)
{
	return cpu_policy_cpuid(&fake_virt_reset()->vm.vcpus[0], leaf, subleaf);
}

static void shown(uint32_t words[CPU_WORDS])
{
	struct cpuid_regs l1 = seen(1, 0), l7 = seen(7, 0), e1 = seen(EXTENDED_1, 0);

	words[CPU_1_ECX] = l1.ecx;
	words[CPU_1_EDX] = l1.edx;
	words[CPU_7_EBX] = l7.ebx;
	words[CPU_7_ECX] = l7.ecx;
	words[CPU_7_EDX] = l7.edx;
	words[CPU_EXT1_ECX] = e1.ecx;
	words[CPU_EXT1_EDX] = e1.edx;
}

static void a_cluster_of_equals_sees_what_one_node_sees(void **state)
{
	uint32_t own[CPU_WORDS], alone[CPU_WORDS] = {0}, together[CPU_WORDS] = {0};

	cpu_words(own);
	cpu_policy_init(NULL);
	shown(alone);
	cpu_policy_init(own);
	shown(together);
	assert_memory_equal(alone, together, sizeof(alone));
	assert_true(alone[CPU_1_EDX] & own[CPU_1_EDX]);
}

/* Each feature that the guest sees goes when another node lacks it, and no other one does. */
static void what_one_node_lacks_no_guest_sees(void **state)
{
	uint32_t own[CPU_WORDS], before[CPU_WORDS] = {0};
	unsigned gone = 0;

	cpu_words(own);
	cpu_policy_init(own);
	shown(before);
	for (unsigned bit = 0; bit < CPU_VENDOR * 32; bit++) {
		uint32_t common[CPU_WORDS], after[CPU_WORDS] = {0}, mask = 1u << bit % 32;

		if (!(before[bit / 32] & own[bit / 32] & mask))
			continue;
		memcpy(common, own, sizeof(common));
		common[bit / 32] &= ~mask;
		cpu_policy_init(common);
		shown(after);
		after[bit / 32] |= mask;
		assert_memory_equal(after, before, sizeof(after));
		shown(after);
		/* x2APIC, the deadline timer and OSXSAVE are the hypervisor's own, whatever the CPU has. */
		gone += !(after[bit / 32] & mask);
	}
	assert_true(gone > 20);
}

static void registers_follow_the_features(void **state)
{
	uint32_t common[CPU_WORDS];

	cpu_words(common);
	cpu_policy_init(common);
	assert_true(cpu_policy_cr4_allowed() & CR4_PAE);
	assert_true(cpu_policy_efer_allowed() & EFER_NXE);
	common[CPU_1_EDX] &= ~(uint32_t)BIT(6);
	common[CPU_EXT1_EDX] &= ~(uint32_t)BIT(20);
	common[CPU_1_ECX] &= ~(uint32_t)BIT(28); /* AVX */
	cpu_policy_init(common);
	assert_false(cpu_policy_cr4_allowed() & CR4_PAE);
	assert_false(cpu_policy_efer_allowed() & EFER_NXE);
	assert_false(cpu_policy_xcr0_allowed() & BIT(2));
	assert_int_equal(seen(0xd, 1).eax, 0);
	assert_int_equal(seen(0xd, 0).eax, cpu_policy_xcr0_allowed());
}

/* Leaves that are not the same for each vCPU, in each state and with each subleaf. */
static void some_leaves_are_not_copied(void **state)
{
	const struct cpuid_regs none = {0, 0, 0, 0};
	struct fake *f = fake_virt_reset();
	struct vcpu *v = &f->vm.vcpus[0];
	struct cpuid_regs r;

	cpu_policy_init(NULL);
	v->lapic.config.apic_id = 5;
	f->reg[REG_CR4] = CR4_OSXSAVE;
	r = cpu_policy_cpuid(v, 1, 0);
	assert_int_equal(r.ebx >> 24, 5);
	assert_true(r.ecx & BIT(27));
	f->reg[REG_CR4] = 0;
	assert_false(cpu_policy_cpuid(v, 1, 0).ecx & BIT(27));

	for (uint32_t cache = 0; cache < 4; cache++) { /* a CPU of AMD's has none here */
		r = cpu_policy_cpuid(v, 4, cache);
		assert_int_equal(r.eax, cpuid(4, cache).eax & 0x3fff);
		assert_int_equal(r.ecx, cpuid(4, cache).ecx);
	}
	r = cpu_policy_cpuid(v, 7, 1);
	assert_memory_equal(&r, &none, sizeof(r));

	r = cpu_policy_cpuid(v, 0xb, 1);
	assert_int_equal(r.ecx, 1 | 2 << 8);
	assert_int_equal(r.edx, 5);
	r = cpu_policy_cpuid(v, 0xb, 2);
	assert_int_equal(r.ebx | (r.ecx ^ 2), 0);
	assert_int_equal(r.edx, 5);
}

static void the_vendor_is_one_bit_with_a_name(void **state)
{
	uint32_t words[CPU_WORDS], vendor;
	struct cpuid_regs r = cpuid(0, 0);
	unsigned bit = CPU_VENDOR * 32;
	const char *name;

	cpu_words(words);
	vendor = words[CPU_VENDOR];
	assert_true(vendor && !(vendor & (vendor - 1)));
	while (vendor >>= 1)
		bit++;
	name = cpu_word_name(bit);
	assert_non_null(name);
	assert_int_equal(strcmp(name, "Intel") == 0, r.ebx == 0x756e6547);
	assert_int_equal(strcmp(name, "AMD") == 0, r.ebx == 0x68747541);
	assert_null(cpu_word_name(0));
	assert_null(cpu_word_name(CPU_WORDS * 32 - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cluster_of_equals_sees_what_one_node_sees),
		cmocka_unit_test(what_one_node_lacks_no_guest_sees),
		cmocka_unit_test(registers_follow_the_features),
		cmocka_unit_test(some_leaves_are_not_copied),
		cmocka_unit_test(the_vendor_is_one_bit_with_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
