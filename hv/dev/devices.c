#include "hv/dev/devices.h"
#include "guest/layout.h"
#include "hv/base/log.h"
#include "hv/core/intr.h"
#include "hv/x86/tsc.h"

/*
 * Who has the lock may wait for a page of guest memory, and only the first CPU hears the other nodes:
 * it goes on serving them while it waits for the lock.
 */
static void pc_lock(struct vm *vm)
{
	if (!vm->far) {
		spin_lock(&vm->pc_lock);
		return;
	}
	while (!spin_trylock(&vm->pc_lock))
		vm->far->wait(vm);
}

static void send_all(struct vm *vm, const struct ioapic_out *out)
{
	for (unsigned i = 0; i < out->count; i++)
		intr_route(vm, &out->msg[i], APIC_NO_CPU);
}

/* The PC's callbacks; vm->pc_lock is held. */
static void on_gsi(void *ctx, unsigned gsi, bool level)
{
	struct vm *vm = ctx;
	struct ioapic_out out;

	if (gsi >= IOAPIC_PINS)
		return;
	ioapic_line(&vm->ioapic, gsi, level, &out);
	send_all(vm, &out);
}

static void on_intr(void *ctx, bool level)
{
	struct vm *vm = ctx;

	if (apic_post_lint(&vm->vcpus[0].post, 0, level))
		vcpu_kick(&vm->vcpus[0]);
}

static void on_power(void *ctx, enum pc_power what, uint8_t code)
{
	struct vm *vm = ctx;

	switch (what) {
	case PC_POWER_OFF:
		vm_stop(vm, VM_POWERED_OFF);
		break;
	case PC_POWER_RESET:
		vm_stop(vm, VM_RESET);
		break;
	case PC_POWER_DEBUG_EXIT:
		vm->debug_code = code;
		vm_stop(vm, VM_DEBUG_EXIT);
		break;
	}
}

static void on_console_tx(void *ctx, uint8_t byte)
{
	struct vm *vm = ctx;
	struct tty *tty = &vm->devices->tty;

	if (tty->open)
		serial_tx(&tty->port, byte);
}

static void on_timer(void *ctx)
{
	struct vm *vm = ctx;

	atomic_store(&vm->pc_timer_moved, true);
	vm_cpu_kick(&vm->cpus[0]);
}

static void on_msi(void *ctx, uint64_t address, uint32_t data)
{
	struct apic_msg msg;

	if (!apic_msg_from_msi(address, data, &msg))
		intr_route(ctx, &msg, APIC_NO_CPU);
}

static const struct pc_ops pc_ops = {
	.gsi = on_gsi,
	.intr = on_intr,
	.power = on_power,
	.console_tx = on_console_tx,
	.timer = on_timer,
	.msi = on_msi,
};

void devices_init(struct devices *d, struct vm *vm)
{
	vm->devices = d;
	virtdev_init(&d->virt, on_timer, vm);
}

void devices_console_open(struct devices *d, uint16_t port)
{
	tty_open(&d->tty, port, "console", "console");
}

static void power_on(struct vm *vm, const struct pc_config *config)
{
	struct why why;

	pc_init(&vm->pc, config, &pc_ops, vm, vm_now_ns(vm));
	if (virtdev_plug(&vm->devices->virt, &vm->pc.pci, &why))
		vm_fail(vm, "%s", why.text);
}

void devices_start(struct vm *vm)
{
	struct pc_config config = {
		.ram_bytes = vm->ram_bytes,
		.cpu_count = vm->cpu_count,
		.apic_ids = vm->apic_ids,
		.ioapic_id = 0,
		.debug_exit = vm->options->debug_exit,
		.wall_clock_start = vm->wall_start,
	};

	pc_lock(vm);
	ioapic_init(&vm->ioapic, 0);
	if (!vm->pc_on)
		power_on(vm, &config);
	else
		pc_reset(&vm->pc, vm_now_ns(vm));
	vm->pc_on = true;
	spin_unlock(&vm->pc_lock);
}

static bool in_lapic(struct vcpu *v, gpa_t gpa)
{
	return lapic_mode(&v->lapic) == APIC_XAPIC && (gpa & PAGE_MASK) == lapic_gpa(&v->lapic);
}

static bool in_ioapic(gpa_t gpa)
{
	return (gpa & PAGE_MASK) == LAYOUT_IOAPIC;
}

/*
 * APIC registers are 32 bits wide on 16-byte boundaries (SDM vol. 3, 11.4.1). A narrower read gets its
 * bytes of the register it falls in; a narrower write is dropped, as hardware leaves it undefined.
 */
static uint64_t register_bytes(uint32_t value, gpa_t gpa, unsigned size)
{
	uint64_t wide = value;

	return (wide >> (gpa & 3) * 8) & BITS(size * 8 - 1, 0);
}

static uint64_t mmio_read(struct vm *vm, gpa_t gpa, unsigned size)
{
	if (in_ioapic(gpa))
		return register_bytes(ioapic_read(&vm->ioapic, gpa & 0xffc), gpa, size);
	return pc_mmio_read(&vm->pc, gpa, size, vm_now_ns(vm));
}

