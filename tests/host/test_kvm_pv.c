/* hv/cpu/kvm_pv: where a guest may put its clock, what stands there then, and its hypercalls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/bits.h"
#include "hv/base/log.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/core/memory.h"
#include "hv/cpu/kvm_pv.h"
#include "hv/x86/tsc.h"
#include "tests/host/fake_virt.h"
#include "tests/host/plat.h"

#define RAM  0x10000u
#define HOLE 0x8000u /* a page of it is none */
#define TIME 32u
#define WALL 12u

static struct fake *f;
static struct vcpu *v, *unhalted;

bool memory_is_ram(const struct vm *vm, gpa_t gpa)
{
	return gpa < RAM && (gpa & PAGE_MASK) != HOLE;
}

/* One tick is 2 ns here. */
static uint64_t now;

uint64_t arch_tsc(void)
{
	return now;
}

uint64_t tsc_to_ns(uint64_t ticks)
{
	return ticks * 2;
}

/* Guest memory that is elsewhere at the moment; else it is host_ram(). */
static bool far_away;
static unsigned held;

static void *acquire_here(struct vm *vm, gpa_t gpa)
{
	held += !far_away;
	return far_away ? NULL : host_ram() + gpa;
}

static void release(struct vm *vm)
{
	held--;
}

static const struct vm_ram ram = {.acquire_here = acquire_here, .release = release};

void intr_unhalt(struct vcpu *target)
{
	unhalted = target;
}

static void ready(void)
{
	f = fake_virt_reset();
	v = &f->vm.vcpus[0];
	f->vm.tsc_hz = 2400000000;
	f->vm.wall_start = 0x65432100;
	host_ram_reset(RAM);
	memset(host_ram(), 0x77, RAM);
	unhalted = NULL;
	f->vm.ram = &ram;
	far_away = false;
	now = 1000;
}

static bool untouched(void)
{
	for (unsigned i = 0; i < RAM; i++)
		if (host_ram()[i] != 0x77)
			return false;
	return true;
}

static uint32_t get32(gpa_t at)
{
	uint32_t value;

	memcpy(&value, host_ram() + at, sizeof(value));
	return value;
}

/* As a guest computes it from what stands at `at`. */
static uint64_t ns_at(gpa_t at, uint64_t tsc)
{
	int8_t shift = (int8_t)host_ram()[at + 28];

	tsc = shift < 0 ? tsc >> -shift : tsc << shift;
	return (uint64_t)((unsigned __int128)tsc * get32(at + 24) >> 32);
}

static void the_clock_is_right(void **state)
{
	static const uint64_t rates[] = {1000000,    999999999,  1000000000,  1000000001,
					 2400000000, 5123456789, 100000000000};

	for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
		ready();
		f->vm.tsc_hz = rates[i];
		assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_SYSTEM_TIME, 0x1000 | 1), 0);
		assert_int_equal(get32(0x1000) & 1, 0);
		assert_int_equal(host_ram()[0x1000 + 29], 1); /* stable */
		for (uint64_t s = 1; s < 100000; s *= 7) {
			uint64_t ns = ns_at(0x1000, rates[i] * s);

			assert_true(llabs((long long)(ns - s * NS_PER_S)) <=
				    (long long)(2 * s + 4));
		}
		assert_int_equal(host_ram()[0x1000 + TIME], 0x77);
		assert_int_equal(host_ram()[0xfff], 0x77);
	}
}

static void the_wall_clock(void **state)
{
	ready();
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_WALL_CLOCK_OLD, 0x2004), 0);
	assert_int_equal(get32(0x2004) & 1, 0);
	assert_int_equal(get32(0x2008), 0x65432100);
	assert_int_equal(get32(0x200c), 0);
	assert_int_equal(host_ram()[0x2010], 0x77);
}

static void reads_back(void **state)
{
	uint64_t value;

	ready();
	/* switched off it names no memory */
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_SYSTEM_TIME_OLD, UINT64_MAX - 1), 0);
	assert_true(untouched());
	assert_int_equal(kvm_pv_msr_read(v, MSR_KVM_SYSTEM_TIME, &value), 0);
	assert_true(value == UINT64_MAX - 1);
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_WALL_CLOCK, 0x3000), 0);
	assert_int_equal(kvm_pv_msr_read(v, MSR_KVM_WALL_CLOCK_OLD, &value), 0);
	assert_int_equal(value, 0x3000);
	/* a refused one changes nothing */
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_WALL_CLOCK, RAM), ERR_INVALID);
	assert_int_equal(kvm_pv_msr_read(v, MSR_KVM_WALL_CLOCK, &value), 0);
	assert_int_equal(value, 0x3000);
}

