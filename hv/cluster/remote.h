/*
 * The machine's parts on other nodes: interrupts for vCPUs elsewhere, how vCPUs are addressed, and the I/O
 * router's far end (remote.c); joining the nodes into one machine, and its common life: all nodes start it
 * together, and when it stops on one it stops on all (life.c).
 *
 * The devices are the head's. vCPUs are numbered over all nodes, the head's first.
 */
#ifndef HV_CLUSTER_REMOTE_H
#define HV_CLUSTER_REMOTE_H

#include "hv/cluster/link.h"
#include "hv/cluster/nodemsg.h"
#include "hv/cluster/parts.h"
#include "hv/core/vm.h"

struct remote {
	/* Joining. The head's word may come before this node knows who the head is. */
	struct node_config config[VM_MAX_NODES];
	uint64_t configured; /* bit n: node n has said one */
	/* Lives of the machine for which each node was ready, and that have ended there. */
	unsigned ready[VM_MAX_NODES], stopped[VM_MAX_NODES];
	struct node_stopped last[VM_MAX_NODES];
	unsigned life;
	/* What the vCPUs of other nodes want from this head's devices; one access each at a time. */
	struct node_io io[VM_MAX_CPUS];
	_Atomic uint64_t io_asked;
	_Atomic uint64_t eois[4];
	_Atomic bool eoi_came;
	/* By vCPU: what it waits for, the nodes that have not answered yet, and what was answered. */
	_Atomic uint8_t awaited[VM_MAX_CPUS]; /* enum node_kind */
	_Atomic uint64_t missing[VM_MAX_CPUS];
	uint64_t answer[VM_MAX_CPUS];
};

/*
 * Waits for the membership, whose formation has begun (uplink.h), and takes from it and from the head what
 * vm->nodes, vm->cpu_count, vm->ram_bytes and vm->tsc_hz are; `mem` (0: as much as the nodes give) counts on
 * the head alone. `parts` is filled in for share_init(). vm->link has started.
 */
int remote_join(struct vm *vm, uint64_t mem, struct parts *parts, struct why *why) MUST_CHECK;

/* The first CPU: this node waits for the machine's start. On the head it returns when all nodes do. */
void remote_ready_all(struct vm *vm);
/*
 * The first CPU, all vCPUs of the node being out for good: tells all nodes that the machine has stopped
 * here, and waits until it has everywhere. Then vm->stop and its text are the same on all.
 */
void remote_stop_all(struct vm *vm);
/* The first CPU, before vCPUs run again. */
void remote_next_life(struct vm *vm);

/* vm->far, once vm->remote and vm->link stand. */
extern const struct vm_far remote_far;

/* Messages from other nodes, for the table of link_start(). */
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