static void mmio_write(struct vm *vm, gpa_t gpa, unsigned size, uint64_t value)
{
	uint32_t offset = gpa & 0xfff;
	struct ioapic_out out;

	if (!in_ioapic(gpa)) {
		pc_mmio_write(&vm->pc, gpa, size, value, vm_now_ns(vm));
		return;
	}
	/* The index is a register of one byte, and some firmware stores it so. */
	if (!(offset & 3) && (size >= 4 || offset == IOAPIC_INDEX)) {
		ioapic_write(&vm->ioapic, offset, (uint32_t)value, &out);
		send_all(vm, &out);
	}
}

static uint64_t head_read(struct vm *vm, uint64_t address, unsigned size, unsigned flags)
{
	uint64_t value;

	pc_lock(vm);
	if (flags & VM_IO_MMIO)
		value = mmio_read(vm, address, size);
	else
		value = pc_io_read(&vm->pc, (uint16_t)address, size, vm_now_ns(vm));
	spin_unlock(&vm->pc_lock);
	return value;
}

static void head_write(struct vm *vm, uint64_t address, unsigned size, unsigned flags,
		       uint64_t value)
{
	pc_lock(vm);
	if (flags & VM_IO_MMIO)
		mmio_write(vm, address, size, value);
	else
		pc_io_write(&vm->pc, (uint16_t)address, size, (uint32_t)value, vm_now_ns(vm));
	spin_unlock(&vm->pc_lock);
}

static uint64_t lapic_read(struct vcpu *v, gpa_t gpa, unsigned size)
{
	uint32_t value = lapic_mmio_read(intr_lapic(v), gpa & 0xffc, vm_guest_tsc(v->vm));

	return register_bytes(value, gpa, size);
}

static void lapic_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t value)
{
	uint32_t offset = gpa & 0xfff;
	struct lapic_actions actions;

	if (size < 4 || offset & 3)
		return;
	lapic_mmio_write(intr_lapic(v), offset, (uint32_t)value, vm_guest_tsc(v->vm), &actions);
	intr_apply(v, &actions);
}

static uint64_t io_read(struct vcpu *v, uint64_t address, unsigned size, unsigned flags)
{
	if (flags & VM_IO_MMIO && in_lapic(v, address))
		return lapic_read(v, address, size);
	lapic_tick_work(&v->tick);
	if (!vm_is_head(v->vm))
		return v->vm->far->io(v, address, size, flags, 0);
	return head_read(v->vm, address, size, flags);
}

static void io_write(struct vcpu *v, uint64_t address, unsigned size, unsigned flags,
		     uint64_t value)
{
	if (flags & VM_IO_MMIO && in_lapic(v, address)) {
		lapic_write(v, address, size, value);
		return;
	}
	lapic_tick_work(&v->tick);
	if (!vm_is_head(v->vm))
		v->vm->far->io(v, address, size, flags | VM_IO_WRITE, value);
	else
		head_write(v->vm, address, size, flags, value);
}

const struct vm_io devices_io = {
	.read = io_read,
	.write = io_write,
	.head_read = head_read,
	.head_write = head_write,
	.head_eoi = devices_eoi,
};

/* For tty_poll(). */
struct typed_at {
	struct vm *vm;
	uint64_t now;
};

static size_t console_rx(void *ctx, const uint8_t *bytes, size_t count)
{
	const struct typed_at *t = ctx;

	return pc_console_rx(&t->vm->pc, bytes, count, t->now);
}

uint64_t devices_tick(struct vm *vm)
{
	struct devices *d = vm->devices;
	uint64_t now = vm_now_ns(vm), next, poll;

	if (!atomic_exchange(&vm->pc_timer_moved, false) && now < vm->pc_next)
		return vm->pc_next;
	pc_lock(vm);
	if (now >= tty_due(&d->tty))
		tty_poll(&d->tty, now, console_rx, &(struct typed_at){vm, now});
	poll = virtdev_poll(&d->virt, &vm->pc, now);
	poll = MIN(poll, tty_due(&d->tty));
	if (now >= pc_next_event(&vm->pc))
		pc_tick(&vm->pc, now);
	next = pc_next_event(&vm->pc);
	spin_unlock(&vm->pc_lock);
	next = MIN(next, poll);
	vm->pc_next = next;
	return next;
}

bool devices_int_ack(struct vm *vm, uint8_t *vector)
{
	bool waits;

	pc_lock(vm);
	waits = vm->pc.intr_level;
	if (waits)
		*vector = pc_int_ack(&vm->pc);
	spin_unlock(&vm->pc_lock);
	return waits;
}

void devices_eoi(struct vm *vm, uint8_t vector)
{
	struct ioapic_out out;

	pc_lock(vm);
	ioapic_eoi(&vm->ioapic, vector, &out);
	send_all(vm, &out);
	spin_unlock(&vm->pc_lock);
}
