/* The posted block: start-up sequences, pins, and many threads that post to one owner. */
#include <pthread.h>
#include <sched.h>

#include "tests/host/apic_rig.h"

static void start_up_by_init_and_two_sipis(void **state)
{
	/* As a kernel does: INIT, de-assert, SIPI, SIPI, from the BSP by physical id. */
	rig_write(0, LAPIC_ICR_HIGH, 0x01000000);
	rig_write(0, LAPIC_ICR_LOW, 0x0c500);
	rig_pull(1);
	assert_true(rig.ev[1].init && !rig.ev[1].sipi);
	assert_true(rig.lapic[1].wait_sipi);
	rig_write(0, LAPIC_ICR_LOW, 0x08500);
	rig_pull(1);
	assert_false(rig.ev[1].init);
	rig_write(0, LAPIC_ICR_LOW, 0x0069a);
	rig_pull(1);
	assert_true(rig.ev[1].sipi);
	assert_int_equal(rig.ev[1].sipi_vector, 0x9a);
	assert_false(rig.lapic[1].wait_sipi);
	/* Running, it ignores another. */
	rig_write(0, LAPIC_ICR_LOW, 0x0069b);
	rig_pull(1);
	assert_false(rig.ev[1].sipi);
	rig_pull(2);
	assert_false(rig.ev[2].init);
}

static void start_up_all_at_once(void **state)
{
	/* The whole sequence before the owner looks once. */
	rig_write(0, LAPIC_ICR_LOW, 0xc4500);
	rig_write(0, LAPIC_ICR_LOW, 0xc4608);
	rig_write(0, LAPIC_ICR_LOW, 0xc4609);
	for (unsigned cpu = 1; cpu < RIG_CPUS; cpu++) {
		rig_pull(cpu);
		assert_true(rig.ev[cpu].init && rig.ev[cpu].sipi);
		assert_int_equal(rig.ev[cpu].sipi_vector, 8);
		assert_false(rig.lapic[cpu].wait_sipi);
	}
	rig_pull(0);
	assert_false(rig.ev[0].init);
}

static void init_wins_over_what_came_before(void **state)
{
	const struct apic_msg init = {.kind = APIC_INIT, .assert = true};
	const struct apic_msg sipi = {.kind = APIC_STARTUP, .vector = 7};
	const struct apic_msg nmi = {.kind = APIC_NMI};

	/* SIPI and NMI to a running CPU, then INIT: it waits, and has no NMI. */
	rig.lapic[1].wait_sipi = false;
	assert_true(apic_post_msg(&rig.post[1], &sipi));
	assert_false(apic_post_msg(&rig.post[1], &nmi));
	assert_false(apic_post_msg(&rig.post[1], &init));
	rig_post(1, 0x44);
	rig_pull(1);
	assert_true(rig.ev[1].init && !rig.ev[1].sipi && !rig.ev[1].nmi);
	assert_true(rig.lapic[1].wait_sipi);
	assert_int_equal(lapic_pending(&rig.lapic[1]), -1);
	/* An NMI after it stays. */
	rig.kicks += apic_post_msg(&rig.post[1], &init);
	rig.kicks += apic_post_msg(&rig.post[1], &nmi);
	rig_pull(1);
	assert_true(rig.ev[1].init && rig.ev[1].nmi);
	/* The BSP starts again at once and takes no SIPI. */
	rig.kicks += apic_post_msg(&rig.post[0], &init);
	rig.kicks += apic_post_msg(&rig.post[0], &sipi);
	rig_pull(0);
	assert_true(rig.ev[0].init && !rig.ev[0].sipi);
	assert_false(rig.lapic[0].wait_sipi);
}

static void init_keeps_id_and_base_and_the_book_follows(void **state)
{
	rig_write(1, LAPIC_LDR, 0x02000000);
	rig_write(1, LAPIC_TPR, 0x33);
	rig_post(1, 0x44);
	rig_pull(1);
	rig.kicks += apic_post_msg(&rig.post[1], &(struct apic_msg){.kind = APIC_INIT});
	rig_pull(1);
	assert_true(rig.ev[1].dest_changed);
	assert_int_equal(rig_read(1, LAPIC_ID), 0x01000000);
	assert_int_equal(rig_rdmsr(1, MSR_APIC_BASE), 0xfee00800);
	assert_int_equal(rig_read(1, LAPIC_LDR) | rig_read(1, LAPIC_TPR), 0);
	assert_int_equal(lapic_pending(&rig.lapic[1]), -1);
	assert_int_equal(rig_route(&(struct apic_msg){.kind = APIC_FIXED, .dest = 1}, 0), 0);
}

