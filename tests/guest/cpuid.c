/* CPUID and MSR policy: what is offered works, what is hidden faults as on a CPU without it. */
#include "tests/guest/lib/apic.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define FEATURE_MONITOR BIT32(3) /* leaf 1, ECX */
#define FEATURE_VMX     BIT32(5)
#define FEATURE_XSAVE   BIT32(26)
#define FEATURE_OSXSAVE BIT32(27)
#define FEATURE_HV      BIT32(31)
#define FEATURE_TSC     BIT32(4) /* leaf 1, EDX */
#define FEATURE_MSR     BIT32(5)
#define FEATURE_CX8     BIT32(8)
#define FEATURE_APIC    BIT32(9)
#define FEATURE_CMOV    BIT32(15)

#define KVM_FEATURE_CLOCK     BIT32(0)
#define KVM_FEATURE_CLOCK2    BIT32(3)
#define KVM_FEATURE_PV_UNHALT BIT32(7)

static void test_basic(void)
{
	const uint32_t need = FEATURE_TSC | FEATURE_MSR | FEATURE_CX8 | FEATURE_APIC | FEATURE_CMOV;
	struct cpuid zero = cpuid(0, 0), one = cpuid(1, 0);

	CHECK(zero.a >= 1, "highest leaf %#x", zero.a);
	CHECK((one.d & need) == need, "EDX %#x lacks of %#x", one.d, need);
	CHECK(cpuid(0x80000000, 0).a >= 0x80000001, "highest extended leaf %#x",
	      cpuid(0x80000000, 0).a);
}

struct ids {
	uint32_t leaf1, leaf_b, lapic;
	bool has_leaf_b;
};

static void read_ids(void *arg)
{
	struct ids *out = arg;
	struct cpuid b = cpuid(0xb, 0);

	out->leaf1 = cpuid(1, 0).b >> 24;
	out->lapic = lapic_id();
	out->has_leaf_b = cpuid(0, 0).a >= 0xb && b.b != 0;
	out->leaf_b = b.d;
}

static void test_apic_ids(void)
{
	static struct ids ids[MAX_CPUS];

	smp_start_all(1);
	read_ids(&ids[0]);
	for (unsigned i = 1; i < cpu_count; i++) {
		smp_call(i, read_ids, &ids[i]);
		smp_wait(i, 5000);
	}
	for (unsigned i = 0; i < cpu_count; i++) {
		CHECK(ids[i].lapic == cpu_get(i)->apic_id, "CPU %u: LAPIC id %u, the tables say %u",
		      i, ids[i].lapic, cpu_get(i)->apic_id);
		CHECK_EQ(ids[i].leaf1, ids[i].lapic & 0xff);
		if (ids[i].has_leaf_b)
			CHECK_EQ(ids[i].leaf_b, ids[i].lapic);
	}
}

static void test_policy(void)
{
	struct cpuid one = cpuid(1, 0);

	if (!machine.amalgam)
		test_skip("the policy of this hypervisor only");
	CHECK(!(one.c & FEATURE_VMX), "VMX is visible, ECX %#x", one.c);
	CHECK(!(one.c & FEATURE_MONITOR), "MONITOR is visible, ECX %#x", one.c);
	CHECK(one.c & FEATURE_HV, "hypervisor bit clear, ECX %#x", one.c);
	if (cpuid(0, 0).a >= 0xa)
		CHECK_EQ(cpuid(0xa, 0).a & 0xff, 0);
	if (cpuid(0, 0).a >= 5)
		CHECK_EQ(cpuid(5, 0).a | cpuid(5, 0).b | cpuid(5, 0).c | cpuid(5, 0).d, 0);
}

