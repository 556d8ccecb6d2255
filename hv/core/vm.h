/*
 * The virtual machine as one node sees it: its vCPUs, its guest memory, its interrupt system, and, on
 * the head, the PC's devices.
 *
 * The order of locks is in docs/locks.md. A vCPU's own state (registers, LAPIC) needs none: only its CPU
 * touches it. Others leave interrupts in its `post` (apic/post.h) and kick the CPU.
 */
#ifndef HV_CORE_VM_H
#define HV_CORE_VM_H

#include <stdatomic.h>

#include "apic/book.h"
#include "apic/ioapic.h"
#include "apic/lapic.h"
#include "apic/lapic_tick.h"
#include "guest/pc.h"
#include "hv/base/counter.h"
#include "hv/base/spinlock.h"
#include "hv/core/options.h"
#include "hv/core/places.h"
#include "hv/core/sched.h"
#include "hv/virt/virt.h"
#include "hv/x86/pcpu.h"

enum vcpu_state {
	VCPU_WAIT_SIPI, /* after INIT; not entered */
	VCPU_HALTED,    /* in HLT; wakes on an interrupt, NMI or kick */
	VCPU_RUNNING,
};

struct vm;
struct devices;
struct vcpu;
struct vm_cpu;
struct report;

/* How the guest's RAM is had: by a node alone (hv/core/memory.c), or shared (hv/cluster/share.c). */
struct vm_ram {
	/*
	 * For the hypervisor on the calling CPU: the byte at `gpa`, which is RAM, and its page until the
	 * release; one page at a time. NULL: the machine stops.
	 */
	void *(*acquire)(struct vm *vm, gpa_t gpa, bool write);
	/* The same to write, only where that takes no wait: NULL, and nothing to release, where it does. */
	void *(*acquire_here)(struct vm *vm, gpa_t gpa);
	void (*release)(struct vm *vm);
	/* The vCPU can't go on without its page; returns when it has it, or on a stop. */
	void (*fault)(struct vcpu *v, gpa_t gpa, bool write);
	/* Around each stay in the guest, interrupts off; NULL: nothing to be done. False: look again. */
	bool (*enter)(struct vcpu *v);
	void (*leave)(struct vcpu *v, const struct vm_exit *exit);
	/* It runs no more for now, and another may on its CPU: it keeps no page. NULL: nothing to be done. */
	void (*rest)(struct vcpu *v);
	/* Bytes of this node's RAM that the guest's take. */
	uint64_t (*backed)(const struct vm *vm);
	/* The engine's counters; may be NULL. */
	void (*report)(struct vm *vm, struct report *r);
};

/* Of an access to a device. */
#define VM_IO_WRITE 1u
#define VM_IO_MMIO  2u /* else a port */

/* The machine's parts on other nodes, for vCPUs of this one; hv/cluster/remote.c. */
struct vm_far {
	/* Gives a matched message to a vCPU of another node; it overtakes no store made before. */
	void (*post)(struct vcpu *from, unsigned cpu, const struct apic_msg *msg);
	/* KVM's KICK_CPU. */
	void (*unhalt)(struct vcpu *from, unsigned cpu);
	/* `v` is addressed anew: returns when every node knows it. */
	void (*dest)(struct vcpu *v, const struct apic_dest *dest);
	/* End of a level-triggered interrupt, for the head. */
	void (*eoi)(struct vcpu *v, uint8_t vector);
	/* An access to a device of the head's; `flags` are VM_IO_*. Returns what was read. */
	uint64_t (*io)(struct vcpu *v, uint64_t address, unsigned size, unsigned flags,
		       uint64_t value);
	/* The first CPU's look at the wire, and at what others want of this head's devices. */
	void (*serve)(struct vm *vm);
	/* Host TSC at which the CPU is to look around though nothing calls it. */
	uint64_t (*deadline)(const struct vm_cpu *c);
	/* One turn of a CPU that waits for another CPU, which may wait for another node. */
	void (*wait)(struct vm *vm);
};

/*
 * The devices, wherever they are: an access of a vCPU to a port or to what is not RAM, `size` bytes wide (1,
 * 2, 4, 8); `flags` are VM_IO_MMIO or 0. And the head's own. hv/dev/devices.c
 */
struct vm_io {
	uint64_t (*read)(struct vcpu *v, uint64_t address, unsigned size, unsigned flags);
	void (*write)(struct vcpu *v, uint64_t address, unsigned size, unsigned flags,
		      uint64_t value);
	/* On the head; any of its CPUs, no lock held. */
	uint64_t (*head_read)(struct vm *vm, uint64_t address, unsigned size, unsigned flags);
	void (*head_write)(struct vm *vm, uint64_t address, unsigned size, unsigned flags,
			   uint64_t value);
	void (*head_eoi)(struct vm *vm, uint8_t vector);
};

