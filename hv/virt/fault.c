#include "hv/virt/fault.h"

#include "hv/base/bits.h"
#include "hv/virt/virt.h"

enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum fault_class class_of(int vector)
{
	switch (vector) {
	case VECTOR_DE:
	case VECTOR_TS:
	case VECTOR_NP:
	case VECTOR_SS:
	case VECTOR_GP:
		return CONTRIBUTORY;
	case VECTOR_PF:
		return PAGE_FAULT;
	case VECTOR_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

enum fault_sum fault_sum(int first, int second)
{
	enum fault_class a = class_of(first), b = class_of(second);

	if (b == BENIGN || a == BENIGN)
		return FAULT_SECOND;
	if (a == DOUBLE_FAULT)
		return FAULT_SHUTDOWN;
	/* A page fault on top of a contributory one is an ordinary page fault; not the other way round. */
	return a == CONTRIBUTORY && b == PAGE_FAULT ? FAULT_SECOND : FAULT_DOUBLE;
}

bool fault_has_code(uint8_t vector)
{
	const uint32_t with =
		(uint32_t)(BIT(VECTOR_DF) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) |
			   BIT(VECTOR_GP) | BIT(VECTOR_PF) | BIT(VECTOR_AC));

	return vector < 32 && with >> vector & 1;
}
