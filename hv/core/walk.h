/* The guest's own paging, walked in software as the CPU would (SDM vol. 3, ch. 4). */
#ifndef HV_CORE_WALK_H
#define HV_CORE_WALK_H

#include "hv/core/vm.h"

enum walk_access { WALK_READ = 0, WALK_WRITE = 1, WALK_FETCH = 2 };

/* The state that decides how a linear address is translated; read once per emulated instruction. */
struct walk_mode {
	uint64_t cr0, cr3, cr4, efer;
	bool user; /* CPL 3 */
	bool ac;   /* RFLAGS.AC: lets supervisor data accesses pass SMAP */
};

void walk_mode_read(struct vcpu *v, struct walk_mode *mode);

/*
 * Translates `gva` for one access, setting accessed and dirty bits as the walker does. Returns 0, or
 * ERR_INVALID with the #PF to inject in `fault` (CR2 is the caller's to set to gva).
 */
int walk(struct vcpu *v, const struct walk_mode *mode, gva_t gva, enum walk_access access,
	 gpa_t *gpa, struct virt_event *fault) MUST_CHECK;

#endif
