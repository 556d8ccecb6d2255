/* Bits of the VMCS control fields and of what VM exits report. */
#ifndef HV_VMX_VMX_BITS_H
#define HV_VMX_VMX_BITS_H

#include "hv/base/bits.h"

// clang-format off

/* Pin-based controls. SDM vol. 3, 25.6.1 */
#define PIN_INTERRUPT_EXIT      (1u << 0)
#define PIN_NMI_EXIT            (1u << 3)
#define PIN_VIRTUAL_NMIS        (1u << 5)
#define PIN_TIMER               (1u << 6)

/* Primary processor-based controls. SDM vol. 3, 25.6.2, table 25-6 */
#define PROC_INTERRUPT_WINDOW   (1u << 2)
#define PROC_TSC_OFFSET         (1u << 3)
#define PROC_HLT_EXIT           (1u << 7)
#define PROC_INVLPG_EXIT        (1u << 9)
#define PROC_MWAIT_EXIT         (1u << 10)
#define PROC_RDPMC_EXIT         (1u << 11)
#define PROC_RDTSC_EXIT         (1u << 12)
#define PROC_CR3_LOAD_EXIT      (1u << 15)
#define PROC_CR3_STORE_EXIT     (1u << 16)
#define PROC_CR8_LOAD_EXIT      (1u << 19)
#define PROC_CR8_STORE_EXIT     (1u << 20)
#define PROC_TPR_SHADOW         (1u << 21)
#define PROC_NMI_WINDOW         (1u << 22)
#define PROC_MOV_DR_EXIT        (1u << 23)
#define PROC_IO_EXIT            (1u << 24)
#define PROC_IO_BITMAPS         (1u << 25)
#define PROC_MSR_BITMAPS        (1u << 28)
#define PROC_MONITOR_EXIT       (1u << 29)
#define PROC_PAUSE_EXIT         (1u << 30)
#define PROC_SECONDARY          (1u << 31)

/* Secondary processor-based controls. SDM vol. 3, 25.6.2, table 25-7 */
#define PROC2_APIC_ACCESS       (1u << 0)
#define PROC2_EPT               (1u << 1)
#define PROC2_DT_EXIT           (1u << 2)
#define PROC2_RDTSCP            (1u << 3)
#define PROC2_X2APIC            (1u << 4)
#define PROC2_VPID              (1u << 5)
#define PROC2_WBINVD_EXIT       (1u << 6)
#define PROC2_UNRESTRICTED      (1u << 7)
#define PROC2_APIC_REGISTERS    (1u << 8)
#define PROC2_INTERRUPT_DELIVERY (1u << 9)
#define PROC2_PAUSE_LOOP_EXIT   (1u << 10)
#define PROC2_INVPCID           (1u << 12)
#define PROC2_XSAVES            (1u << 20)

/* VM-exit controls. SDM vol. 3, 25.7.1 */
#define EXIT_SAVE_DEBUG         (1u << 2)
#define EXIT_HOST_64            (1u << 9)
#define EXIT_ACK_INTERRUPT      (1u << 15)
#define EXIT_SAVE_PAT           (1u << 18)
#define EXIT_LOAD_PAT           (1u << 19)
#define EXIT_SAVE_EFER          (1u << 20)
#define EXIT_LOAD_EFER          (1u << 21)

/* VM-entry controls. SDM vol. 3, 25.8.1 */
#define ENTRY_LOAD_DEBUG        (1u << 2)
#define ENTRY_GUEST_64          (1u << 9)
#define ENTRY_LOAD_PAT          (1u << 14)
#define ENTRY_LOAD_EFER         (1u << 15)

/* Interruption information: entry, exit and IDT-vectoring. SDM vol. 3, 25.8.3, 25.9.2, 25.9.3 */
#define INTR_VECTOR(info)       ((uint8_t)(info))
#define INTR_TYPE(info)         ((info) >> 8 & 7)
#define INTR_TYPE_FIELD(type)   ((uint32_t)(type) << 8)
#define INTR_HAS_CODE           (1u << 11)
#define INTR_IRET_UNBLOCKED_NMI (1u << 12) /* exit information only; undefined in IDT-vectoring */
#define INTR_VALID              (1u << 31)

enum intr_type {
	INTR_EXTERNAL = 0,
	INTR_NMI = 2,
	INTR_EXCEPTION = 3,
	INTR_SOFT_INTERRUPT = 4,
	INTR_PRIV_SOFT_EXCEPTION = 5, /* INT1 */
	INTR_SOFT_EXCEPTION = 6,      /* INT3, INTO */
	INTR_OTHER = 7,
};