/* All of it lies in RAM, across a page's end or not; else no byte is written. */
static void only_in_ram(void **state)
{
	static const gpa_t ends[] = {RAM, HOLE};

	for (unsigned clock = 0; clock < 2; clock++) {
		uint32_t msr = clock ? MSR_KVM_SYSTEM_TIME : MSR_KVM_WALL_CLOCK;
		unsigned len = clock ? TIME : WALL;

		for (unsigned e = 0; e < ARRAY_LEN(ends); e++)
			for (gpa_t gpa = ends[e] - 64; gpa < ends[e] + 64; gpa += 2) {
				bool fits = gpa + len <= ends[e];

				ready();
				assert_int_equal(kvm_pv_msr_write(v, msr, gpa | clock),
						 fits ? 0 : ERR_INVALID);
				assert_int_equal(untouched(), !fits);
				assert_int_equal(host_ram_held(), 0);
			}
		for (gpa_t gpa = 0x5000 - 40; gpa < 0x5004; gpa += 2) {
			ready();
			assert_int_equal(kvm_pv_msr_write(v, msr, gpa | clock), 0);
			assert_int_equal(get32(gpa) & 1, 0);
		}
		/* at the end of all addresses: nothing wraps to the first ones */
		for (unsigned back = 2; back < 64; back += 2) {
			ready();
			assert_int_equal(kvm_pv_msr_write(v, msr, (0 - (uint64_t)back) | clock),
					 ERR_INVALID);
			assert_true(untouched());
		}
	}
}

static uint64_t get64(gpa_t at)
{
	return get32(at) | (uint64_t)get32(at + 4) << 32;
}

/* Two vCPUs on a CPU, 0 and 1; what each sees of the other at 0x4000 and 0x4040. */
static void take_turns(void)
{
	static struct vm_cpu c;

	ready();
	memset(host_ram() + 0x4000, 0, 128);
	c = (struct vm_cpu){.vm = &f->vm, .vcpus = {v, v + 1}, .count = 2, .current = v};
	for (unsigned i = 0; i < 2; i++) {
		v[i].cpu = &c;
		v[i].slot = v[i].index = i;
		v[i].vm = &f->vm;
		v[i].state = VCPU_RUNNING;
		f->vm.apic_ids[i] = i;
		v[i].kvm_steal_msr = v[i].stolen = v[i].robbed_at = 0;
		assert_int_equal(kvm_pv_msr_write(&v[i], MSR_KVM_STEAL_TIME, (0x4000 + 64 * i) | 1),
				 0);
	}
	f->vm.cpu_count = 2;
	sched_init(&c.sched, &(struct sched_limits){1, 1, 1});
}

static void time_that_others_had(void **state)
{
	take_turns();
	kvm_pv_turn(v, false);
	assert_int_equal(host_ram()[0x4010], 1);
	assert_int_equal(get64(0x4000), 0);
	now += 100;
	kvm_pv_turn(v, true);
	assert_int_equal(host_ram()[0x4010], 0);
	assert_int_equal(get64(0x4000), 200);
	assert_int_equal(get32(0x4008), 4); /* even: whole */
	/* Who sleeps is not robbed; nobody need spin for it. */
	v->state = VCPU_HALTED;
	kvm_pv_turn(v, false);
	assert_int_equal(host_ram()[0x4010], 1);
	now += 100;
	kvm_pv_turn(v, true);
	assert_int_equal(get64(0x4000), 200);
	assert_int_equal(get64(0x4040), 0);
	assert_int_equal(held, 0);
}

static void nobody_waits_to_tell_it(void **state)
{
	take_turns();
	far_away = true;
	kvm_pv_turn(v, false);
	now += 50;
	kvm_pv_turn(v, true);
	assert_int_equal(get32(0x4008), 0);
	/* It is told when the page is here again. */
	far_away = false;
	kvm_pv_turn(v, false);
	assert_int_equal(get64(0x4000), 100);
	assert_int_equal(held, 0);
}

static void where_it_may_stand(void **state)
{
	uint64_t value;

	take_turns();
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_STEAL_TIME, HOLE | 1), ERR_INVALID);
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_STEAL_TIME, RAM | 1), ERR_INVALID);
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_STEAL_TIME, 0x4020 | 1), ERR_INVALID);
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_STEAL_TIME, 0x4000 | 3), ERR_INVALID);
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_STEAL_TIME, ~63ull | 1), ERR_INVALID);
	assert_int_equal(kvm_pv_msr_read(v, MSR_KVM_STEAL_TIME, &value), 0);
	assert_int_equal(value, 0x4000 | 1);
	/* switched off nothing is written */
	assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_STEAL_TIME, 0), 0);
	memset(host_ram(), 0x77, RAM);
	kvm_pv_turn(v, false);
	assert_true(untouched());
}

