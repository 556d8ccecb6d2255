/* hv/virt/asid.c: when a CPU may keep what it has of a vCPU, against a TLB that forgets nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/virt/asid.h"

#define CPUS  3
#define VCPUS 7
#define STEPS 200000

/*
 * A translation is a pair: whose it is, and how it was when the CPU took it up. `now` is how it should be: a
 * vCPU's own changes wherever it is (INVLPG there), the nested table's is changed for a CPU by a drop.
 */
static struct tlb {
	struct asids asids;
	unsigned loaded; /* vCPU */
	uint64_t nested; /* what the nested table is for this CPU */
	struct {
		unsigned owner;
		uint64_t own, nested;
		bool there;
	} entry[ASIDS_MAX];
} cpus[CPUS];

static struct vcpu {
	struct asid_use use;
	uint64_t own;
	unsigned cpu; /* CPUS: nowhere */
	bool flush;   /* at the next entry */
} vcpus[VCPUS];

static void load(unsigned c, unsigned v)
{
	vcpus[v].cpu = c;
	cpus[c].loaded = v;
	vcpus[v].flush |= asid_load(&cpus[c].asids, &vcpus[v].use);
}

/* Takes up one translation, or uses what is there. */
static void enter(unsigned c)
{
	struct tlb *t = &cpus[c];
	struct vcpu *v = &vcpus[t->loaded];
	uint32_t asid = v->use.asid;

	if (v->flush)
		t->entry[asid].there = false;
	v->flush = false;
	if (t->entry[asid].there) {
		assert_int_equal(t->entry[asid].owner, t->loaded);
		assert_int_equal(t->entry[asid].own, v->own);
		assert_int_equal(t->entry[asid].nested, t->nested);
	}
	t->entry[asid].there = true;
	t->entry[asid].owner = t->loaded;
	t->entry[asid].own = v->own;
	t->entry[asid].nested = t->nested;
}

static void step(void)
{
	unsigned c = (unsigned)rand() % CPUS, v = (unsigned)rand() % VCPUS;

	switch (rand() % 5) {
	case 0:
		/* One that is loaded elsewhere leaves that CPU only for another there. */
		if (vcpus[v].cpu != CPUS && cpus[vcpus[v].cpu].loaded == v)
			return;
		load(c, v);
		break;
	case 1:
		asid_drop(&cpus[c].asids, &vcpus[cpus[c].loaded].use);
		vcpus[cpus[c].loaded].flush = true;
		cpus[c].nested++;
		break;
	case 2:
		/* The guest drops a translation of its own, where it runs. */
		vcpus[cpus[c].loaded].own++;
		vcpus[cpus[c].loaded].flush = true;
		break;
	default:
		enter(c);
	}
}

static void follow(uint32_t asids)
{
	for (unsigned c = 0; c < CPUS; c++)
		cpus[c] = (struct tlb){.loaded = c};
	for (unsigned v = 0; v < VCPUS; v++)
		vcpus[v] = (struct vcpu){.use.asid = asid_of(v + 1, asids), .cpu = CPUS};
	for (unsigned c = 0; c < CPUS; c++)
		load(c, c);
	srand(asids);
	for (unsigned i = 0; i < STEPS; i++)
		step();
}

static void uses_nothing_that_is_old(void **state)
{
	follow(64);
	follow(4);
	follow(2);
}

static void keeps_what_it_may(void **state)
{
	struct asids cpu = {0};
	struct asid_use a = {.asid = 1}, b = {.asid = 2};

	assert_true(asid_load(&cpu, &a));
	assert_true(asid_load(&cpu, &b));
	assert_false(asid_load(&cpu, &a));
	assert_false(asid_load(&cpu, &b));
	/* The one that is loaded drops its own. */
	asid_drop(&cpu, &b);
	assert_true(asid_load(&cpu, &a));
	assert_false(asid_load(&cpu, &b));
	assert_false(asid_load(&cpu, &a));
}

static void numbers_stay_in_range(void **state)
{
	for (uint32_t n = 1; n <= 1000; n++)
		for (uint32_t asids = 2; asids < 200; asids += 31) {
			assert_in_range(asid_of(n, asids), 1, asids - 1);
			assert_in_range(asid_of(n, asids), 1, ASIDS_MAX - 1);
		}
	assert_int_equal(asid_of(1, 16), 1);
	assert_int_equal(asid_of(15, 16), 15);
	assert_int_equal(asid_of(16, 16), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uses_nothing_that_is_old),
		cmocka_unit_test(keeps_what_it_may),
		cmocka_unit_test(numbers_stay_in_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
