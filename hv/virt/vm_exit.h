/*
 * Why a vCPU left the guest, in words that fit both vendors. A vendor room fills one; hv/core acts on
 * it and never sees a VMCS or a VMCB.
 */
#ifndef HV_VIRT_VM_EXIT_H
#define HV_VIRT_VM_EXIT_H

#include "hv/base/types.h"

enum vm_exit_kind {
	VM_EXIT_NONE,      /* the vendor room dealt with it; just run again */
	VM_EXIT_INTERRUPT, /* a host interrupt waits; it is taken when the run loop opens its window */
	VM_EXIT_HOST_NMI, /* an NMI of the host's; others are blocked until an IRET */
	VM_EXIT_TIMER,    /* the time slice set with run()'s deadline is over */
	VM_EXIT_CPUID,    /* gpr[RAX], gpr[RCX] */
	VM_EXIT_HLT,
	VM_EXIT_PAUSE,       /* a spinning guest (PAUSE-loop exit), or any PAUSE with pause_exits */
	VM_EXIT_IO,          /* .io; string forms are left to the emulator */
	VM_EXIT_MSR_READ,    /* gpr[RCX] */
	VM_EXIT_MSR_WRITE,   /* gpr[RCX], value in gpr[RDX]:gpr[RAX] */
	VM_EXIT_NPF,         /* .npf: nested page fault (EPT violation) */
	VM_EXIT_APIC_ACCESS, /* .apic: access to the APIC page that hardware did not virtualize */
	/*
	 * .apic: hardware has stored the value in the register page; act on it. RIP is past the write. Offset
	 * 0x80 is the TPR: it has fallen below the threshold of apic_tpr_threshold().
	 */
	VM_EXIT_APIC_WRITE,
	VM_EXIT_APIC_EOI, /* .apic.vector: hardware did EOI of a vector in the EOI-exit bitmap */
	VM_EXIT_CR_WRITE, /* .cr: MOV to CR0/CR3/CR4, CLTS, LMSW that touch a bit the host owns */
	VM_EXIT_EMULATE, /* INVLPG, or an instruction on a CR that the hardware does not describe further */
	VM_EXIT_XSETBV,     /* gpr[RCX], value in gpr[RDX]:gpr[RAX] */
	VM_EXIT_HYPERCALL,  /* VMCALL or VMMCALL */
	VM_EXIT_UNDEFINED,  /* an instruction the policy hides (VMX, MONITOR ...): inject #UD */
	VM_EXIT_FORBIDDEN,  /* a privileged instruction outside level 0, or RDPMC: inject #GP(0) */
	VM_EXIT_CACHE,      /* WBINVD, INVD: nothing to do on coherent hardware; skip */
	VM_EXIT_IRQ_WINDOW, /* the guest can take an external interrupt now */
	VM_EXIT_NMI_WINDOW, /* the guest can take an NMI now */
	VM_EXIT_EXCEPTION,  /* .exception: a #PF while walk_root() has a table */
	/*
	 * An exception that can be met again while it is delivered, and so without end, was given back to the
	 * guest: what the CPU is wanted for may have waited for this exit.
	 */
	VM_EXIT_REFLECTED,
	VM_EXIT_TASK_SWITCH, /* .detail: hardware task switch, not supported */
	VM_EXIT_TRIPLE_FAULT,
	VM_EXIT_INIT,         /* INIT reached the physical CPU */
	VM_EXIT_ENTRY_FAILED, /* .detail names the rule of the guest state that is broken */
	VM_EXIT_UNKNOWN,      /* .detail says what the hardware reported */
	VM_EXIT_KINDS
};

struct vm_exit {
	enum vm_exit_kind kind;
	uint32_t reason; /* the vendor's number, for the log only */
	uint8_t insn_len; /* bytes of the instruction that exited, 0 when the hardware does not say */
	union {
		struct {
			uint16_t port;
			uint8_t size; /* 1, 2, 4 */
			bool in;
			bool string; /* INS, OUTS, with or without REP */
		} io;
		struct {
			gpa_t gpa;
			gva_t gla; /* valid when gla_valid */
			bool gla_valid;
			bool read, write, fetch;
			bool table_walk; /* the access was the guest's page-table walk, not its operand */
			/* it happened while an event was being delivered: don't emulate, retry */
			bool delivery;
		} npf;
		struct {
			uint16_t offset; /* in the APIC page */
			bool write;
			bool fetch;
			uint8_t vector;
		} apic;
		struct {
			uint8_t cr;     /* 0, 3 or 4 */
			uint64_t value; /* what the guest wants the whole register to be */
		} cr;
		struct {
			uint8_t vector;
			bool has_code;
			uint32_t code;
			uint64_t address; /* #PF: the linear address */
		} exception;
		char detail[160];
	};
};

#endif
