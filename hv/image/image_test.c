#include "hv/image/image_test.h"

#include "hv/base/string.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/image/image.h"
#include "hv/x86/cpu.h"

#define JUNK  0x5a5a5a5aull /* as an address canonical, as a register nonsense */
#define MXCSR 0x1f80u       /* as after RESET, for junk has reserved bits */

enum met {
	MET_IMAGES,
	MET_HALF_DELIVERED,
	MET_QUEUED,
	MET_SHADOW,
	MET_NMI_PENDING,
	MET_NMI_BLOCKED,
	MET_DEBUG_PENDING,
	MET_HALTED,
	MET_WAIT_SIPI,
	MET_TIMER,
	MET_POSTED,
	MET_REQUESTED,
	MET_IN_SERVICE,
	MET_LONG_MODE,
	MET_COUNT
};

static const char *const met_names[MET_COUNT] = {
	[MET_IMAGES] = "images",
	[MET_HALF_DELIVERED] = "event half delivered",
	[MET_QUEUED] = "event queued",
	[MET_SHADOW] = "interrupt shadow",
	[MET_NMI_PENDING] = "NMI pending",
	[MET_NMI_BLOCKED] = "NMIs blocked",
	[MET_DEBUG_PENDING] = "debug exception pending",
	[MET_HALTED] = "halted",
	[MET_WAIT_SIPI] = "waiting for SIPI",
	[MET_TIMER] = "timer armed",
	[MET_POSTED] = "messages posted",
	[MET_REQUESTED] = "interrupt requested",
	[MET_IN_SERVICE] = "interrupt in service",
	[MET_LONG_MODE] = "long mode",
};

/* A vCPU's own, so no lock is needed. */
static struct {
	uint64_t looks; /* since the last image */
	uint64_t
		before; /* host TSC before which there is no other: the guest is to have half of the time */
	uint64_t met[MET_COUNT];
} tests[VM_MAX_CPUS];

static bool any(const struct lapic_state *l, enum lapic_reg map)
{
	uint32_t bits = 0;

	for (unsigned w = 0; w < 8; w++)
		bits |= l->reg[map / 16 + w];
	return bits;
}

static bool any_posted(const struct apic_posted *p)
{
	uint64_t bits = p->events & ~POST_LINT_LEVELS;

	for (unsigned w = 0; w < 4; w++)
		bits |= p->edge[w] | p->level[w];
	return bits;
}

static void count(const struct image *i)
{
	const struct virt_state *s = &i->cpu_state;
	const bool met[MET_COUNT] = {
		[MET_IMAGES] = true,
		[MET_HALF_DELIVERED] = s->half_delivered,
		[MET_QUEUED] = s->queued && !s->half_delivered,
		[MET_SHADOW] = s->shadow,
		[MET_NMI_PENDING] = i->nmi_pending || i->posted.events & POST_NMI,
		[MET_NMI_BLOCKED] = s->nmi_blocked,
		[MET_DEBUG_PENDING] = s->pending_debug,
		[MET_HALTED] = i->state == VCPU_HALTED,
		[MET_WAIT_SIPI] = i->state == VCPU_WAIT_SIPI,
		[MET_TIMER] = i->lapic.armed || i->lapic.tsc_deadline,
		[MET_POSTED] = any_posted(&i->posted),
		[MET_REQUESTED] = any(&i->lapic, LAPIC_IRR),
		[MET_IN_SERVICE] = any(&i->lapic, LAPIC_ISR),
		[MET_LONG_MODE] = s->reg[REG_EFER] & EFER_LMA,
	};

	for (unsigned m = 0; m < MET_COUNT; m++)
		tests[i->cpu].met[m] += met[m];
}

/* Junk in the CPU itself, where the hypervisor keeps nothing of its own. */
static void wipe_cpu(bool xsave)
{
	struct xstate x;

	memset(&x, (int)(uint8_t)JUNK, sizeof(x));
	x.xcr0 = xsave ? XCR0_X87 : 0;
	x.bv = XCR0_X87 | XCR0_SSE;
	x.wide = true;
	memcpy(x.legacy + 24, &(uint32_t){MXCSR}, sizeof(uint32_t));
	xstate_set(&x);
	breakpoints_set((const uint64_t[4]){JUNK, JUNK, JUNK, JUNK});
}

