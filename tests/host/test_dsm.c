/* dsm: codec, configuration, and the message counts and rules of docs/coherence.md on three nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dsm/dsm.h"

#define NODES 3
#define PAGES 32

static struct dsm *nodes[NODES];
static struct dsm_msg wire[64];
static uint16_t wire_from[64], wire_to[64];
static unsigned wire_count, sent, pages_sent, mapped, resumed[NODES], stopped;

static uint64_t now; /* when messages arrive */

#define FRAMES 64

static bool backed[NODES][FRAMES]; /* frames filled and not dropped */
static unsigned backed_count[NODES];

static struct dsm_config config(uint16_t self)
{
	static const uint16_t slots[] = {0};

	return (struct dsm_config){.nodes = NODES,
				   .self = self,
				   .agents = 2,
				   .peer_agents = 2,
				   .set_max = 2,
				   .gfns = PAGES,
				   .slot_count = 1,
				   .slots = slots,
				   .cache_frames = 20,
				   .hold_ns = 100,
				   .hold_max_ns = 1000,
				   .hold_fetches = 3,
				   .guesses = 16,
				   .guess_from = 2,
				   .ahead_max = 4,
				   .ahead_from = 2,
				   .ahead_shift = 4,
				   .heat_sets = 2};
}

/* Nodes 0 and 1 are home to half of the pages each; they have `spare` frames more than that. */
static struct dsm_config scarce(uint16_t self, unsigned spare)
{
	static const uint16_t slots[] = {0, 1};
	struct dsm_config c = config(self);

	c.slots = slots;
	c.slot_count = 2;
	c.ahead_max = 0;
	c.cache_frames = PAGES;
	c.frames = (self < 2 ? PAGES / 2 : 0) + spare;
	return c;
}

static void start_node(uint16_t n, const struct dsm_config *c)
{
	size_t size = dsm_size(c, NULL);

	assert_int_not_equal(size, 0);
	nodes[n] = dsm_init(aligned_alloc(16, (size + 15) / 16 * 16), c);
}

static void start_scarce(unsigned spare)
{
	for (uint16_t n = 0; n < NODES; n++) {
		struct dsm_config c = scarce(n, spare);

		free(nodes[n]);
		start_node(n, &c);
	}
}

static int start(void **state)
{
	wire_count = sent = pages_sent = mapped = stopped = 0;
	now = 0;
	memset(resumed, 0, sizeof(resumed));
	memset(backed, 0, sizeof(backed));
	memset(backed_count, 0, sizeof(backed_count));
	for (uint16_t n = 0; n < NODES; n++) {
		struct dsm_config c = config(n);

		start_node(n, &c);
	}
	return 0;
}

static int finish(void **state)
{
	for (unsigned n = 0; n < NODES; n++)
		free(nodes[n]);
	return 0;
}

static void back(uint16_t node, uint64_t frame, bool is)
{
	assert_true(frame < FRAMES);
	backed_count[node] += is;
	backed_count[node] -= backed[node][frame];
	backed[node][frame] = is;
}

static int step(uint16_t node, struct dsm_event in)
{
	struct dsm_action list[256];
	struct dsm_actions out = {.list = list, .room = 256};
	int err = dsm_step(nodes[node], &in, &out);

	for (uint32_t i = 0; i < out.count; i++) {
		const struct dsm_action *a = &list[i];

		if (a->kind == DSM_ACT_SEND) {
			wire[wire_count] = a->msg;
			wire_from[wire_count] = node;
			wire_to[wire_count++] = a->node;
			sent++;
			pages_sent += !!(a->msg.flags & DSM_F_PAGE);
		}
		if (a->kind == DSM_ACT_FILL || a->kind == DSM_ACT_ZERO || a->kind == DSM_ACT_DROP)
			back(node, a->frame, a->kind != DSM_ACT_DROP);
		mapped += a->kind == DSM_ACT_MAP;
		resumed[node] += a->kind == DSM_ACT_RESUME;
		stopped += a->kind == DSM_ACT_STOP;
	}
	for (uint32_t i = 0; i < out.count; i++) {
		if (list[i].kind == DSM_ACT_KICK)
			step(node, (struct dsm_event){.kind = DSM_EV_FLUSHED,
						      .gfn = list[i].gfn,
						      .now_ns = in.now_ns});
	}
	return err;
}

