/*
 * VMCS field encodings, grouped by width class as in SDM vol. 3, appendix B. The width is part of the
 * encoding: bits 14:13 are 0 for 16 bits, 1 for 64, 2 for 32 and 3 for natural width.
 */
#ifndef HV_VMX_VMCS_FIELDS_H
#define HV_VMX_VMCS_FIELDS_H

// clang-format off

/* B.1: 16 bits */
enum vmcs_field16 {
	VMCS_VPID                   = 0x0000,
	VMCS_GUEST_ES_SELECTOR      = 0x0800, /* then CS, SS, DS, FS, GS, LDTR, TR in steps of 2 */
	VMCS_GUEST_INTERRUPT_STATUS = 0x0810,
	VMCS_HOST_ES_SELECTOR       = 0x0c00,
	VMCS_HOST_CS_SELECTOR       = 0x0c02,
	VMCS_HOST_SS_SELECTOR       = 0x0c04,
	VMCS_HOST_DS_SELECTOR       = 0x0c06,
	VMCS_HOST_FS_SELECTOR       = 0x0c08,
	VMCS_HOST_GS_SELECTOR       = 0x0c0a,
	VMCS_HOST_TR_SELECTOR       = 0x0c0c,
};

/* B.2: 64 bits */
enum vmcs_field64 {
	VMCS_MSR_BITMAP             = 0x2004,
	VMCS_TSC_OFFSET             = 0x2010,
	VMCS_VIRTUAL_APIC_PAGE      = 0x2012,
	VMCS_APIC_ACCESS_PAGE       = 0x2014,
	VMCS_EPT_POINTER            = 0x201a,
	VMCS_EOI_EXIT_BITMAP0       = 0x201c, /* four of them, in steps of 2 */
	VMCS_XSS_EXIT_BITMAP        = 0x202c,
	VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,
	VMCS_LINK_POINTER           = 0x2800,
	VMCS_GUEST_DEBUGCTL         = 0x2802,
	VMCS_GUEST_PAT              = 0x2804,
	VMCS_GUEST_EFER             = 0x2806,
	VMCS_GUEST_PDPTE0           = 0x280a, /* four of them, in steps of 2 */
	VMCS_HOST_PAT               = 0x2c00,
	VMCS_HOST_EFER              = 0x2c02,
};

/* B.3: 32 bits */
enum vmcs_field32 {
	VMCS_PIN_CONTROLS           = 0x4000,
	VMCS_PROC_CONTROLS          = 0x4002,
	VMCS_EXCEPTION_BITMAP       = 0x4004,
	VMCS_PF_ERROR_MASK          = 0x4006,
	VMCS_PF_ERROR_MATCH         = 0x4008,
	VMCS_CR3_TARGET_COUNT       = 0x400a,
	VMCS_EXIT_CONTROLS          = 0x400c,
	VMCS_EXIT_MSR_STORE_COUNT   = 0x400e,
	VMCS_EXIT_MSR_LOAD_COUNT    = 0x4010,
	VMCS_ENTRY_CONTROLS         = 0x4012,
	VMCS_ENTRY_MSR_LOAD_COUNT   = 0x4014,
	VMCS_ENTRY_INTR_INFO        = 0x4016,
	VMCS_ENTRY_ERROR_CODE       = 0x4018,
	VMCS_ENTRY_INSN_LEN         = 0x401a,
	VMCS_TPR_THRESHOLD          = 0x401c,
	VMCS_PROC2_CONTROLS         = 0x401e,
	VMCS_PLE_GAP                = 0x4020,
	VMCS_PLE_WINDOW             = 0x4022,
	VMCS_INSN_ERROR             = 0x4400,
	VMCS_EXIT_REASON            = 0x4402,
	VMCS_EXIT_INTR_INFO         = 0x4404,
	VMCS_EXIT_INTR_CODE         = 0x4406,
	VMCS_EXIT_ERROR_CODE        = 0x4406,
	VMCS_VECTORING_INFO         = 0x4408,
	VMCS_VECTORING_ERROR_CODE   = 0x440a,
	VMCS_EXIT_INSN_LEN          = 0x440c,
	VMCS_GUEST_ES_LIMIT         = 0x4800, /* then CS, SS, DS, FS, GS, LDTR, TR in steps of 2 */
	VMCS_GUEST_GDTR_LIMIT       = 0x4810,
	VMCS_GUEST_IDTR_LIMIT       = 0x4812,
	VMCS_GUEST_ES_ACCESS        = 0x4814, /* then CS, SS, DS, FS, GS, LDTR, TR in steps of 2 */
	VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
	VMCS_GUEST_ACTIVITY         = 0x4826,
	VMCS_GUEST_SYSENTER_CS      = 0x482a,
	VMCS_TIMER_VALUE            = 0x482e,
	VMCS_HOST_SYSENTER_CS       = 0x4c00,
};

/* B.4: natural width */
enum vmcs_field_natural {
	VMCS_CR0_MASK               = 0x6000,
	VMCS_CR4_MASK               = 0x6002,
	VMCS_CR0_SHADOW             = 0x6004,
	VMCS_CR4_SHADOW             = 0x6006,
	VMCS_EXIT_QUALIFICATION     = 0x6400,
	VMCS_GUEST_LINEAR_ADDRESS   = 0x640a,
	VMCS_GUEST_CR0              = 0x6800,
	VMCS_GUEST_CR3              = 0x6802,
	VMCS_GUEST_CR4              = 0x6804,
	VMCS_GUEST_ES_BASE          = 0x6806, /* then CS, SS, DS, FS, GS, LDTR, TR in steps of 2 */
	VMCS_GUEST_FS_BASE          = 0x680e,
	VMCS_GUEST_GS_BASE          = 0x6810,
	VMCS_GUEST_GDTR_BASE        = 0x6816,
	VMCS_GUEST_IDTR_BASE        = 0x6818,
	VMCS_GUEST_DR7              = 0x681a,
	VMCS_GUEST_RSP              = 0x681c,
	VMCS_GUEST_RIP              = 0x681e,
	VMCS_GUEST_RFLAGS           = 0x6820,
	VMCS_GUEST_PENDING_DEBUG    = 0x6822,
	VMCS_GUEST_SYSENTER_ESP     = 0x6824,
	VMCS_GUEST_SYSENTER_EIP     = 0x6826,
	VMCS_HOST_CR0               = 0x6c00,
	VMCS_HOST_CR3               = 0x6c02,
	VMCS_HOST_CR4               = 0x6c04,
	VMCS_HOST_FS_BASE           = 0x6c06,
	VMCS_HOST_GS_BASE           = 0x6c08,
	VMCS_HOST_TR_BASE           = 0x6c0a,
	VMCS_HOST_GDTR_BASE         = 0x6c0c,
	VMCS_HOST_IDTR_BASE         = 0x6c0e,
	VMCS_HOST_SYSENTER_ESP      = 0x6c10,
	VMCS_HOST_SYSENTER_EIP      = 0x6c12,
	VMCS_HOST_RSP               = 0x6c14,
	VMCS_HOST_RIP               = 0x6c16,
};
// clang-format on

#endif
