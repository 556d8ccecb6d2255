/* The MSRs the guest has: one table. What is in no row gives #GP, and one log line for each MSR. */
#include "hv/base/log.h"
#include "hv/cpu/cpu_policy.h"
#include "hv/core/intr.h"
#include "hv/cpu/kvm_pv.h"
#include "hv/core/vcpu.h"
#include "hv/x86/msr.h"

/* SDM vol. 4, table 2-2: IA32_MISC_ENABLE bits that tell what is there; the rest is 0. */
#define MISC_FAST_STRINGS     BIT(0)
#define MISC_BTS_UNAVAILABLE  BIT(11)
#define MISC_PEBS_UNAVAILABLE BIT(12)
#define MISC_NX_DISABLE       BIT(34)

typedef int (*read_fn)(struct vcpu *v, uint32_t msr, uint64_t *value);
typedef int (*write_fn)(struct vcpu *v, uint32_t msr, uint64_t value);

struct row {
	uint32_t first, last;
	read_fn read;   /* NULL: #GP */
	write_fn write; /* NULL: #GP */
};

static int read_lapic(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	return lapic_msr_read(intr_lapic(v), msr, vm_guest_tsc(v->vm), value);
}

static int write_lapic(struct vcpu *v, uint32_t msr, uint64_t value)
{
	struct lapic_actions actions;
	int err = lapic_msr_write(intr_lapic(v), msr, value, vm_guest_tsc(v->vm), &actions);

	if (!err)
		intr_apply(v, &actions);
	return err;
}

static int read_vendor(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	return v->vm->ops->msr_get(&v->virt, msr, value);
}

static int write_vendor(struct vcpu *v, uint32_t msr, uint64_t value)
{
	return v->vm->ops->msr_set(&v->virt, msr, value);
}

static int read_efer(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = v->vm->ops->reg_get(&v->virt, REG_EFER);
	return 0;
}

/* SDM vol. 3, 2.2.1: LMA can't be written; LME can't change while paging is on. */
static int write_efer(struct vcpu *v, uint32_t msr, uint64_t value)
{
	const struct virt_ops *ops = v->vm->ops;
	uint64_t old = ops->reg_get(&v->virt, REG_EFER);

	if (value & ~cpu_policy_efer_allowed())
		return ERR_INVALID;
	if ((value ^ old) & EFER_LME && ops->reg_get(&v->virt, REG_CR0) & CR0_PG)
		return ERR_INVALID;
	ops->reg_set(&v->virt, REG_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
	return 0;
}

static int read_tsc(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = vm_guest_tsc(v->vm);
	return 0;
}

/* All vCPUs share one TSC, and no time may go back between them; so writes are taken and dropped. */
static int drop(struct vcpu *v, uint32_t msr, uint64_t value)
{
	return 0;
}

static int drop_tsc(struct vcpu *v, uint32_t msr, uint64_t value)
{
	log_warn_few(LOG_VCPU,
		     "vCPU %u set its TSC to %#llx; the write is dropped, "
		     "the TSCs of all vCPUs stay one",
		     v->index, (unsigned long long)value);
	return 0;
}

static int read_zero(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = 0;
	return 0;
}

static int write_zero_only(struct vcpu *v, uint32_t msr, uint64_t value)
{
	return value ? ERR_INVALID : 0;
}

static int read_misc_enable(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = v->misc_enable | MISC_BTS_UNAVAILABLE | MISC_PEBS_UNAVAILABLE;
	return 0;
}

static int write_misc_enable(struct vcpu *v, uint32_t msr, uint64_t value)
{
	v->misc_enable = value & MISC_FAST_STRINGS;
	return value & MISC_NX_DISABLE ? ERR_INVALID : 0;
}

/* SDM vol. 3, 9.11.7.1: the revision is in the upper half; one that is never newer than what exists. */
static int read_microcode(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = 1ull << 32;
	return 0;
}

/* SDM vol. 3, 12.12.2: eight memory types, of which 2 and 3 do not exist. */
static int write_pat(struct vcpu *v, uint32_t msr, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++) {
		uint8_t type = value >> (i * 8) & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return ERR_INVALID;
	}
	return write_vendor(v, msr, value);
}

