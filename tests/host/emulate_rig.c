#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hv/core/intr.h"
#include "hv/core/memory.h"
#include "hv/core/vtlb.h"
#include "hv/cpu/cpu_policy.h"
#include "hv/insn/emulate.h"
#include "hv/x86/cpu.h"
#include "tests/host/emulate_rig.h"
#include "tests/host/plat.h"

struct rig_device dev;

static struct fake *cpu;

bool memory_is_ram(const struct vm *vm, gpa_t gpa)
{
	return gpa < RIG_RAM;
}

static uint64_t io_read(struct vcpu *v, uint64_t address, unsigned size, unsigned flags)
{
	uint64_t value = UINT64_MAX;

	if (!(flags & VM_IO_MMIO))
		return dev.port_next++;
	dev.reads++;
	if (address >= RIG_DEV && address + size <= RIG_DEV + 4096) {
		value = 0;
		memcpy(&value, dev.page + (address - RIG_DEV), size);
	}
	return value;
}

static void io_write(struct vcpu *v, uint64_t address, unsigned size, unsigned flags,
		     uint64_t value)
{
	if (!(flags & VM_IO_MMIO)) {
		if (dev.port_len < sizeof(dev.port_log))
			dev.port_log[dev.port_len] = (char)value;
		dev.port_len++;
		return;
	}
	dev.writes++;
	if (address >= RIG_DEV && address + size <= RIG_DEV + 4096)
		memcpy(dev.page + (address - RIG_DEV), &value, size);
}

static const struct vm_io io = {.read = io_read, .write = io_write};

void vm_fail(struct vm *vm, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(dev.failure, sizeof(dev.failure), fmt, ap);
	va_end(ap);
}

void vtlb_invlpg(struct vcpu *v, gva_t gva)
{
	dev.invalidated = gva;
}

uint64_t cpu_policy_cr4_allowed(void)
{
	return RIG_CR4_ALLOWED;
}

struct lapic *intr_lapic(struct vcpu *v)
{
	return &v->lapic;
}

void intr_apply(struct vcpu *v, const struct lapic_actions *actions)
{
	v->recheck |= actions->recheck;
}

void intr_halt(struct vcpu *v)
{
	v->state = VCPU_HALTED;
}

struct fake *rig_reset(void)
{
	host_ram_reset(RIG_RAM);
	memset(&dev, 0, sizeof(dev));
	cpu = fake_virt_reset();
	cpu->vm.io = &io;
	return cpu;
}

void rig_emulate(const char *bytes, unsigned len, const struct vm_exit *exit)
{
	memcpy(host_ram() + RIG_CODE, bytes, len);
	cpu->reg[REG_RIP] = RIG_CODE;
	cpu->injected = false;
	emulate(&cpu->vm.vcpus[0], exit);
}

struct vm_exit rig_port_exit(bool in, unsigned size)
{
	struct vm_exit exit = {.kind = VM_EXIT_IO};

	exit.io.string = true;
	exit.io.in = in;
	exit.io.size = (uint8_t)size;
	exit.io.port = (uint16_t)cpu->vm.vcpus[0].virt.gpr[GPR_RDX];
	return exit;
}
