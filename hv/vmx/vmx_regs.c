/* The guest's registers and segments in the VMCS. */
#include "hv/base/gmem.h"
#include "hv/base/log.h"
#include "hv/vmx/vmx_insn.h"
#include "hv/vmx/vmx_vcpu.h"
#include "hv/x86/cpu.h"

bool vmx_pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LME);
}

/* SDM vol. 3, 4.4.1 */
int vmx_pdptes_read(uint64_t cr3, uint64_t pdpte[4])
{
	uint64_t reserved = BITS(2, 1) | BITS(8, 5) | BITS(63, vmx_caps.phys_bits);
	int err = gmem_read(cr3 & BITS(31, 5), pdpte, 4 * sizeof(pdpte[0]));

	if (err)
		return ERR_INVALID;
	for (unsigned i = 0; i < 4; i++)
		if ((pdpte[i] & 1) && (pdpte[i] & reserved))
			return ERR_INVALID;
	return 0;
}

/*
 * Under EPT the CPU loads these four from the VMCS at entry, not from memory; exits save them, so only
 * a change made by software needs this. What is malformed (the guest changed them while the write that
 * was checked is being emulated) goes in as it is, for the entry check to name.
 */
void vmx_pdptes_load(struct vmx_vcpu *x)
{
	uint64_t pdpte[4] = {0};

	if (!vmx_pae_paging(vmreadn(VMCS_GUEST_CR0), vmreadn(VMCS_GUEST_CR4),
			    vmread64(VMCS_GUEST_EFER)))
		return;
	if (vmx_pdptes_read(vmreadn(VMCS_GUEST_CR3), pdpte))
		log_warn_few(LOG_VIRT, "the guest's page-directory pointers at %#llx are malformed",
			     (unsigned long long)vmreadn(VMCS_GUEST_CR3));
	for (unsigned i = 0; i < 4; i++)
		vmwrite64(VMCS_GUEST_PDPTE0 + 2 * i, pdpte[i]);
}

/* The register as the guest sees it: its own bits, and the shadow of those it does not own. */
static uint64_t visible(enum vmcs_field_natural reg, enum vmcs_field_natural shadow, uint64_t owned)
{
	return (vmreadn(reg) & ~owned) | (vmreadn(shadow) & owned);
}

static uint64_t cr0_get(void)
{
	return visible(VMCS_GUEST_CR0, VMCS_CR0_SHADOW, VMX_CR0_OWNED);
}

static uint64_t cr4_get(const struct vmx_vcpu *x)
{
	return visible(VMCS_GUEST_CR4, VMCS_CR4_SHADOW, x->cr4_owned);
}

/* EFER.LMA and the entry control follow from EFER.LME and CR0.PG. SDM vol. 3, 10.8.5 */
static void long_mode_update(uint64_t cr0, uint64_t efer)
{
	bool lma = (cr0 & CR0_PG) && (efer & EFER_LME);
	uint32_t entry = vmread32(VMCS_ENTRY_CONTROLS);

	vmwrite64(VMCS_GUEST_EFER, lma ? efer | EFER_LMA : efer & ~EFER_LMA);
	vmwrite32(VMCS_ENTRY_CONTROLS, lma ? entry | ENTRY_GUEST_64 : entry & ~ENTRY_GUEST_64);
}

static void cr0_set(struct virt_vcpu *v, uint64_t value)
{
	struct vmx_vcpu *x = v->vendor;
	uint64_t old = vmreadn(VMCS_GUEST_CR0);

	value |= CR0_ET;
	vmwriten(VMCS_CR0_SHADOW, value);
	/* The cache is never really off: that would cost the node, and buy the guest nothing. */
	vmwriten(VMCS_GUEST_CR0, (value & ~(CR0_CD | CR0_NW)) | CR0_NE);
	long_mode_update(value, vmread64(VMCS_GUEST_EFER));
	x->todo |= TODO_PDPTES;
	if ((old ^ value) & CR0_TRANSLATION)
		vmx_tlb_flush(v);
}

static void cr4_set(struct virt_vcpu *v, uint64_t value)
{
	struct vmx_vcpu *x = v->vendor;
	uint64_t old = vmreadn(VMCS_GUEST_CR4);

	vmwriten(VMCS_CR4_SHADOW, value);
	vmwriten(VMCS_GUEST_CR4, value | CR4_VMXE);
	x->todo |= TODO_PDPTES;
	if ((old ^ value) & CR4_TRANSLATION)
		vmx_tlb_flush(v);
}

uint64_t vmx_reg_get(struct virt_vcpu *v, enum virt_reg reg)
{
	switch (reg) {
	case REG_RIP:
		return vmreadn(VMCS_GUEST_RIP);
	case REG_RSP:
		return vmreadn(VMCS_GUEST_RSP);
	case REG_RFLAGS:
		return vmreadn(VMCS_GUEST_RFLAGS);
	case REG_CR0:
		return cr0_get();
	case REG_CR2:
		return v->cr2;
	case REG_CR3:
		return vmreadn(VMCS_GUEST_CR3);
	case REG_CR4:
		return cr4_get(v->vendor);
	case REG_DR7:
		return vmreadn(VMCS_GUEST_DR7);
	case REG_EFER:
		return vmread64(VMCS_GUEST_EFER);
	case REG_COUNT:
		break;
	}
	plat_panic("there is no guest register %d", reg);
}