// clang-format off
static const struct row rows[] = {
	{MSR_X2APIC_FIRST,        MSR_X2APIC_LAST,        read_lapic,       write_lapic},
	{MSR_TSC_DEADLINE,        MSR_TSC_DEADLINE,       read_lapic,       write_lapic},
	{MSR_APIC_BASE,           MSR_APIC_BASE,          read_lapic,       write_lapic},
	{MSR_EFER,                MSR_EFER,               read_efer,        write_efer},
	{MSR_TSC,                 MSR_TSC,                read_tsc,         drop_tsc},
	{MSR_SYSENTER_CS,         MSR_SYSENTER_EIP,       read_vendor,      write_vendor},
	{MSR_PAT,                 MSR_PAT,                read_vendor,      write_pat},
	{MSR_STAR,                MSR_SFMASK,             read_vendor,      write_vendor},
	{MSR_FS_BASE,             MSR_TSC_AUX,            read_vendor,      write_vendor},
	{MSR_DEBUGCTL,            MSR_DEBUGCTL,           read_zero,        write_zero_only},
	{MSR_MISC_ENABLE,         MSR_MISC_ENABLE,        read_misc_enable, write_misc_enable},
	{MSR_BIOS_SIGN_ID,        MSR_BIOS_SIGN_ID,       read_microcode,   drop},
	{0x17,                    0x17,                   read_zero,        NULL},            /* IA32_PLATFORM_ID */
	{0x0,                     0x1,                    read_zero,        drop},            /* P5 machine check */
	{MSR_MCG_CAP,             MSR_MCG_CAP,            read_zero,        NULL},            /* no banks */
	{0x17a,                   0x17a,                  read_zero,        write_zero_only}, /* IA32_MCG_STATUS */
	{0xc0010055,              0xc0010055,             read_zero,        NULL},            /* AMD: no C1E */
	{MSR_KVM_WALL_CLOCK_OLD,  MSR_KVM_SYSTEM_TIME_OLD, kvm_pv_msr_read, kvm_pv_msr_write},
	{MSR_KVM_WALL_CLOCK,      MSR_KVM_SYSTEM_TIME,    kvm_pv_msr_read,  kvm_pv_msr_write},
	{MSR_KVM_STEAL_TIME,      MSR_KVM_STEAL_TIME,     kvm_pv_msr_read,  kvm_pv_msr_write},
};
// clang-format on

static const struct row *find(uint32_t msr)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (msr >= rows[i].first && msr <= rows[i].last)
			return &rows[i];
	return NULL;
}

/* Has the log had this MSR, or one that shares its bit? Any vCPU asks. */
static bool named_before(struct vm *vm, uint32_t msr)
{
	unsigned n = (msr ^ msr >> 8 ^ msr >> 16 ^ msr >> 24) % (64 * ARRAY_LEN(vm->msr_named));
	uint64_t bit = BIT(n % 64);

	return atomic_fetch_or(&vm->msr_named[n / 64], bit) & bit;
}

static int unknown(struct vcpu *v, uint32_t msr, const char *what)
{
	v->msr_unknown++;
	if (named_before(v->vm, msr))
		return ERR_INVALID;
	log_limited(LOG_MANY, LOG_VCPU, LOG_INFO,
		    "vCPU %u %s MSR %#x, which this machine does not have; it gets #GP", v->index,
		    what, msr);
	return ERR_INVALID;
}

int vcpu_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	const struct row *row = find(msr);

	if (!row || !row->read)
		return unknown(v, msr, "read");
	return row->read(v, msr, value) ? ERR_INVALID : 0;
}

int vcpu_msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	const struct row *row = find(msr);

	if (!row || !row->write)
		return unknown(v, msr, "wrote");
	return row->write(v, msr, value) ? ERR_INVALID : 0;
}
