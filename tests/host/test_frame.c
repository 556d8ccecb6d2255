/* The frame codec: what is sealed passes the check, and what was damaged on the way does not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/wire/version.h"

static const uint8_t here[WIRE_MAC] = {2, 0, 0, 0, 0, 1}, there[WIRE_MAC] = {2, 0, 0, 0, 0, 2};
static uint8_t frame[WIRE_ETH + WIRE_MTU];

static size_t sealed(size_t body)
{
	struct wire_head *head = (struct wire_head *)(frame + WIRE_ETH);

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7);
	head->kind = WIRE_DATA;
	return wire_seal(frame, there, here, body);
}

static void a_sealed_frame_passes(void **state)
{
	const size_t bodies[] = {0, 5, 6, 7, 100, WIRE_MTU - sizeof(struct wire_head)};

	for (unsigned i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		size_t len = sealed(bodies[i]);
		const struct wire_head *head;
		int err = 1;

		assert_true(len >= WIRE_MIN);
		head = wire_check(frame, len, &err);
		assert_ptr_equal(head, frame + WIRE_ETH);
		assert_int_equal(err, 0);
		assert_non_null(wire_body(head, bodies[i]));
		assert_null(wire_body(head, bodies[i] + 1));
	}
}

/* Addresses included: a damaged sender's MAC would be another node. */
static void any_damaged_bit_is_noticed(void **state)
{
	size_t len = sealed(100);
	int err;

	for (size_t bit = 0; bit < 8 * len; bit++) {
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (wire_check(frame, len, &err))
			fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_non_null(wire_check(frame, len, &err));
}

static void a_cut_frame_is_noticed(void **state)
{
	size_t len = sealed(100);
	int err;

	for (size_t cut = 0; cut < len; cut++)
		assert_null(wire_check(frame, cut, &err));
}

static void another_version_is_told_from_damage(void **state)
{
	size_t len = sealed(100);
	int err;

	version_set(frame, WIRE_VERSION + 1);
	assert_non_null(wire_check(frame, len, &err));
	assert_int_equal(err, ERR_UNSUPPORTED);
	frame[12] ^= 1;
	assert_null(wire_check(frame, len, &err));
	assert_int_equal(err, ERR_NOTFOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sealed_frame_passes),
		cmocka_unit_test(any_damaged_bit_is_noticed),
		cmocka_unit_test(a_cut_frame_is_noticed),
		cmocka_unit_test(another_version_is_told_from_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