static void deliver_all(void)
{
	while (wire_count) {
		struct dsm_event in = {.kind = DSM_EV_MESSAGE,
				       .peer = wire_from[0],
				       .msg = wire[0],
				       .now_ns = now};
		uint16_t to = wire_to[0];

		wire_count--;
		memmove(wire, wire + 1, wire_count * sizeof(wire[0]));
		memmove(wire_from, wire_from + 1, wire_count * sizeof(wire_from[0]));
		memmove(wire_to, wire_to + 1, wire_count * sizeof(wire_to[0]));
		step(to, in);
	}
}

/* A whole fault; returns the messages it took. */
static unsigned access_page(uint16_t node, gfn_t gfn, bool write)
{
	unsigned before = sent, runs = resumed[node];

	step(node, (struct dsm_event){.kind = DSM_EV_FAULT,
				      .gfn = gfn,
				      .access = write ? DSM_WRITE : DSM_READ,
				      .cookie = 1});
	deliver_all();
	assert_int_equal(resumed[node], runs + 1);
	step(node, (struct dsm_event){.kind = DSM_EV_RELEASE});
	deliver_all();
	return sent - before;
}

static void codec_keeps_and_rejects(void **state)
{
	uint8_t buf[DSM_WIRE_BYTES + PAGE_SIZE] = {0};
	struct dsm_msg m = {DSM_GRANT, DSM_F_PAGE, 513, 77, 0xfedc, 0x123456789a, DSM_VERSION_MAX},
		       back;

	dsm_msg_encode(&m, buf);
	assert_int_equal(dsm_msg_decode(&back, buf, sizeof(buf)), 0);
	assert_memory_equal(&m, &back, sizeof(m));
	assert_int_equal(dsm_msg_decode(&back, buf, sizeof(buf) - 1), ERR_INVALID);
	assert_int_equal(dsm_msg_decode(&back, buf, 3), ERR_INVALID);
	buf[1] = DSM_MSG_TYPES;
	assert_int_equal(dsm_msg_decode(&back, buf, sizeof(buf)), ERR_INVALID);
	m = (struct dsm_msg){.type = DSM_INV, .flags = DSM_F_ZERO};
	dsm_msg_encode(&m, buf);
	assert_int_equal(dsm_msg_decode(&back, buf, DSM_WIRE_BYTES), ERR_INVALID);
}

static void configuration_is_checked(void **state)
{
	struct dsm_config c = config(0);
	struct why why;

	c.cache_frames = 8;
	assert_int_equal(dsm_size(&c, &why), 0);
	assert_non_null(strstr(why.text, "8 frames"));
	c = scarce(0, 0);
	c.frames = dsm_copies_least(&c);
	assert_int_equal(dsm_size(&c, &why), 0);
	assert_non_null(strstr(why.text, "4 frames in all"));
	c = config(0);
	c.self = 3;
	assert_int_equal(dsm_size(&c, &why), 0);
	c = config(0);
	c.nodes = DSM_NODES_MAX + 1;
	assert_int_equal(dsm_size(&c, &why), 0);
	assert_int_equal(dsm_directory_bytes(nodes[0]), 16);
}

static void messages_are_those_of_the_table(void **state)
{
	assert_int_equal(access_page(1, 0, false), 2); /* zero page */
	assert_int_equal(pages_sent, 0);
	assert_int_equal(access_page(1, 0, true), 2);  /* upgrade; the home is the source */
	assert_int_equal(access_page(2, 0, false), 3); /* the owner serves */
	assert_int_equal(pages_sent, 1);
	assert_int_equal(access_page(0, 0, false), 2); /* the home reads: forward, data */
	assert_int_equal(access_page(2, 0, true), 4);  /* upgrade, one more sharer besides home */
	assert_int_equal(pages_sent, 2);
	assert_int_equal(access_page(1, 0, true), 3); /* contended: forward, grant with page */
	assert_int_equal(dsm_stats(nodes[2])->upgrades, 1);
}

static void holds_keep_and_expire(void **state)
{
	struct dsm_event fault = {.kind = DSM_EV_FAULT, .gfn = 1, .access = DSM_WRITE, .cookie = 1};

	step(1, fault);
	deliver_all();
	step(2, fault);
	deliver_all();
	assert_int_equal(resumed[2], 0);
	assert_int_equal(dsm_deadline(nodes[1]), 100);
	step(1, (struct dsm_event){.kind = DSM_EV_TICK, .now_ns = 99});
	assert_int_equal(resumed[2], 0);
	step(1, (struct dsm_event){.kind = DSM_EV_TICK, .now_ns = 100});
	deliver_all();
	assert_int_equal(resumed[2], 1);
	assert_int_equal(dsm_stats(nodes[1])->holds_expired, 1);
}

