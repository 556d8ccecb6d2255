#include "hv/x86/xstate.h"

#include "hv/base/assert.h"
#include "hv/base/string.h"
#include "hv/x86/cpu.h"

#define LEAF_XSAVE 0xdu

#define LEGACY_BYTES 512u
#define HEADER_BYTES 64u

/* In the legacy area. SDM vol. 1, table 10-2 */
#define AT_FIP        8u
#define AT_FDP        16u
#define AT_MXCSR      24u
#define AT_MXCSR_MASK 28u

#define MXCSR_MASK_OLD 0xffbfu /* of CPUs that tell none. SDM vol. 1, 11.6.6 */

/* The components behind the header, and where they are in struct xstate. */
static const struct part {
	uint8_t component;
	uint16_t at, size;
} parts[] = {
	{2, offsetof(struct xstate, avx), sizeof(((struct xstate *)0)->avx)},
	{5, offsetof(struct xstate, opmask), sizeof(((struct xstate *)0)->opmask)},
	{6, offsetof(struct xstate, zmm_hi256), sizeof(((struct xstate *)0)->zmm_hi256)},
	{7, offsetof(struct xstate, hi16_zmm), sizeof(((struct xstate *)0)->hi16_zmm)},
};

static struct {
	uint64_t xcr0; /* 0: FXSAVE alone */
	uint32_t mxcsr_mask;
	uint32_t offset[ARRAY_LEN(parts)];
} cpu;

static uint64_t get64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint32_t get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/* EDX:EAX of the four instructions below: the components that the area is about. */
#define COMPONENTS(mask) "a"((uint32_t)(mask)), "d"((uint32_t)((mask) >> 32))

static void save(struct xstate_area *a, bool wide)
{
	if (!cpu.xcr0 && wide)
		__asm__ volatile("fxsave64 %0" : "=m"(a->bytes));
	else if (!cpu.xcr0)
		__asm__ volatile("fxsave %0" : "=m"(a->bytes));
	else if (wide)
		__asm__ volatile("xsave64 %0" : "+m"(a->bytes) : COMPONENTS(cpu.xcr0) : "memory");
	else
		__asm__ volatile("xsave %0" : "+m"(a->bytes) : COMPONENTS(cpu.xcr0) : "memory");
}

static void restore(const struct xstate_area *a)
{
	if (!cpu.xcr0 && a->wide)
		__asm__ volatile("fxrstor64 %0" ::"m"(a->bytes));
	else if (!cpu.xcr0)
		__asm__ volatile("fxrstor %0" ::"m"(a->bytes));
	else if (a->wide)
		__asm__ volatile("xrstor64 %0" ::"m"(a->bytes), COMPONENTS(cpu.xcr0) : "memory");
	else
		__asm__ volatile("xrstor %0" ::"m"(a->bytes), COMPONENTS(cpu.xcr0) : "memory");
}

int xstate_init(uint64_t xcr0, struct why *why)
{
	struct xstate_area a = {.xcr0 = 0};

	ASSERT(!(xcr0 & ~XCR0_KNOWN));
	cpu.xcr0 = 0;
	save(&a, true);
	cpu.mxcsr_mask = get32(a.bytes + AT_MXCSR_MASK);
	if (!cpu.mxcsr_mask)
		cpu.mxcsr_mask = MXCSR_MASK_OLD;
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
		struct cpuid_regs r;

		if (!(xcr0 >> parts[i].component & 1))
			continue;
		r = cpuid(LEAF_XSAVE, parts[i].component);
		if (r.eax != parts[i].size || r.ebx < LEGACY_BYTES + HEADER_BYTES ||
		    r.ebx > XSTATE_AREA_BYTES - parts[i].size)
			return why_set(why, ERR_UNSUPPORTED,
				       "this CPU's XSAVE component %u has %u bytes at offset %u; "
				       "%u bytes below %u were expected",
				       parts[i].component, r.eax, r.ebx, parts[i].size,
				       XSTATE_AREA_BYTES);
		cpu.offset[i] = r.ebx;
	}
	cpu.xcr0 = xcr0;
	return 0;
}

/*
 * Pointers of the FPU have selectors and 32-bit offsets, or 64 bits. Where no upper half would be lost the
 * former are saved, for a 32-bit guest's handler looks at the selectors.
 */
static void save_all(struct xstate_area *a)
{
	save(a, true);
	a->wide = get64(a->bytes + AT_FIP) >> 32 || get64(a->bytes + AT_FDP) >> 32;
	if (!a->wide)
		save(a, false);
	memset(a->bytes + AT_MXCSR_MASK, 0, sizeof(uint32_t)); /* the CPU's, and no state */
}

/* What the guest has in components that it has switched off for now is kept, so all are on meanwhile. */
static void switch_components(uint64_t from, uint64_t to)
{
	if (cpu.xcr0 && from != to)
		xsetbv(0, to);
}

void xstate_save(struct xstate_area *a)
{
	a->xcr0 = cpu.xcr0 ? xgetbv(0) : 0;
	switch_components(a->xcr0, cpu.xcr0);
	save_all(a);
	switch_components(cpu.xcr0, a->xcr0);
}

void xstate_restore(const struct xstate_area *a)
{
	switch_components(cpu.xcr0 ? xgetbv(0) : 0, cpu.xcr0);
	restore(a);
	switch_components(cpu.xcr0, a->xcr0);
}

void xstate_get(struct xstate *out)
{
	struct xstate_area a = {.xcr0 = 0};

	xstate_save(&a);
	memset(out, 0, sizeof(*out));
	out->xcr0 = a.xcr0;
	out->wide = a.wide;
	out->bv = cpu.xcr0 ? get64(a.bytes + LEGACY_BYTES) : XCR0_X87 | XCR0_SSE;
	memcpy(out->legacy, a.bytes, sizeof(out->legacy));
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
		if (out->bv >> parts[i].component & 1)
			memcpy((uint8_t *)out + parts[i].at, a.bytes + cpu.offset[i],
			       parts[i].size);
}

int xstate_check(const struct xstate *x, struct why *why)
{
	uint32_t mxcsr = get32(x->legacy + AT_MXCSR);

	if (mxcsr & ~cpu.mxcsr_mask)
		return why_set(why, ERR_INVALID, "MXCSR is %#x, and this CPU has only bits of %#x",
			       mxcsr, cpu.mxcsr_mask);
	if (cpu.xcr0 ? !xcr0_valid(x->xcr0, cpu.xcr0) : x->xcr0 != 0)
		return why_set(why, ERR_INVALID, "XCR0 is %#llx, and here %#llx is possible",
			       (unsigned long long)x->xcr0, (unsigned long long)cpu.xcr0);
	if (x->bv & ~(cpu.xcr0 ? cpu.xcr0 : XCR0_X87 | XCR0_SSE))
		return why_set(why, ERR_INVALID,
			       "there is state of the components %#llx, and here are %#llx",
			       (unsigned long long)x->bv, (unsigned long long)cpu.xcr0);
	return 0;
}

void xstate_set(const struct xstate *x)
{
	struct xstate_area a = {.xcr0 = x->xcr0, .wide = x->wide};

	memcpy(a.bytes, x->legacy, sizeof(x->legacy));
	memcpy(a.bytes + LEGACY_BYTES, &x->bv, sizeof(x->bv)); /* FXRSTOR does not look there */
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++)
		if (x->bv >> parts[i].component & 1)
			memcpy(a.bytes + cpu.offset[i], (const uint8_t *)x + parts[i].at,
			       parts[i].size);
	xstate_restore(&a);
}
