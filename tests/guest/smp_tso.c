/*
 * The memory model between CPUs: what x86-TSO forbids is never seen, what it allows may be; locked
 * instructions are atomic, also across pages. Intel SDM vol. 3, 8.2; Sewell and others, "x86-TSO", 2010.
 */
#include "tests/guest/lib/pc.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/test.h"
#include "tests/guest/lib/trap.h"

#define ROUNDS 20000u /* unless rounds= says otherwise */

/* Variables on pages of their own, so that on a cluster each moves by itself. */
static struct {
	volatile uint32_t v ALIGNED(4096);
} x, y, turn, arrived;

static volatile uint32_t r[4];
static volatile uint32_t fenced;

/* All of `n` CPUs leave at nearly the same time. */
static bool barrier_wait(uint32_t n)
{
	uint32_t now = turn.v;

	if (atomic_add(&arrived.v, 1) == n) {
		arrived.v = 0;
		turn.v = now + 1;
		return true;
	}
	return WAIT(turn.v != now, 60000);
}

/* One side of a two-CPU litmus test; it runs `rounds` times on each CPU. */
struct litmus {
	void (*side[2])(void);
	void (*check)(void); /* on CPU 0, while CPU 1 waits */
};

static const struct litmus *volatile current;
static volatile uint32_t rounds = ROUNDS;

static void other_side(void *arg)
{
	for (uint32_t i = 0; i < rounds; i++) {
		if (!barrier_wait(2))
			return;
		current->side[1]();
		if (!barrier_wait(2))
			return;
	}
}

static void run(const struct litmus *l)
{
	smp_start_all(2);
	rounds = test_rounds(ROUNDS);
	current = l;
	arrived.v = 0;
	smp_call(1, other_side, NULL);
	for (uint32_t i = 0; i < rounds; i++) {
		x.v = y.v = 0;
		REQUIRE(barrier_wait(2), "round %u: the other CPU is lost", i);
		l->side[0]();
		REQUIRE(barrier_wait(2), "round %u: the other CPU is lost", i);
		l->check();
	}
	smp_wait(1, 10000);
}

/* --- Store buffering: without fences both may read 0; with them they may not --- */

static uint32_t both_zero;

static void sb0(void)
{
	x.v = 1;
	if (fenced)
		fence();
	r[0] = y.v;
}

static void sb1(void)
{
	y.v = 1;
	if (fenced)
		fence();
	r[1] = x.v;
}

static void sb_check(void)
{
	both_zero += r[0] == 0 && r[1] == 0;
}

static const struct litmus sb = {{sb0, sb1}, sb_check};

static void test_store_buffering(void)
{
	fenced = both_zero = 0;
	run(&sb);
	print("# store buffering: both loads early in %u of %u rounds, as allowed\n", both_zero,
	      rounds);
	fenced = 1;
	both_zero = 0;
	run(&sb);
	CHECK(both_zero == 0, "%u rounds read 0 and 0 across fences", both_zero);
}

/* --- Message passing: who sees the flag sees the data --- */

static uint32_t wrong;

static void mp0(void)
{
	x.v = 1;
	y.v = 1;
}

static void mp1(void)
{
	r[0] = y.v;
	r[1] = x.v;
}

static void mp_check(void)
{
	wrong += r[0] == 1 && r[1] == 0;
}

static const struct litmus mp = {{mp0, mp1}, mp_check};

static void test_message_passing(void)
{
	wrong = 0;
	run(&mp);
	CHECK(wrong == 0, "%u rounds saw the flag without the data", wrong);
}

/* --- Load buffering: no load sees a store that comes after its own CPU's --- */

static void lb0(void)
{
	r[0] = x.v;
	y.v = 1;
}

static void lb1(void)
{
	r[1] = y.v;
	x.v = 1;
}

static void lb_check(void)
{
	wrong += r[0] == 1 && r[1] == 1;
}

static const struct litmus lb = {{lb0, lb1}, lb_check};

static void test_load_buffering(void)
{
	wrong = 0;
	run(&lb);
	CHECK(wrong == 0, "%u rounds read 1 and 1", wrong);
}

/* --- Coherence: two stores to one place are seen in order --- */

static void co0(void)
{
	x.v = 1;
	x.v = 2;
}

static void co1(void)
{
	r[0] = x.v;
	r[1] = x.v;
}

static void co_check(void)
{
	wrong += r[1] < r[0];
}

static const struct litmus co = {{co0, co1}, co_check};

