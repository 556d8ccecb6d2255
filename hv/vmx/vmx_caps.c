#include "hv/vmx/vmx_caps.h"

#include "hv/virt/preflight.h"
#include "hv/x86/msr.h"

enum wish_kind {
	NEED,         /* set; without it Amalgam can't run here */
	USE,          /* set where it is there */
	LATER,        /* switched on and off while the vCPU runs */
	NEEDED_LATER, /* the same, and Amalgam can't run without it */
	OFF,          /* must be possible to leave off */
};

struct wish {
	enum vmx_word word;
	enum wish_kind kind;
	uint32_t bit;
	const char *name; /* the SDM's */
	/* for the report on options: what happens without it; NULL: not reported */
	const char *instead;
};

// clang-format off
static const struct wish wishes[] = {
	{ WORD_PIN, NEED, PIN_INTERRUPT_EXIT, "external-interrupt exiting", NULL },
	{ WORD_PIN, NEED, PIN_NMI_EXIT, "NMI exiting", NULL },
	{ WORD_PIN, NEED, PIN_VIRTUAL_NMIS, "virtual NMIs", NULL },
	{ WORD_PIN, USE, PIN_TIMER, "preemption timer", "the host's APIC timer ends time slices" },

	{ WORD_PROC, NEEDED_LATER, PROC_INTERRUPT_WINDOW, "interrupt-window exiting", NULL },
	{ WORD_PROC, NEEDED_LATER, PROC_NMI_WINDOW, "NMI-window exiting", NULL },
	{ WORD_PROC, NEED, PROC_TSC_OFFSET, "use TSC offsetting", NULL },
	{ WORD_PROC, NEED, PROC_HLT_EXIT, "HLT exiting", NULL },
	{ WORD_PROC, USE, PROC_MWAIT_EXIT, "MWAIT exiting", NULL },
	{ WORD_PROC, USE, PROC_MONITOR_EXIT, "MONITOR exiting", NULL },
	{ WORD_PROC, NEED, PROC_RDPMC_EXIT, "RDPMC exiting", NULL },
	{ WORD_PROC, NEED, PROC_IO_EXIT, "unconditional I/O exiting", NULL },
	{ WORD_PROC, NEED, PROC_MSR_BITMAPS, "use MSR bitmaps", NULL },
	{ WORD_PROC, USE, PROC_CR8_LOAD_EXIT, "CR8-load exiting", NULL },
	{ WORD_PROC, USE, PROC_CR8_STORE_EXIT, "CR8-store exiting", NULL },
	{ WORD_PROC, OFF, PROC_INVLPG_EXIT, "INVLPG exiting", NULL },
	{ WORD_PROC, OFF, PROC_RDTSC_EXIT, "RDTSC exiting", NULL },
	{ WORD_PROC, OFF, PROC_CR3_LOAD_EXIT, "CR3-load exiting", NULL },
	{ WORD_PROC, OFF, PROC_CR3_STORE_EXIT, "CR3-store exiting", NULL },
	{ WORD_PROC, OFF, PROC_MOV_DR_EXIT, "MOV-DR exiting", NULL },
	{ WORD_PROC, LATER, PROC_TPR_SHADOW, "TPR shadow", "software keeps the TPR" },

	{ WORD_PROC2, NEED, PROC2_WBINVD_EXIT, "WBINVD exiting", NULL },
	{ WORD_PROC2, USE, PROC2_VPID, "VPID", "every exit flushes the guest's TLB entries" },
	{ WORD_PROC2, USE, PROC2_RDTSCP, "RDTSCP", "the guest does without RDTSCP" },
	{ WORD_PROC2, USE, PROC2_INVPCID, "INVPCID", "the guest does without INVPCID" },
	{ WORD_PROC2, USE, PROC2_XSAVES, "XSAVES", "the guest does without XSAVES" },
	{ WORD_PROC2, USE, PROC2_PAUSE_LOOP_EXIT, "PAUSE-loop exiting",
	  "a spinning vCPU spins to the end of its slice" },
	{ WORD_PROC2, LATER, PROC2_APIC_ACCESS, "virtualize APIC accesses",
	 "software serves every APIC access" },
	{ WORD_PROC2, LATER, PROC2_APIC_REGISTERS, "APIC-register virtualization",
	  "software serves APIC reads" },
	{ WORD_PROC2, LATER, PROC2_INTERRUPT_DELIVERY, "virtual-interrupt delivery",
	  "software injects interrupts" },
	{ WORD_PROC2, LATER, PROC2_X2APIC, "virtualize x2APIC mode", "software serves x2APIC MSRs" },

	{ WORD_EXIT, NEED, EXIT_SAVE_DEBUG, "save debug controls", NULL },
	{ WORD_EXIT, NEED, EXIT_HOST_64, "host address-space size", NULL },
	{ WORD_EXIT, NEED, EXIT_SAVE_PAT, "save IA32_PAT", NULL },
	{ WORD_EXIT, NEED, EXIT_LOAD_PAT, "load IA32_PAT on exit", NULL },
	{ WORD_EXIT, NEED, EXIT_SAVE_EFER, "save IA32_EFER", NULL },
	{ WORD_EXIT, NEED, EXIT_LOAD_EFER, "load IA32_EFER on exit", NULL },
	{ WORD_EXIT, OFF, EXIT_ACK_INTERRUPT, "acknowledge interrupt on exit", NULL },

	{ WORD_ENTRY, NEED, ENTRY_LOAD_DEBUG, "load debug controls", NULL },
	{ WORD_ENTRY, NEED, ENTRY_LOAD_PAT, "load IA32_PAT on entry", NULL },
	{ WORD_ENTRY, NEED, ENTRY_LOAD_EFER, "load IA32_EFER on entry", NULL },
	{ WORD_ENTRY, LATER, ENTRY_GUEST_64, "IA-32e mode guest", NULL },
};
// clang-format on

