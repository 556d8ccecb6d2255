#include "hv/cpu/cpu_words.h"

#include "hv/base/string.h"
#include "hv/x86/cpu.h"

/* CPUID 0 has them in EBX, EDX, ECX. Row n is bit n; the last stands for all others. */
static const struct {
	char id[13];
	const char *name;
} vendors[] = {{"GenuineIntel", "Intel"},
	       {"AuthenticAMD", "AMD"},
	       {"HygonGenuine", "Hygon"},
	       {"  Shanghai  ", "Zhaoxin"},
	       {"", "another vendor"}};

static uint32_t vendor_bit(void)
{
	struct cpuid_regs r = cpuid(0, 0);
	const uint32_t id[3] = {r.ebx, r.edx, r.ecx};
	unsigned i = 0;

	while (i < ARRAY_LEN(vendors) - 1 && memcmp(vendors[i].id, id, sizeof(id)) != 0)
		i++;
	return 1u << i;
}

void cpu_words(uint32_t words[CPU_WORDS])
{
	struct cpuid_regs l1 = cpuid(1, 0), l7 = {0}, e1 = {0};

	if (cpuid_has(7))
		l7 = cpuid(7, 0);
	if (cpuid_has(0x80000001u))
		e1 = cpuid(0x80000001u, 0);
	words[CPU_1_ECX] = l1.ecx;
	words[CPU_1_EDX] = l1.edx;
	words[CPU_7_EBX] = l7.ebx;
	words[CPU_7_ECX] = l7.ecx;
	words[CPU_7_EDX] = l7.edx;
	words[CPU_EXT1_ECX] = e1.ecx;
	words[CPU_EXT1_EDX] = e1.edx;
	words[CPU_VENDOR] = vendor_bit();
}

const char *cpu_word_name(unsigned bit)
{
	unsigned vendor = bit - CPU_VENDOR * 32;

	return bit >= CPU_VENDOR * 32 && vendor < ARRAY_LEN(vendors) ? vendors[vendor].name : NULL;
}
