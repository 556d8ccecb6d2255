/* The VMCB of a vCPU: controls, and the guest state after RESET and INIT. */
#include "hv/svm/svm_vcpu.h"
#include "hv/virt/nested.h"
#include "hv/virt/reset.h"
#include "hv/x86/cpu.h"
#include "hv/x86/pcpu.h"
#include "hv/x86/pmem.h"

/* Between two PAUSEs of one loop lie fewer cycles than the threshold; see APM vol. 2, 15.14.4. */
#define PAUSE_COUNT     3000
#define PAUSE_THRESHOLD 128

static struct svm_cpu {
	struct svm_vcpu *loaded;
	struct asids asids;
} cpus[PCPU_MAX];

static void write_controls(struct svm_vcpu *x, const struct virt_config *config)
{
	struct vmcb_control *c = &x->vmcb->control;

	svm_intercepts_init(x);
	if (svm_caps.pause_filter) {
		c->pause_count = PAUSE_COUNT;
		c->pause_threshold = PAUSE_THRESHOLD;
	}
	svm_intercept(x, SVM_EXIT_PAUSE, svm_caps.pause_filter || config->pause_exits);
	c->iopm_base = svm_iopm();
	c->msrpm_base = svm_msrpm();
	c->tsc_offset = config->tsc_offset;
	x->asid.asid = asid_of(config->asid, svm_caps.asids);
	c->asid = x->asid.asid;
	c->nested = NP_ENABLE;
	c->nested_cr3 = config->npt->root;
}

/* DR0 to DR3 are the guest's at all times; DR6 and DR7 are in the VMCB. */
static void reset_breakpoints(struct svm_vcpu *x)
{
	__asm__ volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3" ::"r"(0ull));
	x->vmcb->save.dr6 = DR6_RESET;
	x->vmcb->save.dr7 = DR7_RESET;
}

/* What INIT sets, RESET too. CR0's cache bits outlive an INIT. */
static void init_state(struct virt_vcpu *v, const struct reset_start *start)
{
	struct svm_vcpu *x = v->vendor;
	struct vmcb_save *s = &x->vmcb->save;

	reset_registers(v, cpuid(1, 0).eax);
	reset_segments(v, start, svm_seg_set);
	s->cpl = 0;
	s->rsp = 0;
	s->rip = start->rip;
	s->rflags = RFLAGS_FIXED;
	s->efer = EFER_SVME;
	svm_walk_root(v, 0);
	s->cr3 = 0;
	s->cr4 = 0;
	svm_reg_set(v, REG_CR0, start->cr0);
	s->debugctl = 0;
	x->vmcb->control.shadow = 0;
	reset_breakpoints(x);
	svm_events_reset(x);
	svm_tlb_flush(v);
}

void svm_vcpu_reset(struct virt_vcpu *v)
{
	struct svm_vcpu *x = v->vendor;

	x->vmcb->save.pat = RESET_PAT;
	svm_msrs_reset(x);
	init_state(v, &reset_power_on);
}

void svm_vcpu_startup(struct virt_vcpu *v, uint8_t sipi_vector)
{
	struct reset_start start = reset_startup(svm_reg_get(v, REG_CR0), sipi_vector);

	init_state(v, &start);
}

/* On the calling CPU. */
static void load(struct svm_vcpu *x)
{
	struct svm_cpu *cpu = &cpus[plat_cpu()];

	cpu->loaded = x;
	x->flush |= asid_load(&cpu->asids, &x->asid);
}

void svm_vcpu_save(struct virt_vcpu *v)
{
	struct svm_vcpu *x = v->vendor;

	resident_save(&x->resident);
	if (svm_caps.rdtscp)
		x->tsc_aux = rdmsr(MSR_TSC_AUX);
}

/* VMLOAD has the rest of what is in the CPU; what it brings back after an exit is the same CPU's. */
void svm_vcpu_load(struct virt_vcpu *v)
{
	struct svm_vcpu *x = v->vendor;

	load(x);
	resident_load(&x->resident);
	if (svm_caps.rdtscp)
		wrmsr(MSR_TSC_AUX, x->tsc_aux);
}

void svm_flush_nested(struct npt *npt)
{
	struct svm_cpu *cpu = &cpus[plat_cpu()];

	asid_drop(&cpu->asids, &cpu->loaded->asid);
	cpu->loaded->flush = true;
}

/* One page for the guest's VMCB, one for the host's, one for struct svm_vcpu. */
static struct svm_vcpu *allocate(void)
{
	hpa_t vmcb = pmem_alloc_zeroed(0), host = pmem_alloc_zeroed(0), self = pmem_alloc_zeroed(0);
	struct svm_vcpu *x;

	if (vmcb == PMEM_NONE || host == PMEM_NONE || self == PMEM_NONE)
		return NULL;
	x = pmem_virt(self);
	x->vmcb = pmem_virt(vmcb);
	x->vmcb_pa = vmcb;
	x->host_pa = host;
	return x;
}

int svm_vcpu_create(struct virt_vcpu *v, const struct virt_config *config, struct why *why)
{
	struct svm_vcpu *x = allocate();
	int err;

	if (!x)
		return why_set(why, ERR_NOMEM, "no memory for the VMCB of the vCPU on CPU %u",
			       plat_cpu());
	err = resident_create(&x->resident, why);
	if (err)
		return err;
	ASSERT(config->npt && !config->use_apic_hw);
	v->vendor = x;
	x->virt = v;
	x->npt = config->npt;
	write_controls(x, config);
	load(x);
	/* What the calling CPU has right now is what every exit brings back. */
	__asm__ volatile("vmsave %0" ::"a"(x->host_pa) : "memory");
	svm_vcpu_reset(v);
	return 0;
}
