/*
 * The node's link to the others: one lock over the wire, the transport and the coherence engine; typed
 * messages in and out; and the guest's time, which follows what is received.
 *
 * A message's way out: link_post() or link_send() -> outbox (net/transport) -> uplink -> the card. Its way
 * in: link_poll() -> uplink -> on_event() -> the handler in the table that the machine gave. Handlers run
 * under the link's lock, so what takes vm->pc_lock they leave to vm_far.serve().
 *
 * The node's first CPU receives (lwIP and the card's receive ring are its alone); any CPU sends.
 */
#ifndef HV_CLUSTER_LINK_H
#define HV_CLUSTER_LINK_H

#include "hv/base/report.h"
#include "hv/cluster/nodemsg.h"
#include "hv/cluster/parts.h"
#include "hv/cluster/uplink.h"
#include "hv/core/vm.h"
#include "net/pages/pagewire.h"
#include "net/transport/outbox.h"

/* What is done about one kind of message. `body` is good until the handler returns; the lock is held. */
struct link_handler {
	void (*fn)(struct vm *vm, unsigned from, const void *body, size_t len);
	/* of the body; any other length ends the machine. 0: the handler looks at it */
	uint16_t size;
	bool page; /* 4 KiB of a page may follow it */
};

/* Those above the link. All but `messages` may be called before the machine's memory is there. */
struct link_client {
	const struct link_handler *messages; /* NODE_KINDS of them */
	/* With the lock held: what is due at `now_ns`, when that is, and that another node is gone. */
	void (*tick)(struct vm *vm, uint64_t now_ns);
	uint64_t (*deadline)(struct vm *vm);
	void (*lost)(struct vm *vm);
	/* Every other CPU of the node leaves the guest, and none enters with what it knew before. */
	void (*sync)(struct vm *vm);
};

struct link {
	struct spinlock lock;
	struct uplink *wire;
	/* Of a node of several: */
	struct vm *vm;
	const struct link_client *client;
	struct outbox out;
	struct pagewire pages[VM_MAX_NODES]; /* by peer */
	struct pagewire_scratch scratch;
	uint8_t unpacked[NODE_BODY_MAX + PAGE_SIZE];
	/* Messages that were dropped, being nothing that their sender may say. */
	uint64_t strange[NODE_KINDS];
};

/* For a node's own frames, over a wire that is up. */
void link_init(struct link *l, struct uplink *wire);
/* From now on messages go to `client`; vm->nodes.count stands, the membership need not. */
void link_start(struct link *l, struct vm *vm, const struct link_client *client);
/* Room for what waits for the others, and for the pages both ends remember; once the membership is known. */
int link_members(struct link *l, const struct parts *parts, struct why *why) MUST_CHECK;

void link_lock(struct link *l);
/* Sends what is due, then lets others in. */
void link_unlock(struct link *l);

/*
 * From a vCPU, without the lock: one message to another node, or to all others. Where there is no room for
 * it the vCPU waits, serving the others; it is dropped only when the machine stops first. A guest that
 * sends without end so holds up itself alone.
 */
void link_post(struct link *l, struct vcpu *v, unsigned node, enum node_kind kind, const void *body,
	       size_t len);
void link_post_all(struct link *l, struct vcpu *v, enum node_kind kind, const void *body,
		   size_t len);

/* What a node says of itself, a few times in a machine's life. Without the lock. */
void link_send_all(struct link *l, enum node_kind kind, const void *body, size_t len);
void link_send(struct link *l, unsigned node, enum node_kind kind, const void *body, size_t len);
/* With the lock held: an answer, or what the engine owes. */
void link_send_held(struct link *l, unsigned node, enum node_kind kind, const void *body,
		    size_t len);
/* NODE_DSM with the 4 KiB of page `gfn` behind it, by the bulk channel; with the lock held. */
void link_send_page(struct link *l, unsigned node, const void *body, size_t len, gfn_t gfn,
		    const void *page);

/* A frame of the guest's own or of its disk's; first CPU. False: no room, it is dropped. No lock held. */
bool link_send_frame(struct link *l, const void *frame, size_t len);

/* The first CPU: takes what has come and does what is due; also on a node by itself. No lock held. */
void link_poll(struct link *l);
/*
 * Host TSC at which the CPU is to look around even if nothing calls it: the first CPU by
 * link_poll(), any other for a kick that an emulator has lost.
 */
uint64_t link_deadline(struct link *l, const struct vm_cpu *c);

/* One turn of a CPU that waits for another node, or for a CPU that may wait for one. No lock held. */
void link_wait(struct link *l);

/*
 * Until `came` says so, then true: what the vCPU of this CPU waits for, and link_awake() is called after.
 * False when the machine stops first; with `to_the_end` only when it fails. No lock held. A wait that is
 * long for a wire leaves the CPU to others (what emulates it, the host of a nested node): it sleeps.
 */
bool link_await(struct link *l, struct vcpu *v, bool (*came)(const struct vcpu *v),
		bool to_the_end);
void link_awake(struct vcpu *v);

/*
 * A handler's word on a message whose sender may not say that, or not now, or of a vCPU that is not there:
 * counted, told in the log the first time, and dropped. With the lock held.
 */
void link_strange(struct link *l, unsigned from, enum node_kind kind, const char *what);

/* How the clocks and the pages on the wire did. */
void link_report(const struct link *l, struct report *r);

#endif