/* A page read by an instruction that is over goes to who wants to write it; one that was written is kept. */
static void a_kept_read_makes_nobody_wait(void **state)
{
	struct dsm_config c = config(1);
	struct dsm_event fault = {.kind = DSM_EV_FAULT, .gfn = 1, .access = DSM_READ, .cookie = 1};

	c.kept_max = 4;
	free(nodes[1]);
	nodes[1] = dsm_init(aligned_alloc(16, (dsm_size(&c, NULL) + 15) / 16 * 16), &c);
	step(1, fault);
	deliver_all();
	fault.gfn = 2;
	fault.access = DSM_WRITE;
	fault.cookie = 2;
	step(1, fault);
	deliver_all();
	fault.gfn = 3;
	fault.cookie = 3;
	step(1, fault);
	deliver_all();
	assert_int_equal(resumed[1], 3);
	for (unsigned gfn = 1; gfn <= 3; gfn++) {
		fault.gfn = fault.cookie = gfn;
		step(2, fault);
		deliver_all();
		assert_int_equal(resumed[2], 1);
		fault.agent = 1;
	}
	assert_int_equal(dsm_deadline(nodes[1]), 100);
	step(1, (struct dsm_event){.kind = DSM_EV_TICK, .now_ns = 100});
	deliver_all();
	assert_int_equal(resumed[2], 2);
}

/* When the hold of node 1 ends that gets `gfn` after `took`, and that node 2 waits for. */
static uint64_t held_until(gfn_t gfn, uint64_t took)
{
	struct dsm_event fault = {.kind = DSM_EV_FAULT,
				  .gfn = gfn,
				  .access = DSM_WRITE,
				  .cookie = gfn,
				  .now_ns = now};

	step(1, fault);
	now += took;
	deliver_all();
	fault.now_ns = now;
	step(2, fault);
	deliver_all();
	return dsm_deadline(nodes[1]);
}

static void holds_last_for_some_quick_fetches(void **state)
{
	assert_int_equal(held_until(1, 50), 50 + 3 * 50);
	now = 200;
	step(1, (struct dsm_event){.kind = DSM_EV_TICK, .now_ns = now});
	deliver_all();
	assert_int_equal(resumed[2], 1);
	/* This one had to wait for somebody: no reason to hold it longer. */
	now = 1000;
	assert_int_equal(held_until(2, 400), 1400 + 3 * 51);
}

/* Node 2 waits for node 1's hold; what that took is no reason for node 2 to hold the page longer. */
static void a_wait_for_a_holder_is_no_fetch(void **state)
{
	struct dsm_event fault = {.kind = DSM_EV_FAULT, .gfn = 1, .access = DSM_WRITE, .cookie = 1};

	step(1, fault);
	deliver_all();
	fault.now_ns = 50;
	step(2, fault);
	now = 100;
	deliver_all();
	assert_int_equal(resumed[2], 0);
	step(1, (struct dsm_event){.kind = DSM_EV_TICK, .now_ns = 100 + (4 << 10)});
	now = 110 + (4 << 10);
	deliver_all();
	assert_int_equal(resumed[2], 1);
	fault.now_ns = now;
	step(1, fault);
	deliver_all();
	assert_int_equal(dsm_deadline(nodes[2]), now + 3 * 60);
}

static void a_lost_node_stops_everything(void **state)
{
	step(0, (struct dsm_event){.kind = DSM_EV_PEER_LOST, .peer = 2});
	assert_int_equal(stopped, 1);
	assert_non_null(dsm_stop_reason(nodes[0]));
	assert_int_equal(step(0, (struct dsm_event){.kind = DSM_EV_FAULT, .cookie = 1}),
			 ERR_NOTFOUND);
	assert_int_equal(resumed[0], 0);
}

static void a_lying_peer_stops_the_engine(void **state)
{
	struct dsm_event in = {.kind = DSM_EV_MESSAGE,
			       .peer = 2,
			       .msg = {.type = DSM_DATA, .flags = DSM_F_PAGE, .gfn = 1}};

	assert_int_equal(step(1, in), ERR_INVALID);
	assert_int_equal(stopped, 1);
}

static void heat_finds_the_hot_page(void **state)
{
	struct dsm_heat top[2];

	for (unsigned i = 0; i < 6; i++)
		access_page((uint16_t)(1 + i % 2), 3, true);
	access_page(1, 1, false);
	assert_int_equal(dsm_heat(nodes[0], top, 2), 2);
	assert_int_equal(top[0].gfn, 3);
	assert_int_equal(top[0].requests, 6);
	assert_int_equal(top[1].gfn, 1);
}

