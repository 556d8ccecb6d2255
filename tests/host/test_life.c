/* hv/cluster/life: how the nodes' vCPUs and memory become one machine, and a head that says what can't be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apic/lapic.h"
#include "hv/base/bits.h"
#include "hv/cluster/remote.h"
#include "hv/cluster/share.h"
#include "hv/x86/tsc.h"
#include "tests/host/plat.h"

#define HZ 2400000000ull

static struct cluster members;
static struct link wire;
static struct remote remote;
static struct share share = {.config = &share_usual};
static struct vm vm;
static struct node_config said; /* by the head; sent when the node waits for it */
static struct node_config told; /* to the others */
static unsigned polls, tolds, stranges;
static const char *ended;

/* --- Below and beside it --- */

const struct cluster *uplink_cluster(const struct uplink *u)
{
	return &members;
}

bool uplink_up(const struct uplink *u, unsigned *self, unsigned *head)
{
	*self = members.self;
	*head = members.head;
	return polls > 0;
}

const char *uplink_ended(const struct uplink *u)
{
	return ended;
}

void link_poll(struct link *l)
{
	if (++polls == 3 && members.self != members.head)
		remote_config(&vm, members.head, &said, sizeof(said));
	assert_true(polls < 1000);
}

int link_members(struct link *l, const struct parts *parts, struct why *why)
{
	return 0;
}

void link_send_all(struct link *l, enum node_kind kind, const void *body, size_t len)
{
	assert_int_equal(kind, NODE_CONFIG);
	memcpy(&told, body, sizeof(told));
	tolds++;
}

void link_send(struct link *l, unsigned node, enum node_kind kind, const void *body, size_t len)
{
	fail();
}

void link_strange(struct link *l, unsigned from, enum node_kind kind, const char *what)
{
	stranges++;
}

void link_lock(struct link *l)
{
}

void link_unlock(struct link *l)
{
}

uint64_t tsc_hz(void)
{
	return HZ;
}

uint64_t tsc_now_ns(void)
{
	return 0;
}

void vm_stop(struct vm *v, enum vm_stop how)
{
	fail();
}

void vm_fail(struct vm *v, const char *fmt, ...)
{
	fail();
}

/* --- Joining --- */

static void ready(unsigned count, unsigned self, unsigned head)
{
	memset(&members, 0, sizeof(members));
	memset(&remote, 0, sizeof(remote));
	memset(&vm, 0, sizeof(vm));
	members.count = (uint16_t)count;
	members.self = (uint16_t)self;
	members.head = (uint16_t)head;
	for (unsigned i = 0; i < count; i++) {
		members.members[i].cpus = (uint16_t)(i + 1);
		members.members[i].ram = GIB(1);
	}
	vm.nodes.count = count;
	vm.link = &wire;
	vm.remote = &remote;
	vm.share = &share;
	polls = tolds = stranges = 0;
	ended = NULL;
	said = (struct node_config){GIB(1), HZ};
}

static int join(uint64_t mem, struct why *why)
{
	struct parts parts;

	return remote_join(&vm, mem, &parts, why);
}

static void the_heads_cpus_come_first(void **state)
{
	static const uint8_t nodes[] = {1, 1, 0, 2, 2, 2};
	struct why why = {""};

	ready(3, 2, 1);
	assert_int_equal(join(0, &why), 0);
	assert_int_equal(vm.cpu_count, 6);
	for (unsigned i = 0; i < ARRAY_LEN(nodes); i++)
		assert_int_equal(places_node(&vm.places, i), nodes[i]);
	assert_int_equal(vm.nodes.first_cpu, 3);
	assert_int_equal(vm.nodes.local_cpus, 3);
	assert_true(vm.ram_bytes == GIB(1) && vm.tsc_hz == HZ);
	/* the head tells, and need not be told */
	ready(3, 1, 1);
	assert_int_equal(join(MIB(100) + 5, &why), 0);
	assert_int_equal(tolds, 1);
	assert_true(told.ram_bytes == MIB(100) && told.tsc_hz == HZ);
	assert_true(vm.ram_bytes == MIB(100));
}

static void more_cpus_than_a_machine_has(void **state)
{
	struct why why = {""};

	ready(2, 0, 0);
	members.members[0].cpus = 32;
	members.members[1].cpus = 33;
	assert_int_equal(join(0, &why), ERR_RANGE);
	ready(2, 0, 0);
	members.members[1].cpus = UINT16_MAX;
	assert_int_equal(join(0, &why), ERR_RANGE);
	assert_non_null(strstr(why.text, "more than 64 CPUs together"));
}

/* Nothing of it is believed: a LAPIC asserts its frequencies, and the clock's numbers are made of them. */
static void a_head_that_makes_no_sense(void **state)
{
	static const struct node_config wrong[] = {
		{GIB(1), 0},
		{GIB(1), LAPIC_HZ_MIN - 1},
		{GIB(1), LAPIC_HZ_MAX + 1},
		{GIB(1), UINT64_MAX},
		{0, HZ},
		{MIB(1), HZ},
		{GIB(1) + 4096, HZ},
		{BIT(46) + MIB(2), HZ},
		{UINT64_MAX, HZ},
		{BIT(63), UINT64_MAX},
	};
	static const struct node_config right[] = {
		{MIB(2), LAPIC_HZ_MIN}, {BIT(46), LAPIC_HZ_MAX}, {GIB(3), HZ}};
	struct why why;

	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		ready(2, 1, 0);
		said = wrong[i];
		assert_int_equal(join(0, &why), ERR_INVALID);
		assert_non_null(strstr(why.text, "which can't be"));
	}
	for (unsigned i = 0; i < ARRAY_LEN(right); i++) {
		ready(2, 1, 0);
		said = right[i];
		assert_int_equal(join(0, &why), 0);
		assert_true(vm.tsc_hz == right[i].tsc_hz);
	}
}

static void the_word_of_others_does_not_count(void **state)
{
	const struct node_config other = {GIB(2), HZ};
	struct why why = {""};

	ready(3, 2, 0);
	remote_config(&vm, 1, &other, sizeof(other));
	assert_int_equal(join(0, &why), 0);
	assert_true(vm.ram_bytes == GIB(1));
	/* nor the head's own, when it says another */
	remote_config(&vm, 0, &other, sizeof(other));
	assert_int_equal(stranges, 1);
	assert_true(remote.config[0].ram_bytes == GIB(1));
}

static void a_head_that_is_lost(void **state)
{
	struct why why = {""};

	ready(2, 1, 0);
	ended = "node 0 is lost";
	polls = 5;
	assert_int_equal(join(0, &why), ERR_NOTFOUND);
	assert_string_equal(why.text, "node 0 is lost");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_heads_cpus_come_first),
		cmocka_unit_test(more_cpus_than_a_machine_has),
		cmocka_unit_test(a_head_that_makes_no_sense),
		cmocka_unit_test(the_word_of_others_does_not_count),
		cmocka_unit_test(a_head_that_is_lost),
	};

	return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
