/*
 * Several nodes in one host program: hv/cluster, the run loop, the interrupts and the transport are the
 * product's own; what stands below them is here: CPUs, RAM, time, nested paging, the network's card, devices.
 * Each node runs a guest's program of random steps whose results are all known (oracle.c), so that a copy
 * that is stale, a message that overtakes or comes twice, or a kick that is missing shows.
 *
 * A runner is a CPU. In one of two modes the runners are fibers, one at a time, and the schedule's seed says
 * who goes on at each yield: what it shows it shows again. In the other they are threads.
 */
#ifndef TESTS_GLUE_GLUE_H
#define TESTS_GLUE_GLUE_H

#include <stdatomic.h>

#include "hv/cluster/link.h"
#include "hv/cluster/remote.h"
#include "hv/cluster/share.h"
#include "hv/core/vm.h"
#include "hv/virt/asid.h"
#include "tests/glue/fiber.h"

#define GLUE_NODES   4u
#define GLUE_CPUS    8u /* of all nodes */
#define GLUE_GFNS    512u
#define GLUE_ASIDS   3u /* 0 is all vCPUs' */
#define GLUE_WORDS   8u /* of a page: what the guest's programs use; they stand at its start */
#define GLUE_NEVER   UINT64_MAX
#define TICKS_PER_NS 2u

/* How a schedule ends, in the machine's last life. */
enum glue_end { END_OFF, END_SILENT, END_FAIL, END_STOP, GLUE_ENDS };

struct glue_config {
	uint64_t seed;
	bool threads, verbose;
	unsigned nodes, cpus[GLUE_NODES], total;
	unsigned hosts[GLUE_NODES]; /* that run the node's vCPUs */
	bool asids;                 /* a TLB drops what is of one vCPU alone, as AMD-V's does */
	unsigned ops[2];            /* of each vCPU, by life, at least */
	unsigned faults[2]; /* of all nodes since the first life began, at a life's last quarter */
	unsigned pages;     /* that the programs use */
	/* The network: per mille of frames, and of messages and kicks, that something happens to. */
	unsigned lose, twice, late, busy, lost_kicks;
	uint64_t latency_ns;
	uint16_t mtu;
	bool wakes;      /* the card interrupts */
	unsigned sticky; /* per mille of yields after which the same runner goes on */
	unsigned slow;   /* one in so many points makes a runner slow for a while; 0: none */
	enum glue_end end;
	unsigned end_node; /* by the order they were made */
	struct share_config share;
};

/* One access that a vCPU's program is about, or what else it does. */
enum op_kind {
	OP_NONE,
	OP_READ,
	OP_WRITE,
	OP_ADD,  /* to one of the words that count */
	OP_COPY, /* needs two pages at once */
	OP_ROUND_WRITE,
	OP_ROUND_READ,
	OP_MAIL, /* writes the word that an IPI is to be found with; OP_IPI follows */
	OP_PAUSE,
	OP_SLEEP, /* HLT until another vCPU says so */
	OP_HOST,  /* from here on the hypervisor does it */
	OP_IPI = OP_HOST,
	OP_HYPER_READ,
	OP_HYPER_WRITE,
	OP_FILL,
	OP_CHECK,
	OP_IO,
	OP_EOI,
	OP_DEST,
	OP_UNHALT,
	OP_STORM, /* more messages than there is room for */
	OP_LAPIC_ON,
	OP_START_OTHERS,
	OP_IRET,
	OP_RESET,
	OP_END, /* of its own program */
	OP_OFF,
	OP_DIE,
	OP_REST, /* nothing left to do: HLT for good */
};

struct op {
	enum op_kind kind;
	gfn_t gfn, gfn2;
	unsigned word, word2, cpu;
	unsigned times; /* it is done again so often */
	bool pauses;    /* between them the CPU leaves the guest */
};

/* A vCPU's guest, and what is injected into it. struct virt_vcpu's `vendor`. */
struct cpu {
	struct vcpu *v;
	struct asid_use asid;
	uint64_t tsc_offset;
	bool event, in_handler, window;
	uint8_t vector;
	uint64_t rip;
	unsigned ops_left;
	struct op op;
	struct op next;               /* follows `op` in any case */
	bool starts, finishing, last; /* the first to begin; done; the last to be done */
	uint64_t written, read;       /* accesses to its device, in this life */
	uint64_t round;
	unsigned round_page;
	uint32_t regs[PAGE_SIZE / 4] ALIGNED(PAGE_SIZE);
};

struct npt {
	_Atomic uint64_t entry[GLUE_GFNS]; /* frame and enum npt_perm */
};

enum runner_state { RUNNER_READY, RUNNER_IDLE, RUNNER_GONE };

struct runner {
	unsigned id;
	struct glue_node *node;
	unsigned index;                      /* within the node */
	struct vm_cpu *host;                 /* NULL: not taken yet */
	uint64_t tlb[GLUE_ASIDS][GLUE_GFNS]; /* frame and rights; 0: not there */
	struct asids asids;
	enum runner_state state;
	_Atomic unsigned irq;      /* IRQ_* that wait */
	_Atomic uint64_t timer_at; /* glue_now() */
	uint64_t random;           /* of a thread */
	uint32_t ranks;            /* of the locks that it holds */
	uint64_t slow_until;       /* in turns: others go first */
	unsigned slow_in;          /* it becomes slow at so many points from here; 0: no */
	struct fiber fiber;
	struct sched_thread *thread;
};

enum { GLUE_IRQ_KICK = 1, GLUE_IRQ_TIMER = 2, GLUE_IRQ_CARD = 4 };