static void test_kvm_leaves(void)
{
	struct cpuid id = cpuid(0x40000000, 0), features = cpuid(0x40000001, 0);

	if (!machine.amalgam)
		test_skip("the policy of this hypervisor only");
	/* "KVMKVMKVM" and three zero bytes */
	CHECK_EQ(id.b, 0x4b4d564b);
	CHECK_EQ(id.c, 0x564b4d56);
	CHECK_EQ(id.d, 0x0000004d);
	CHECK(id.a >= 0x40000001 && id.a < 0x40000100, "highest leaf %#x", id.a);
	CHECK(features.a & (KVM_FEATURE_CLOCK | KVM_FEATURE_CLOCK2), "no clock, EAX %#x",
	      features.a);
	CHECK(features.a & KVM_FEATURE_PV_UNHALT, "no PV unhalt, EAX %#x", features.a);
}

static void expect_gp(const char *what, uint32_t msr, int vector)
{
	CHECK(vector == VEC_GP && trap_last.error == 0 && trap_last.eip_offset == 0,
	      "%s of MSR %#x: vector %d, error %#x, EIP +%u", what, msr, vector, trap_last.error,
	      trap_last.eip_offset);
}

static void test_unknown_msr(void)
{
	static const uint32_t msrs[] = {0x2, 0x12345678, 0x3fffffff, 0xc0001fff};
	uint64_t v;

	if (machine.tcg || machine.bochs)
		test_skip("this emulator lets unknown MSRs read 0");
	for (unsigned i = 0; i < ARRAY_LEN(msrs); i++) {
		int vector = rdmsr_try(msrs[i], &v);

		expect_gp("read", msrs[i], vector);
		vector = wrmsr_try(msrs[i], 0);
		expect_gp("write", msrs[i], vector);
	}
}

static void test_plain_msrs(void)
{
	/* SYSENTER_CS, _ESP, _EIP hold what is written. */
	for (uint32_t msr = 0x174; msr <= 0x176; msr++) {
		uint64_t old = rdmsr(msr);

		wrmsr(msr, 0x1234 + msr); /* SYSENTER_CS may keep 16 bits only */
		CHECK((uint32_t)rdmsr(msr) == 0x1234 + msr, "MSR %#x reads %#llx", msr, rdmsr(msr));
		wrmsr(msr, old);
	}
	CHECK(rdmsr(MSR_APIC_BASE) & APIC_BASE_BSP, "APIC_BASE %#llx", rdmsr(MSR_APIC_BASE));
	CHECK_EQ(rdmsr(MSR_APIC_BASE) & 0xfffff000, LAPIC_BASE);
}

static void test_pat(void)
{
	const uint32_t pat = 0x277;
	uint64_t old;
	int vector;

	if (!(cpuid(1, 0).d & BIT32(16)))
		test_skip("no PAT");
	old = rdmsr(pat);
	wrmsr(pat, 0x0007010600070106ull);
	CHECK(rdmsr(pat) == 0x0007010600070106ull, "PAT reads %#llx", rdmsr(pat));
	wrmsr(pat, old);
	if (machine.tcg)
		return; /* QEMU takes reserved memory types */
	vector = wrmsr_try(pat, 0x0007010600070102ull);
	expect_gp("write of memory type 2", pat, vector);
}

static void test_efer_reserved(void)
{
	int vector;

	if (!(cpuid(0x80000001, 0).d & (BIT32(20) | BIT32(29))))
		test_skip("no EFER");
	if (machine.tcg)
		test_skip("QEMU ignores reserved bits of EFER");
	vector = wrmsr_try(MSR_EFER, rdmsr(MSR_EFER) | BIT32(9));
	expect_gp("write of a reserved bit", MSR_EFER, vector);
	vector = wrmsr_try(MSR_EFER, rdmsr(MSR_EFER) | 1ull << 32);
	expect_gp("write of a reserved bit", MSR_EFER, vector);
}

static void test_tsc_msr(void)
{
	uint64_t a = rdtsc(), b = rdmsr(0x10), c = rdtsc();

	if (!machine.tcg) /* where the MSR reads 0 */
		CHECK(a <= b && b <= c, "RDTSC %llu, MSR %llu, RDTSC %llu", a, b, c);
	CHECK(a < c, "RDTSC stands still at %llu", a);
}

