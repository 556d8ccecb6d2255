/*
 * hv/core/intr: a sleeping vCPU's timer. What is due, late or owed comes at the right moment, and what ends a
 * sleep ends it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/dev/devices.h"
#include "hv/x86/irq.h"
#include "hv/x86/tsc.h"
#include "tests/host/fake_virt.h"
#include "tests/host/plat.h"

#define TSC      1000000000ull
#define MS       (TSC / 1000)
#define PERIOD   (4 * MS)
#define VECTOR   0xecu
#define OTHER    0x31u
#define DEADLINE 0x40000u
#define PERIODIC 0x20000u

static struct fake *f;
static struct vcpu *v;
static uint64_t now, wake_at;
static bool ready;
static uint32_t page[1024] ALIGNED(PAGE_SIZE);

/* --- What is beside it --- */

struct vm_cpu *arch_cpu(void)
{
	return v->cpu;
}

struct vcpu *arch_vcpu(void)
{
	return v;
}

uint64_t arch_tsc(void)
{
	return now;
}

uint64_t ns_to_tsc(uint64_t ns)
{
	return ns;
}

void irq_handler_set(uint8_t vector, void (*handler)(void))
{
}

uint64_t vm_guest_tsc(const struct vm *vm)
{
	return now;
}

void vcpu_kick(struct vcpu *target)
{
}

void vm_cpu_wake_by(struct vm_cpu *c, uint64_t deadline)
{
	wake_at = deadline;
}

void vm_stop(struct vm *vm, enum vm_stop how)
{
}

uint64_t devices_tick(struct vm *vm)
{
	return UINT64_MAX;
}

void devices_eoi(struct vm *vm, uint8_t vector)
{
}

bool devices_int_ack(struct vm *vm, uint8_t *vector)
{
	return false;
}

static bool irq_ready(struct virt_vcpu *virt)
{
	return ready;
}

static bool event_pending(struct virt_vcpu *virt)
{
	return f->injected;
}

static void window(struct virt_vcpu *virt, bool on)
{
}

static uint64_t never(const struct vm_cpu *c)
{
	return UINT64_MAX;
}

static void serve(struct vm *vm)
{
}

static const struct vm_far far = {.deadline = never, .serve = serve};

/* --- The guest --- */

static void arm(uint64_t deadline)
{
	struct lapic_actions actions;

	assert_int_equal(lapic_msr_write(&v->lapic, MSR_TSC_DEADLINE, deadline, now, &actions), 0);
	intr_apply(v, &actions);
}

static void set_timer(uint32_t mode)
{
	struct lapic_actions actions;

	lapic_mmio_write(&v->lapic, LAPIC_SVR, 0x1ff, now, &actions);
	lapic_mmio_write(&v->lapic, LAPIC_LVT_TIMER, VECTOR | mode, now, &actions);
	lapic_mmio_write(&v->lapic, LAPIC_TIMER_DIVIDE, 0xb, now, &actions);
}

static void make(unsigned index)
{
	static struct virt_ops ops;
	const struct lapic_config config = {.apic_id = index,
					    .features = LAPIC_HAS_TSC_DEADLINE,
					    .phys_bits = 36,
					    .tsc_hz = TSC,
					    .timer_hz = TSC};

	f = fake_virt_reset();
	ops = *f->vm.ops;
	ops.irq_ready = irq_ready;
	ops.event_pending = event_pending;
	ops.irq_window = ops.nmi_window = window;
	f->vm.ops = &ops;
	f->vm.far = &far;
	f->vm.cpu_count = 2;
	places_set(&f->vm.places, 1 - index, (struct place){1, 0});
	v = &f->vm.vcpus[index];
	v->vm = &f->vm;
	v->index = index;
	v->cpu = &f->vm.cpus[0];
	v->cpu->vm = &f->vm;
	v->cpu->count = 1;
	v->state = VCPU_RUNNING;
	apic_post_init(&v->post);
	lapic_init(&v->lapic, page, &config);
	lapic_tick_init(&v->tick, TSC, index ? TSC : 0);
	now = TSC;
	ready = true;
	set_timer(DEADLINE);
}

/* The run loop, as far as it goes before the vCPU runs or sleeps. */
static void look(void)
{
	v->recheck = true;
	while (v->recheck)
		intr_service(v);
}

/* The interrupt that was injected, taken and ended; 0: none was. */
static uint8_t taken(void)
{
	struct lapic_actions actions;

	if (!f->injected)
		return 0;
	f->injected = false;
	lapic_eoi(&v->lapic, &actions);
	return f->event.vector;
}

/* A tick's handler, which waits for other nodes for a tenth of a millisecond, and the idle loop. */
static uint64_t next;

static void tick(void)
{
	assert_int_equal(taken(), VECTOR);
	v->stalled = MS / 10;
	v->fault_ns[0].count += 3;
	next += ((now - next) / PERIOD + 1) * PERIOD;
	arm(next);
	now += MS / 5;
	intr_halt(v);
	look();
}

