/* The book: who accepts a message, in every destination mode. */
#include "tests/host/apic_rig.h"

static struct apic_book book;

static void put(unsigned cpu, struct apic_dest d)
{
	apic_book_update(&book, cpu, &d);
}

static void put_xapic(unsigned cpu, uint32_t id, uint8_t logical, bool cluster)
{
	put(cpu, (struct apic_dest){.id = id,
				    .mode = APIC_XAPIC,
				    .enabled = true,
				    .cluster = cluster,
				    .logical = logical});
}

static int setup(void **state)
{
	apic_book_init(&book);
	return 0;
}

/* The set as a number, for CPUs 0 to 63. */
static uint64_t match(struct apic_msg msg, uint32_t src)
{
	struct cpuset to;

	memset(&to, 0xff, sizeof(to));
	msg.assert = true;
	apic_match(&book, &msg, src, &to);
	assert_int_equal(to.bits[1] | to.bits[2] | to.bits[3], 0);
	return to.bits[0];
}

static uint64_t physical(uint32_t dest)
{
	return match((struct apic_msg){.vector = 0x40, .dest = dest}, APIC_NO_CPU);
}

static uint64_t logical(uint32_t dest)
{
	return match((struct apic_msg){.vector = 0x40, .dest = dest, .logical = true}, APIC_NO_CPU);
}

static void words_carry_everything(void **state)
{
	struct apic_dest in = {0xfedcba98, APIC_X2APIC, true, true, 0xa7}, got;

	put(255, in);
	apic_book_get(&book, 255, &got);
	assert_int_equal(got.id, in.id);
	assert_int_equal(got.mode, in.mode);
	assert_int_equal(got.logical, in.logical);
	assert_true(got.enabled && got.cluster);
	apic_book_get(&book, 254, &got);
	assert_int_equal(got.mode, APIC_OFF);
	apic_dest_unpack(apic_dest_pack(&(struct apic_dest){.mode = APIC_XAPIC}), &got);
	assert_true(!got.enabled && !got.cluster && got.mode == APIC_XAPIC);
}

static void physical_destinations(void **state)
{
	for (unsigned cpu = 0; cpu < 8; cpu++)
		put_xapic(cpu, cpu * 2, 0, false);
	for (unsigned cpu = 0; cpu < 8; cpu++) {
		assert_int_equal(physical(cpu * 2), BIT(cpu));
		assert_int_equal(physical(cpu * 2 + 1), 0);
	}
	assert_int_equal(physical(APIC_DEST_ALL), 0xff);
	assert_int_equal(physical(0xff), 0);
	/* 0xff as an x2APIC id. */
	put(8, (struct apic_dest){.id = 0xff, .mode = APIC_X2APIC, .enabled = true});
	assert_int_equal(physical(0xff), BIT(8));
	assert_int_equal(physical(APIC_DEST_ALL), 0x1ff);
	/* A CPU whose number is another's id is not taken for it. */
	assert_int_equal(physical(2), BIT(1));
}

static void logical_flat(void **state)
{
	for (unsigned cpu = 0; cpu < 8; cpu++)
		put_xapic(cpu, cpu, (uint8_t)(1u << cpu), false);
	for (unsigned dest = 0; dest < 0xff; dest++)
		assert_int_equal(logical(dest), dest);
	assert_int_equal(logical(APIC_DEST_ALL), 0xff);
	/* 32-bit destinations never match 8-bit LAPICs. */
	assert_int_equal(logical(0x101), 0);
	/* Broadcast is for those without a logical id, too. */
	put_xapic(3, 3, 0, false);
	assert_int_equal(logical(0x08), 0);
	assert_int_equal(logical(APIC_DEST_ALL), 0xff);
}

