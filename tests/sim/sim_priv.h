#ifndef TESTS_SIM_SIM_PRIV_H
#define TESTS_SIM_SIM_PRIV_H

#include "tests/sim/sim.h"

enum sim_event_kind {
	SIM_ARRIVE, /* a message, over an ordered channel */
	SIM_FRAME,  /* a frame of the transport */
	SIM_FLUSHED,
	SIM_GO,   /* an agent does its next thing */
	SIM_TICK, /* the engine's deadline */
	SIM_WAKE, /* the transport's */
	SIM_LOSE,
};

/* What lies in a frame that nobody has filled. */
#define NOBODYS 0xeeeeeeeeeeeeeeeeull

struct sim_event {
	uint64_t at, seq;
	enum sim_event_kind kind;
	uint16_t node, from;
	uint32_t agent;
	gfn_t gfn;
	struct dsm_msg msg;
	uint64_t content;
	uint8_t *frame;
	size_t len;
};

struct sim_agent {
	gfn_t gfn[2];
	bool write[2];
	uint8_t count, phase;
	bool busy, faulted;
	uint32_t done;
	uint64_t step, cookie;
	uint64_t finished_at;
};

struct sim_tlb {
	uint8_t perm, kick;
	uint64_t frame;
};

struct sim_wait {
	struct sim_wait *next;
	uint16_t to;
	uint8_t channel;
	size_t len;
	uint8_t bytes[DSM_WIRE_BYTES + PAGE_SIZE];
};

struct sim_node {
	struct dsm *dsm;
	struct sim_tlb *tlb;
	uint64_t *content; /* of frames: the number of the last write in it */
	bool *backed;      /* frames filled and not dropped */
	uint64_t backed_count, frames;
	struct sim_agent *agents;
	uint64_t tick_at, wake_at, egress_at;
	bool dead, stopped;
	struct xport x;
	struct xport_peer *peers;
	struct xport_buf *pool;
	struct sim_wait *waiting, **waiting_end;
	unsigned up;
};

struct sim {
	struct sim_config cfg;
	struct sim_node *nodes;
	uint64_t *channel_at; /* last arrival by sender, receiver, class */
	uint64_t *last;       /* number of the last write of each page */
	uint16_t *lock;       /* holder + 1 of each lock page */
	struct sim_event *heap;
	size_t heap_len, heap_room;
	uint64_t now, seq, random, writes;
	struct dsm_actions out;
	struct sim_result r;
	uint32_t running; /* agents with work left */
	size_t *trace_at;
	bool told; /* of the lost node */
};

uint64_t sim_random(struct sim *s, uint64_t below);
void sim_push(struct sim *s, struct sim_event e);
bool sim_pop(struct sim *s, struct sim_event *e);
void sim_step(struct sim *s, uint16_t node, struct dsm_event in, uint64_t content);
void sim_wrong(struct sim *s, const char *what);

/* sim_net.c */
void sim_send(struct sim *s, uint16_t from, const struct dsm_action *a);
void sim_net_start(struct sim *s);
void sim_net_frame(struct sim *s, struct sim_event *e);
void sim_net_run(struct sim *s, uint16_t node);

/* sim_work.c */
bool sim_next(struct sim *s, uint16_t node, struct sim_agent *a); /* false: no work left */
bool sim_accessed(struct sim *s, uint16_t node, struct sim_agent *a);

#endif