static void wipe_virt(struct vcpu *v)
{
	const struct virt_ops *ops = v->vm->ops;
	const struct virt_seg seg = {.selector = (uint16_t)JUNK,
				     .limit = (uint32_t)JUNK,
				     .base = JUNK,
				     .type = 5,
				     .present = true};

	ops->vcpu_reset(&v->virt);
	memset(v->virt.gpr, (int)(uint8_t)JUNK, sizeof(v->virt.gpr));
	ops->reg_set(&v->virt, REG_RIP, JUNK);
	ops->reg_set(&v->virt, REG_RSP, JUNK);
	ops->reg_set(&v->virt, REG_CR2, JUNK);
	ops->reg_set(&v->virt, REG_DR7, JUNK);
	for (enum virt_seg_id id = 0; id < SEG_COUNT; id++)
		ops->seg_set(&v->virt, id, &seg);
	/* Those that take no junk are as after RESET. */
	for (unsigned i = 0; i < VIRT_MSRS; i++)
		(void)ops->msr_set(&v->virt, virt_msr_numbers[i], JUNK);
}

/* As after RESET, with junk where RESET leaves what a guest may have anyway. */
static void wipe(struct vcpu *v, const struct image *image)
{
	struct lapic_config config = v->lapic.config;
	struct lapic_actions mode = {.mode_changed = true};

	lapic_init(&v->lapic, v->lapic.regs, &config);
	wipe_virt(v);
	wipe_cpu(image->xstate.xcr0);
	v->state = image->state == VCPU_RUNNING ? VCPU_HALTED : VCPU_RUNNING;
	v->nmi_pending = v->extint = true;
	v->kvm_clock_msr = v->kvm_wall_msr = JUNK;
	v->misc_enable = 0;
	intr_apply(v, &mode);
}

/* The first byte in which the vCPU differs from what it was made of; IMAGE_BYTES when none. */
static unsigned difference(struct vcpu *v, const struct image *before, const uint8_t *bytes)
{
	uint8_t again[IMAGE_BYTES];
	struct image after;
	unsigned i = 0;

	image_take(v, &after);
	/* Others may have posted in between. */
	apic_post_give(&v->post, &after.posted);
	if (after.pv_unhalt)
		atomic_store(&v->pv_unhalt, true);
	after.posted = before->posted;
	after.pv_unhalt = before->pv_unhalt;
	image_encode(&after, again);
	while (i < IMAGE_BYTES && bytes[i] == again[i])
		i++;
	return i;
}

static void through_image(struct vcpu *v)
{
	uint8_t bytes[IMAGE_BYTES];
	struct image image;
	struct why why;
	unsigned differs;

	image_take(v, &image);
	count(&image);
	image_encode(&image, bytes);
	wipe(v, &image);
	memset(&image, (int)(uint8_t)JUNK, sizeof(image));
	if (image_decode(bytes, sizeof(bytes), &image, &why) || image_load(v, &image, &why)) {
		vm_fail(v->vm, "test-image: %s", why.text);
		return;
	}
	differs = difference(v, &image, bytes);
	if (differs < IMAGE_BYTES)
		vm_fail(v->vm, "test-image: vCPU %u came back with another byte at %u of its image",
			v->index, differs);
}

void image_test(struct vcpu *v)
{
	uint64_t now = arch_tsc();

	if (++tests[v->index].looks < v->vm->options->test_image || now < tests[v->index].before)
		return;
	tests[v->index].looks = 0;
	through_image(v);
	tests[v->index].before = 2 * arch_tsc() - now;
}

void image_test_report(struct report *r, const struct vm *vm)
{
	if (!vm->options->test_image)
		return;
	for (enum met m = 0; m < MET_COUNT; m++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < VM_MAX_CPUS; i++)
			sum += tests[i].met[m];
		report_line(r, LOG_VCPU, "test-image: %-24s %12llu", met_names[m],
			    (unsigned long long)sum);
	}
}
