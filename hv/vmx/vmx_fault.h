/* What two events add up to when the second is met while the first is being delivered. */
#ifndef HV_VMX_VMX_FAULT_H
#define HV_VMX_VMX_FAULT_H

#include "hv/base/types.h"

enum vmx_fault_sum {
	FAULT_SECOND,   /* the second alone: it is handled, and the first lost or met again */
	FAULT_DOUBLE,   /* #DF */
	FAULT_SHUTDOWN, /* triple fault */
};

/* Both as interruption information (SDM vol. 3, 25.9.3). SDM vol. 3, tables 6-4 and 6-5 */
enum vmx_fault_sum vmx_fault_sum(uint32_t first, uint32_t second);

#endif