/* What one node after the other reads and then writes; the messages of the last read, and of its write. */
static void migrate(unsigned turns, unsigned *read, unsigned *write)
{
	for (unsigned i = 0; i < turns; i++) {
		*read = access_page(1 + i % 2, 0, false);
		*write = access_page(1 + i % 2, 0, true);
	}
}

static void reads_before_writes_ask_to_write(void **state)
{
	unsigned read, write;

	migrate(4, &read, &write);
	assert_int_equal(read, 3);  /* req-read, fwd-read, data */
	assert_int_equal(write, 4); /* req-write, inv, ack, grant */
	migrate(2, &read, &write);
	assert_int_equal(read, 3); /* req-write, fwd-write, grant */
	assert_int_equal(write, 0);
	assert_int_equal(dsm_stats(nodes[1])->guesses, 1);
	assert_int_equal(dsm_stats(nodes[1])->guesses_wrong, 0);
}

static void a_wrong_guess_is_the_last(void **state)
{
	unsigned read, write;

	migrate(6, &read, &write);
	assert_int_equal(access_page(1, 0, false), 3);
	assert_int_equal(access_page(0, 0, false),
			 2); /* node 1 is the owner, though it wrote nothing */
	assert_int_equal(dsm_stats(nodes[1])->guesses_wrong, 1);
	access_page(2, 0, true);
	access_page(1, 0, false);
	assert_int_equal(dsm_stats(nodes[1])->guesses, 2);
}

static void first_writes_in_a_row_ask_ahead(void **state)
{
	assert_int_equal(access_page(1, 0, true), 2);
	assert_int_equal(access_page(1, 1, true), 2);
	assert_int_equal(access_page(1, 2, true), 6); /* and pages 3 and 4 */
	assert_int_equal(mapped, 5);
	assert_int_equal(access_page(1, 3, true), 0);
	assert_int_equal(access_page(1, 4, false), 0);
	assert_int_equal(mapped, 5);
	assert_int_equal(access_page(1, 5, true), 10); /* and pages 6 to 9 */
	assert_int_equal(dsm_stats(nodes[1])->aheads, 6);
	assert_int_equal(pages_sent, 0);
	assert_int_equal(access_page(2, 9, true), 3); /* has its owner like any other */
	assert_int_equal(pages_sent, 1);
	assert_int_equal(access_page(1, 20, true), 2); /* no row */
	assert_int_equal(dsm_stats(nodes[1])->aheads, 6);
}

static void pages_others_wrote_first_are_no_row(void **state)
{
	for (unsigned node = 2; node > 0; node--)
		for (gfn_t gfn = 0; gfn < 2; gfn++)
			access_page((uint16_t)node, gfn, true);
	assert_int_equal(access_page(1, 2, true), 2);
}

static void write_row_at_home(gfn_t first)
{
	for (gfn_t gfn = first; gfn < first + 3; gfn++)
		assert_int_equal(access_page(0, gfn, true), 0);
}

static void known_pages_end_a_row_at_their_home(void **state)
{
	access_page(1, 3, true);
	write_row_at_home(0);
	access_page(1, 13, false);
	write_row_at_home(10);
	access_page(0, 23, true);
	write_row_at_home(20);
	assert_int_equal(access_page(0, 3, true), 2);
	assert_int_equal(access_page(0, 4, true), 0);
	assert_int_equal(access_page(0, 5, true), 0); /* page 3 was not written here first */
	assert_int_equal(dsm_stats(nodes[0])->aheads, 0);
}

static void a_row_ends_where_a_hole_may_begin(void **state)
{
	for (gfn_t gfn = 12; gfn < 14; gfn++)
		access_page(1, gfn, true);
	assert_int_equal(access_page(1, 14, true), 4); /* and page 15 */
	assert_int_equal(access_page(1, 15, true), 0);
	assert_int_equal(access_page(1, 16, true), 10); /* and pages 17 to 20 */
}

static void pages_asked_ahead_leave_frames_free(void **state)
{
	for (gfn_t gfn = 0; gfn < PAGES; gfn++)
		access_page(1, gfn, true);
	/* The last row was begun with 5 free frames. */
	assert_in_range(dsm_stats(nodes[1])->aheads, 8, 15);
}

