/*
 * What the hypervisors of one cluster say to each other over the transport, once the membership stands.
 * Every message is a struct node_head and the body of its kind; docs/cluster.md has the table. All
 * numbers are little-endian, and all nodes run the same protocol version, which formation sees to.
 */
#ifndef HV_CLUSTER_NODEMSG_H
#define HV_CLUSTER_NODEMSG_H

#include "hv/base/assert.h"
#include "hv/base/compiler.h"

enum node_kind {
	NODE_CONFIG,  /* head to all: the machine they are to be part of */
	NODE_READY,   /* to the head: this node's vCPUs wait for their start */
	NODE_STOPPED, /* to all: the machine has stopped here, and why */
	NODE_DSM,     /* the coherence engine's; dsm/dsm_msg.h has the body, a page may follow */
	NODE_IPI,     /* an interrupt message for one vCPU */
	NODE_UNHALT,  /* KVM's KICK_CPU for one vCPU */
	NODE_DEST,    /* to all: how one vCPU's LAPIC is addressed from now on */
	NODE_DEST_OK, /* the answer: nobody here addresses it otherwise any more */
	NODE_EOI,     /* to the head: end of a level-triggered interrupt */
	NODE_IO,      /* to the head: an access to a device */
	NODE_IO_DONE, /* the answer */
	NODE_KINDS
};

/*
 * `tsc` is the guest's time-stamp counter at the sender. Who receives it lets its own count catch up
 * before anything else: so no vCPU that learns of something sees an earlier time than who told it.
 */
struct PACKED node_head {
	uint8_t kind;      /* enum node_kind */
	uint8_t page_at;   /* where in the body a page begins, 0: there is none */
	uint8_t page_form; /* how it travels; net/pages/pagewire.h */
	uint8_t page_slot;
	uint32_t page_sum; /* of the whole page: what is put together wrong must not be used */
	uint64_t tsc;
};
ASSERT_SIZE(struct node_head, 16);

struct PACKED node_config {
	uint64_t ram_bytes; /* of the guest */
	uint64_t tsc_hz;    /* the guest's */
};
ASSERT_SIZE(struct node_config, 16);

struct PACKED node_ready {
	uint8_t zero;
};
ASSERT_SIZE(struct node_ready, 1);

#define NODE_TEXT     200
/* The longest body, and any place in it where a page may begin. */
#define NODE_BODY_MAX (64 + NODE_TEXT)

struct PACKED node_stopped {
	uint8_t how; /* enum vm_stop */
	uint8_t code;
	uint8_t zero[6];
	char text[NODE_TEXT];
};
ASSERT_SIZE(struct node_stopped, 208);

/* struct apic_msg, matched already: `cpu` is the one that accepts it. */
struct PACKED node_ipi {
	uint16_t cpu;
	uint8_t kind, vector;
	uint8_t level_trigger, assert_level;
	uint8_t zero[2];
};
ASSERT_SIZE(struct node_ipi, 8);

struct PACKED node_unhalt {
	uint16_t cpu;
};
ASSERT_SIZE(struct node_unhalt, 2);

/* NODE_DEST, and NODE_DEST_OK with the same `cpu`. */
struct PACKED node_dest {
	uint64_t dest; /* apic_dest_pack() */
	uint16_t cpu;
	uint16_t zero[3];
};
ASSERT_SIZE(struct node_dest, 16);

struct PACKED node_eoi {
	uint8_t vector;
};
ASSERT_SIZE(struct node_eoi, 1);

/* NODE_IO; NODE_IO_DONE is the same with what was read in `value`. */
struct PACKED node_io {
	uint64_t address, value;
	uint16_t cpu;
	uint8_t size;  /* bytes: 1, 2, 4, 8 */
	uint8_t flags; /* VM_IO_* of hv/core/vm.h */
	uint8_t zero[4];
};
ASSERT_SIZE(struct node_io, 24);

#endif