static void one_kick_until_the_pull(void **state)
{
	const struct apic_msg nmi = {.kind = APIC_NMI};
	const struct apic_msg edge = {.kind = APIC_FIXED, .vector = 0x40};

	assert_false(apic_post_pending(&rig.post[0]));
	assert_true(apic_post_msg(&rig.post[0], &edge));
	assert_true(apic_post_pending(&rig.post[0]));
	assert_false(apic_post_msg(&rig.post[0], &edge));
	rig_pull(0);
	assert_true(rig.ev[0].recheck);
	assert_false(apic_post_pending(&rig.post[0]));
	assert_true(apic_post_msg(&rig.post[0], &nmi));
	assert_false(apic_post_msg(&rig.post[0], &nmi));
	rig_pull(0);
	assert_true(rig.ev[0].nmi && !rig.ev[0].recheck);
	rig_pull(0);
	assert_false(rig.ev[0].nmi);
	assert_false(apic_post_msg(&rig.post[0], &(struct apic_msg){.kind = APIC_RESERVED}));
}

static void kinds_that_are_no_vector(void **state)
{
	rig.kicks += apic_post_msg(&rig.post[0], &(struct apic_msg){.kind = APIC_SMI});
	rig.kicks += apic_post_msg(&rig.post[0], &(struct apic_msg){.kind = APIC_EXTINT});
	rig_pull(0);
	assert_true(rig.ev[0].smi && rig.ev[0].extint && !rig.ev[0].nmi);
	rig_write(0, LAPIC_SVR, 0xff);
	rig.kicks += apic_post_msg(&rig.post[0], &(struct apic_msg){.kind = APIC_EXTINT});
	rig_pull(0);
	assert_false(rig.ev[0].extint);
}

static void level_and_edge_of_one_vector(void **state)
{
	const struct apic_msg level = {.kind = APIC_FIXED, .vector = 0xc8, .level_trigger = true};
	const struct apic_msg edge = {.kind = APIC_FIXED, .vector = 0xc8};

	rig.kicks += apic_post_msg(&rig.post[0], &edge);
	assert_int_equal(atomic_load(&rig.post[0].notify), POST_NOTIFY_EDGE);
	/* What hardware does not take is announced apart. */
	assert_true(apic_post_msg(&rig.post[0], &level));
	rig.kicks += apic_post_msg(&rig.post[0], &edge);
	assert_int_equal(rig_take(0), 0xc8);
	assert_true(rig.ev[0].eoi_exits);
	assert_true(rig_bit(0, LAPIC_TMR, 0xc8));
	assert_true(rig_eoi(0).eoi_level);
	rig.kicks += apic_post_msg(&rig.post[0], &edge);
	assert_int_equal(rig_take(0), 0xc8);
	assert_true(rig.ev[0].eoi_exits);
	assert_false(rig_bit(0, LAPIC_TMR, 0xc8));
	rig_eoi(0);
	/* What the LAPIC asks of itself is edge. */
	rig.kicks += apic_post_msg(&rig.post[0], &level);
	assert_int_equal(rig_take(0), 0xc8);
	assert_true(rig_eoi(0).eoi_level);
	rig_write(0, LAPIC_ICR_LOW, 0x400c8);
	assert_int_equal(rig_take(0), 0xc8);
	assert_false(rig_eoi(0).eoi_level);
}

static unsigned nmis(bool low_first, unsigned edges)
{
	unsigned n = 0;

	for (unsigned i = 0; i < edges; i++)
		rig.kicks += apic_post_lint(&rig.post[0], 1, low_first ? i & 1 : !(i & 1));
	rig_pull(0);
	n = rig.ev[0].nmi;
	return n;
}

static void pins_keep_edges_and_levels(void **state)
{
	rig_write(0, LAPIC_LVT_LINT1, 0x400);
	assert_int_equal(nmis(false, 1), 1); /* up */
	assert_int_equal(nmis(true, 1), 0);  /* down */
	assert_int_equal(nmis(false, 2), 1); /* a pulse */
	assert_int_equal(nmis(false, 3), 1); /* a pulse, then up */
	assert_int_equal(nmis(true, 2), 1);  /* down and up again: an edge */
	assert_false(apic_post_lint(&rig.post[0], 1, true));
	rig_pull(0);
	assert_false(rig.ev[0].nmi);
	/* LINT0 alike, on its own. */
	rig_write(0, LAPIC_LVT_LINT0, 0x700);
	assert_true(apic_post_lint(&rig.post[0], 0, true));
	rig_pull(0);
	assert_true(rig.ev[0].recheck && !rig.ev[0].nmi);
	assert_true(apic_post_lint(&rig.post[0], 0, false));
	rig_pull(0);
	assert_true(rig.ev[0].recheck && !rig.ev[0].nmi);
	/* INIT forgets nothing of the wires. */
	assert_true(apic_post_lint(&rig.post[0], 0, true));
	rig.kicks += apic_post_msg(&rig.post[0], &(struct apic_msg){.kind = APIC_INIT});
	rig_pull(0);
	assert_true(rig.ev[0].init);
	assert_int_equal(rig.lapic[0].lint & 3, 3);
}