static void test_coherence(void)
{
	wrong = 0;
	run(&co);
	CHECK(wrong == 0, "%u rounds saw 2 and then less", wrong);
}

/* --- Atomicity --- */

static uint8_t area[2 * 4096] ALIGNED(4096);
static volatile uint32_t *target;
static volatile uint32_t go;

static void add_many(void *arg)
{
	volatile uint32_t *p = target;

	while (!go)
		cpu_pause();
	for (uint32_t i = 0; i < rounds; i++)
		asm volatile("lock; incl %0" : "+m"(*p) : : "cc", "memory");
}

static void all_cpus(void (*fn)(void *arg))
{
	smp_start_all(2);
	go = 0;
	for (unsigned i = 1; i < cpu_count; i++)
		smp_call(i, fn, NULL);
	go = 1;
	fn(NULL);
	for (unsigned i = 1; i < cpu_count; i++)
		smp_wait(i, 120000);
}

static void test_locked_add(void)
{
	target = (volatile uint32_t *)area;
	*target = 0;
	all_cpus(add_many);
	CHECK_EQ(*target, rounds * cpu_count);
}

static void test_locked_add_across_pages(void)
{
	target = (volatile uint32_t *)(area + 4094);
	*target = 0;
	all_cpus(add_many);
	CHECK_EQ(*target, rounds * cpu_count);
}

/* Plain increments lose some; a lock made of XCHG keeps them whole. */
static volatile uint32_t lock, counter;

static void add_locked(void *arg)
{
	while (!go)
		cpu_pause();
	for (uint32_t i = 0; i < rounds / 4; i++) {
		uint32_t taken = 1;

		for (;;) {
			asm volatile("xchgl %0, %1" : "+r"(taken), "+m"(lock) : : "memory");
			if (!taken)
				break;
			cpu_pause();
		}
		counter++;
		barrier();
		lock = 0;
	}
}

static void test_spinlock(void)
{
	lock = counter = 0;
	all_cpus(add_locked);
	CHECK_EQ(counter, rounds / 4 * cpu_count);
}

static volatile uint64_t wide ALIGNED(8);

static void add_wide(void *arg)
{
	while (!go)
		cpu_pause();
	for (uint32_t i = 0; i < rounds / 4; i++) {
		uint64_t old = wide, sum;
		bool done;

		do {
			sum = old + 0x100000001ull;
			asm volatile("lock; cmpxchg8b %1"
				     : "+A"(old), "+m"(wide), "=@ccz"(done)
				     : "b"((uint32_t)sum), "c"((uint32_t)(sum >> 32))
				     : "memory");
		} while (!done);
	}
}

/* CMPXCHG8B: both halves move together. */
static void test_wide(void)
{
	wide = 0;
	all_cpus(add_wide);
	CHECK(wide == 0x100000001ull * (rounds / 4 * cpu_count), "%#llx", wide);
}

/* Code written by one CPU and announced by a store is executed by the other. SDM vol. 3, 8.1.3 */
static uint8_t code[16] ALIGNED(4096);
static volatile uint32_t code_turn, code_seen;

static void run_code(void *arg)
{
	for (uint32_t i = 1; i <= 200; i++) {
		uint32_t v;

		if (!WAIT(code_turn == i, 10000))
			return;
		(void)cpuid(0, 0); /* serializes */
		asm volatile("call *%1" : "=a"(v) : "r"(code) : "memory");
		code_seen = v;
		fence();
		code_turn = 0;
	}
}

static void test_cross_modifying_code(void)
{
	smp_start_all(2);
	code_turn = 0;
	smp_call(1, run_code, NULL);
	for (uint32_t i = 1; i <= 200; i++) {
		code[0] = 0xb8; /* movl $i, %eax; ret */
		code[1] = (uint8_t)i;
		code[2] = code[3] = code[4] = 0;
		code[5] = 0xc3;
		barrier();
		code_turn = i;
		REQUIRE(WAIT(code_turn == 0, 10000), "turn %u is not taken", i);
		REQUIRE(code_seen == i, "turn %u ran the code of turn %u", i, code_seen);
	}
	smp_wait(1, 5000);
}

const struct test guest_tests[] = {
	{"store-buffering", test_store_buffering},
	{"message-passing", test_message_passing},
	{"load-buffering", test_load_buffering},
	{"coherence", test_coherence},
	{"locked-add", test_locked_add},
	{"locked-add-across-pages", test_locked_add_across_pages},
	{"spinlock", test_spinlock},
	{"wide", test_wide},
	{"cross-modifying-code", test_cross_modifying_code},
	{NULL, NULL},
};
