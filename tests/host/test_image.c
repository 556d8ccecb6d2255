/* hv/image/image.c: bytes of images that vCPUs can have, and of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/image/image.h"
#include "tests/host/state_rig.h"

#define ROUNDS 2000

static struct image image, again;
static uint8_t first[IMAGE_BYTES], second[IMAGE_BYTES];
static struct why why;

static void random_xstate(uint64_t *seed, struct xstate *x)
{
	static const uint64_t choices[] = {0, 1, 3, 7, 0xe7};

	rig_fill(seed, x, sizeof(*x));
	x->xcr0 = choices[rig_random(seed) % ARRAY_LEN(choices)];
	x->bv &= XCR0_KNOWN;
	memset(&x->wide, rig_flip(seed), sizeof(x->wide));
}

static void random_lapic(uint64_t *seed, struct lapic_state *l)
{
	rig_fill(seed, l, sizeof(*l));
	l->base_msr =
		APIC_BASE_EN | (l->base_msr & (APIC_BASE_BSP | APIC_BASE_EXTD | BITS(51, 12)));
	memset(&l->wait_sipi, 0, 1);
	memset(&l->error_armed, rig_flip(seed), 1);
	memset(&l->armed, rig_flip(seed), 1);
	l->lint &= 0x13;
	l->errors &= 0xe0;
}

static void random_image(uint64_t *seed)
{
	memset(&image, 0, sizeof(image));
	image.cpu = rig_random(seed) % VM_MAX_CPUS;
	image.state = (enum vcpu_state)(rig_random(seed) % 3);
	image.nmi_pending = rig_flip(seed);
	image.extint = rig_flip(seed);
	image.pv_unhalt = rig_flip(seed);
	rig_state(seed, &image.cpu_state);
	rig_fill(seed, image.dr, sizeof(image.dr));
	random_xstate(seed, &image.xstate);
	random_lapic(seed, &image.lapic);
	image.lapic.wait_sipi = image.state == VCPU_WAIT_SIPI;
	rig_fill(seed, &image.posted, sizeof(image.posted));
	image.posted.edge[0] &= ~0xffffull;
	image.posted.level[0] &= ~0xffffull;
	image.posted.events &= BITS(4, 0) | BITS(19, 16);
	if (rig_flip(seed))
		image.posted.events |= POST_SIPI | 0x9a00;
	image.kvm_clock_msr = rig_random(seed);
	image.kvm_wall_msr = rig_random(seed);
	image.misc_enable = rig_flip(seed);
}

/* The padding of structures apart, which random bytes above have filled. */
static void assert_same(void)
{
	memset(second, 0x5a, sizeof(second));
	image_encode(&again, second);
	assert_memory_equal(first, second, sizeof(first));
}

static void comes_back_as_it_was(void **state)
{
	uint64_t seed = 1;

	for (unsigned i = 0; i < ROUNDS; i++) {
		random_image(&seed);
		memset(first, 0xa5, sizeof(first));
		image_encode(&image, first);
		memset(&again, 0xff, sizeof(again));
		if (image_decode(first, sizeof(first), &again, &why))
			fail_msg("round %u: %s", i, why.text);
		assert_same();
		assert_memory_equal(&image.cpu_state, &again.cpu_state, sizeof(image.cpu_state));
		assert_memory_equal(image.lapic.reg, again.lapic.reg, sizeof(image.lapic.reg));
		assert_memory_equal(&image.posted, &again.posted, sizeof(image.posted));
		assert_memory_equal(image.xstate.legacy, again.xstate.legacy,
				    512 + 256 + 64 + 1536);
		assert_memory_equal(image.dr, again.dr, sizeof(image.dr));
		assert_int_equal(image.lapic.first, again.lapic.first);
		assert_int_equal(image.kvm_wall_msr, again.kvm_wall_msr);
	}
}