/*
 * One of this node's CPUs as the machine uses it. Whatever says what the CPU itself does, or what it may
 * still know, is here and not in the vCPU, which it runs for a while: its TLB, its timer, the page in its
 * hands, and the wire and the devices, which the first CPU serves whether or not a vCPU of its own is awake.
 */
struct vm_cpu {
	struct vm *vm;
	unsigned index;       /* within the node; 0 leads */
	struct pcpu *pcpu;    /* what is below it: hv/core/arch.c's */
	struct vcpu *current; /* the vCPU that it runs, or ran last; NULL: none yet */
	uint64_t armed;       /* host TSC for which its timer is set; 0: not */
	uint64_t due;         /* host TSC at which it has to serve again */
	/* The vCPUs that live here; hv/core/turns.h. */
	struct vcpu *vcpus[SCHED_MAX];
	unsigned count;
	struct sched sched; /* by their places in `vcpus`; of use where there are several */
	/* Memory shared with other nodes; see hv/cluster/share.h. */
	_Atomic bool in_guest; /* it runs a guest, by what its TLB has */
	_Atomic uint64_t
		epoch; /* of vm->epoch: what its TLB follows, and the TSC offset of `current` */
	_Atomic gfn_t touching; /* the page that the hypervisor uses on it, or NO_GFN */
};

/* Interrupts of a vCPU's LAPIC timer. */
struct timer_counts {
	uint64_t all, woke; /* and those that came to a halted vCPU */
	uint64_t late;      /* by apic/lapic_tick.h */
	uint64_t waits;     /* for pages, from one that came to a halted vCPU to the next HLT */
	uint64_t waits_before;
	bool awake; /* since such a one */
};

struct vcpu {
	struct virt_vcpu virt; /* first: the run loop's hot fields */
	struct vm *vm;
	struct vm_cpu *cpu; /* that it lives on; NULL: on another node */
	unsigned slot;      /* its place there */
	unsigned index;
	enum vcpu_state state;
	bool recheck; /* look at events and timers before the next entry */
	bool nmi_pending;
	bool extint;                 /* an ExtINT message came: the next vector is the PIC's */
	bool irq_window, nmi_window; /* asked for at the vendor's */
	bool apic_hw;                /* hardware helps with the LAPIC page */
	bool use_vid;                /* hardware delivers this vCPU's interrupts */
	bool vid_stale;              /* the guest ran since the LAPIC last looked at its page */
	bool apic_away;              /* the LAPIC is not at its page: counted in vm->apics_away */
	struct vtlb *vtlb;           /* NULL: the CPU walks the guest's page tables */
	_Atomic bool pv_unhalt;      /* a KICK_CPU hypercall named this vCPU */
	struct lapic lapic;
	struct apic_post post;
	/* Memory shared with other nodes; see hv/cluster/share.h. */
	_Atomic bool granted;    /* the page it waits for is here */
	_Atomic bool dozes;      /* what it waits for has to wake it */
	bool holds, hyper_holds; /* the engine may keep pages for the guest, for the hypervisor */
	uint64_t fault_rip;      /* of the instruction the guest's pages are held for */
	struct hist fault_ns[2]; /* read, write: from the fault to the page */
	/*
	 * Host TSC ticks this vCPU has waited for other nodes since its timer's last interrupt, at that TSC.
	 */
	uint64_t stalled, timer_fired;
	struct lapic_tick tick;
	struct timer_counts ticks;
	uint64_t due;      /* guest TSC at which its own timer has to be looked at */
	uint64_t switches; /* times that it took the CPU from another */
	uint64_t kvm_clock_msr, kvm_wall_msr, kvm_steal_msr;
	uint64_t robbed_at; /* host TSC at which it lost the CPU though it ran; 0: it did not */
	uint64_t stolen;    /* ns for which it has waited so */
	uint64_t misc_enable;
	uint64_t exits[VM_EXIT_KINDS];
	/*
	 * Where, and how often in a row, an instruction was not the one that had exited; hv/insn/emulate.c.
	 */
	uint64_t changed_rip, changed;
	uint64_t refused; /* instructions of programs on device memory that are not emulated */
	uint64_t pages_backed, mmio, injected, kicked, hypercalls, msr_unknown;
	uint64_t hypercalls_unknown, kvm_clocks_refused;
	uint64_t accesses, remote_io;
};

enum vm_stop {
	VM_RUNNING,
	VM_POWERED_OFF,
	VM_RESET,
	VM_DEBUG_EXIT,
	VM_FAILED, /* vm->stop_why says why */
};

