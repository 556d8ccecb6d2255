/*
 * hv/cluster/parts: the guest that the head chooses fits on every node, and is not much smaller than it could
 * be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/cluster/parts.h"

static struct parts p;

static void make(unsigned count, uint64_t ram, unsigned cpus)
{
	p = (struct parts){.sizes = &share_usual, .count = count, .most_cpus = cpus};
	for (unsigned i = 0; i < count; i++) {
		p.node[i].ram = ram;
		p.node[i].cpus = cpus;
	}
}

/* All that share_init() and link_members() take on that node for such a guest. */
static uint64_t taken(unsigned node, uint64_t guest)
{
	uint16_t slots[PARTS_SLOTS];
	struct dsm_config c;

	parts_config(&p, node, guest, slots, &c);
	return parts_memory(&p, &c, guest) + parts_link_memory(&p);
}

static uint64_t all_ram(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < p.count; i++)
		sum += p.node[i].ram;
	return sum;
}

static void what_is_chosen_fits(void **state)
{
	srandom(1);
	for (unsigned turn = 0; turn < 300; turn++) {
		struct why why;
		uint64_t most;

		make(2 + (unsigned)random() % 31, 0, 1);
		for (unsigned i = 0; i < p.count; i++) {
			p.node[i].ram = MIB(48 + (uint64_t)random() % (random() % 2 ? 200 : 4000));
			p.node[i].cpus = 1 + (unsigned)random() % 2;
			p.most_cpus = MAX(p.most_cpus, p.node[i].cpus);
		}
		most = parts_most(&p);
		for (unsigned i = 0; most && i < p.count; i++)
			assert_true(taken(i, most) <= p.node[i].ram / 16 * 15);
		assert_true(most % PARTS_GUEST_UNITS == 0 && most <= PARTS_GUEST_MOST);
		if (most)
			assert_int_equal(parts_check(&p, most, &why), 0);
	}
}

/* These stopped by themselves once: 192 MiB each, of which the firmware and the images leave some 170. */
static void eight_small_nodes(void **state)
{
	make(8, MIB(170), 1);
	assert_in_range(parts_most(&p), MIB(900), MIB(1244));
	make(16, MIB(370), 1);
	assert_in_range(parts_most(&p), MIB(4000), MIB(5920));
}

static void most_of_it_is_the_guests(void **state)
{
	static const uint64_t each[] = {MIB(512), GIB(1), GIB(4)};

	for (unsigned i = 0; i < 3; i++)
		for (unsigned count = 2; count <= 4; count++) {
			make(count, each[i], 1);
			assert_true(parts_most(&p) == PARTS_GUEST_MOST ||
				    parts_most(&p) >= all_ram() / 100 * 85);
		}
}

/* Node 0's engine, with all its RAM. */
static struct dsm_config grown(uint64_t guest)
{
	static uint16_t slots[PARTS_SLOTS];
	uint64_t ram = p.node[0].ram - parts_link_memory(&p);
	struct dsm_config c;
	struct why why;

	parts_config(&p, 0, guest, slots, &c);
	parts_cache(&p, &c, guest, ram);
	assert_true(parts_memory(&p, &c, guest) <= ram);
	assert_int_not_equal(dsm_size(&c, &why), 0);
	assert_true(c.frames >= parts_homed(&c, guest) + dsm_copies_least(&c) + 1);
	assert_true(c.frames <= parts_homed(&c, guest) + c.cache_frames);
	return c;
}

