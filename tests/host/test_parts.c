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
		cmocka_unit_test(a_node_with_too_little_is_named),
		cmocka_unit_test(homes_follow_the_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