/* The cluster as this node sees it; a node by itself is number 0 of 1. */
struct vm_nodes {
	unsigned count, self, head;
	unsigned first_cpu, local_cpus; /* vCPUs that this node has when the machine boots */
	unsigned most_cpus;             /* of any node */
	uint64_t clock_steps;           /* times the guest's TSC caught up with another node's */
	uint64_t clock_stepped;         /* and by how many ticks in all */
};

struct vm {
	const struct virt_ops *ops;
	const struct options *options;
	struct virt_features features;
	struct npt *npt;
	struct vm_nodes nodes;
	const struct vm_ram *ram;
	const struct vm_io *io;
	const struct vm_far *far; /* NULL: a node by itself */
	/* Of hv/cluster; a node by itself has at most a link, for the guest's own frames. */
	struct link *link;
	struct share *share;
	struct remote *remote;
	unsigned cpu_count; /* of the machine */
	struct places places;
	struct vcpu vcpus[VM_MAX_CPUS];  /* those of other nodes are not in use */
	unsigned host_cpus;              /* this node's that run them */
	struct vm_cpu cpus[VM_MAX_CPUS]; /* so many are in use */

	_Atomic uint64_t epoch; /* rises when rights to memory are taken away or time moves */

	struct spinlock mem_lock;
	unsigned apics_away; /* of this node's vCPUs; the LAPIC page is mapped when it is 0 */
	uint64_t ram_bytes;
	hpa_t *frames; /* per RAM frame in gpa order without the holes; 0: not backed yet */
	_Atomic uint64_t backed; /* how many are */
	uint64_t frame_count;

	struct devices *devices; /* what is behind the PC's; hv/dev/devices.h */
	struct spinlock pc_lock; /* pc, ioapic, devices */
	struct pc pc;
	bool pc_on;
	struct ioapic ioapic;
	_Atomic bool pc_timer_moved; /* the next device event is another: the first CPU looks */
	uint64_t pc_next;            /* guest time at which it looks in any case */
	struct apic_book book;
	uint32_t apic_ids[VM_MAX_CPUS];

	_Atomic uint64_t msr_named[4]; /* a bit each for MSRs that the log has named as unknown */

	_Atomic uint64_t tsc_base; /* host TSC at which the guest's TSC is 0; only falls */
	uint64_t tsc_hz;           /* the guest's: the head's own */
	int64_t wall_start;        /* Unix time at tsc_base, seconds */

	_Atomic unsigned stop;
	/* Before a vCPU looks at its events, out of the guest; NULL: nothing to be done. */
	void (*boundary)(struct vcpu *v);
	uint8_t debug_code;
	struct spinlock stop_lock;
	struct why stop_why;
};

static inline bool vm_is_head(const struct vm *vm)
{
	return vm->nodes.self == vm->nodes.head;
}

/* Does this vCPU of the machine live on this node? */
static inline bool vm_is_local(const struct vm *vm, unsigned cpu)
{
	return places_node(&vm->places, cpu) == vm->nodes.self;
}

/* The CPU of each node that serves the wire, and on the head the devices. */
static inline bool vm_cpu_leads(const struct vm_cpu *c)
{
	return c->index == 0;
}

/* Where a vCPU that somebody named is; whatever number it is. */
enum vm_place { VM_HERE, VM_ELSEWHERE, VM_NOWHERE };

static inline enum vm_place vm_place(const struct vm *vm, unsigned cpu)
{
	if (cpu >= vm->cpu_count)
		return VM_NOWHERE;
	return vm_is_local(vm, cpu) ? VM_HERE : VM_ELSEWHERE;
}

/* The calling CPU's vCPU spins: another that wants the CPU gets it. */
static inline void vcpu_give_way(struct vcpu *v)
{
	sched_give_way(&v->cpu->sched);
	v->recheck = true;
}

/* Brings the target's CPU out of the guest, or out of its sleep, to look at its events. Any CPU. */
void vcpu_kick(struct vcpu *target);
/* The same for what the CPU itself has to do. */
void vm_cpu_kick(struct vm_cpu *target);
/* The calling CPU's timer ends its sleep at host TSC `deadline`, if nothing did before. `c` is that CPU. */
void vm_cpu_wake_by(struct vm_cpu *c, uint64_t deadline);

/* Before a lock of `vm` is taken. */
static inline void vm_locks_init(struct vm *vm)
{
	spin_init(&vm->pc_lock, RANK_PC);
	spin_init(&vm->mem_lock, RANK_MEMORY);
	spin_init(&vm->stop_lock, RANK_STOP);
}

/* Stops the machine; the first reason counts. Any CPU, any lock. */
void vm_stop(struct vm *vm, enum vm_stop how);
void vm_fail(struct vm *vm, const char *fmt, ...) PRINTF(2, 3);

/* Guest TSC and guest time (ns since the machine started) now. */
uint64_t vm_guest_tsc(const struct vm *vm);
uint64_t vm_now_ns(const struct vm *vm);

#endif