/* What homed pages don't need yet is there for copies: nearly all of the others' pages, or all RAM. */
static void copies_may_have_what_homes_dont_need(void **state)
{
	static const uint64_t each[] = {MIB(170), MIB(500), GIB(1), GIB(4)};

	for (unsigned i = 0; i < 4; i++)
		for (unsigned count = 2; count <= 4; count++) {
			uint64_t guest, others;
			struct dsm_config c;

			make(count, each[i], 2);
			guest = parts_most(&p);
			c = grown(guest);
			others = (guest >> PAGE_SHIFT) - parts_homed(&c, guest);
			assert_true(c.cache_frames >= MIN(others, c.frames) / 100 * 95);
			/* And what is left once they need it is not much less than it could be. */
			assert_true((c.frames - parts_homed(&c, guest)) << PAGE_SHIFT >=
				    each[i] / 40);
		}
	/* With plenty of RAM each page has a frame of its own. */
	make(2, GIB(1), 1);
	struct dsm_config c = grown(MIB(256));

	assert_int_equal(c.cache_frames, (MIB(256) >> PAGE_SHIFT) - parts_homed(&c, MIB(256)));
	assert_int_equal(c.frames, MIB(256) >> PAGE_SHIFT);
}

/* The largest that somebody can ask for, by mem=. */
static uint64_t largest(void)
{
	uint64_t guest = parts_most(&p);
	struct why why;

	while (!parts_check(&p, guest + PARTS_GUEST_UNITS, &why))
		guest += PARTS_GUEST_UNITS;
	return guest;
}

/* However little is over, no more than half of it goes into tables; many CPUs need many copies at once. */
static void the_largest_guest_leaves_some_frames(void **state)
{
	make(2, MIB(512), 1);
	for (uint64_t guest = largest(); guest > parts_most(&p); guest -= PARTS_GUEST_UNITS) {
		uint64_t ram = p.node[0].ram - parts_link_memory(&p);
		uint64_t over = ram - (taken(0, guest) - parts_link_memory(&p));
		struct dsm_config c = grown(guest);

		assert_true(c.frames >=
			    parts_homed(&c, guest) + share_usual.cache_min + over / 2 / PAGE_SIZE);
	}
	make(2, GIB(1), 64);
	grown(largest());
}

/* The engine needs one block: a gigabyte of it can't be had. */
static void the_engine_stays_in_one_block(void **state)
{
	struct dsm_config c;

	make(2, GIB(64), 8);
	c = grown(GIB(110));
	assert_in_range(dsm_size(&c, NULL), MIB(300), MIB(512));
}

static void a_node_with_too_little_is_named(void **state)
{
	struct why why;

	make(3, GIB(1), 1);
	p.node[2].ram = MIB(10);
	assert_int_equal(parts_most(&p), 0);
	assert_int_equal(parts_check(&p, PARTS_GUEST_UNITS, &why), ERR_NOMEM);
	assert_non_null(strstr(why.text, "node 2 has to give"));
	p.node[2].ram = 0;
	assert_int_equal(parts_most(&p), 0);
}

/* Shares of homes follow what nodes have, and every node is home to something. */
static void homes_follow_the_ram(void **state)
{
	uint16_t slots[PARTS_SLOTS];
	struct dsm_config c;
	unsigned count[2] = {0};

	make(2, GIB(1), 1);
	p.node[1].ram = MIB(256);
	parts_config(&p, 0, GIB(1), slots, &c);
	for (unsigned i = 0; i < c.slot_count; i++)
		count[slots[i]]++;
	assert_int_equal(count[0], PARTS_SLOTS_EACH);
	assert_int_equal(count[1], PARTS_SLOTS_EACH / 4);
	p.node[1].ram = 1;
	parts_config(&p, 0, GIB(1), slots, &c);
	assert_int_equal(c.slot_count, PARTS_SLOTS_EACH + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_chosen_fits),
		cmocka_unit_test(eight_small_nodes),
		cmocka_unit_test(most_of_it_is_the_guests),
		cmocka_unit_test(copies_may_have_what_homes_dont_need),
		cmocka_unit_test(the_largest_guest_leaves_some_frames),
		cmocka_unit_test(the_engine_stays_in_one_block),
		cmocka_unit_test(a_node_with_too_little_is_named),
		cmocka_unit_test(homes_follow_the_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
