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

#include "dsm/dsm.h"
#include "hv/base/report.h"
#include "hv/cluster/link.h"
#include "hv/cluster/parts.h"
#include "hv/core/vm.h"

#define SHARE_KICKS_MAX 512

struct share {
	const struct share_config *config; /* whoever makes the share sets it */
	struct vm *vm;
	struct dsm *dsm;
	struct dsm_actions actions;
	hpa_t *frames; /* the engine's, 0: not backed yet */
	uint64_t frame_count;
	uint64_t taken, most; /* pages of RAM behind them, dropped ones included, and ever */
	hpa_t dropped; /* the first that is behind none now, 0: none; it begins with the next */
	_Atomic uint64_t backed;       /* of them */
	gfn_t kicked[SHARE_KICKS_MAX]; /* DSM_EV_FLUSHED is owed for them */
	unsigned kick_count;
};

/*
 * Makes the node's part of the memory of `vm`: vm->ram_bytes, vm->nodes, vm->npt and vm->link stand. `parts`
 * is the same on every node. Fails with a sentence when this node has less RAM than it said.
 */
int share_init(struct share *s, struct vm *vm, const struct parts *parts,
	       struct why *why) MUST_CHECK;

/* The memory of a node of several: vm->ram, once vm->share stands. */
extern const struct vm_ram share_ram;

/* For the link; see struct link_client. They do nothing before share_init(). */
void share_message(struct vm *vm, unsigned from, const void *body, size_t len);
void share_tick(struct vm *vm, uint64_t now_ns);
uint64_t share_deadline(struct vm *vm);
void share_lost(struct vm *vm);
void share_sync(struct vm *vm);

#endif
