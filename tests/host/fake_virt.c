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

static const struct virt_ops ops = {
	.reg_get = reg_get,
	.reg_set = reg_set,
	.seg_get = seg_get,
	.skip = skip,
	.inject = inject,
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
	return &fake;
}
