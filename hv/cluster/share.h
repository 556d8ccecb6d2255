/*
 * Guest memory shared with the other nodes: the coherence engine (dsm/) put to work on this node. It
 * owns the node's frames and the nested page table's view of them.
 *
 * A vCPU that faults waits here, serving the others meanwhile, until the engine has the page. The
 * hypervisor's own accesses (device models, page walks, emulated instructions, loaders) take the same
 * path: they look at the nested page table first, and fault when it does not allow what they want.
 *
 * Taking rights away. A right is in use by a CPU that is in the guest (its TLB may have it) or that
 * "touches" the page in the hypervisor. To take one away the node changes the table, raises vm->epoch,
 * and waits until every local CPU is out of the guest or has entered it again since, and touches the
 * page no more; only then the engine hears DSM_EV_FLUSHED and lets an acknowledgement go out. Both
 * sides write their own mark and then read the other's (sequentially consistent): a CPU that enters,
 * or touches, after the waiter looked sees the new epoch, or the changed table.
 */
#ifndef HV_CLUSTER_SHARE_H
#define HV_CLUSTER_SHARE_H

#include "hv/base/report.h"
#include "hv/core/vm.h"

/*
 * Makes the node's part of the memory of `vm`: vm->ram_bytes, vm->nodes and vm->npt stand. `offers` are
 * the bytes each node of the cluster gives, the same on every node. Fails with a sentence when this
 * node has too little RAM for its part.
 */
int share_init(struct vm *vm, const uint64_t *offers, struct why *why) MUST_CHECK;

/* The vCPU can't go on without access to the page of `gpa`; returns when it has it, or on a stop. */
void share_fault(struct vcpu *v, gpa_t gpa, bool write);
/* The instruction that faulted has retired: others may have its pages. */
void share_retired(struct vcpu *v);

/* For plat_gmem_acquire and _release, on the calling CPU. NULL: the machine stops. */
void *share_acquire(struct vm *vm, gpa_t gpa, bool write);
void share_release(void);

/* Around the stay in the guest. False: rights or time have changed; look again. Interrupts are off. */
bool share_enter(struct vcpu *v);
void share_leave(struct vcpu *v);

/* Every other CPU of the node leaves the guest, and none enters with what it knew before. */
void share_sync(struct vm *vm);

/* With the link's lock held: */
void share_message(struct vm *vm, unsigned from, const void *body, size_t len);
void share_tick(uint64_t now_ns);
uint64_t share_deadline(void);
void share_lost(struct vm *vm);

/* Bytes of this node's frames in use. */
uint64_t share_backed(void);
/* The engine's counters, what faults took, the hottest pages. */
void share_report(struct report *r);

#endif
