/*
 * The node's link to the others: one lock over the wire, the transport and the coherence engine; typed
 * messages in and out; and the guest's time, which follows what is received.
 *
 * The node's first CPU receives (lwIP and the card's receive ring are its alone); any CPU sends. Lock
 * order: vm->pc_lock, then the link's. Handlers of messages run under the link's lock, so what takes
 * vm->pc_lock they leave to remote_serve().
 */
#ifndef HV_CLUSTER_LINK_H
#define HV_CLUSTER_LINK_H

#include "hv/base/report.h"
#include "hv/cluster/nodemsg.h"
#include "hv/core/vm.h"

/* From now on messages go to the handlers of this machine; vm->nodes.count stands, the membership need not. */
int link_start(struct vm *vm, struct why *why) MUST_CHECK;
/* Room for the pages that both ends of each direction remember; once the membership is known. */
int link_members(struct vm *vm, struct why *why) MUST_CHECK;

void link_lock(void);
/* Sends what is due, then lets others in. */
void link_unlock(void);

/* One message to `node`, or to all others; they copy `body`. Without the lock. */
void link_send(unsigned node, enum node_kind kind, const void *body, size_t len);
void link_send_all(enum node_kind kind, const void *body, size_t len);
/* With the lock held. */
void link_send_held(unsigned node, enum node_kind kind, const void *body, size_t len);
/* NODE_DSM with the 4 KiB of page `gfn` behind it, by the bulk channel; with the lock held. */
void link_send_page(unsigned node, const void *body, size_t len, gfn_t gfn, const void *page);

/* A frame of the guest's own or of its disk's; first CPU. False: no room, it is dropped. No lock held. */
bool link_send_frame(const void *frame, size_t len);

/* The first CPU: takes what has come and does what is due; also on a node by itself. No lock held. */
void link_poll(void);
/*
 * Host TSC at which the vCPU's CPU is to look around even if nothing calls it: the first CPU by
 * link_poll(), any other for a kick that an emulator has lost.
 */
uint64_t link_deadline(const struct vcpu *v);

/* One turn of a CPU that waits for another node, or for a CPU that may wait for one. No lock held. */
void link_wait(void);

/*
 * Until `came` says so, then true: what the vCPU of this CPU waits for, and link_awake() is called after.
 * False when the machine stops first; with `to_the_end` only when it fails. No lock held. A wait that is
 * long for a wire leaves the CPU to others (what emulates it, the host of a nested node): it sleeps.
 */
bool link_await(struct vcpu *v, bool (*came)(const struct vcpu *v), bool to_the_end);
void link_awake(struct vcpu *v);

/* How the clocks and the pages on the wire did. */
void link_report(struct report *r);

#endif
