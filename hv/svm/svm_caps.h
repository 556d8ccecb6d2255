/*
 * What this CPU's AMD-V can do, and what of it Amalgam uses. Pure functions over the raw registers, so
 * that every CPU model can be tested on the host. APM vol. 2, 15.4; vol. 3, appendix E.4.9.
 */
#ifndef HV_SVM_SVM_CAPS_H
#define HV_SVM_SVM_CAPS_H

#include "hv/base/err.h"
#include "hv/virt/virt.h"

/* The registers as read; 0 for those this CPU does not have. */
struct svm_raw {
	bool svm;            /* CPUID 80000001h ECX[2] */
	bool rdtscp;         /* CPUID 80000001h EDX[27] */
	uint32_t asids;      /* CPUID 8000000Ah EBX */
	uint32_t features;   /* CPUID 8000000Ah EDX */
	uint64_t vm_cr;      /* MSR VM_CR */
	uint8_t phys_bits;   /* CPUID 80000008h EAX[7:0] */
	uint8_t linear_bits; /* ... [15:8] */
};

struct svm_caps {
	bool next_rip;      /* exits say where the next instruction is */
	bool decode_assist; /* MOV to CRn exits name the register */
	uint8_t asids;      /* 0 included; no more than hv/virt/asid.h has a use for */
	bool flush_asid;    /* TLB_CONTROL can spare other ASIDs */
	bool pause_filter;  /* PAUSE exits only after so many in a row */
	bool rdtscp;
	uint8_t phys_bits, linear_bits;
};

/* ERR_UNSUPPORTED with a sentence that names what is missing, and the remedy. */
int svm_caps_settle(const struct svm_raw *raw, struct svm_caps *caps, struct why *why) MUST_CHECK;

/* Adds a line per requirement and per option to the report. */
void svm_caps_preflight(const struct svm_raw *raw, struct preflight *p);

#endif
