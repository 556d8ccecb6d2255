/*
 * The machine's parts on other nodes: joining the nodes into one machine, interrupts for vCPUs
 * elsewhere, the I/O router's far end, and the machine's common life: all nodes start it together, and
 * when it stops on one it stops on all.
 *
 * The devices are the head's. vCPUs are numbered over all nodes, the head's first.
 */
#ifndef HV_CLUSTER_REMOTE_H
#define HV_CLUSTER_REMOTE_H

#include "hv/cluster/nodemsg.h"
#include "hv/core/vm.h"

/*
 * Waits for the membership, whose formation has begun (hv/cluster/wire.h), and takes from it and from the
 * head what vm->nodes, vm->cpu_count, vm->ram_bytes and vm->tsc_hz are; `mem` (0: as much as the nodes
 * give) counts on the head alone. `offers` gets the bytes that each node gives.
 */
int remote_join(struct vm *vm, uint64_t mem, uint64_t offers[VM_MAX_NODES],
		struct why *why) MUST_CHECK;

/* The first CPU: this node waits for the machine's start. On the head it returns when all nodes do. */
void remote_ready_all(struct vm *vm);
/*
 * The first CPU, all vCPUs of the node being out for good: tells all nodes that the machine has stopped
 * here, and waits until it has everywhere. Then vm->stop and its text are the same on all.
 */
void remote_stop_all(struct vm *vm);
/* The first CPU, before vCPUs run again. */
void remote_next_life(struct vm *vm);

/* --- For vCPUs of this node --- */

/* Gives a matched message to a vCPU of another node; it overtakes no store made before. */
void remote_post(struct vm *vm, unsigned cpu, const struct apic_msg *msg);
void remote_unhalt(struct vm *vm, unsigned cpu);
/* `v` is addressed anew: returns when every node knows it. */
void remote_dest_tell(struct vcpu *v, const struct apic_dest *dest);
void remote_eoi(struct vm *vm, uint8_t vector);
/* An access of `v` to a device on the head; `flags` are NODE_IO_*. Returns what was read. */
uint64_t remote_io(struct vcpu *v, uint64_t address, unsigned size, unsigned flags, uint64_t value);

/* The head's first CPU, no lock held: carries out what vCPUs of other nodes asked of the devices. */
void remote_serve(struct vm *vm);

/* --- Messages from other nodes, under the link's lock --- */

void remote_config(struct vm *vm, unsigned from, const void *body, size_t len);
void remote_ready(struct vm *vm, unsigned from, const void *body, size_t len);
void remote_stopped(struct vm *vm, unsigned from, const void *body, size_t len);
void remote_ipi(struct vm *vm, unsigned from, const void *body, size_t len);
void remote_unhalted(struct vm *vm, unsigned from, const void *body, size_t len);
void remote_dest(struct vm *vm, unsigned from, const void *body, size_t len);
void remote_dest_ok(struct vm *vm, unsigned from, const void *body, size_t len);
void remote_eoi_came(struct vm *vm, unsigned from, const void *body, size_t len);
void remote_io_asked(struct vm *vm, unsigned from, const void *body, size_t len);
void remote_io_done(struct vm *vm, unsigned from, const void *body, size_t len);

#endif
