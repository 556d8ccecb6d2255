/* What a CPU lets software write to an MSR; anything else is #GP, in the hypervisor too. */
#ifndef HV_VIRT_MSR_KIND_H
#define HV_VIRT_MSR_KIND_H

#include "hv/base/bits.h"

enum msr_kind { MSR_KIND_ANY, MSR_KIND_ADDRESS, MSR_KIND_LOW_HALF };

static inline bool msr_kind_allows(enum msr_kind kind, uint64_t value, unsigned linear_bits)
{
	switch (kind) {
	case MSR_KIND_ADDRESS:
		return is_sign_extended(value, linear_bits);
	case MSR_KIND_LOW_HALF:
		return !(value >> 32);
	case MSR_KIND_ANY:
		break;
	}
	return true;
}

#endif
