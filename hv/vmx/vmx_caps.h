/*
 * What this CPU's VT-x can do, and which control settings Amalgam uses of it. Pure functions over the
 * raw capability registers, so that every CPU model can be tested on the host. SDM vol. 3, appendix A.
 */
#ifndef HV_VMX_VMX_CAPS_H
#define HV_VMX_VMX_CAPS_H

#include "hv/base/err.h"
#include "hv/virt/virt.h"
#include "hv/vmx/vmx_bits.h"

/* The five control words of a VMCS. */
enum vmx_word { WORD_PIN, WORD_PROC, WORD_PROC2, WORD_EXIT, WORD_ENTRY, WORD_COUNT };

/* The registers as read; 0 for those this CPU does not have. */
struct vmx_raw {
	bool vmx;                  /* CPUID.1:ECX[5] */
	bool hypervisor;           /* CPUID.1:ECX[31] */
	uint64_t feature_control;  /* IA32_FEATURE_CONTROL */
	uint64_t basic;            /* IA32_VMX_BASIC, A.1 */
	uint64_t word[WORD_COUNT]; /* the "true" registers where there are any; A.2 to A.5 */
	uint64_t misc;             /* A.6 */
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1; /* A.7, A.8 */
	uint64_t ept_vpid;                                       /* A.10 */
	uint8_t phys_bits;                                       /* CPUID.80000008H:EAX[7:0] */
	uint8_t linear_bits;                                     /* ... [15:8] */
};

struct vmx_caps {
	uint32_t revision;         /* first word of every VMXON region and VMCS */
	uint32_t word[WORD_COUNT]; /* settings to begin with */
	uint32_t may[WORD_COUNT];  /* bits that can be 1 */
	bool closed_guest_deaf; /* host interrupts may not end a stay entered with RFLAGS.IF = 0 */
	uint8_t timer_shift;    /* the preemption timer ticks once per 2^shift TSC ticks */
	uint32_t activity_states; /* bit n: activity state n is supported */
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint64_t ept_vpid;
	uint8_t phys_bits, linear_bits;
};

/* True when bit(s) of a control word can be set to 1 on this CPU. */
static inline bool vmx_caps_may(const struct vmx_caps *c, enum vmx_word word, uint32_t bits)
{
	return (c->may[word] & bits) == bits;
}

/*
 * Settles the control words. ERR_UNSUPPORTED with a sentence that names the first control, or other
 * ability, that is needed and not there.
 */
int vmx_caps_settle(const struct vmx_raw *raw, struct vmx_caps *caps, struct why *why) MUST_CHECK;

/* Adds a line per requirement and per option to the report. */
void vmx_caps_preflight(const struct vmx_raw *raw, struct preflight *p);

/* What can be offered for the virtual APIC and the rest. */
void vmx_caps_features(const struct vmx_caps *caps, struct virt_features *out);

#endif
