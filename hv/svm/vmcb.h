/* The virtual machine control block. APM vol. 2, 15.5 and appendix B. */
#ifndef HV_SVM_VMCB_H
#define HV_SVM_VMCB_H

#include "hv/base/assert.h"
#include "hv/base/bits.h"

// clang-format off

/*
 * What can be intercepted is numbered as the exits are: exit code n below SVM_INTERCEPTS has bit n of
 * the intercept vectors. Tables B-1 and C-1.
 */
#define SVM_INTERCEPTS      0xc0u
enum svm_exit_code {
	SVM_EXIT_CR0_READ   = 0x00,
	SVM_EXIT_CR3_READ   = 0x03,
	SVM_EXIT_CR8_READ   = 0x08,
	SVM_EXIT_CR0_WRITE  = 0x10,
	SVM_EXIT_CR3_WRITE  = 0x13,
	SVM_EXIT_CR4_WRITE  = 0x14,
	SVM_EXIT_CR8_WRITE  = 0x18,
	SVM_EXIT_EXCEPTION  = 0x40, /* + vector */
	SVM_EXIT_INTR       = 0x60,
	SVM_EXIT_NMI        = 0x61,
	SVM_EXIT_SMI        = 0x62,
	SVM_EXIT_INIT       = 0x63,
	SVM_EXIT_VINTR      = 0x64,
	SVM_EXIT_CR0_SEL    = 0x65,
	SVM_EXIT_RDPMC      = 0x6f,
	SVM_EXIT_CPUID      = 0x72,
	SVM_EXIT_IRET       = 0x74,
	SVM_EXIT_INVD       = 0x76,
	SVM_EXIT_PAUSE      = 0x77,
	SVM_EXIT_HLT        = 0x78,
	SVM_EXIT_INVLPG     = 0x79,
	SVM_EXIT_INVLPGA    = 0x7a,
	SVM_EXIT_IOIO       = 0x7b,
	SVM_EXIT_MSR        = 0x7c,
	SVM_EXIT_TASK       = 0x7d,
	SVM_EXIT_SHUTDOWN   = 0x7f,
	SVM_EXIT_VMRUN      = 0x80,
	SVM_EXIT_VMMCALL    = 0x81,
	SVM_EXIT_VMLOAD     = 0x82,
	SVM_EXIT_VMSAVE     = 0x83,
	SVM_EXIT_STGI       = 0x84,
	SVM_EXIT_CLGI       = 0x85,
	SVM_EXIT_SKINIT     = 0x86,
	SVM_EXIT_WBINVD     = 0x89,
	SVM_EXIT_MONITOR    = 0x8a,
	SVM_EXIT_MWAIT      = 0x8b,
	SVM_EXIT_MWAIT_ARMED = 0x8c,
	SVM_EXIT_XSETBV     = 0x8d,
	SVM_EXIT_NPF        = 0x400,
};
/* As 32 bits, for some CPUs write no more: VMRUN refused the guest's state. */
#define SVM_EXIT_INVALID    0xffffffffu

/* TLB_CONTROL. 15.16.1 */
#define TLB_KEEP            0u
#define TLB_FLUSH_ALL       1u
#define TLB_FLUSH_ASID      3u

/* The virtual interrupt, offset 60h. 15.21 */
#define VINTR_IRQ           BIT(8)
#define VINTR_PRIO(n)       ((uint64_t)(n) << 16)
#define VINTR_IGNORE_TPR    BIT(20)
#define VINTR_MASKING       BIT(24)

/* Offset 68h */
#define SHADOW_ON           BIT(0)

/* Offset 90h */
#define NP_ENABLE           BIT(0)

/* EVENTINJ and EXITINTINFO: the error code is in the upper half. 15.20, figure 15-4 */
#define EVENT_VECTOR(e)     ((uint8_t)(e))
#define EVENT_TYPE(e)       ((e) >> 8 & 7)
#define EVENT_TYPE_FIELD(t) ((uint64_t)(t) << 8)
#define EVENT_HAS_CODE      BIT(11)
#define EVENT_VALID         BIT(31)
#define EVENT_CODE(e)       ((uint32_t)((e) >> 32))
#define EVENT_CODE_FIELD(c) ((uint64_t)(c) << 32)

enum svm_event_type {
	EVENT_TYPE_INTR = 0,
	EVENT_TYPE_NMI = 2,
	EVENT_TYPE_EXCEPTION = 3,
	EVENT_TYPE_SOFT = 4, /* INT n */
};

/* EXITINFO1 of IOIO. 15.10.2, figure 15-2 */
#define IOIO_IN             BIT(0)
#define IOIO_STRING         BIT(2)
#define IOIO_SIZE(i)        ((i) >> 4 & 7) /* 1, 2 or 4 */
#define IOIO_PORT(i)        ((uint16_t)((i) >> 16))

/* EXITINFO1 of a nested page fault. 15.25.6 */
#define NPF_WRITE           BIT(1)
#define NPF_RESERVED        BIT(3)
#define NPF_FETCH           BIT(4)
#define NPF_TABLE_WALK      BIT(33)

/* EXITINFO1 of a control-register access, where the CPU has decode assists. 15.33.1 */
#define CR_ACCESS_MOV       BIT(63)
#define CR_ACCESS_GPR(i)    ((i) & 15)