static void logical_cluster(void **state)
{
	for (unsigned cpu = 0; cpu < 12; cpu++)
		put_xapic(cpu, cpu, (uint8_t)((cpu / 4) << 4 | 1u << (cpu % 4)), true);
	assert_int_equal(logical(0x05), 0x005);
	assert_int_equal(logical(0x1f), 0x0f0);
	assert_int_equal(logical(0x28), 0x800);
	assert_int_equal(logical(0x30), 0);
	assert_int_equal(logical(0x20), 0);
	assert_int_equal(logical(APIC_DEST_ALL), 0xfff);
}

static void logical_x2apic(void **state)
{
	for (unsigned cpu = 0; cpu < 40; cpu++)
		put(cpu, (struct apic_dest){.id = cpu, .mode = APIC_X2APIC, .enabled = true});
	assert_int_equal(logical(0x00000005), 0x5);
	assert_int_equal(logical(0x0001ffff), 0xffff0000ull);
	assert_int_equal(logical(0x00020081), 0x8100000000ull);
	assert_int_equal(logical(0x00030001), 0);
	assert_int_equal(logical(APIC_DEST_ALL), BITS(39, 0));
	/* An 8-bit sender reaches the first half of cluster 0. */
	assert_int_equal(logical(0x81), 0x81);
}

static void acceptance_depends_on_kind_and_state(void **state)
{
	static const struct {
		enum apic_delivery kind;
		uint64_t want; /* CPU 0 enabled, 1 software disabled, 2 off */
	} table[] = {
		{APIC_FIXED, 1}, {APIC_LOWEST, 1}, {APIC_EXTINT, 1},  {APIC_SMI, 3},
		{APIC_NMI, 3},   {APIC_INIT, 3},   {APIC_STARTUP, 3},
	};

	put(0, (struct apic_dest){.id = 0, .mode = APIC_XAPIC, .enabled = true});
	put(1, (struct apic_dest){.id = 1, .mode = APIC_XAPIC});
	put(2, (struct apic_dest){.id = 2, .mode = APIC_OFF, .enabled = true});
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(match((struct apic_msg){.kind = table[i].kind,
							 .vector = 0x40,
							 .dest = APIC_DEST_ALL},
				       APIC_NO_CPU),
				 table[i].want);
		assert_int_equal(
			match((struct apic_msg){.kind = table[i].kind, .dest = 2}, APIC_NO_CPU), 0);
	}
}

static void shorthands(void **state)
{
	for (unsigned cpu = 0; cpu < 5; cpu++)
		put_xapic(cpu, cpu, 0, false);
	/* The destination does not count then. */
	assert_int_equal(match((struct apic_msg){.shorthand = APIC_TO_SELF, .dest = 1}, 3), 0x08);
	assert_int_equal(match((struct apic_msg){.shorthand = APIC_TO_ALL, .dest = 1}, 3), 0x1f);
	assert_int_equal(match((struct apic_msg){.shorthand = APIC_TO_OTHERS, .dest = 1}, 3), 0x17);
	assert_int_equal(match((struct apic_msg){.shorthand = APIC_TO_SELF}, APIC_NO_CPU), 0);
}

static void deassertions_are_for_nobody(void **state)
{
	struct apic_msg msg = {.kind = APIC_INIT, .level_trigger = true};
	struct cpuset to;

	put_xapic(0, 0, 1, false);
	apic_match(&book, &msg, 1, &to);
	assert_true(cpuset_empty(&to));
	msg.assert = true;
	apic_match(&book, &msg, 1, &to);
	assert_int_equal(cpuset_count(&to), 1);
}

