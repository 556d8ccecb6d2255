#include "hv/virt/reset.h"

#include "hv/base/string.h"
#include "hv/x86/msr.h"

const struct reset_start reset_power_on = {
	.cr0 = CR0_CD | CR0_NW | CR0_ET, .cs = 0xf000, .cs_base = 0xffff0000, .rip = 0xfff0};

struct reset_start reset_startup(uint64_t cr0, uint8_t sipi_vector)
{
	return (struct reset_start){.cr0 = (cr0 & (CR0_CD | CR0_NW)) | CR0_ET,
				    .cs = (uint16_t)(sipi_vector << 8),
				    .cs_base = (uint64_t)sipi_vector << 12};
}

void reset_registers(struct virt_vcpu *v, uint32_t signature)
{
	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[GPR_RDX] = signature;
	v->cr2 = 0;
}

void reset_segments(struct virt_vcpu *v, const struct reset_start *start,
		    void (*seg_set)(struct virt_vcpu *v, enum virt_seg_id id,
				    const struct virt_seg *seg))
{
	static const struct virt_seg data = {
		.limit = 0xffff, .type = 3, .s = true, .present = true};
	static const struct virt_seg tr = {.limit = 0xffff, .type = 11, .present = true};
	static const struct virt_seg ldtr = {.limit = 0xffff, .type = 2, .present = true};
	static const struct virt_seg table = {.limit = 0xffff};
	const struct virt_seg code = {.selector = start->cs,
				      .limit = 0xffff,
				      .base = start->cs_base,
				      .type = 11,
				      .s = true,
				      .present = true};

	for (enum virt_seg_id id = SEG_ES; id <= SEG_GS; id++)
		seg_set(v, id, id == SEG_CS ? &code : &data);
	seg_set(v, SEG_TR, &tr);
	seg_set(v, SEG_LDTR, &ldtr);
	seg_set(v, SEG_GDTR, &table);
	seg_set(v, SEG_IDTR, &table);
}
