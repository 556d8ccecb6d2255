#include "hv/core/vm.h"
#include "hv/base/fmt.h"
#include "hv/core/intr.h"
#include "hv/x86/cpu.h"
#include "hv/x86/tsc.h"

void vm_stop(struct vm *vm, enum vm_stop how)
{
	unsigned running = VM_RUNNING;

	if (atomic_compare_exchange_strong(&vm->stop, &running, how))
		intr_kick_all(vm);
}

void vm_fail(struct vm *vm, const char *fmt, ...)
{
	bool first;
	va_list ap;

	spin_lock(&vm->stop_lock);
	first = atomic_load(&vm->stop) == VM_RUNNING && !vm->stop_why.text[0];
	if (first) {
		va_start(ap, fmt);
		fmt_vprint(vm->stop_why.text, sizeof(vm->stop_why.text), fmt, ap);
		va_end(ap);
	}
	spin_unlock(&vm->stop_lock);
	if (first)
		vm_stop(vm, VM_FAILED);
}

uint64_t vm_guest_tsc(const struct vm *vm)
{
	return rdtsc() - vm->tsc_base;
}

uint64_t vm_now_ns(const struct vm *vm)
{
	return tsc_to_ns(vm_guest_tsc(vm));
}