static void lowest_priority_goes_round(void **state)
{
	struct apic_msg msg = {.kind = APIC_LOWEST, .vector = 0x40, .dest = 0x2d, .logical = true};
	unsigned count[8] = {0};

	for (unsigned cpu = 0; cpu < 8; cpu++)
		put_xapic(cpu, cpu, (uint8_t)(1u << cpu), false);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t to = match(msg, APIC_NO_CPU);

		assert_int_equal(__builtin_popcountll(to), 1);
		count[bit_lowest(to)]++;
	}
	for (unsigned cpu = 0; cpu < 8; cpu++)
		assert_int_equal(count[cpu], msg.dest >> cpu & 1 ? 100 : 0);
	/* Two senders that share CPUs spread over them, not each on its own. */
	msg.dest = 0x03;
	assert_int_equal(match(msg, APIC_NO_CPU), 1);
	assert_int_equal(match((struct apic_msg){.kind = APIC_LOWEST, .dest = 3, .logical = true},
			       APIC_NO_CPU),
			 2);
	msg.dest = 0x40;
	assert_int_equal(match(msg, APIC_NO_CPU), 0x40);
	assert_int_equal(match(msg, APIC_NO_CPU), 0x40);
	msg.dest = 0;
	assert_int_equal(match(msg, APIC_NO_CPU), 0);
}

static void sets_of_256(void **state)
{
	struct apic_msg msg = {.kind = APIC_FIXED, .shorthand = APIC_TO_OTHERS};
	struct cpuset to;
	unsigned cpu, n = 0, last = 0;

	for (cpu = 0; cpu < CPUSET_MAX; cpu++)
		put(cpu, (struct apic_dest){.id = cpu, .mode = APIC_X2APIC, .enabled = true});
	apic_match(&book, &msg, 200, &to);
	assert_int_equal(cpuset_count(&to), 255);
	assert_false(cpuset_has(&to, 200));
	assert_false(cpuset_has(&to, 256));
	cpuset_remove(&to, 128);
	cpuset_for_each(cpu, &to)
	{
		n++;
		last = cpu;
	}
	assert_int_equal(n, 254);
	assert_int_equal(last, 255);
	assert_int_equal(cpuset_next(&to, 128), 129);
	assert_int_equal(cpuset_next(&to, 256), CPUSET_MAX);
	/* The rotation goes from the last CPU to the first. */
	msg.kind = APIC_LOWEST;
	msg.shorthand = APIC_TO_ALL;
	for (unsigned i = 0; i < 513; i++) {
		apic_match(&book, &msg, APIC_NO_CPU, &to);
		assert_int_equal(cpuset_count(&to), 1);
		assert_true(cpuset_has(&to, i % 256));
	}
}

static void follows_the_lapics(void **state)
{
	rig_setup(state);
	rig_write(1, LAPIC_LDR, 0x02000000);
	rig_write(1, LAPIC_DFR, 0xffffffff);
	rig_write(0, LAPIC_ICR_HIGH, 0x02000000);
	rig_write(0, LAPIC_ICR_LOW, 0x08fd);
	assert_int_equal(rig_take(1), 0xfd);
	rig_eoi(1);
	rig_write(1, LAPIC_LDR, 0x12000000);
	rig_write(1, LAPIC_DFR, 0x0fffffff);
	rig_write(0, LAPIC_ICR_LOW, 0x08fd);
	assert_int_equal(rig_take(1), -1);
	rig_write(0, LAPIC_ICR_HIGH, 0x12000000);
	rig_write(0, LAPIC_ICR_LOW, 0x08fd);
	assert_int_equal(rig_take(1), 0xfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(words_carry_everything, setup),
		cmocka_unit_test_setup(physical_destinations, setup),
		cmocka_unit_test_setup(logical_flat, setup),
		cmocka_unit_test_setup(logical_cluster, setup),
		cmocka_unit_test_setup(logical_x2apic, setup),
		cmocka_unit_test_setup(acceptance_depends_on_kind_and_state, setup),
		cmocka_unit_test_setup(shorthands, setup),
		cmocka_unit_test_setup(deassertions_are_for_nobody, setup),
		cmocka_unit_test_setup(lowest_priority_goes_round, setup),
		cmocka_unit_test_setup(sets_of_256, setup),
		cmocka_unit_test(follows_the_lapics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