/* Segment attributes: descriptor bits 55:52 and 47:40 side by side. 15.5.1 */
#define ATTR_TYPE(a)        ((a) & 15)
#define ATTR_S              BIT(4)
#define ATTR_DPL(a)         ((a) >> 5 & 3)
#define ATTR_DPL_FIELD(d)   ((d) << 5)
#define ATTR_P              BIT(7)
#define ATTR_AVL            BIT(8)
#define ATTR_L              BIT(9)
#define ATTR_DB             BIT(10)
#define ATTR_G              BIT(11)

/* Table B-1 */
struct vmcb_control {
	uint32_t intercepts[SVM_INTERCEPTS / 32]; /* CR, DR, exceptions, then three of instructions */
	uint8_t reserved18[0x24];
	uint16_t pause_threshold;
	uint16_t pause_count;
	uint64_t iopm_base;
	uint64_t msrpm_base;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control;
	uint8_t reserved5d[3];
	uint64_t vintr;
	uint64_t shadow;
	uint64_t exit_code;
	uint64_t exit_info1;
	uint64_t exit_info2;
	uint64_t exit_int_info;
	uint64_t nested;
	uint64_t avic_bar;
	uint64_t ghcb;
	uint64_t event_inject;
	uint64_t nested_cr3;
	uint64_t lbr;
	uint32_t clean;
	uint32_t reservedc4;
	uint64_t next_rip;
	uint8_t insn_len;
	uint8_t insn[15];
	uint8_t reservede0[0x400 - 0xe0];
};
ASSERT_OFFSET(struct vmcb_control, pause_threshold, 0x3c);
ASSERT_OFFSET(struct vmcb_control, iopm_base, 0x40);
ASSERT_OFFSET(struct vmcb_control, tsc_offset, 0x50);
ASSERT_OFFSET(struct vmcb_control, asid, 0x58);
ASSERT_OFFSET(struct vmcb_control, tlb_control, 0x5c);
ASSERT_OFFSET(struct vmcb_control, vintr, 0x60);
ASSERT_OFFSET(struct vmcb_control, exit_code, 0x70);
ASSERT_OFFSET(struct vmcb_control, exit_int_info, 0x88);
ASSERT_OFFSET(struct vmcb_control, nested, 0x90);
ASSERT_OFFSET(struct vmcb_control, event_inject, 0xa8);
ASSERT_OFFSET(struct vmcb_control, nested_cr3, 0xb0);
ASSERT_OFFSET(struct vmcb_control, clean, 0xc0);
ASSERT_OFFSET(struct vmcb_control, next_rip, 0xc8);
ASSERT_OFFSET(struct vmcb_control, insn, 0xd1);
ASSERT_SIZE(struct vmcb_control, 0x400);

struct vmcb_seg {
	uint16_t selector;
	uint16_t attr;
	uint32_t limit;
	uint64_t base;
};
ASSERT_SIZE(struct vmcb_seg, 16);

/* Table B-2 */
struct vmcb_save {
	struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserveda0[0xcb - 0xa0];
	uint8_t cpl;
	uint32_t reservedcc;
	uint64_t efer;
	uint8_t reservedd8[0x148 - 0xd8];
	uint64_t cr4;
	uint64_t cr3;
	uint64_t cr0;
	uint64_t dr7;
	uint64_t dr6;
	uint64_t rflags;
	uint64_t rip;
	uint8_t reserved180[0x1d8 - 0x180];
	uint64_t rsp;
	uint64_t s_cet, ssp, isst_addr;
	uint64_t rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2;
	uint8_t reserved248[0x268 - 0x248];
	uint64_t pat;
	uint64_t debugctl;
	uint64_t br_from, br_to, last_excp_from, last_excp_to;
	uint8_t reserved298[0xc00 - 0x298];
};
ASSERT_OFFSET(struct vmcb_save, gdtr, 0x60);
ASSERT_OFFSET(struct vmcb_save, ldtr, 0x70);
ASSERT_OFFSET(struct vmcb_save, idtr, 0x80);
ASSERT_OFFSET(struct vmcb_save, tr, 0x90);
ASSERT_OFFSET(struct vmcb_save, cpl, 0xcb);
ASSERT_OFFSET(struct vmcb_save, efer, 0xd0);
ASSERT_OFFSET(struct vmcb_save, cr4, 0x148);
ASSERT_OFFSET(struct vmcb_save, cr0, 0x158);
ASSERT_OFFSET(struct vmcb_save, rip, 0x178);
ASSERT_OFFSET(struct vmcb_save, rsp, 0x1d8);
ASSERT_OFFSET(struct vmcb_save, rax, 0x1f8);
ASSERT_OFFSET(struct vmcb_save, star, 0x200);
ASSERT_OFFSET(struct vmcb_save, sysenter_cs, 0x228);
ASSERT_OFFSET(struct vmcb_save, cr2, 0x240);
ASSERT_OFFSET(struct vmcb_save, pat, 0x268);
ASSERT_OFFSET(struct vmcb_save, last_excp_to, 0x290);

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};
ASSERT_OFFSET(struct vmcb, save, 0x400);
ASSERT_SIZE(struct vmcb, 0x1000);
// clang-format on

#endif
