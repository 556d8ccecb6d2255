/* Model-specific registers and CPUID feature bits. SDM vol. 4 and vol. 2A (CPUID); APM vol. 2, appendix A. */
#ifndef HV_X86_MSR_H
#define HV_X86_MSR_H

// clang-format off
#include "hv/base/bits.h"

#define MSR_TSC                   0x010u
#define MSR_APIC_BASE             0x01bu
#define MSR_FEATURE_CONTROL       0x03au
#define MSR_TSC_ADJUST            0x03bu
#define MSR_SPEC_CTRL             0x048u
#define MSR_BIOS_SIGN_ID          0x08bu
#define MSR_PLATFORM_INFO         0x0ceu
#define MSR_MTRR_CAP              0x0feu
#define MSR_ARCH_CAPABILITIES     0x10au
#define MSR_SYSENTER_CS           0x174u
#define MSR_SYSENTER_ESP          0x175u
#define MSR_SYSENTER_EIP          0x176u
#define MSR_MCG_CAP               0x179u
#define MSR_MISC_ENABLE           0x1a0u
#define MSR_DEBUGCTL              0x1d9u
#define MSR_MTRR_PHYS_BASE0       0x200u
#define MSR_PAT                   0x277u
#define MSR_MTRR_DEF_TYPE         0x2ffu
#define MSR_PERF_GLOBAL_CTRL      0x38fu
#define MSR_VMX_BASIC             0x480u
#define MSR_TSC_DEADLINE          0x6e0u
#define MSR_X2APIC_BASE           0x800u /* register at offset X of the page is MSR 0x800 + X / 16 */
#define MSR_XSS                   0xda0u
#define MSR_EFER                  0xc0000080u
#define MSR_STAR                  0xc0000081u
#define MSR_LSTAR                 0xc0000082u
#define MSR_CSTAR                 0xc0000083u
#define MSR_SFMASK                0xc0000084u
#define MSR_FS_BASE               0xc0000100u
#define MSR_GS_BASE               0xc0000101u
#define MSR_KERNEL_GS_BASE        0xc0000102u
#define MSR_TSC_AUX               0xc0000103u
#define MSR_VM_CR                 0xc0010114u
#define MSR_VM_HSAVE_PA           0xc0010117u

#define APIC_BASE_BSP             BIT(8) /* as in apic/lapic.h */
#define APIC_BASE_X2APIC          (1ull << 10)
#define APIC_BASE_ENABLE          (1ull << 11)

#define FEATURE_CONTROL_LOCK      (1ull << 0)
#define FEATURE_CONTROL_VMX_SMX   (1ull << 1)
#define FEATURE_CONTROL_VMX       (1ull << 2)

#define EFER_SCE                  (1ull << 0)
#define EFER_LME                  (1ull << 8)
#define EFER_LMA                  (1ull << 10)
#define EFER_NXE                  (1ull << 11)
#define EFER_SVME                 (1ull << 12)

#define CR0_PE                    (1ull << 0)
#define CR0_MP                    (1ull << 1)
#define CR0_EM                    (1ull << 2)
#define CR0_TS                    (1ull << 3)
#define CR0_ET                    (1ull << 4)
#define CR0_NE                    (1ull << 5)
#define CR0_WP                    (1ull << 16)
#define CR0_AM                    (1ull << 18)
#define CR0_NW                    (1ull << 29)
#define CR0_CD                    (1ull << 30)
#define CR0_PG                    (1ull << 31)

#define CR4_VME                   (1ull << 0)
#define CR4_PVI                   (1ull << 1)
#define CR4_TSD                   (1ull << 2)
#define CR4_DE                    (1ull << 3)
#define CR4_PSE                   (1ull << 4)
#define CR4_PAE                   (1ull << 5)
#define CR4_MCE                   (1ull << 6)
#define CR4_PGE                   (1ull << 7)
#define CR4_PCE                   (1ull << 8)
#define CR4_OSFXSR                (1ull << 9)
#define CR4_OSXMMEXCPT            (1ull << 10)
#define CR4_UMIP                  (1ull << 11)
#define CR4_LA57                  (1ull << 12)
#define CR4_VMXE                  (1ull << 13)
#define CR4_SMXE                  (1ull << 14)
#define CR4_FSGSBASE              (1ull << 16)
#define CR4_PCIDE                 (1ull << 17)
#define CR4_OSXSAVE               (1ull << 18)
#define CR4_SMEP                  (1ull << 20)
#define CR4_SMAP                  (1ull << 21)
#define CR4_PKE                   (1ull << 22)

/* Changes of these drop translations. SDM vol. 3, 4.1.1 and 4.10.4.1; APM vol. 2, 5.5.2 */
#define CR0_TRANSLATION (CR0_PG | CR0_WP | CR0_PE)
#define CR4_TRANSLATION (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE)

#define RFLAGS_FIXED              (1ull << 1)
#define RFLAGS_STATUS             0x8d5ull /* CF, PF, AF, ZF, SF, OF */
#define RFLAGS_RESERVED           0xffffffffffc08028ull /* always 0 */
#define RFLAGS_ZF                 (1ull << 6)
#define RFLAGS_TF                 (1ull << 8)
#define RFLAGS_IF                 (1ull << 9)
#define RFLAGS_DF                 (1ull << 10)
#define RFLAGS_IOPL               (3ull << 12)
#define RFLAGS_RF                 (1ull << 16)
#define RFLAGS_VM                 (1ull << 17)
#define RFLAGS_AC                 (1ull << 18)

/* Debug registers. SDM vol. 3, 18.2.3 and 18.2.4 */
#define DR6_RESET                 0xffff0ff0ull
#define DR6_BREAKPOINTS           0xfull
#define DR6_BD                    (1ull << 13) /* a debug register was used while DR7.GD was set */
#define DR6_STEP                  (1ull << 14)
#define DR7_RESET                 0x400ull
#define DR7_GD                    (1ull << 13)

/* CPUID leaf 1 */
#define CPUID1_ECX_VMX            (1u << 5)
#define CPUID1_ECX_PCID           (1u << 17)
#define CPUID1_ECX_X2APIC         (1u << 21)
#define CPUID1_ECX_TSC_DEADLINE   (1u << 24)
#define CPUID1_ECX_XSAVE          (1u << 26)
#define CPUID1_ECX_OSXSAVE        (1u << 27)
#define CPUID1_ECX_HYPERVISOR     (1u << 31)
#define CPUID1_EDX_MSR            (1u << 5)
#define CPUID1_EDX_MCE            (1u << 7)
#define CPUID1_EDX_APIC           (1u << 9)
#define CPUID1_EDX_PGE            (1u << 13)
#define CPUID1_EDX_PAT            (1u << 16)
/* leaf 6 */
#define CPUID6_EAX_ARAT           (1u << 2)
/* leaf 0x80000001, 0x80000007 */
#define CPUID_EXT1_ECX_SVM        (1u << 2)
#define CPUID_EXT1_EDX_NX         (1u << 20)
#define CPUID_EXT1_EDX_1GB        (1u << 26)
#define CPUID_EXT1_EDX_LM         (1u << 29)
#define CPUID_EXT7_EDX_INVTSC     (1u << 8)
// clang-format on

#endif
