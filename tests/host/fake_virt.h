/* A vCPU without hardware: registers in arrays, behind struct virt_ops, for tests of hv/core. */
#ifndef TESTS_HOST_FAKE_VIRT_H
#define TESTS_HOST_FAKE_VIRT_H

#include "hv/core/vm.h"

struct fake {
	struct vm vm;
	uint64_t reg[REG_COUNT];
	struct virt_seg seg[SEG_COUNT];
	struct virt_event event;
	bool injected;
	unsigned skips; /* calls of ops->skip */
};

/* A flat 32-bit protected-mode vCPU 0, paging off. The returned object is static and reset each time. */
struct fake *fake_virt_reset(void);

#endif