void vmx_reg_set(struct virt_vcpu *v, enum virt_reg reg, uint64_t value)
{
	struct vmx_vcpu *x = v->vendor;

	switch (reg) {
	case REG_RIP:
		vmwriten(VMCS_GUEST_RIP, value);
		return;
	case REG_RSP:
		vmwriten(VMCS_GUEST_RSP, value);
		return;
	case REG_RFLAGS:
		vmwriten(VMCS_GUEST_RFLAGS, value | RFLAGS_FIXED);
		return;
	case REG_CR0:
		cr0_set(v, value);
		return;
	case REG_CR2:
		v->cr2 = value;
		return;
	case REG_CR3:
		vmwriten(VMCS_GUEST_CR3, value);
		x->todo |= TODO_PDPTES;
		vmx_tlb_flush(v);
		return;
	case REG_CR4:
		cr4_set(v, value);
		return;
	case REG_DR7:
		vmwriten(VMCS_GUEST_DR7, (uint32_t)value);
		return;
	case REG_EFER:
		long_mode_update(vmreadn(VMCS_GUEST_CR0), value);
		vmx_tlb_flush(v); /* NXE changes what entries mean */
		return;
	case REG_COUNT:
		break;
	}
	plat_panic("there is no guest register %d", reg);
}

static void table_get(enum virt_seg_id id, struct virt_seg *out)
{
	bool gdtr = id == SEG_GDTR;

	*out = (struct virt_seg){0};
	out->base = vmreadn(gdtr ? VMCS_GUEST_GDTR_BASE : VMCS_GUEST_IDTR_BASE);
	out->limit = vmread32(gdtr ? VMCS_GUEST_GDTR_LIMIT : VMCS_GUEST_IDTR_LIMIT);
	out->present = true;
}

void vmx_seg_get(struct virt_vcpu *v, enum virt_seg_id id, struct virt_seg *out)
{
	uint32_t ar;

	if (id == SEG_GDTR || id == SEG_IDTR) {
		table_get(id, out);
		return;
	}
	ar = vmread32(VMCS_GUEST_ES_ACCESS + 2 * id);
	out->selector = vmread16(VMCS_GUEST_ES_SELECTOR + 2 * id);
	out->limit = vmread32(VMCS_GUEST_ES_LIMIT + 2 * id);
	out->base = vmreadn(VMCS_GUEST_ES_BASE + 2 * id);
	out->type = ACCESS_TYPE(ar);
	out->s = ar & ACCESS_S;
	out->dpl = ACCESS_DPL(ar);
	out->present = ar & ACCESS_P;
	out->avl = ar & ACCESS_AVL;
	out->l = ar & ACCESS_L;
	out->db = ar & ACCESS_DB;
	out->g = ar & ACCESS_G;
	out->unusable = ar & ACCESS_UNUSABLE;
}

static uint32_t access_rights(const struct virt_seg *seg)
{
	return seg->type | (seg->s ? ACCESS_S : 0) | (uint32_t)seg->dpl << 5 |
	       (seg->present ? ACCESS_P : 0) | (seg->avl ? ACCESS_AVL : 0) |
	       (seg->l ? ACCESS_L : 0) | (seg->db ? ACCESS_DB : 0) | (seg->g ? ACCESS_G : 0) |
	       (seg->unusable ? ACCESS_UNUSABLE : 0);
}

void vmx_seg_set(struct virt_vcpu *v, enum virt_seg_id id, const struct virt_seg *seg)
{
	if (id == SEG_GDTR || id == SEG_IDTR) {
		bool gdtr = id == SEG_GDTR;

		vmwriten(gdtr ? VMCS_GUEST_GDTR_BASE : VMCS_GUEST_IDTR_BASE, seg->base);
		vmwrite32(gdtr ? VMCS_GUEST_GDTR_LIMIT : VMCS_GUEST_IDTR_LIMIT, seg->limit);
		return;
	}
	vmwrite16(VMCS_GUEST_ES_SELECTOR + 2 * id, seg->selector);
	vmwrite32(VMCS_GUEST_ES_LIMIT + 2 * id, seg->limit);
	vmwriten(VMCS_GUEST_ES_BASE + 2 * id, seg->base);
	vmwrite32(VMCS_GUEST_ES_ACCESS + 2 * id, access_rights(seg));
}

/* RIP wraps at 4 GiB outside 64-bit code, and this is where that shows. */
COLD static uint64_t wrapped(uint64_t rip)
{
	bool wide = (vmread64(VMCS_GUEST_EFER) & EFER_LMA) &&
		    (vmread32(VMCS_GUEST_ES_ACCESS + 2 * SEG_CS) & ACCESS_L);

	return wide ? rip : (uint32_t)rip;
}

/* The instruction is done and is no branch, so a single step is due after it. SDM vol. 3, 17.3.1.4 */
COLD static void single_step(void)
{
	if (!(vmread64(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vmwriten(VMCS_GUEST_PENDING_DEBUG,
			 vmreadn(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

void vmx_skip(struct virt_vcpu *v, unsigned insn_len)
{
	uint64_t rip = vmreadn(VMCS_GUEST_RIP) + insn_len;
	uint32_t state = vmread32(VMCS_GUEST_INTERRUPTIBILITY);

	vmwriten(VMCS_GUEST_RIP, UNLIKELY(rip >> 32) ? wrapped(rip) : rip);
	if (state & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS))
		vmwrite32(VMCS_GUEST_INTERRUPTIBILITY,
			  state & ~(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS));
	if (UNLIKELY(vmreadn(VMCS_GUEST_RFLAGS) & RFLAGS_TF))
		single_step();
}

void vmx_tlb_flush(struct virt_vcpu *v)
{
	struct vmx_vcpu *x = v->vendor;
	bool one = vmx_caps.ept_vpid & EPT_CAP_INVVPID_ONE, done;

	if (!(x->proc2 & PROC2_VPID))
		return; /* every entry and exit flushes */
	done = vmx_invvpid(one ? VMX_INV_ONE : VMX_INV_ALL, x->vpid);
	ASSERT(done);
}
