/*
 * Guest RAM on one node: which guest-physical addresses are RAM, which host frame backs each, and the
 * nested page table that shows them to the guest. Frames come on first use.
 */
#ifndef HV_CORE_MEMORY_H
#define HV_CORE_MEMORY_H

#include "hv/core/vm.h"

/* Sets up `bytes` of guest RAM (whole pages), none of it backed yet. */
int memory_init(struct vm *vm, uint64_t bytes, struct why *why) MUST_CHECK;

/* Is this address RAM (as opposed to a hole or a device)? */
bool memory_is_ram(const struct vm *vm, gpa_t gpa);

/*
 * Backs the page of `gpa` and maps it for the guest. ERR_RANGE: not RAM. ERR_NOMEM: the node has no frame
 * left.
 */
int memory_populate(struct vm *vm, gpa_t gpa) MUST_CHECK;

/* The RAM of a node by itself: vm->ram. plat_gmem_acquire() and _release() go through that. */
extern const struct vm_ram memory_alone;

#endif