static int try_cr4(uint32_t v)
{
	return TRY("movl %0, %%cr4", : "r"(v) : "memory");
}

static void test_cr4_reserved(void)
{
	uint32_t old = read_cr4();

	if (machine.tcg)
		test_skip("QEMU hangs in MOV to CR4 with a reserved bit");
	/* Bits 15 and 31 to 26 have no meaning in any processor of 32-bit mode. */
	for (unsigned bit = 15; bit < 32; bit = bit == 15 ? 26 : bit + 1) {
		int vector = try_cr4(old | BIT32(bit));

		CHECK(vector == VEC_GP && trap_last.error == 0, "bit %u: vector %d", bit, vector);
		CHECK(read_cr4() == old, "bit %u: CR4 is now %#x", bit, read_cr4());
		write_cr4(old);
	}
}

static void test_hidden_vmx(void)
{
	static const uint64_t page[512] ALIGNED(4096);
	uint64_t address = (uint32_t)page;
	int vector;

	if (cpuid(1, 0).c & FEATURE_VMX)
		test_skip("this CPU has VMX");
	vector = TRY("vmxon %0", : "m"(address) : "memory");
	CHECK(vector == VEC_UD, "VMXON: vector %d", vector);
	vector = TRY("vmptrld %0", : "m"(address) : "memory");
	CHECK(vector == VEC_UD, "VMPTRLD: vector %d", vector);
	if (machine.tcg)
		return; /* QEMU hangs in MOV to CR4 with a reserved bit */
	vector = try_cr4(read_cr4() | CR4_VMXE);
	CHECK(vector == VEC_GP, "CR4.VMXE: vector %d", vector);
	CHECK(!(read_cr4() & CR4_VMXE), "CR4.VMXE can be set");
}

static void test_hidden_monitor(void)
{
	uint32_t word = 0;
	int vector;

	if (cpuid(1, 0).c & FEATURE_MONITOR)
		test_skip("this CPU has MONITOR");
	vector = TRY("monitor", : "a"(&word), "c"(0), "d"(0) : "memory");
	CHECK(vector == VEC_UD, "MONITOR: vector %d", vector);
	vector = TRY("mwait", : "a"(0), "c"(0) : "memory");
	CHECK(vector == VEC_UD, "MWAIT: vector %d", vector);
}

static void test_hidden_pmu(void)
{
	int vector;

	if (cpuid(0, 0).a >= 0xa && (cpuid(0xa, 0).a & 0xff))
		test_skip("this CPU has performance counters");
	if (machine.tcg)
		test_skip("QEMU's RDPMC is an unimplemented stub");
	vector = TRY("rdpmc", : "c"(0x40000000) : "eax", "edx", "memory");
	CHECK_EQ(vector, VEC_GP);
}

/* At privilege level 3 */
#define USER(name, insn)                                                   \
	static void user_##name(void)                                      \
	{                                                                  \
		asm volatile("xorl %%ecx, %%ecx; xorl %%eax, %%eax\n" insn \
			     :                                             \
			     :                                             \
			     : "eax", "ecx", "edx", "memory");             \
	}

USER(rdmsr, "movl $0x1b, %%ecx; rdmsr")
USER(wrmsr, "movl $0x1b, %%ecx; rdmsr; wrmsr")
USER(hlt, "hlt")
USER(invd, "invd")
USER(wbinvd, "wbinvd")
USER(invlpg, "invlpg (%%eax)")
USER(clts, "clts")
USER(lmsw, "lmsw %%ax")
USER(to_cr0, "movl %%eax, %%cr0")
USER(from_cr4, "movl %%cr4, %%eax")
USER(dr7, "movl %%eax, %%dr7")