/* A.2: bits set in the low half must be 1, only bits set in the high half may be 1. */
static uint32_t must(const struct vmx_raw *raw, enum vmx_word w)
{
	return (uint32_t)raw->word[w];
}

static uint32_t may(const struct vmx_raw *raw, enum vmx_word w)
{
	return (uint32_t)(raw->word[w] >> 32);
}

static bool has_ept(const struct vmx_raw *raw)
{
	return (may(raw, WORD_PROC) & PROC_SECONDARY) && (may(raw, WORD_PROC2) & PROC2_EPT);
}

static bool has_unrestricted(const struct vmx_raw *raw)
{
	return has_ept(raw) && (may(raw, WORD_PROC2) & PROC2_UNRESTRICTED);
}

static int check_vmx(const struct vmx_raw *raw, struct why *why)
{
	if (!raw->vmx)
		return why_set(why, ERR_UNSUPPORTED,
			       "this CPU has no VT-x (CPUID.1:ECX.VMX is 0); "
			       "Amalgam needs an Intel CPU with VT-x and EPT");
	if ((raw->feature_control & FEATURE_CONTROL_LOCK) &&
	    !(raw->feature_control & FEATURE_CONTROL_VMX))
		return why_set(why, ERR_UNSUPPORTED,
			       "the firmware has locked VT-x off (IA32_FEATURE_CONTROL is %#llx); "
			       "enable Intel Virtualization Technology in the firmware setup "
			       "and switch the machine off and on",
			       (unsigned long long)raw->feature_control);
	return 0;
}

static int check_ept(const struct vmx_raw *raw, struct why *why)
{
	if (!has_ept(raw))
		return why_set(why, ERR_UNSUPPORTED,
			       "this CPU has VT-x without EPT; Amalgam needs an Intel CPU with EPT "
			       "and unrestricted guest (Westmere of 2010 or newer)");
	if (!(raw->ept_vpid & EPT_CAP_WALK4) || !(raw->ept_vpid & EPT_CAP_WB))
		return why_set(why, ERR_UNSUPPORTED,
			       "this CPU's EPT has no 4-level write-back tables "
			       "(IA32_VMX_EPT_VPID_CAP is %#llx); Amalgam needs bits 6 and 14",
			       (unsigned long long)raw->ept_vpid);
	if (!(raw->ept_vpid & EPT_CAP_INVEPT) ||
	    !(raw->ept_vpid & (EPT_CAP_INVEPT_ONE | EPT_CAP_INVEPT_ALL)))
		return why_set(why, ERR_UNSUPPORTED,
			       "this CPU has EPT without a usable INVEPT (IA32_VMX_EPT_VPID_CAP "
			       "is %#llx); Amalgam needs bit 20 with 25 or 26",
			       (unsigned long long)raw->ept_vpid);
	return 0;
}

static int check_unrestricted(const struct vmx_raw *raw, struct why *why)
{
	if (!has_unrestricted(raw))
		return why_set(why, ERR_UNSUPPORTED,
			       "this CPU has no unrestricted guest, "
			       "so its VT-x can't run real mode; Amalgam needs an Intel CPU "
			       "that has it (Westmere of 2010 or newer)");
	return 0;
}

/* A VPID is worth having only when its translations can be dropped again. */
static bool vpid_usable(const struct vmx_raw *raw)
{
	return (raw->ept_vpid & EPT_CAP_INVVPID) &&
	       (raw->ept_vpid & (EPT_CAP_INVVPID_ONE | EPT_CAP_INVVPID_ALL));
}

/*
 * Bochs, the emulator: it says its VMCS takes a whole page, where CPUs say 1 KiB, and unlike other
 * hypervisors it does not show itself in CPUID. Its 2.7 treats host interrupts wrongly while the guest's
 * RFLAGS.IF is 0: they wait when the guest was entered so, and else one can bring a virtual interrupt
 * into the guest in spite of it.
 */
static bool is_bochs(const struct vmx_raw *raw)
{
	return bits_get(raw->basic, 44, 32) == PAGE_SIZE && !raw->hypervisor;
}

