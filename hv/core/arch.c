#include "hv/core/arch.h"
#include "hv/core/vm.h"
#include "hv/x86/cpu.h"
#include "hv/x86/irq.h"
#include "hv/x86/hostapic.h"

struct vm_cpu *arch_cpu(void)
{
	return pcpu_this()->core;
}

uint64_t arch_tsc(void)
{
	return rdtsc();
}

void arch_kick(const struct vm_cpu *c)
{
	if (c->pcpu)
		hostapic_ipi(c->pcpu->apic_id, IRQ_KICK);
}

void arch_timer_arm(uint64_t tsc)
{
	hostapic_timer_arm(tsc);
}

void arch_idle(void)
{
	cpu_idle();
}