struct glue_node {
	unsigned id;
	uint64_t free_bytes; /* what its RAM says is free */
	struct vm vm;
	struct link link;
	struct share share;
	struct remote remote;
	struct npt npt;
	struct uplink *wire;
	struct runner *runners[GLUE_CPUS];
	struct cpu cpus[GLUE_CPUS]; /* of its vCPUs */
	struct lapic scratch;
	uint32_t scratch_regs[PAGE_SIZE / 4] ALIGNED(PAGE_SIZE);
	uint64_t skew_ns; /* of its clock, at first */
	unsigned fast;    /* so many 1024ths faster than time */
	_Atomic bool made, dead, more;
	_Atomic unsigned arrived, round;
};

struct glue {
	struct glue_config config;
	struct glue_node nodes[GLUE_NODES];
	struct runner runners[GLUE_CPUS];
	unsigned runner_count;
};

extern struct glue glue;

/* --- sched.c --- */

/*
 * What the runner has done since its last yield: a small part of something, a step of the guest, or nothing.
 */
enum glue_pace { PACE_POINT, PACE_STEP, PACE_RELAX };

void sched_run(void (*fn)(struct runner *r)); /* until all runners have returned or died */
void glue_yield(enum glue_pace pace);
uint64_t glue_now(void); /* ns */
uint64_t glue_random(uint64_t below);
struct runner *glue_self(void);
void runner_interrupt(struct runner *r, unsigned irq);
void runner_sleep(void); /* until an interrupt waits */
/* No CPU of the node does anything from now on. */
void node_dies(struct glue_node *n);
/* Something has come, for who waits for it. */
void sched_stir(void);
/* Times that one runner went on after another, in this schedule. */
uint64_t sched_turns(void);

/* Ends the program with the seed and the sentence. */
NORETURN void glue_wrong(const char *fmt, ...) PRINTF(1, 2);

/* --- uplink.c --- */

void net_reset(void);
struct uplink *net_open(struct glue_node *n);
/* When the next frame arrives anywhere, and when any station has something due. */
uint64_t net_next(void);
/* Rings the CPUs that the cards of arriving frames wake. */
void net_ring(void);

/* --- machine.c --- */

void machine_cpu(struct runner *r);
uint64_t machine_faults(void);
uint64_t machine_evictions(void);
uint64_t machine_home_waits(void);
/* So many faults, and some of all else that a schedule has to have. */
bool machine_had(uint64_t faults);

/* --- moved.c --- */

/* What a CPU drops when a vCPU enters the guest there that comes from another. */
void moved_check(void);

/* --- main.c --- */

/*
 * One schedule, with all that it is to show checked; see glue_wrong(). `strict`: one that was too short is
 * wrong.
 */
void schedule(uint64_t seed, bool threads, bool verbose, bool strict);

/* --- doubles.c --- */

void doubles_init(void); /* once */
void ram_reset(void);
/* Runs what an interrupt of the host leads to; true: there was one. */
bool host_interrupts(struct runner *r);
extern const struct vm_io glue_io;
void devices_reset(void);
void devices_life(void);
uint64_t devices_count(void);
/* The vCPU's `number`th write to its device, or read. */
void devices_access(struct vcpu *v, uint64_t number, bool write);
/* Before it says EOI. */
void devices_eoi_due(unsigned cpu);

/* --- guest.c --- */

extern const struct virt_ops glue_ops;

/* --- program.c --- */

/* What the vCPU does next; c->op is OP_NONE. */
void program_next(struct cpu *c);
/* Does c->op, as far as it is the hypervisor's. */
void program_host(struct cpu *c);
void program_start(struct cpu *c);

/* --- oracle.c --- */

struct oracle_figures {
	uint64_t accesses, ipis, resets;
};

extern struct oracle_figures oracle_figures;

void oracle_reset(void);
void oracle_life(void); /* the machine boots again */
unsigned oracle_lives(void);
void oracle_read(struct cpu *c, gfn_t gfn, unsigned word, uint64_t value);
void oracle_write(struct cpu *c, gfn_t gfn, unsigned word, uint64_t value);
uint64_t oracle_value(struct cpu *c); /* one that was never written */
void oracle_fill(gfn_t gfn, uint8_t *page);
void oracle_check(gfn_t gfn, const uint8_t *page);
void oracle_added(gfn_t gfn);
uint64_t oracle_sum(gfn_t gfn);
/* Rounds: each vCPU writes one number to its word of each page of rounds, page after page, then the next. */
void oracle_round_read(unsigned reader, unsigned cpu, unsigned page, uint64_t value);
/* IPIs: one at a time from each vCPU to each. */
bool ipi_free(unsigned from, unsigned to);
uint64_t ipi_next(unsigned from, unsigned to); /* the number that the next one has */
void ipi_send(unsigned from, unsigned to);
uint64_t ipi_mail(unsigned from, unsigned to); /* the number of the one under way */
void ipi_came(unsigned from, unsigned to);
bool ipi_idle(void);
/* Who sleeps and who is done. */
void life_lapic_on(unsigned cpu);
bool life_reachable(unsigned cpu);
bool life_sleep(unsigned cpu);
void life_woke(unsigned cpu);
int life_sleeper(void);       /* one to be woken by the caller, or -1 */
bool life_done(unsigned cpu); /* true: it is the last */

/* Pages of the guest that are used for one thing. */
#define GFN_PLAIN  0u /* config.pages of them */
#define GFN_MAIL   128u
#define GFN_ROUND  144u
#define ROUNDS     4u
#define GFN_COUNT  150u
#define GFN_END    (GFN_COUNT + COUNTS) /* no program uses what is behind */
#define COUNTS     3u
#define VECTOR_IPI 0x40u /* + sender */
#define LAST_WORDS "the end of the test"

#endif
