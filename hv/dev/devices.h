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

/* vm->io: the LAPIC's page is the vCPU's own, all else is the head's. What nobody has reads ones. */
extern const struct vm_io devices_io;

/* Device time, on the head's first CPU: runs what is due and returns when to come again, ns of vm_now_ns. */
uint64_t devices_tick(struct vm *vm);

/* INTA to the PIC: true when it had an interrupt; then `vector` is its. */
bool devices_int_ack(struct vm *vm, uint8_t *vector);

/* A LAPIC broadcast the EOI of a level-triggered vector. */
void devices_eoi(struct vm *vm, uint8_t vector);

/* The guest console: the host's serial port, 0 for none. */
void devices_console_open(struct devices *d, uint16_t port);

#endif
