/*
 * The virtual machine as one node sees it: its vCPUs, its guest memory, its interrupt system, and, on
 * the head, the PC's devices.
 *
 * Lock order (outermost first): vm->pc_lock, then vm->mem_lock, then pmem's and the log's own. A vCPU's
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
#include "hv/core/virt.h"
#include "hv/x86/pcpu.h"

#define VM_MAX_CPUS 64

enum vcpu_state {
	VCPU_WAIT_SIPI, /* after INIT; not entered */
	VCPU_HALTED,    /* in HLT; wakes on an interrupt, NMI or kick */
	VCPU_RUNNING,
};

struct vm;

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
	_Atomic bool pv_unhalt;      /* a KICK_CPU hypercall named this vCPU */
	uint64_t armed_deadline;     /* host TSC for which the host timer is set; 0: not */
	struct lapic lapic;
	struct apic_post post;
	uint64_t kvm_clock_msr, kvm_wall_msr;
	uint64_t misc_enable;
	uint64_t exits[VM_EXIT_KINDS];
	uint64_t pages_backed, mmio, injected, kicked, hypercalls, msr_unknown;
	uint64_t hypercalls_unknown;
};

enum vm_stop {
	VM_RUNNING,
	VM_POWERED_OFF,
	VM_RESET,
	VM_DEBUG_EXIT,
	VM_FAILED, /* vm->stop_why says why */
};

struct vm {
	const struct virt_ops *ops;
	const struct options *options;
	struct virt_features features;
	struct npt *npt;
	unsigned cpu_count;
	struct vcpu vcpus[VM_MAX_CPUS];

	struct spinlock mem_lock;
	uint64_t ram_bytes;
	hpa_t *frames; /* per RAM frame in gpa order without the holes; 0: not backed yet */
	uint64_t frame_count;

	struct spinlock pc_lock; /* pc, ioapic */
	struct pc pc;
	bool pc_on;
	struct ioapic ioapic;
	_Atomic bool pc_timer_moved; /* the next device event is another: vCPU 0 looks */
	uint64_t pc_next;            /* guest time at which vCPU 0 looks in any case */
	struct apic_book book;
	uint32_t apic_ids[VM_MAX_CPUS];

	uint32_t msr_named[64]; /* MSRs that the log has named as unknown */
	unsigned msr_named_count;

	uint64_t tsc_base;  /* host TSC at which the guest's TSC is 0 */
	int64_t wall_start; /* Unix time at tsc_base, seconds */

	_Atomic unsigned stop;
	uint8_t debug_code;
	struct spinlock stop_lock;
	struct why stop_why;
};

/* Stops the machine; the first reason counts. Any CPU, any lock. */
void vm_stop(struct vm *vm, enum vm_stop how);
void vm_fail(struct vm *vm, const char *fmt, ...) PRINTF(2, 3);

/* Guest TSC and guest time (ns since the machine started) now. */
uint64_t vm_guest_tsc(const struct vm *vm);
uint64_t vm_now_ns(const struct vm *vm);

#endif
