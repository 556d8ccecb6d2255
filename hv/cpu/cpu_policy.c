#include "hv/cpu/cpu_policy.h"
#include "hv/base/string.h"
#include "hv/cpu/kvm_pv.h"
#include "hv/x86/cpu.h"
#include "hv/x86/msr.h"
#include "hv/x86/xstate.h"

/*
 * CPUID bits the guest may see when the hardware has them (SDM vol. 2A, CPUID). One row per output
 * register; everything that is in no row reads 0.
 */
#define LEAF1_ECX                                                                                \
	(BIT(0) /* SSE3 */ | BIT(1) /* PCLMULQDQ */ | BIT(9) /* SSSE3 */ | BIT(12) /* FMA */ |   \
	 BIT(13) /* CMPXCHG16B */ | BIT(17) /* PCID */ | BIT(19) /* SSE4.1 */ |                  \
	 BIT(20) /* SSE4.2 */ | BIT(22) /* MOVBE */ | BIT(23) /* POPCNT */ | BIT(25) /* AES */ | \
	 BIT(26) /* XSAVE */ | BIT(28) /* AVX */ | BIT(29) /* F16C */ | BIT(30) /* RDRAND */)
#define LEAF1_EDX                                                                             \
	(BIT(0) /* FPU */ | BIT(1) /* VME */ | BIT(2) /* DE */ | BIT(3) /* PSE */ |           \
	 BIT(4) /* TSC */ | BIT(5) /* MSR */ | BIT(6) /* PAE */ | BIT(7) /* MCE */ |          \
	 BIT(8) /* CX8 */ | BIT(9) /* APIC */ | BIT(11) /* SEP */ | BIT(13) /* PGE */ |       \
	 BIT(14) /* MCA */ | BIT(15) /* CMOV */ | BIT(16) /* PAT */ | BIT(17) /* PSE-36 */ |  \
	 BIT(19) /* CLFLUSH */ | BIT(23) /* MMX */ | BIT(24) /* FXSR */ | BIT(25) /* SSE */ | \
	 BIT(26) /* SSE2 */ | BIT(27) /* SS */)
#define LEAF7_EBX                                                                                 \
	(BIT(0) /* FSGSBASE */ | BIT(3) /* BMI1 */ | BIT(5) /* AVX2 */ | BIT(7) /* SMEP */ |      \
	 BIT(8) /* BMI2 */ | BIT(9) /* ERMS */ | BIT(10) /* INVPCID */ | BIT(16) /* AVX512F */ |  \
	 BIT(17) /* AVX512DQ */ | BIT(18) /* RDSEED */ | BIT(19) /* ADX */ | BIT(20) /* SMAP */ | \
	 BIT(21) /* AVX512IFMA */ | BIT(23) /* CLFLUSHOPT */ | BIT(24) /* CLWB */ |               \
	 BIT(28) /* AVX512CD */ | BIT(29) /* SHA */ | BIT(30) /* AVX512BW */ |                    \
	 BIT(31) /* AVX512VL */)
#define LEAF7_ECX                                                                 \
	(BIT(1) /* AVX512VBMI */ | BIT(2) /* UMIP */ | BIT(6) /* AVX512VBMI2 */ | \
	 BIT(8) /* GFNI */ | BIT(9) /* VAES */ | BIT(10) /* VPCLMULQDQ */ |       \
	 BIT(11) /* AVX512VNNI */ | BIT(12) /* AVX512BITALG */ | BIT(14) /* AVX512VPOPCNTDQ */)
#define LEAF7_EDX (BIT(4) /* FSRM */)
#define EXT1_ECX                                                                 \
	(BIT(0) /* LAHF in 64-bit */ | BIT(5) /* LZCNT */ | BIT(6) /* SSE4A */ | \
	 BIT(8) /* PREFETCHW */)
#define EXT1_EDX                                                                \
	(BIT(11) /* SYSCALL */ | BIT(20) /* NX */ | BIT(26) /* 1 GiB pages */ | \
	 BIT(27) /* RDTSCP */ | BIT(29) /* long mode */)
#define EXT7_EDX BIT(8) /* invariant TSC */

#define LEAF1_EDX_APIC         BIT(9)
#define LEAF1_ECX_X2APIC       BIT(21)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_OSXSAVE      BIT(27)
#define LEAF1_ECX_HYPERVISOR   BIT(31)

#define LEAF1_ECX_AVX BIT(28)

#define BASIC_LEAVES    0x20u
#define EXTENDED_BASE   0x80000000u
#define EXTENDED_LEAVES 9u

static struct {
	struct cpuid_regs basic[BASIC_LEAVES];
	struct cpuid_regs extended[EXTENDED_LEAVES];
	uint32_t basic_max;
	uint64_t cr4, xcr0, efer;
	bool shared; /* the vCPUs are on several nodes */
} policy;