/*
 * Threads. In each round every poster writes the round's number into a plain variable of its own, posts
 * once and says that it has. The owner looks only when it was kicked; a round ends when it has served
 * all. When all have posted, no kick is left and somebody is not served, a kick was lost. A number that
 * is not the round's was overtaken by its interrupt (and is a data race for a thread sanitizer).
 */
#define POSTERS    4
#define ROUNDS     20000
#define NMI_VECTOR 2

static struct {
	uint64_t payload ALIGNED(64);
	enum apic_delivery kind;
	bool level;
	uint8_t vector;
} poster[POSTERS];
static _Atomic uint64_t round_now;
static _Atomic unsigned kicks, posted;

static void *post_many(void *arg)
{
	uintptr_t me = (uintptr_t)arg;
	struct apic_msg msg = {.kind = poster[me].kind,
			       .vector = poster[me].vector,
			       .level_trigger = poster[me].level,
			       .assert = true};

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		while (atomic_load_explicit(&round_now, memory_order_acquire) != i)
			sched_yield();
		for (volatile uint64_t spin = i * (me + 7) % 61; spin > 0; spin--)
			;
		poster[me].payload = i;
		if (apic_post_msg(&rig.post[0], &msg))
			atomic_fetch_add_explicit(&kicks, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&posted, 1, memory_order_release);
	}
	return NULL;
}

static unsigned serve(uint8_t vector, uint64_t number)
{
	for (unsigned i = 0; i < POSTERS; i++) {
		if (poster[i].vector == vector) {
			assert_int_equal(poster[i].payload, number);
			if (vector != NMI_VECTOR)
				assert_int_equal(rig_bit(0, LAPIC_TMR, vector), poster[i].level);
			return 1;
		}
	}
	fail_msg("vector %#x was never posted", vector);
	return 0;
}

/* One look, as the owner's run loop does it; returns how many it found. */
static unsigned serve_all(uint64_t number)
{
	unsigned served = 0;
	int vector = rig_pull(0);

	if (rig.ev[0].nmi)
		served += serve(NMI_VECTOR, number);
	while (vector >= 0) {
		lapic_accept(&rig.lapic[0], (uint8_t)vector);
		served += serve((uint8_t)vector, number);
		rig_eoi(0);
		vector = lapic_pending(&rig.lapic[0]);
	}
	return served;
}

static void serve_round(uint64_t number)
{
	unsigned served = 0;

	while (served < POSTERS) {
		bool all_posted = atomic_load_explicit(&posted, memory_order_acquire) == POSTERS;

		if (atomic_exchange_explicit(&kicks, 0, memory_order_relaxed))
			served += serve_all(number);
		else if (all_posted)
			fail_msg("round %u: a kick was lost", (unsigned)number);
		else
			sched_yield();
	}
	assert_int_equal(served, POSTERS);
	while (atomic_load_explicit(&posted, memory_order_acquire) != POSTERS)
		sched_yield();
	/* A post that was found before its poster gave notice kicks all the same; to drop that kick would
	 * leave notice given, and the next round without one. */
	if (atomic_exchange_explicit(&kicks, 0, memory_order_relaxed))
		assert_int_equal(serve_all(number), 0);
	atomic_store_explicit(&posted, 0, memory_order_relaxed);
}

static void threads_lose_and_overtake_nothing(void **state)
{
	pthread_t thread[POSTERS];

	for (uintptr_t i = 0; i < POSTERS; i++) {
		poster[i].kind = i == 0 ? APIC_NMI : APIC_FIXED;
		poster[i].vector = i == 0 ? NMI_VECTOR : (uint8_t)(0x41 + 2 * i);
		poster[i].level = i == 1;
		assert_int_equal(pthread_create(&thread[i], NULL, post_many, (void *)i), 0);
	}
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		atomic_store_explicit(&round_now, i, memory_order_release);
		serve_round(i);
	}
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(rig_take(0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(start_up_by_init_and_two_sipis, rig_setup),
		cmocka_unit_test_setup(start_up_all_at_once, rig_setup),
		cmocka_unit_test_setup(init_wins_over_what_came_before, rig_setup),
		cmocka_unit_test_setup(init_keeps_id_and_base_and_the_book_follows, rig_setup),
		cmocka_unit_test_setup(one_kick_until_the_pull, rig_setup),
		cmocka_unit_test_setup(kinds_that_are_no_vector, rig_setup),
		cmocka_unit_test_setup(level_and_edge_of_one_vector, rig_setup),
		cmocka_unit_test_setup(pins_keep_edges_and_levels, rig_setup),
		cmocka_unit_test_setup(threads_lose_and_overtake_nothing, rig_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
