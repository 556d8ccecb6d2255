/* The parts of hv/base/plat.h that are the CPU's; guest memory is hv/core's. None of it logs or locks. */
#include "hv/x86/plat_x86.h"
#include "hv/base/fmt.h"
#include "hv/base/plat.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/tsc.h"

static void (*panic)(const char *text, uintptr_t at, uintptr_t rbp);

void plat_panic_by(void (*fn)(const char *text, uintptr_t at, uintptr_t rbp))
{
	panic = fn;
}

void plat_panic(const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (panic)
		panic(text, (uintptr_t)__builtin_return_address(0),
		      (uintptr_t)__builtin_frame_address(0));
	cpu_halt_forever();
}

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