static void copies_have_frames_that_homes_dont_need(void **state)
{
	start_scarce(5);
	for (gfn_t gfn = 1; gfn < PAGES; gfn += 2)
		access_page(0, gfn, false);
	assert_int_equal(backed_count[0], PAGES / 2);
	/* Reads of what nobody has written need no frame at home. */
	assert_int_equal(dsm_stats(nodes[1])->home_waits, 0);
	assert_int_equal(backed_count[1], 0);
	for (gfn_t gfn = 0; gfn < 10; gfn += 2)
		assert_int_equal(access_page(2, gfn, true), 2);
	assert_int_equal(dsm_stats(nodes[0])->evict_clean, 0);
	/* All 21 are taken: each one more costs a copy, and its put and put-ack. */
	for (gfn_t gfn = 10; gfn < PAGES; gfn += 2) {
		assert_in_range(backed_count[0], 1, 21);
		assert_int_equal(access_page(0, gfn, true), 2);
	}
	assert_int_equal(dsm_stats(nodes[0])->home_waits, 11);
	assert_int_equal(dsm_stats(nodes[0])->evict_clean, 11);
}

/* Each evicts pages that it owns to the other, which has no frame free and waits for one as well. */
static void full_nodes_take_back_their_pages(void **state)
{
	start_scarce(5);
	for (gfn_t gfn = 0; gfn < PAGES; gfn++) {
		access_page(gfn % 2 ? 0 : 1, gfn, true);
		assert_true(backed_count[0] <= 21 && backed_count[1] <= 21);
	}
	assert_true(dsm_stats(nodes[0])->home_waits && dsm_stats(nodes[1])->home_waits);
	assert_true(dsm_stats(nodes[0])->evict_dirty && dsm_stats(nodes[1])->evict_dirty);
	for (gfn_t gfn = 0; gfn < PAGES; gfn++) {
		access_page(gfn % 2 ? 1 : 0, gfn, false);
		assert_true(backed_count[0] <= 21 && backed_count[1] <= 21);
	}
	assert_int_equal(stopped, 0);
}

static void what_is_no_memory_is_not_granted(void **state)
{
	start_scarce(5);
	free(nodes[0]);
	struct dsm_config c = scarce(0, 0);

	c.frames = dsm_copies_least(&c) + 3;
	start_node(0, &c);
	for (gfn_t gfn = 0; gfn < 6; gfn += 2)
		access_page(1, gfn, true);
	assert_int_equal(stopped, 0);
	step(1, (struct dsm_event){.kind = DSM_EV_FAULT, .gfn = 6, .access = DSM_WRITE});
	deliver_all();
	assert_int_equal(stopped, 1);
	assert_non_null(strstr(dsm_stop_reason(nodes[0]), "more pages"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(codec_keeps_and_rejects, start, finish),
		cmocka_unit_test_setup_teardown(configuration_is_checked, start, finish),
		cmocka_unit_test_setup_teardown(messages_are_those_of_the_table, start, finish),
		cmocka_unit_test_setup_teardown(holds_keep_and_expire, start, finish),
		cmocka_unit_test_setup_teardown(a_kept_read_makes_nobody_wait, start, finish),
		cmocka_unit_test_setup_teardown(holds_last_for_some_quick_fetches, start, finish),
		cmocka_unit_test_setup_teardown(a_wait_for_a_holder_is_no_fetch, start, finish),
		cmocka_unit_test_setup_teardown(a_lost_node_stops_everything, start, finish),
		cmocka_unit_test_setup_teardown(a_lying_peer_stops_the_engine, start, finish),
		cmocka_unit_test_setup_teardown(reads_before_writes_ask_to_write, start, finish),
		cmocka_unit_test_setup_teardown(a_wrong_guess_is_the_last, start, finish),
		cmocka_unit_test_setup_teardown(first_writes_in_a_row_ask_ahead, start, finish),
		cmocka_unit_test_setup_teardown(pages_others_wrote_first_are_no_row, start, finish),
		cmocka_unit_test_setup_teardown(known_pages_end_a_row_at_their_home, start, finish),
		cmocka_unit_test_setup_teardown(a_row_ends_where_a_hole_may_begin, start, finish),
		cmocka_unit_test_setup_teardown(pages_asked_ahead_leave_frames_free, start, finish),
		cmocka_unit_test_setup_teardown(copies_have_frames_that_homes_dont_need, start,
						finish),
		cmocka_unit_test_setup_teardown(full_nodes_take_back_their_pages, start, finish),
		cmocka_unit_test_setup_teardown(what_is_no_memory_is_not_granted, start, finish),
		cmocka_unit_test_setup_teardown(heat_finds_the_hot_page, start, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
