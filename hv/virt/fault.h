/* What two events add up to when the second is met while the first is being delivered. */
#ifndef HV_VIRT_FAULT_H
#define HV_VIRT_FAULT_H

#include "hv/base/types.h"

enum fault_sum {
	FAULT_SECOND,   /* the second alone: it is handled, and the first lost or met again */
	FAULT_DOUBLE,   /* #DF */
	FAULT_SHUTDOWN, /* triple fault */
};

/* The first event where that was an interrupt, an NMI or an INT n: no vector makes those a fault. */
#define FAULT_NO_EXCEPTION (-1)

/* Both as the exception's vector. SDM vol. 3, tables 6-4 and 6-5; APM vol. 2, 8.2.9 */
enum fault_sum fault_sum(int first, int second);

/* Does the exception push an error code in protected mode? SDM vol. 3, table 6-1; APM vol. 2, table 8-1 */
bool fault_has_code(uint8_t vector);

#endif
