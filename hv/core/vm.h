/*
 * The virtual machine as one node sees it: its vCPUs, its guest memory, its interrupt system, and, on
 * the head, the PC's devices.
 *
 * Lock order (outermost first): vm->pc_lock, then vm->mem_lock or the link's, then pmem's and the log's
 * own. A vCPU's
 * own state (registers, LAPIC) needs no lock: only its CPU touches it; others use vcpu_post().
 */
#ifndef HV_CORE_VM_H
#define HV_CORE_VM_H

#include <stdatomic.h>

#include "apic/book.h"
#include "apic/ioapic.h"
#include "apic/lapic.h"
#include "guest/pc.h"
#include "hv/base/counter.h"
#include "hv/base/spinlock.h"
#include "hv/core/options.h"
#include "hv/virt/virt.h"
#include "hv/x86/pcpu.h"

#define VM_MAX_CPUS  64
#define VM_MAX_NODES 32

enum vcpu_state {
	VCPU_WAIT_SIPI, /* after INIT; not entered */
	VCPU_HALTED,    /* in HLT; wakes on an interrupt, NMI or kick */
	VCPU_RUNNING,
};

struct vm;
struct devices;

struct vcpu {
	struct virt_vcpu virt; /* first: the run loop's hot fields */
	struct vm *vm;
	struct pcpu *pcpu;
	unsigned index;
	enum vcpu_state state;
	bool recheck; /* look at events and timers before the next entry */
	bool nmi_pending;
	bool extint;                 /* an ExtINT message came: the next vector is the PIC's */
	bool irq_window, nmi_window; /* asked for at the vendor's */
	bool apic_hw;                /* hardware helps with the LAPIC page */
	bool use_vid;                /* hardware delivers this vCPU's interrupts */
	bool vid_stale;              /* the guest ran since the LAPIC last looked at its page */
	struct vtlb *vtlb;           /* NULL: the CPU walks the guest's page tables */
	_Atomic bool pv_unhalt;      /* a KICK_CPU hypercall named this vCPU */
	uint64_t armed_deadline;     /* host TSC for which the host timer is set; 0: not */
	struct lapic lapic;
	struct apic_post post;
	/* Memory shared with other nodes; see hv/cluster/share.h. */
	_Atomic bool in_guest;
	_Atomic uint64_t epoch;  /* of vm->epoch: what this CPU's TLB and TSC offset follow */
	_Atomic gfn_t touching;  /* the page that the hypervisor uses on this CPU, or NO_GFN */
	_Atomic bool granted;    /* the page it waits for is here */
	_Atomic bool dozes;      /* what it waits for has to wake it */
	bool holds, hyper_holds; /* the engine may keep pages for the guest, for the hypervisor */
	uint64_t fault_rip;      /* of the instruction the guest's pages are held for */
	struct hist fault_ns[2]; /* read, write: from the fault to the page */
	/* Host TSC ticks this vCPU has waited for other nodes since its timer's last interrupt, at that TSC. */
	uint64_t stalled, timer_fired;
	uint64_t kvm_clock_msr, kvm_wall_msr;
	uint64_t misc_enable;
	uint64_t exits[VM_EXIT_KINDS];
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
	unsigned first_cpu, local_cpus; /* vCPUs of this node */
	unsigned most_cpus;             /* of any node */
	uint8_t of_cpu[VM_MAX_CPUS];    /* the node that has the vCPU */
	uint64_t clock_steps;           /* times the guest's TSC caught up with another node's */
	uint64_t clock_stepped;         /* and by how many ticks in all */
};

struct vm {
	const struct virt_ops *ops;
	const struct options *options;
	struct virt_features features;
	struct npt *npt;
	struct vm_nodes nodes;
	unsigned cpu_count;             /* of the machine */
	struct vcpu vcpus[VM_MAX_CPUS]; /* those of other nodes are not in use */

	_Atomic uint64_t epoch; /* rises when rights to memory are taken away or time moves */

	struct spinlock mem_lock;
	uint64_t ram_bytes;
	hpa_t *frames; /* per RAM frame in gpa order without the holes; 0: not backed yet */
	uint64_t frame_count;

	struct devices *devices; /* what is behind the PC's; hv/dev/devices.h */
	struct spinlock pc_lock; /* pc, ioapic, devices */
	struct pc pc;
	bool pc_on;
	struct ioapic ioapic;
	_Atomic bool pc_timer_moved; /* the next device event is another: vCPU 0 looks */
	uint64_t pc_next;            /* guest time at which vCPU 0 looks in any case */
	struct apic_book book;
	uint32_t apic_ids[VM_MAX_CPUS];

	uint32_t msr_named[64]; /* MSRs that the log has named as unknown */
	unsigned msr_named_count;

	_Atomic uint64_t tsc_base; /* host TSC at which the guest's TSC is 0; only falls */
	uint64_t tsc_hz;           /* the guest's: the head's own */
	int64_t wall_start;        /* Unix time at tsc_base, seconds */

	_Atomic unsigned stop;
	uint8_t debug_code;
	struct spinlock stop_lock;
	struct why stop_why;
};

/* Memory and devices are shared with other nodes. */
static inline bool vm_is_shared(const struct vm *vm)
{
	return vm->nodes.count > 1;
}

static inline bool vm_is_head(const struct vm *vm)
{
	return vm->nodes.self == vm->nodes.head;
}

static inline bool vm_is_local(const struct vm *vm, unsigned cpu)
{
	return cpu - vm->nodes.first_cpu < vm->nodes.local_cpus;
}

/* The CPU of each node that serves the wire. */
static inline bool vcpu_leads(const struct vcpu *v)
{
	return v->index == v->vm->nodes.first_cpu;
}

/* Stops the machine; the first reason counts. Any CPU, any lock. */
void vm_stop(struct vm *vm, enum vm_stop how);
void vm_fail(struct vm *vm, const char *fmt, ...) PRINTF(2, 3);

/* Guest TSC and guest time (ns since the machine started) now. */
uint64_t vm_guest_tsc(const struct vm *vm);
uint64_t vm_now_ns(const struct vm *vm);

#endif
