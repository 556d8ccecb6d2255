/* The parts of hv/base/plat.h that are the CPU's; guest memory is hv/core's, panic and log are next door. */
#include "hv/base/plat.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/tsc.h"

uint64_t plat_log_ns(void)
{
	return tsc_now_ns();
}

unsigned plat_cpu(void)
{
	return pcpu_this()->index;
}

uint32_t *plat_ranks(void)
{
	return &pcpu_this()->ranks;
}

void plat_relax(void)
{
	cpu_pause();
}
