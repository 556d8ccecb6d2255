#include <string.h>

#include "hv/x86/msr.h"
#include "tests/host/fake_virt.h"

static struct fake fake;

static uint64_t reg_get(struct virt_vcpu *v, enum virt_reg reg)
{
	return fake.reg[reg];
}

static void reg_set(struct virt_vcpu *v, enum virt_reg reg, uint64_t value)
{
	fake.reg[reg] = value;
}

static void seg_get(struct virt_vcpu *v, enum virt_seg_id id, struct virt_seg *out)
{
	*out = fake.seg[id];
}

static void skip(struct virt_vcpu *v, unsigned len)
{
	fake.reg[REG_RIP] += len;
	fake.skips++;
}

static void inject(struct virt_vcpu *v, const struct virt_event *event)
{
	fake.event = *event;
	fake.injected = true;
}

static int npt_map(struct npt *npt, gpa_t gpa, hpa_t hpa, unsigned order, enum npt_perm perm)
{
	fake.mapped[fake.mapped_count].gpa = gpa;
	fake.mapped[fake.mapped_count++].hpa = hpa;
	return 0;
}

static enum npt_perm npt_query(struct npt *npt, gpa_t gpa, hpa_t *hpa)
{
	return gpa >> PAGE_SHIFT < FAKE_PAGES ? fake.perm[gpa >> PAGE_SHIFT] : NPT_NONE;
}

static void npt_flush(struct npt *npt)
{
	fake.flushes++;
}

static void walk_root(struct virt_vcpu *v, gpa_t root)
{
	fake.walk_root = root;
}

static const struct virt_ops ops = {
	.reg_get = reg_get,
	.reg_set = reg_set,
	.seg_get = seg_get,
	.skip = skip,
	.inject = inject,
	.npt_map = npt_map,
	.npt_query = npt_query,
	.npt_flush = npt_flush,
	.walk_root = walk_root,
};

struct fake *fake_virt_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.vm.ops = &ops;
	fake.vm.cpu_count = 1;
	fake.vm.vcpus[0].vm = &fake.vm;
	fake.reg[REG_CR0] = CR0_PE | CR0_ET | CR0_NE;
	fake.reg[REG_RFLAGS] = RFLAGS_FIXED;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		fake.seg[i] = (struct virt_seg){.selector = 0x10,
						.limit = UINT32_MAX,
						.type = 3,
						.s = true,
						.present = true,
						.db = true,
						.g = true};
	fake.seg[SEG_CS].type = 0xb;
	for (unsigned i = 0; i < FAKE_PAGES; i++)
		fake.perm[i] = NPT_RWX;
	return &fake;
}
