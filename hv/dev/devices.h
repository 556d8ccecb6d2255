/*
 * The I/O router: a port or device-memory access of any vCPU goes to the device that has it. One PC
 * and one IOAPIC, on the head, under vm->pc_lock.
 */
#ifndef HV_DEV_DEVICES_H
#define HV_DEV_DEVICES_H

#include "hv/core/vm.h"
#include "hv/dev/virtdev.h"

/* What is behind the PC's devices; vm->devices. */
struct devices {
	struct tty tty; /* behind COM1 */
	struct virtdev virt;
};

/* Nothing is behind them yet: `d` is zeros. It lasts as long as the machine. */
void devices_init(struct devices *d, struct vm *vm);

/* Powers the devices on, or resets them when the machine starts again. */
void devices_start(struct vm *vm);

/*
 * The head's devices themselves: a port, or an address of device memory, `size` bytes wide. Any CPU of
 * the head; no lock held.
 */
uint64_t devices_read(struct vm *vm, uint64_t address, unsigned size, bool mmio);
void devices_write(struct vm *vm, uint64_t address, unsigned size, bool mmio, uint64_t value);

/* An access of `v`: here, or on the head, whose answer it waits for. */
uint32_t devices_io_read(struct vcpu *v, uint16_t port, unsigned size);
void devices_io_write(struct vcpu *v, uint16_t port, unsigned size, uint32_t value);

/* An access to what is not RAM; `size` is 1, 2, 4 or 8. Nobody there: reads ones, drops writes. */
uint64_t devices_mmio_read(struct vcpu *v, gpa_t gpa, unsigned size);
void devices_mmio_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t value);

/* Device time, on vCPU 0's CPU: runs what is due and returns when to come again, ns of vm_now_ns. */
uint64_t devices_tick(struct vm *vm);

/* INTA to the PIC: true when it had an interrupt; then `vector` is its. */
bool devices_int_ack(struct vm *vm, uint8_t *vector);

/* A LAPIC broadcast the EOI of a level-triggered vector. */
void devices_eoi(struct vm *vm, uint8_t vector);

/* The guest console: the host's serial port, 0 for none. */
void devices_console_open(struct devices *d, uint16_t port);

#endif