static void yields_to_whom_it_names(void **state)
{
	take_turns();
	assert_true(kvm_pv_cpuid(v, KVM_CPUID_BASE + 1).eax & 1u << 5);
	assert_true(kvm_pv_cpuid(v, KVM_CPUID_BASE + 1).eax & 1u << 13);
	f->seg[SEG_SS].dpl = 0;
	v->recheck = false;
	v->virt.gpr[GPR_RAX] = 11;
	v->virt.gpr[GPR_RBX] = 1;
	kvm_pv_hypercall(v);
	assert_int_equal(v->virt.gpr[GPR_RAX], 0);
	assert_int_equal(v->cpu->sched.favoured, 1);
	assert_true(v->cpu->sched.gives_way && v->recheck);
	/* itself, and one that is not there */
	v->cpu->sched.gives_way = false;
	v->virt.gpr[GPR_RAX] = 11;
	v->virt.gpr[GPR_RBX] = 0;
	kvm_pv_hypercall(v);
	v->virt.gpr[GPR_RAX] = 11;
	v->virt.gpr[GPR_RBX] = 77;
	kvm_pv_hypercall(v);
	assert_true(v->virt.gpr[GPR_RAX] == (uint64_t)-22);
	assert_false(v->cpu->sched.gives_way);
	/* Alone on its CPU it is told of none of it. */
	v->cpu->count = 1;
	assert_int_equal(kvm_pv_cpuid(v, KVM_CPUID_BASE + 1).eax & (1u << 5 | 1u << 13), 0);
}

static unsigned lines_with(struct log_reader *r, const char *what)
{
	static char text[1 << 17];
	unsigned count = 0;
	size_t n;

	while ((n = log_read(r, text, sizeof(text) - 1))) {
		text[n] = '\0';
		for (const char *at = text; (at = strstr(at, what)); at++)
			count++;
	}
	return count;
}

static void the_log_is_not_flooded(void **state)
{
	struct log_reader r = {0};

	ready();
	lines_with(&r, "x");
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(kvm_pv_msr_write(v, MSR_KVM_SYSTEM_TIME, RAM | 1), ERR_INVALID);
		v->virt.gpr[GPR_RAX] = 77;
		f->seg[SEG_SS].dpl = 0;
		kvm_pv_hypercall(v);
		assert_true(v->virt.gpr[GPR_RAX] == (uint64_t)-1000);
	}
	assert_int_equal(lines_with(&r, "vCPU 0 "), 2);
}

static void hypercalls(void **state)
{
	ready();
	f->vm.cpu_count = 2;
	f->vm.apic_ids[0] = 0;
	f->vm.apic_ids[1] = 9;
	v->virt.gpr[GPR_RAX] = 5;
	v->virt.gpr[GPR_RCX] = 9;
	kvm_pv_hypercall(v);
	assert_ptr_equal(unhalted, &f->vm.vcpus[1]);
	assert_int_equal(v->virt.gpr[GPR_RAX], 0);
	/* one that is not there */
	unhalted = NULL;
	for (uint32_t id = 10; id; id <<= 1) {
		v->virt.gpr[GPR_RAX] = 5;
		v->virt.gpr[GPR_RCX] = id;
		kvm_pv_hypercall(v);
		assert_true(v->virt.gpr[GPR_RAX] == (uint64_t)-22);
	}
	/* from user mode */
	f->seg[SEG_SS].dpl = 3;
	v->virt.gpr[GPR_RAX] = 5;
	v->virt.gpr[GPR_RCX] = 9;
	kvm_pv_hypercall(v);
	assert_true(v->virt.gpr[GPR_RAX] == (uint64_t)-1);
	assert_null(unhalted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_clock_is_right),
		cmocka_unit_test(the_wall_clock),
		cmocka_unit_test(reads_back),
		cmocka_unit_test(only_in_ram),
		cmocka_unit_test(the_log_is_not_flooded),
		cmocka_unit_test(hypercalls),
		cmocka_unit_test(time_that_others_had),
		cmocka_unit_test(nobody_waits_to_tell_it),
		cmocka_unit_test(where_it_may_stand),
		cmocka_unit_test(yields_to_whom_it_names),
	};

	return cmocka_run_group_tests_name("kvm-pv", tests, NULL, NULL);
}
