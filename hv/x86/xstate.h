/*
 * The guest's FPU and vector state, which stays in the CPU's registers while the hypervisor runs. Here it
 * comes out of them and goes back, each component in a place of its own: where CPUs put them in an XSAVE
 * area differs from model to model (CPUID leaf 0xD). SDM vol. 1, 13.4 to 13.8
 */
#ifndef HV_X86_XSTATE_H
#define HV_X86_XSTATE_H

#include "hv/base/bits.h"
#include "hv/base/err.h"

/* State components, as in XCR0. SDM vol. 1, 13.1 */
#define XCR0_X87       BIT(0)
#define XCR0_SSE       BIT(1)
#define XCR0_AVX       BIT(2)
#define XCR0_OPMASK    BIT(5)
#define XCR0_ZMM_HI256 BIT(6)
#define XCR0_HI16_ZMM  BIT(7)
#define XCR0_AVX512    BITS(7, 5)
#define XCR0_KNOWN     (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)

struct xstate {
	uint64_t xcr0; /* 0: a CPU, or a guest, without XSAVE */
	uint64_t bv;   /* components that are not as after INIT: XSTATE_BV */
	bool wide;     /* `legacy` has 64-bit FPU pointers in place of selectors and offsets */
	uint8_t legacy[512];
	uint8_t avx[256];
	uint8_t opmask[64];
	uint8_t zmm_hi256[512];
	uint8_t hi16_zmm[1024];
};

/* The standard format up to AVX-512, the largest a guest is shown, has 2688 bytes. SDM vol. 1, 13.4 */
#define XSTATE_AREA_BYTES 2816u

/* The same as the calling CPU lays it out: quick, and of use on CPUs of that model alone. Begins as zeros. */
struct xstate_area {
	uint8_t bytes[XSTATE_AREA_BYTES];
	uint64_t xcr0; /* as above */
	bool wide;
} ALIGNED(64);

/*
 * Once per node: `xcr0` is what guests may set in XCR0, 0 when they have no XSAVE. ERR_UNSUPPORTED for a CPU
 * whose area is larger than any known one.
 */
int xstate_init(uint64_t xcr0, struct why *why) MUST_CHECK;

/* The calling CPU's state, those components too that XCR0 has switched off; and back. */
void xstate_save(struct xstate_area *area);
void xstate_restore(const struct xstate_area *area);

/* The same in places of their own. */
void xstate_get(struct xstate *out);

/* ERR_INVALID with a sentence when the calling CPU would refuse the state with #GP. */
int xstate_check(const struct xstate *x, struct why *why) MUST_CHECK;

/* Puts a checked state into the calling CPU. */
void xstate_set(const struct xstate *x);

/* May XCR0 be this, of the bits in `allowed`? SDM vol. 1, 13.3 */
static inline bool xcr0_valid(uint64_t value, uint64_t allowed)
{
	if (!(value & XCR0_X87) || value & ~allowed)
		return false;
	if (value & XCR0_AVX && !(value & XCR0_SSE))
		return false;
	return !(value & XCR0_AVX512) || ((value & XCR0_AVX512) == XCR0_AVX512 && value & XCR0_AVX);
}

#endif