/* CR4 bits that come with a feature (SDM vol. 3, 2.5). */
static uint64_t cr4_from_features(void)
{
	const struct cpuid_regs *l1 = &policy.basic[1], *l7 = &policy.basic[7];
	uint64_t bits = 0;

	// clang-format off
	const struct { bool have; uint64_t bit; } rows[] = {
		{l1->edx & BIT(1),  CR4_VME | CR4_PVI},
		{l1->edx & BIT(4),  CR4_TSD},
		{l1->edx & BIT(2),  CR4_DE},
		{l1->edx & BIT(3),  CR4_PSE},
		{l1->edx & BIT(6),  CR4_PAE},
		{l1->edx & BIT(7),  CR4_MCE},
		{l1->edx & BIT(13), CR4_PGE},
		{true,              CR4_PCE},
		{l1->edx & BIT(24), CR4_OSFXSR},
		{l1->edx & BIT(25), CR4_OSXMMEXCPT},
		{l7->ecx & BIT(2),  CR4_UMIP},
		{l7->ebx & BIT(0),  CR4_FSGSBASE},
		{l1->ecx & BIT(17), CR4_PCIDE},
		{l1->ecx & BIT(26), CR4_OSXSAVE},
		{l7->ebx & BIT(7),  CR4_SMEP},
		{l7->ebx & BIT(20), CR4_SMAP},
	};
	// clang-format on
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].have)
			bits |= rows[i].bit;
	return bits;
}

static void init_xcr0(void)
{
	struct cpuid_regs *l1 = &policy.basic[1], *l7 = &policy.basic[7];
	struct cpuid_regs xsave = cpuid(0xd, 0);

	policy.xcr0 = 0;
	if (!(l1->ecx & BIT(26)))
		return;
	policy.xcr0 = xsave.eax & (XCR0_X87 | XCR0_SSE);
	if (l1->ecx & LEAF1_ECX_AVX)
		policy.xcr0 |= xsave.eax & XCR0_AVX;
	if ((xsave.eax & XCR0_AVX512) == XCR0_AVX512 && l7->ebx & BIT(16))
		policy.xcr0 |= XCR0_AVX512;
}

/* Each vCPU is a package of its own: any other claim about siblings is wrong on some node. */
static void init_topology(void)
{
	policy.basic[4] = cpuid(4, 0);
	policy.basic[0xb] = (struct cpuid_regs){0, 1, 1 << 8, 0};
}

/* Software looks at its boot CPU and uses what that has on all; so all have the same. */
static void init_features(const uint32_t common[CPU_WORDS])
{
	uint32_t words[CPU_WORDS];

	cpu_words(words);
	for (unsigned i = 0; common && i < CPU_WORDS; i++)
		words[i] &= common[i];
	policy.basic[1].ecx =
		(words[CPU_1_ECX] & (uint32_t)LEAF1_ECX) |
		(uint32_t)(LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE | LEAF1_ECX_HYPERVISOR);
	policy.basic[1].edx = words[CPU_1_EDX] & (uint32_t)LEAF1_EDX;
	policy.basic[7].ebx = words[CPU_7_EBX] & (uint32_t)LEAF7_EBX;
	policy.basic[7].ecx = words[CPU_7_ECX] & (uint32_t)LEAF7_ECX;
	policy.basic[7].edx = words[CPU_7_EDX] & (uint32_t)LEAF7_EDX;
	policy.extended[1].ecx = words[CPU_EXT1_ECX] & (uint32_t)EXT1_ECX;
	policy.extended[1].edx = words[CPU_EXT1_EDX] & (uint32_t)EXT1_EDX;
}

void cpu_policy_init(const uint32_t common[CPU_WORDS])
{
	struct cpuid_regs r0 = cpuid(0, 0), e0 = cpuid(EXTENDED_BASE, 0);

	memset(&policy, 0, sizeof(policy));
	policy.shared = common;
	policy.basic_max = MIN(r0.eax, 0x16u);
	policy.basic[0] = r0;
	policy.basic[0].eax = policy.basic_max;

	struct cpuid_regs r = cpuid(1, 0);

	policy.basic[1].eax = r.eax;
	policy.basic[1].ebx = (r.ebx & 0xff00) | 1u << 16; /* CLFLUSH size; one logical CPU */
	if (policy.basic_max >= 2)
		policy.basic[2] = cpuid(2, 0);
	init_features(common);
	init_topology();
	init_xcr0();
	if (policy.basic_max >= 6)
		policy.basic[6].eax = cpuid(6, 0).eax & BIT(2); /* ARAT: the timer never stops */

	policy.extended[0] = e0;
	policy.extended[0].eax = MIN(e0.eax, EXTENDED_BASE + EXTENDED_LEAVES - 1);
	policy.extended[1].eax = cpuid(EXTENDED_BASE + 1, 0).eax;
	for (uint32_t i = 2; i <= 6; i++)
		if (e0.eax >= EXTENDED_BASE + i)
			policy.extended[i] = cpuid(EXTENDED_BASE + i, 0);
	if (e0.eax >= EXTENDED_BASE + 7)
		policy.extended[7].edx = cpuid(EXTENDED_BASE + 7, 0).edx & (uint32_t)EXT7_EDX;
	if (e0.eax >= EXTENDED_BASE + 8)
		policy.extended[8].eax = cpuid(EXTENDED_BASE + 8, 0).eax & 0xffff;

	policy.cr4 = cr4_from_features();
	policy.efer = 0;
	if (policy.extended[1].edx & BIT(11))
		policy.efer |= EFER_SCE;
	if (policy.extended[1].edx & BIT(20))
		policy.efer |= EFER_NXE;
	if (policy.extended[1].edx & BIT(29))
		policy.efer |= EFER_LME | EFER_LMA;
}

