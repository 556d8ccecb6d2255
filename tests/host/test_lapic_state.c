/* apic/lapic_state.c: a LAPIC that goes on from its state is as one that was left alone. */
#include "apic/lapic_impl.h"
#include "apic/lapic_state.h"
#include "tests/host/apic_rig.h"

#define SECOND 1000000000ull

static uint64_t seed;

static uint32_t random32(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 32);
}

static struct lapic *const l = &rig.lapic[1];
static struct why why;

/* As after power-up, and worse: what is not put back shows. */
static void scrub(struct lapic *x)
{
	struct lapic_config config = x->config;
	uint32_t *page = x->regs;

	memset(page, 0xa5, PAGE_SIZE);
	lapic_init(x, page, &config);
	memset(&x->timer, 0x5a, sizeof(x->timer));
	x->lvt_timer = x->lint = x->errors = x->irr_words = x->isr_words = 0x5a;
}

/* Out, through nothing, and back in. */
static void through_state(void)
{
	struct lapic_state st, again;

	lapic_get(l, &st);
	scrub(l);
	if (lapic_state_check(&st, &why) || lapic_set(l, &st, rig.now, &why))
		fail_msg("%s", why.text);
	lapic_get(l, &again);
	assert_memory_equal(&st, &again, sizeof(st));
}

static const uint16_t written[] = {
	LAPIC_TPR,
	LAPIC_EOI,
	LAPIC_LDR,
	LAPIC_DFR,
	LAPIC_SVR,
	LAPIC_ESR,
	LAPIC_ICR_LOW,
	LAPIC_ICR_HIGH,
	LAPIC_LVT_TIMER,
	LAPIC_LVT_LINT0,
	LAPIC_LVT_LINT1,
	LAPIC_LVT_ERROR,
	LAPIC_TIMER_INITIAL,
	LAPIC_TIMER_DIVIDE,
	LAPIC_TIMER_INITIAL,
	LAPIC_LVT_TIMER,
	0x044,
	LAPIC_LVT_CMCI,
};

/* Something that a guest, a device or time does to CPU 1; what is seen of it goes into a sum. */
static uint64_t step(unsigned what)
{
	uint32_t value = random32();
	uint64_t sum = 0;

	rig.now += random32() % 5000;
	switch (what % 10) {
	case 0:
	case 1:
		rig_write(1, written[value % ARRAY_LEN(written)], random32() & 0x7ffff);
		break;
	case 2:
		rig_write(1, LAPIC_SVR, 0x1ff);
		break;
	case 3:
		rig_post(1, (uint8_t)value);
		break;
	case 4:
		rig.kicks += apic_post_lint(&rig.post[1], value & 1, value & 2);
		break;
	case 5:
		(void)rig_wrmsr(1, value & 1 ? MSR_TSC_DEADLINE : MSR_APIC_BASE,
				value & 1 ? rig.now + value % 9999
					  : APIC_BASE_DEFAULT_GPA | APIC_BASE_EN |
						    (value & 6 ? 0 : APIC_BASE_EXTD));
		break;
	case 6:
	case 7:
		sum = (uint64_t)rig_take(1);
		break;
	case 8:
		rig.kicks += apic_post_msg(
			&rig.post[1],
			&(struct apic_msg){.kind = value % 4 ? APIC_STARTUP : APIC_INIT});
		break;
	default:
		lapic_timer_expire(l, rig.now);
		break;
	}
	sum = sum * 31 + lapic_timer_left(l, rig.now);
	sum = sum * 31 + lapic_timer_current(l, rig.now);
	sum = sum * 31 + (uint64_t)lapic_pending(l) * 3 + lapic_extint_accepted(l);
	for (unsigned i = 0; i < 64; i++)
		sum = sum * 31 + *lapic_reg(l, i * 16);
	return sum * 31 +
	       (rig.ev[1].nmi | rig.ev[1].init << 1 | rig.ev[1].sipi << 2 | l->wait_sipi << 3);
}

/* The same life twice, the second time through its state after each step. */
static void lives_on_from_its_state(void **state)
{
	static uint64_t seen[600];

	for (unsigned life = 1; life <= 60; life++)
		for (unsigned second = 0; second < 2; second++) {
			rig_reset(RIG_FEATURES);
			seed = life;
			for (unsigned i = 0; i < ARRAY_LEN(seen); i++) {
				uint64_t sum = step(random32());

				if (second && sum != seen[i])
					fail_msg("life %u, step %u", life, i);
				seen[i] = sum;
				if (second)
					through_state();
			}
		}
}