static bool wish_granted(const struct vmx_raw *raw, const struct wish *w)
{
	if (w->kind == OFF)
		return !(must(raw, w->word) & w->bit);
	if (w->word == WORD_PROC2 && w->bit == PROC2_VPID && !vpid_usable(raw))
		return false;
	if (w->word == WORD_PROC2 && w->bit == PROC2_INTERRUPT_DELIVERY && is_bochs(raw))
		return false;
	return may(raw, w->word) & w->bit;
}

static int check_controls(const struct vmx_raw *raw, struct why *why)
{
	for (unsigned i = 0; i < ARRAY_LEN(wishes); i++) {
		const struct wish *w = &wishes[i];

		if (wish_granted(raw, w) || w->kind == USE || w->kind == LATER)
			continue;
		return why_set(why, ERR_UNSUPPORTED,
			       "this CPU's VT-x can't switch '%s' %s, which Amalgam needs", w->name,
			       w->kind == OFF ? "off" : "on");
	}
	return 0;
}

int vmx_caps_settle(const struct vmx_raw *raw, struct vmx_caps *caps, struct why *why)
{
	int err;

	if ((err = check_vmx(raw, why)) || (err = check_ept(raw, why)) ||
	    (err = check_unrestricted(raw, why)) || (err = check_controls(raw, why)))
		return err;

	caps->revision = (uint32_t)(raw->basic & BITS(30, 0));
	for (enum vmx_word w = 0; w < WORD_COUNT; w++) {
		caps->word[w] = must(raw, w);
		caps->may[w] = may(raw, w);
	}
	for (unsigned i = 0; i < ARRAY_LEN(wishes); i++) {
		const struct wish *w = &wishes[i];

		if (w->kind != OFF && !wish_granted(raw, w))
			caps->may[w->word] &= ~w->bit;
		else if (w->kind == NEED || w->kind == USE)
			caps->word[w->word] |= w->bit;
	}
	caps->word[WORD_PROC] |= PROC_SECONDARY;
	caps->word[WORD_PROC2] |= PROC2_EPT | PROC2_UNRESTRICTED;
	caps->closed_guest_deaf = is_bochs(raw);
	caps->timer_shift = raw->misc & BITS(4, 0);
	caps->activity_states = 1 | (uint32_t)bits_get(raw->misc, 8, 6) << 1;
	caps->cr0_fixed0 = raw->cr0_fixed0;
	caps->cr0_fixed1 = raw->cr0_fixed1;
	caps->cr4_fixed0 = raw->cr4_fixed0;
	caps->cr4_fixed1 = raw->cr4_fixed1;
	caps->ept_vpid = raw->ept_vpid;
	caps->phys_bits = raw->phys_bits;
	caps->linear_bits = raw->linear_bits;
	return 0;
}

static void report(struct preflight *p, const char *need, int err, const struct why *why,
		   const char *found)
{
	if (err)
		preflight_missing(p, need, "%s", why->text);
	else
		preflight_found(p, need, "%s", found);
}

void vmx_caps_preflight(const struct vmx_raw *raw, struct preflight *p)
{
	struct why why;
	int err = check_vmx(raw, &why);

	report(p, "VT-x", err, &why,
	       raw->feature_control & FEATURE_CONTROL_LOCK ? "enabled by the firmware"
							   : "left to us by the firmware");
	if (err)
		return;
	err = check_ept(raw, &why);
	report(p, "EPT", err, &why, "4 levels, write-back");
	if (err)
		return;
	report(p, "unrestricted guest", check_unrestricted(raw, &why), &why, "there");
	report(p, "VT-x controls", check_controls(raw, &why), &why, "all there");

	for (unsigned i = 0; i < ARRAY_LEN(wishes); i++) {
		if (!wishes[i].instead)
			continue;
		if (wish_granted(raw, &wishes[i]))
			preflight_found(p, wishes[i].name, "there");
		else
			preflight_without(p, wishes[i].name, "%s%s", wishes[i].instead,
					  may(raw, wishes[i].word) & wishes[i].bit
						  ? " (what there is, is faulty)"
						  : "");
	}
}

void vmx_caps_features(const struct vmx_caps *c, struct virt_features *out)
{
	bool tpr = vmx_caps_may(c, WORD_PROC, PROC_TPR_SHADOW);

	/* SDM vol. 3, 27.2.1.1: everything but the access page builds on the TPR shadow. */
	out->tpr_shadow = tpr;
	out->apic_access_page = tpr && vmx_caps_may(c, WORD_PROC2, PROC2_APIC_ACCESS);
	out->apic_registers =
		out->apic_access_page && vmx_caps_may(c, WORD_PROC2, PROC2_APIC_REGISTERS);
	out->interrupt_delivery =
		out->apic_registers && vmx_caps_may(c, WORD_PROC2, PROC2_INTERRUPT_DELIVERY);
	out->x2apic = out->apic_registers && vmx_caps_may(c, WORD_PROC2, PROC2_X2APIC);
	out->large_pages = c->ept_vpid & EPT_CAP_2M;
	out->preemption_timer = c->word[WORD_PIN] & PIN_TIMER;
}