uint64_t cpu_policy_cr4_allowed(void)
{
	return policy.cr4;
}

uint64_t cpu_policy_xcr0_allowed(void)
{
	return policy.xcr0;
}

uint64_t cpu_policy_efer_allowed(void)
{
	return policy.efer;
}

/* Leaf 0xD: the hardware computes sizes from XCR0, which is the guest's own while it runs. */
static struct cpuid_regs cpuid_xsave(uint32_t subleaf)
{
	struct cpuid_regs r = {0, 0, 0, 0};

	if (!policy.xcr0)
		return r;
	if (subleaf == 0) {
		r = cpuid(0xd, 0);
		r.eax = (uint32_t)policy.xcr0;
		r.ecx = 0;
		for (unsigned i = 2; i < 63; i++) {
			struct cpuid_regs s;

			if (!(policy.xcr0 & BIT(i)))
				continue;
			s = cpuid(0xd, i);
			r.ecx = MAX(r.ecx, s.ebx + s.eax);
		}
		r.ecx = MAX(r.ecx, 576u); /* legacy area and header, SDM vol. 1, 13.4 */
		r.edx = 0;
	} else if (subleaf == 1) {
		/* XSAVEOPT, XGETBV(1): not among what nodes tell each other. */
		if (!policy.shared)
			r.eax = cpuid(0xd, 1).eax & (uint32_t)(BIT(0) | BIT(2));
	} else if (subleaf < 63 && policy.xcr0 & BIT(subleaf)) {
		r = cpuid(0xd, subleaf);
	}
	return r;
}

/* The leaves that hang on the subleaf, or on the vCPU and its state: each has its case below. */
#define VARYING_LEAVES (BIT(1) | BIT(4) | BIT(7) | BIT(0xb) | BIT(0xd))
STATIC_ASSERT(BASIC_LEAVES <= 64, "a bit for each");

static struct cpuid_regs cpuid_varying(struct vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r = policy.basic[leaf];

	switch (leaf) {
	case 1:
		r.ebx |= v->lapic.config.apic_id << 24;
		if (lapic_mode(&v->lapic) == APIC_OFF) /* SDM vol. 3, 11.4.3 */
			r.edx &= ~(uint32_t)LEAF1_EDX_APIC;
		if (v->vm->ops->reg_get(&v->virt, REG_CR4) & CR4_OSXSAVE)
			r.ecx |= (uint32_t)LEAF1_ECX_OSXSAVE;
		break;
	case 4:
		r = cpuid(4, subleaf);
		r.eax &= ~(uint32_t)BITS(31, 14); /* one core, no sharing */
		break;
	case 7:
		if (subleaf)
			r = (struct cpuid_regs){0, 0, 0, 0};
		break;
	case 0xb:
		if (subleaf > 1)
			r = (struct cpuid_regs){0, 0, 0, 0};
		else
			r.ecx = subleaf | (subleaf + 1) << 8; /* level type: SMT, then core */
		r.ecx |= subleaf & 0xff;
		r.edx = v->lapic.config.apic_id;
		break;
	case 0xd:
		r = cpuid_xsave(subleaf);
		break;
	default:
		break;
	}
	return r;
}

static struct cpuid_regs cpuid_basic(struct vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	return VARYING_LEAVES >> leaf & 1 ? cpuid_varying(v, leaf, subleaf) : policy.basic[leaf];
}

struct cpuid_regs cpu_policy_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	if (leaf <= policy.basic_max)
		return cpuid_basic(v, leaf, subleaf);
	if (leaf >= EXTENDED_BASE && leaf <= policy.extended[0].eax)
		return policy.extended[leaf - EXTENDED_BASE];
	if (leaf >= KVM_CPUID_BASE && leaf < KVM_CPUID_BASE + 0x100)
		return kvm_pv_cpuid(v, leaf);
	/* Out of range: the data of the highest basic leaf (SDM vol. 2A, CPUID, "Input EAX exceeds"). */
	return cpuid_basic(v, policy.basic_max, subleaf);
}