static void sleep_to_tick(void)
{
	assert_int_equal(v->state, VCPU_HALTED);
	now = wake_at;
	look();
	tick();
}

static void sleep_long(void)
{
	next = now + PERIOD;
	arm(next);
	intr_halt(v);
	look();
	for (unsigned i = 0; i < 550; i++)
		sleep_to_tick();
}

/* --- Tests --- */

static void a_sleeping_vcpu_ticks_late(void **state)
{
	uint64_t ticks;

	make(1);
	sleep_long();
	assert_true(wake_at > next + 900 * MS && wake_at <= next + TSC);
	ticks = v->ticks.woke;
	now = next + 500 * MS;
	look();
	assert_int_equal(taken(), 0);
	assert_int_equal(v->state, VCPU_HALTED);
	assert_int_equal(v->ticks.woke, ticks);
	assert_true(v->ticks.late > 100);
	assert_int_equal(v->ticks.all, v->ticks.woke);
	assert_int_equal(v->ticks.waits, 3 * v->ticks.woke);
}

static void the_first_vcpu_ticks_in_time(void **state)
{
	make(0);
	sleep_long();
	assert_true(wake_at <= next);
	assert_int_equal(v->ticks.late, 0);
}

static void post_other(void)
{
	const struct apic_msg msg = {.kind = APIC_FIXED, .vector = OTHER};

	assert_true(apic_post_msg(&v->post, &msg));
}

/* It sleeps until the tick, which waits, and another interrupt comes first: then both are due. */
static void what_is_owed_comes_with_the_next_interrupt(void **state)
{
	make(1);
	sleep_long();
	now = next + 500 * MS;
	post_other();
	intr_service(v);
	assert_int_equal(v->state, VCPU_RUNNING);
	assert_int_equal(taken(), OTHER);
	assert_true(v->recheck);
	intr_service(v);
	assert_int_equal(taken(), VECTOR);
}

/* It went back to sleep, before the next tick is due. */
static void assert_soon(void)
{
	intr_halt(v);
	look();
	assert_true(wake_at >= next && wake_at < next + PERIOD);
}

static void another_interrupt_brings_the_ticks_back(void **state)
{
	make(1);
	sleep_long();
	now = next - MS;
	post_other();
	look();
	assert_int_equal(taken(), OTHER);
	assert_soon();
}

static void a_kick_brings_the_ticks_back(void **state)
{
	make(1);
	sleep_long();
	now = next - MS;
	atomic_store(&v->pv_unhalt, true);
	look();
	assert_int_equal(v->state, VCPU_RUNNING);
	assert_soon();
	/* The one that is owed comes with a kick, too. */
	sleep_long();
	now = next + 500 * MS;
	atomic_store(&v->pv_unhalt, true);
	look();
	assert_int_equal(taken(), VECTOR);
}

static void an_ipi_of_its_own_brings_the_ticks_back(void **state)
{
	struct lapic_actions actions;

	make(1);
	sleep_long();
	now = wake_at;
	look();
	lapic_mmio_write(&v->lapic, LAPIC_ICR_LOW, 0xc4000 | OTHER, now, &actions);
	assert_true(actions.send_ipi);
	f->vm.cpu_count = 0;
	intr_apply(v, &actions);
	tick();
	assert_true(wake_at < next + PERIOD);
}

/* A kick that comes with an interrupt is not lost: it ends the next HLT. */
static void a_kick_outlives_an_interrupt(void **state)
{
	make(1);
	arm(now + 1);
	intr_halt(v);
	now += PERIOD;
	atomic_store(&v->pv_unhalt, true);
	look();
	assert_int_equal(taken(), VECTOR);
	assert_int_equal(v->state, VCPU_RUNNING);
	intr_halt(v);
	look();
	assert_int_equal(v->state, VCPU_RUNNING);
}

/* Somebody counts them. */
static void a_periodic_timer_is_not_late(void **state)
{
	struct lapic_actions actions;
	uint64_t start;

	make(1);
	set_timer(PERIODIC);
	lapic_mmio_write(&v->lapic, LAPIC_TIMER_INITIAL, PERIOD, now, &actions);
	start = now;
	for (unsigned i = 1; i < 1000; i++) {
		intr_halt(v);
		look();
		now = wake_at;
		assert_int_equal(now, start + i * PERIOD);
		look();
		assert_int_equal(taken(), VECTOR);
		v->stalled = MS / 100;
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sleeping_vcpu_ticks_late),
		cmocka_unit_test(the_first_vcpu_ticks_in_time),
		cmocka_unit_test(what_is_owed_comes_with_the_next_interrupt),
		cmocka_unit_test(another_interrupt_brings_the_ticks_back),
		cmocka_unit_test(a_kick_brings_the_ticks_back),
		cmocka_unit_test(an_ipi_of_its_own_brings_the_ticks_back),
		cmocka_unit_test(a_kick_outlives_an_interrupt),
		cmocka_unit_test(a_periodic_timer_is_not_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
