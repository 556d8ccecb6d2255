/* A vCPU without hardware: registers in arrays, behind struct virt_ops, for tests of hv/core. */
#ifndef TESTS_HOST_FAKE_VIRT_H
#define TESTS_HOST_FAKE_VIRT_H

#include "hv/core/vm.h"

#define FAKE_PAGES 64u

struct fake {
	struct vm vm;
	uint64_t reg[REG_COUNT];
	struct virt_seg seg[SEG_COUNT];
	struct virt_event event;
	bool injected;
	unsigned skips; /* calls of ops->skip */
	/* The nested page table: rights to the first pages, all at first; and what was mapped by npt_map. */
	enum npt_perm perm[FAKE_PAGES];
	struct {
		gpa_t gpa;
		hpa_t hpa;
	} mapped[FAKE_PAGES];
	unsigned mapped_count;
	unsigned flushes;
	gpa_t walk_root;
};

/* A flat 32-bit protected-mode vCPU 0, paging off. The returned object is static and reset each time. */
struct fake *fake_virt_reset(void);

#endif
