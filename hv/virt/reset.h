/*
 * How RESET and INIT leave a CPU, in so far as it is the same in both vendors' control structures. What only
 * one of them has, and what INIT spares, is set in their rooms. SDM vol. 3, table 10-1; APM vol. 2, 14.1.3
 */
#ifndef HV_VIRT_RESET_H
#define HV_VIRT_RESET_H

#include "hv/virt/virt.h"

/* SDM vol. 3, 12.12.4; APM vol. 2, 7.8.2 */
#define RESET_PAT 0x0007040600070406ull

/* Where a CPU begins: what differs between RESET and a start-up after INIT. */
struct reset_start {
	uint64_t cr0;
	uint16_t cs;
	uint64_t cs_base;
	uint64_t rip;
};

extern const struct reset_start reset_power_on;

/* After INIT, by the start-up message; CR0's cache bits stay as they are in `cr0`. */
struct reset_start reset_startup(uint64_t cr0, uint8_t sipi_vector);

/* General registers and CR2; `signature` is CPUID's, leaf 1 EAX, which RDX holds. */
void reset_registers(struct virt_vcpu *v, uint32_t signature);

/* Real mode: segments and tables, by the room's own seg_set. */
void reset_segments(struct virt_vcpu *v, const struct reset_start *start,
		    void (*seg_set)(struct virt_vcpu *v, enum virt_seg_id id,
				    const struct virt_seg *seg));

#endif