/* Interruptibility state. SDM vol. 3, table 25-3 */
#define BLOCKED_BY_STI          (1u << 0)
#define BLOCKED_BY_MOV_SS       (1u << 1)
#define BLOCKED_BY_SMI          (1u << 2)
#define BLOCKED_BY_NMI          (1u << 3)

/* Activity state. SDM vol. 3, 25.4.2 */
enum vmx_activity { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_SIPI };

/* Pending debug exceptions. SDM vol. 3, table 25-4 */
#define PENDING_DEBUG_BS        (1u << 14)

/* IA32_DEBUGCTL. SDM vol. 3, 17.4.1 */
#define DEBUGCTL_LBR            (1u << 0)
#define DEBUGCTL_BTF            (1u << 1)

/* Segment access rights. SDM vol. 3, table 25-2 */
#define ACCESS_TYPE(ar)         ((ar) & 15u)
#define ACCESS_S                (1u << 4)
#define ACCESS_DPL(ar)          ((ar) >> 5 & 3u)
#define ACCESS_P                (1u << 7)
#define ACCESS_AVL              (1u << 12)
#define ACCESS_L                (1u << 13)
#define ACCESS_DB               (1u << 14)
#define ACCESS_G                (1u << 15)
#define ACCESS_UNUSABLE         (1u << 16)
#define ACCESS_RESERVED         ((uint32_t)(BITS(31, 17) | BITS(11, 8)))

/* Basic exit reasons. SDM vol. 3, appendix C */
#define EXIT_REASON_BASIC(r)    ((r) & 0xffffu)
#define EXIT_REASON_ENTRY_FAILED (1u << 31)
enum vmx_exit_reason {
	REASON_EXCEPTION_OR_NMI = 0,
	REASON_EXTERNAL_INTERRUPT = 1,
	REASON_TRIPLE_FAULT = 2,
	REASON_INIT = 3,
	REASON_SIPI = 4,
	REASON_INTERRUPT_WINDOW = 7,
	REASON_NMI_WINDOW = 8,
	REASON_TASK_SWITCH = 9,
	REASON_CPUID = 10,
	REASON_GETSEC = 11,
	REASON_HLT = 12,
	REASON_INVD = 13,
	REASON_INVLPG = 14,
	REASON_RDPMC = 15,
	REASON_RDTSC = 16,
	REASON_RSM = 17,
	REASON_VMCALL = 18,
	REASON_VMCLEAR = 19, /* to VMXON the other VMX instructions */
	REASON_VMXON = 27,
	REASON_CR_ACCESS = 28,
	REASON_DR_ACCESS = 29,
	REASON_IO = 30,
	REASON_RDMSR = 31,
	REASON_WRMSR = 32,
	REASON_BAD_GUEST_STATE = 33,
	REASON_MSR_LOADING = 34,
	REASON_MWAIT = 36,
	REASON_TRAP_FLAG = 37,
	REASON_MONITOR = 39,
	REASON_PAUSE = 40,
	REASON_MACHINE_CHECK = 41,
	REASON_TPR_THRESHOLD = 43,
	REASON_APIC_ACCESS = 44,
	REASON_EOI = 45,
	REASON_GDTR_IDTR = 46,
	REASON_LDTR_TR = 47,
	REASON_EPT_VIOLATION = 48,
	REASON_EPT_MISCONFIG = 49,
	REASON_INVEPT = 50,
	REASON_RDTSCP = 51,
	REASON_TIMER = 52,
	REASON_INVVPID = 53,
	REASON_WBINVD = 54,
	REASON_XSETBV = 55,
	REASON_APIC_WRITE = 56,
	REASON_INVPCID = 58,
	REASON_VMFUNC = 59,
	REASON_ENCLS = 60,
	REASON_XSAVES = 63,
	REASON_XRSTORS = 64,
	REASON_UMWAIT = 67,
	REASON_TPAUSE = 68,
	REASON_COUNT = 76,
};

/* IA32_VMX_EPT_VPID_CAP. SDM vol. 3, A.10 */
#define EPT_CAP_EXEC_ONLY       BIT(0)
#define EPT_CAP_WALK4           BIT(6)
#define EPT_CAP_WB              BIT(14)
#define EPT_CAP_2M              BIT(16)
#define EPT_CAP_INVEPT          BIT(20)
#define EPT_CAP_INVEPT_ONE      BIT(25)
#define EPT_CAP_INVEPT_ALL      BIT(26)
#define EPT_CAP_INVVPID         BIT(32)
#define EPT_CAP_INVVPID_ONE     BIT(41)
#define EPT_CAP_INVVPID_ALL     BIT(42)
// clang-format on

#endif