/* Any bit: either there is no such vCPU, or there is and it has just these bytes. */
static void each_bit_counts(void **state)
{
	uint64_t seed = 2;
	unsigned refused = 0;

	random_image(&seed);
	image_encode(&image, first);
	for (unsigned bit = 0; bit < 8 * IMAGE_BYTES; bit++) {
		first[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (image_decode(first, sizeof(first), &again, &why))
			refused++;
		else
			assert_same();
		first[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	/* The header and the bits of numbers that have fewer than their bytes. */
	assert_in_range(refused, 96 + 700, 2500);
}

static void lengths_and_versions(void **state)
{
	uint64_t seed = 3;

	random_image(&seed);
	image_encode(&image, first);
	for (size_t size = 0; size < IMAGE_BYTES; size++)
		assert_int_equal(image_decode(first, size, &again, &why), ERR_INVALID);
	assert_int_equal(image_decode(first, IMAGE_BYTES + 1, &again, &why), ERR_INVALID);
	assert_int_equal(image_decode(first, IMAGE_BYTES, &again, NULL), 0);
	first[4]++;
	assert_int_equal(image_decode(first, IMAGE_BYTES, &again, &why), ERR_UNSUPPORTED);
	assert_non_null(strstr(why.text, "of version 2"));
}

/* Each breaks a sound image in one place. */
// clang-format off
#define BREAKS(name, change) static void name(struct image *i) { change; }
BREAKS(cr0_high,      i->cpu_state.reg[REG_CR0] |= BIT(32))
BREAKS(cr0_no_et,     i->cpu_state.reg[REG_CR0] &= ~CR0_ET)
BREAKS(cr0_pg,        i->cpu_state.reg[REG_CR0] = CR0_ET | CR0_PG)
BREAKS(cr0_nw,        i->cpu_state.reg[REG_CR0] = CR0_ET | CR0_NW)
BREAKS(cr4_high,      i->cpu_state.reg[REG_CR4] |= BIT(40))
BREAKS(efer_bit,      i->cpu_state.reg[REG_EFER] |= EFER_SVME)
BREAKS(efer_lma,      i->cpu_state.reg[REG_EFER] ^= EFER_LMA)
BREAKS(long_no_pae,   i->cpu_state.reg[REG_CR0] = CR0_PE | CR0_PG | CR0_ET; i->cpu_state.reg[REG_EFER] = EFER_LME | EFER_LMA; i->cpu_state.reg[REG_CR4] = 0)
BREAKS(rsp_twice,     i->cpu_state.gpr[GPR_RSP] = 1)
BREAKS(rflags_bit,    i->cpu_state.reg[REG_RFLAGS] |= 8)
BREAKS(rflags_fixed,  i->cpu_state.reg[REG_RFLAGS] &= ~RFLAGS_FIXED)
BREAKS(dr7_high,      i->cpu_state.reg[REG_DR7] |= BIT(32))
BREAKS(dr6_high,      i->cpu_state.dr6 |= BIT(32))
BREAKS(pending_debug, i->cpu_state.pending_debug |= BIT(13))
BREAKS(pat,           i->cpu_state.msr[VIRT_MSR_PAT] = 2)
BREAKS(gdtr_limit,    i->cpu_state.seg[SEG_GDTR].limit = 0x10000)
BREAKS(no_event,      i->cpu_state.queued = VIRT_QUEUED_NOTHING; i->cpu_state.vector = 1)
BREAKS(half_nothing,  i->cpu_state.queued = VIRT_QUEUED_NOTHING; i->cpu_state.half_delivered = true)
BREAKS(nmi_vector,    i->cpu_state.queued = VIRT_QUEUED_NMI; i->cpu_state.vector = 3)
BREAKS(exception_32,  i->cpu_state.queued = VIRT_QUEUED_EXCEPTION; i->cpu_state.vector = 32)
BREAKS(code_on_ud,    i->cpu_state.queued = VIRT_QUEUED_EXCEPTION; i->cpu_state.vector = VECTOR_UD; i->cpu_state.has_code = true)
BREAKS(code_no_code,  i->cpu_state.code = 1)
BREAKS(len_no_insn,   i->cpu_state.insn_len = 1)
BREAKS(insn_no_len,   i->cpu_state.queued = VIRT_QUEUED_INT_N)
BREAKS(insn_too_long, i->cpu_state.queued = VIRT_QUEUED_INT_N; i->cpu_state.insn_len = 16)
BREAKS(pdpte_alone,   i->cpu_state.pdpte[3] = 1)
BREAKS(pdpte_bits,    i->cpu_state.pdptes_loaded = true; i->cpu_state.pdpte[0] = 3)
BREAKS(xcr0,          i->xstate.xcr0 = 5)
BREAKS(xstate_bv,     i->xstate.bv = BIT(9))
BREAKS(apic_base,     i->lapic.base_msr = APIC_BASE_EXTD)
BREAKS(apic_base_bit, i->lapic.base_msr |= BIT(9))
BREAKS(lint,          i->lapic.lint = 4)
BREAKS(apic_errors,   i->lapic.errors = 1)
BREAKS(wait_sipi,     i->lapic.wait_sipi = true)
BREAKS(cpu,           i->cpu = VM_MAX_CPUS)
BREAKS(misc_enable,   i->misc_enable = 2)
BREAKS(posted_bits,   i->posted.events = BIT(6))
BREAKS(posted_vector, i->posted.events = BIT(8))
BREAKS(posted_low,    i->posted.level[0] = 1)
// clang-format on

static void refuses_what_is_no_vcpu(void **state)
{
	static void (*const breaks[])(struct image *) = {
		cr0_high,      cr0_no_et,     cr0_pg,      cr0_nw,       cr4_high,     efer_bit,
		efer_lma,      long_no_pae,   rsp_twice,   rflags_bit,   rflags_fixed, dr7_high,
		dr6_high,      pending_debug, pat,         gdtr_limit,   no_event,     half_nothing,
		nmi_vector,    exception_32,  code_on_ud,  code_no_code, len_no_insn,  insn_no_len,
		insn_too_long, pdpte_alone,   pdpte_bits,  xcr0,         xstate_bv,    apic_base,
		apic_base_bit, lint,          apic_errors, wait_sipi,    cpu,          misc_enable,
		posted_bits,   posted_vector, posted_low,
	};

	for (unsigned n = 0; n < ARRAY_LEN(breaks); n++) {
		memset(&image, 0, sizeof(image));
		image.state = VCPU_RUNNING;
		image.cpu_state.reg[REG_CR0] = CR0_ET;
		image.cpu_state.reg[REG_RFLAGS] = RFLAGS_FIXED;
		image_encode(&image, first);
		assert_int_equal(image_decode(first, sizeof(first), &again, NULL), 0);
		breaks[n](&image);
		image_encode(&image, first);
		if (image_decode(first, sizeof(first), &again, &why) != ERR_INVALID)
			fail_msg("number %u is taken", n);
		assert_non_null(strstr(why.text, "the image is of no vCPU that could be"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_as_it_was),
		cmocka_unit_test(each_bit_counts),
		cmocka_unit_test(lengths_and_versions),
		cmocka_unit_test(refuses_what_is_no_vcpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
