#include "hv/base/string.h"
#include "hv/vmx/vmx_bits.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/msr.h"

/* Four 1 KiB bitmaps: reads of low and high MSRs, then writes of low and high MSRs. */
#define HIGH_BASE  0xc0000000u
#define RANGE_SIZE 0x2000u
#define WRITES     (2 * RANGE_SIZE)

static void set(uint64_t *bitmap, unsigned bit, bool exits)
{
	if (exits)
		bitmap_set(bitmap, bit);
	else
		bitmap_clear(bitmap, bit);
}

void vmx_msr_exits(uint64_t *bitmap, uint32_t msr, bool read, bool write)
{
	unsigned bit = msr < RANGE_SIZE ? msr : msr - HIGH_BASE + RANGE_SIZE;

	ASSERT(msr < RANGE_SIZE || (msr >= HIGH_BASE && msr - HIGH_BASE < RANGE_SIZE));
	set(bitmap, bit, read);
	set(bitmap, bit + WRITES, write);
}

/*
 * What a guest may have without an exit is what lives in its VMCS, or in the CPU and is of no use to
 * the hypervisor. The TSC is read with the offset applied; a write has to change the offset.
 */
void vmx_msr_bitmap_init(uint64_t *bitmap)
{
	static const uint32_t free[] = {
		MSR_FS_BASE,     MSR_GS_BASE,      MSR_KERNEL_GS_BASE,
		MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
		MSR_STAR,        MSR_LSTAR,        MSR_CSTAR,
		MSR_SFMASK,      MSR_PAT,
	};

	memset(bitmap, 0xff, PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_LEN(free); i++)
		vmx_msr_exits(bitmap, free[i], false, false);
	vmx_msr_exits(bitmap, MSR_TSC, false, true);
	if (vmx_caps.word[WORD_PROC2] & PROC2_RDTSCP)
		vmx_msr_exits(bitmap, MSR_TSC_AUX, false, false);
}