/* What was posted comes before what is posted while the block is empty. */
static void posts_are_taken_and_given(void **state)
{
	const struct apic_msg init = {.kind = APIC_INIT},
			      sipi = {.kind = APIC_STARTUP, .vector = 9},
			      late = {.kind = APIC_STARTUP, .vector = 6}, nmi = {.kind = APIC_NMI};
	struct apic_posted posted, more;
	struct apic_post *p = &rig.post[1];

	rig_post(1, 0x31);
	rig.kicks += apic_post_msg(p, &sipi) + apic_post_msg(p, &nmi) + apic_post_lint(p, 0, true);
	apic_post_take(p, &posted);
	assert_false(apic_post_pending(p));
	assert_int_equal(apic_posted_check(&posted, NULL), 0);
	assert_int_equal(posted.edge[0], BIT(0x31));
	/* Others go on posting. */
	rig_post(1, 0x32);
	rig.kicks += apic_post_msg(p, &late) + apic_post_lint(p, 0, false);
	apic_post_give(p, &posted);
	assert_true(apic_post_pending(p));
	apic_post_take(p, &more);
	assert_int_equal(more.edge[0], BIT(0x31) | BIT(0x32));
	assert_int_equal(more.events,
			 POST_NMI | POST_SIPI | 9 << POST_SIPI_SHIFT | POST_LINT_ROSE(0));
	/* An INIT that comes later takes the others back; one that came before does not. */
	rig.kicks += apic_post_msg(p, &init);
	apic_post_give(p, &more);
	apic_post_take(p, &more);
	assert_int_equal(more.events, POST_INIT | POST_LINT_ROSE(0));
	rig.kicks += apic_post_msg(p, &late);
	apic_post_give(p, &more);
	apic_post_take(p, &more);
	assert_int_equal(more.events,
			 POST_INIT | POST_SIPI | 6 << POST_SIPI_SHIFT | POST_LINT_ROSE(0));
}

static void a_new_block_gets_the_levels(void **state)
{
	struct apic_posted posted;

	rig.kicks += apic_post_lint(&rig.post[1], 1, true);
	apic_post_take(&rig.post[1], &posted);
	apic_post_levels(&rig.post[2], &posted);
	apic_post_give(&rig.post[2], &posted);
	apic_post_take(&rig.post[2], &posted);
	assert_int_equal(posted.events, POST_LINT_LEVEL(1) | POST_LINT_ROSE(1));
	/* It is up already. */
	assert_false(apic_post_lint(&rig.post[2], 1, true));
}

/* A sound state with one thing changed. */
static void refuse(struct lapic_state *st, const char *what)
{
	struct lapic before = *l;

	if (lapic_set(l, st, rig.now, &why) != ERR_INVALID)
		fail_msg("taken: %s", what);
	assert_memory_equal(&before, l, sizeof(before));
}

static void refuses_what_is_not_its_own(void **state)
{
	struct lapic_state good, st;

	rig.now = SECOND;
	rig_write(1, LAPIC_LVT_TIMER, 0x20031);
	rig_write(1, LAPIC_TIMER_INITIAL, 1000);
	lapic_get(l, &good);
	scrub(l);
#define REFUSE(change)                \
	do {                          \
		st = good;            \
		change;               \
		refuse(&st, #change); \
	} while (0)
	REFUSE(st.base_msr |= APIC_BASE_BSP);
	REFUSE(st.base_msr |= BIT(40));
	REFUSE(st.reg[LAPIC_ID / 16] = 2u << 24);
	REFUSE(st.reg[LAPIC_VERSION / 16]++);
	REFUSE(st.reg[LAPIC_TPR / 16] = 0x100);
	REFUSE(st.reg[0] = 1);
	REFUSE(st.reg[LAPIC_IRR / 16] = 1);
	REFUSE(st.reg[LAPIC_ISR / 16] = 0x8000);
	REFUSE(st.reg[LAPIC_TIMER_CURRENT / 16] = 1);
	REFUSE(st.reg[LAPIC_LVT_ERROR / 16] = BIT(31));
	REFUSE(st.reg[LAPIC_TIMER_INITIAL / 16] = 0);
	REFUSE(st.tsc_deadline = 1);
	REFUSE(st.reg[LAPIC_LVT_TIMER / 16] = 0x40031);
	REFUSE(st.start = rig.now + 1);
	REFUSE(st.fired = UINT64_MAX);
	REFUSE(st.fired = BIT(40));
	REFUSE(st.first = UINT64_MAX);
	assert_int_equal(lapic_set(l, &good, rig.now, &why), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lives_on_from_its_state),
		cmocka_unit_test_setup(posts_are_taken_and_given, rig_setup),
		cmocka_unit_test_setup(a_new_block_gets_the_levels, rig_setup),
		cmocka_unit_test_setup(refuses_what_is_not_its_own, rig_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
