#include "hv/base/string.h"
#include "hv/svm/svm_vcpu.h"
#include "hv/x86/msr.h"
#include "hv/x86/pmem.h"

/* One bit per port, and one more page for accesses that go over the end. APM vol. 2, 15.10.1 */
static uint8_t iopm[3 * PAGE_SIZE] ALIGNED(PAGE_SIZE);

/* Two bits per MSR, read then write; three ranges of 8192 MSRs, 2 KiB each. APM vol. 2, 15.11 */
static uint64_t msrpm[2 * PAGE_SIZE / 8] ALIGNED(PAGE_SIZE);

#define RANGE_SIZE 0x2000u
static const uint32_t range_base[] = {0, 0xc0000000u, 0xc0010000u};

static void let_through(uint32_t msr)
{
	for (unsigned i = 0; i < ARRAY_LEN(range_base); i++) {
		unsigned bit = 2 * (i * RANGE_SIZE + msr - range_base[i]);

		if (msr < range_base[i] || msr - range_base[i] >= RANGE_SIZE)
			continue;
		bitmap_clear(msrpm, bit);
		bitmap_clear(msrpm, bit + 1);
		return;
	}
	ASSERT(false);
}

/*
 * What a guest may have without an exit is what VMLOAD and VMSAVE exchange, and what is of no use to the
 * hypervisor. The PAT is not among them: some CPUs would let the guest set the host's.
 */
void svm_maps_init(void)
{
	static const uint32_t free[] = {
		MSR_FS_BASE,      MSR_GS_BASE,      MSR_KERNEL_GS_BASE, MSR_SYSENTER_CS,
		MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR,           MSR_LSTAR,
		MSR_CSTAR,        MSR_SFMASK,
	};

	memset(iopm, 0xff, sizeof(iopm));
	memset(msrpm, 0xff, sizeof(msrpm));
	for (unsigned i = 0; i < ARRAY_LEN(free); i++)
		let_through(free[i]);
	if (svm_caps.rdtscp)
		let_through(MSR_TSC_AUX);
}

hpa_t svm_iopm(void)
{
	return pmem_phys(iopm);
}

hpa_t svm_msrpm(void)
{
	return pmem_phys(msrpm);
}