/* Whatever a hypervisor intercepts, and whichever the CPU looks at first: #GP(0). */
static void test_privileged(void)
{
	static void (*const cases[])(void) = {
		user_rdmsr, user_wrmsr, user_hlt,    user_invd,     user_wbinvd, user_invlpg,
		user_clts,  user_lmsw,  user_to_cr0, user_from_cr4, user_dr7,
	};

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		int vector = user_run(cases[i], 0);

		CHECK(vector == VEC_GP && trap_last.error == 0, "case %u: vector %d error %#x", i,
		      vector, trap_last.error);
	}
}

static void user_xsetbv(void)
{
	asm volatile("xorl %%ecx, %%ecx; movl $1, %%eax; xorl %%edx, %%edx; .byte 0x0f, 0x01, 0xd1"
		     :
		     :
		     : "eax", "ecx", "edx");
}

/* XCR0 is the kernel's, and there only when the kernel has said that it knows it. */
static void test_xsetbv(void)
{
	uint32_t old = read_cr4();

	if (!(cpuid(1, 0).c & FEATURE_XSAVE))
		test_skip("no XSAVE");
	if (!machine.tcg_cpu) /* which looks at the level first */
		CHECK_EQ(user_run(user_xsetbv, 0), VEC_UD);
	CHECK_EQ(TRY(".byte 0x0f, 0x01, 0xd1", : "a"(1), "c"(0), "d"(0)), VEC_UD);
	write_cr4(old | CR4_OSXSAVE);
	CHECK_EQ(user_run(user_xsetbv, 0), VEC_GP);
	CHECK_EQ(trap_last.error, 0);
	CHECK_EQ(TRY(".byte 0x0f, 0x01, 0xd1", : "a"(0), "c"(0), "d"(0)), VEC_GP);
	CHECK_EQ(TRY(".byte 0x0f, 0x01, 0xd1", : "a"(1), "c"(0), "d"(0)), -1);
	write_cr4(old);
}

static void test_osxsave(void)
{
	uint32_t old = read_cr4(), low, high;
	int vector;

	vector = TRY("xgetbv", "=a"(low), "=d"(high) : "c"(0));
	CHECK(vector == VEC_UD, "XGETBV with OSXSAVE clear: vector %d", vector);
	CHECK(!(cpuid(1, 0).c & FEATURE_OSXSAVE), "OSXSAVE in CPUID before it is set");
	vector = try_cr4(old | CR4_OSXSAVE);
	if (!(cpuid(1, 0).c & FEATURE_XSAVE)) {
		CHECK(vector == VEC_GP, "CR4.OSXSAVE without XSAVE: vector %d", vector);
		return;
	}
	REQUIRE(vector == -1, "CR4.OSXSAVE with XSAVE: vector %d", vector);
	CHECK(cpuid(1, 0).c & FEATURE_OSXSAVE, "OSXSAVE not in CPUID after it is set");
	vector = TRY("xgetbv", "=a"(low), "=d"(high) : "c"(0));
	CHECK(vector == -1 && (low & 1), "XGETBV: vector %d, XCR0 %#x:%#x", vector, high, low);
	write_cr4(old);
	CHECK(!(cpuid(1, 0).c & FEATURE_OSXSAVE), "OSXSAVE stays in CPUID");
}

const struct test guest_tests[] = {
	{"basic", test_basic},
	{"apic-ids", test_apic_ids},
	{"policy", test_policy},
	{"kvm-leaves", test_kvm_leaves},
	{"unknown-msr", test_unknown_msr},
	{"plain-msrs", test_plain_msrs},
	{"pat", test_pat},
	{"efer-reserved", test_efer_reserved},
	{"tsc-msr", test_tsc_msr},
	{"cr4-reserved", test_cr4_reserved},
	{"hidden-vmx", test_hidden_vmx},
	{"hidden-monitor", test_hidden_monitor},
	{"hidden-pmu", test_hidden_pmu},
	{"osxsave", test_osxsave},
	{"xsetbv", test_xsetbv},
	{"privileged", test_privileged},
	{NULL, NULL},
};
