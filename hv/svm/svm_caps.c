#include "hv/svm/svm_caps.h"

#include "hv/base/bits.h"
#include "hv/virt/asid.h"
#include "hv/virt/preflight.h"

/* CPUID 8000000Ah EDX */
#define FEATURE_NESTED_PAGING BIT(0)
#define FEATURE_NEXT_RIP      BIT(3)
#define FEATURE_FLUSH_ASID    BIT(6)
#define FEATURE_DECODE_ASSIST BIT(7)
#define FEATURE_PAUSE_FILTER  BIT(10)
#define FEATURE_PAUSE_GAP     BIT(12)

/* VM_CR. APM vol. 2, 15.30.1 */
#define VM_CR_LOCK   BIT(3)
#define VM_CR_SVMDIS BIT(4)

#define PAUSE_FILTER (FEATURE_PAUSE_FILTER | FEATURE_PAUSE_GAP)

// clang-format off
static const struct {
	uint64_t bits;
	const char *name;
	const char *instead;
} options[] = {
	{ FEATURE_NEXT_RIP,      "next RIP on exit", "the hypervisor decodes instructions for their length" },
	{ FEATURE_DECODE_ASSIST, "decode assists",   "writes of control registers are decoded in software" },
	{ FEATURE_FLUSH_ASID,    "flush by ASID",    "a flush of the guest's translations drops all" },
	{ PAUSE_FILTER,          "PAUSE filter",     "a spinning vCPU spins until an interrupt comes, or exits at each PAUSE with several nodes or vCPUs that take turns" },
};
// clang-format on

static int check_svm(const struct svm_raw *raw, struct why *why)
{
	if (!raw->svm)
		return why_set(why, ERR_UNSUPPORTED,
			       "this CPU has no AMD-V (CPUID 80000001h ECX.SVM is 0); "
			       "Amalgam needs an AMD CPU with AMD-V and nested paging");
	if (raw->vm_cr & VM_CR_SVMDIS && raw->vm_cr & VM_CR_LOCK)
		return why_set(why, ERR_UNSUPPORTED,
			       "the firmware has locked AMD-V off (VM_CR is %#llx); enable SVM "
			       "Mode in the firmware setup and switch the machine off and on",
			       (unsigned long long)raw->vm_cr);
	return 0;
}

static int check_nested_paging(const struct svm_raw *raw, struct why *why)
{
	if (!(raw->features & FEATURE_NESTED_PAGING))
		return why_set(why, ERR_UNSUPPORTED,
			       "this CPU has AMD-V without nested paging "
			       "(CPUID 8000000Ah EDX.NP is 0); Amalgam needs an AMD CPU "
			       "that has it (Barcelona of 2007 or newer)");
	return 0;
}

/* ASID 0 is the host's. */
static int check_asids(const struct svm_raw *raw, struct why *why)
{
	if (raw->asids < 2)
		return why_set(why, ERR_UNSUPPORTED,
			       "this CPU offers %u address space identifiers for AMD-V "
			       "and Amalgam needs 2",
			       raw->asids);
	return 0;
}

int svm_caps_settle(const struct svm_raw *raw, struct svm_caps *caps, struct why *why)
{
	int err;

	if ((err = check_svm(raw, why)) || (err = check_nested_paging(raw, why)) ||
	    (err = check_asids(raw, why)))
		return err;
	*caps = (struct svm_caps){
		.next_rip = raw->features & FEATURE_NEXT_RIP,
		.decode_assist = raw->features & FEATURE_DECODE_ASSIST,
		.asids = (uint8_t)MIN(raw->asids, ASIDS_MAX),
		.flush_asid = raw->features & FEATURE_FLUSH_ASID,
		.pause_filter = (raw->features & PAUSE_FILTER) == PAUSE_FILTER,
		.rdtscp = raw->rdtscp,
		.phys_bits = raw->phys_bits,
		.linear_bits = raw->linear_bits,
	};
	return 0;
}

static bool report(struct preflight *p, const char *need, int err, const struct why *why,
		   const char *found)
{
	if (err)
		preflight_missing(p, need, "%s", why->text);
	else
		preflight_found(p, need, "%s", found);
	return !err;
}

void svm_caps_preflight(const struct svm_raw *raw, struct preflight *p)
{
	struct why why;

	if (!report(p, "AMD-V", check_svm(raw, &why), &why,
		    raw->vm_cr & VM_CR_LOCK ? "enabled by the firmware"
					    : "left to us by the firmware"))
		return;
	report(p, "nested paging", check_nested_paging(raw, &why), &why, "there");
	report(p, "ASIDs", check_asids(raw, &why), &why, "enough");
	for (unsigned i = 0; i < ARRAY_LEN(options); i++) {
		if ((raw->features & options[i].bits) == options[i].bits)
			preflight_found(p, options[i].name, "there");
		else
			preflight_without(p, options[i].name, "%s", options[i].instead);
	}
}
