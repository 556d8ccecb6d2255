/* guest/lan_rules: what of a guest's frames leaves it, and what comes in, behind tags of any number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/lan_rules.h"
#include "hv/base/bits.h"

#define NODES 0x88b5
#define IP    0x0800
#define MOST  1518

static const struct lan_rules rules = {{2, 1, 2, 3, 4, 5}, 1500, NODES, false};
static const struct lan_rules with_aoe = {{2, 1, 2, 3, 4, 5}, 1500, NODES, true};
static const uint8_t other[LAN_MAC] = {2, 9, 9, 9, 9, 9};
static const uint16_t tag_types[] = {0x8100, 0x88a8, 0x9100, 0x9200, 0x9300};

static uint8_t frame[MOST];
static size_t at; /* end of the headers */

static void put16(unsigned v)
{
	frame[at++] = (uint8_t)(v >> 8);
	frame[at++] = (uint8_t)v;
}

static void begin(const uint8_t *dst, const uint8_t *src)
{
	memset(frame, 0, sizeof(frame));
	memcpy(frame, dst, LAN_MAC);
	memcpy(frame + LAN_MAC, src, LAN_MAC);
	at = 2 * LAN_MAC;
}

static void tags(unsigned count, uint16_t type)
{
	while (count--) {
		put16(type);
		put16(0x2007);
	}
}

/* Each length is an allocation of its own, so that the sanitizer sees a byte too many. */
static enum lan_verdict verdict(const struct lan_rules *r, size_t len, bool out)
{
	uint8_t *copy = malloc(len ? len : 1);
	enum lan_verdict v;

	memcpy(copy, frame, len);
	v = out ? lan_out(r, copy, len) : lan_in(r, copy, len);
	free(copy);
	return v;
}

static enum lan_verdict out(size_t len)
{
	return verdict(&rules, len, true);
}

/* A frame from the guest with so many tags before its type. */
static enum lan_verdict out_tagged(const struct lan_rules *r, unsigned count, uint16_t tag,
				   unsigned type)
{
	begin(other, rules.mac);
	tags(count, tag);
	put16(type);
	return verdict(r, MAX(at, (size_t)60), true);
}

static void lengths(void **state)
{
	begin(other, rules.mac);
	put16(IP);
	for (size_t len = 0; len < LAN_ETH; len++)
		assert_int_equal(out(len), LAN_UNFIT);
	assert_int_equal(out(LAN_ETH), LAN_PASSES);
	assert_int_equal(out(1514), LAN_PASSES);
	assert_int_equal(out(1515), LAN_UNFIT);
	assert_int_equal(out(1518), LAN_UNFIT);
	/* a tag does not count */
	begin(other, rules.mac);
	tags(1, 0x8100);
	put16(IP);
	assert_int_equal(out(1518), LAN_PASSES);
	assert_int_equal(verdict(&rules, 1518, false), LAN_NOT_OURS);
	/* two do not fit a full frame, and what ends in its tags has no type */
	begin(other, rules.mac);
	tags(2, 0x8100);
	put16(IP);
	assert_int_equal(out(1514), LAN_PASSES);
	for (size_t len = LAN_ETH; len < 22; len++)
		assert_int_equal(out(len), LAN_UNFIT);
	begin(other, rules.mac);
	tags((MOST - 12) / 4, 0x88a8);
	assert_int_equal(out(MOST), LAN_UNFIT);
}

static void the_nodes_protocol_never_leaves(void **state)
{
	for (unsigned t = 0; t < ARRAY_LEN(tag_types); t++)
		for (unsigned count = 0; count < 300; count++) {
			assert_int_equal(out_tagged(&rules, count, tag_types[t], NODES),
					 LAN_OF_NODES);
			assert_int_equal(out_tagged(&with_aoe, count, tag_types[t], NODES),
					 LAN_OF_NODES);
			assert_int_equal(out_tagged(&rules, count, tag_types[t], IP), LAN_PASSES);
		}
}

static void aoe_is_left_to_the_operator(void **state)
{
	for (unsigned t = 0; t < ARRAY_LEN(tag_types); t++)
		for (unsigned count = 0; count < 300; count++) {
			assert_int_equal(out_tagged(&rules, count, tag_types[t], LAN_TYPE_AOE),
					 LAN_AOE);
			assert_int_equal(out_tagged(&with_aoe, count, tag_types[t], LAN_TYPE_AOE),
					 LAN_PASSES);
		}
	/* tags of several kinds */
	begin(other, rules.mac);
	tags(1, 0x88a8);
	tags(1, 0x8100);
	put16(LAN_TYPE_AOE);
	assert_int_equal(out(60), LAN_AOE);
}

/* A bridge to a network of another kind makes a type of it (RFC 1042, IEEE 802.1H). */
static void a_type_behind_a_length(void **state)
{
	static const uint8_t snap[][6] = {{0xaa, 0xaa, 3, 0, 0, 0}, {0xaa, 0xaa, 3, 0, 0, 0xf8}};

	for (unsigned i = 0; i < 2; i++)
		for (unsigned inside = 0; inside < 2; inside++) {
			begin(other, rules.mac);
			tags(1, 0x8100);
			put16(46);
			memcpy(frame + at, snap[i], 6);
			at += 6;
			tags(inside, 0x8100);
			put16(LAN_TYPE_AOE);
			assert_int_equal(out(64), LAN_AOE);
			assert_int_equal(out(at), LAN_AOE);
			assert_int_equal(lan_type(frame, at), LAN_TYPE_AOE);
			assert_int_not_equal(out(at - 1), LAN_AOE);
		}
	/* one that means something else */
	begin(other, rules.mac);
	put16(46);
	assert_int_equal(out(60), LAN_PASSES);
	assert_int_equal(lan_type(frame, 60), 46);
}

static void nobody_elses_name(void **state)
{
	begin(rules.mac, other);
	put16(IP);
	assert_int_equal(out(60), LAN_NOT_OURS);
	assert_int_equal(verdict(&rules, 60, false), LAN_PASSES);
	begin(other, other);
	put16(IP);
	assert_int_equal(verdict(&rules, 60, false), LAN_NOT_OURS);
	frame[0] |= 1; /* to a group */
	assert_int_equal(verdict(&rules, 60, false), LAN_PASSES);
}

static void the_links_own_frames(void **state)
{
	static const uint16_t types[] = {0x8808, 0x8809, 0x888e, 0x88cc};
	uint8_t group[LAN_MAC] = {0x01, 0x80, 0xc2, 0, 0, 0};

	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(out_tagged(&rules, 0, 0, types[i]), LAN_LINK_ONLY);
		assert_int_equal(out_tagged(&with_aoe, 1, 0x8100, types[i]), LAN_LINK_ONLY);
	}
	for (unsigned last = 0; last < 256; last++) {
		group[5] = (uint8_t)last;
		begin(group, rules.mac);
		put16(38); /* spanning tree has a length there */
		assert_int_equal(out(60), last < 16 ? LAN_LINK_ONLY : LAN_PASSES);
		assert_int_equal(verdict(&rules, 60, false),
				 last < 16 ? LAN_LINK_ONLY : LAN_PASSES);
	}
}

static void neither_way(void **state)
{
	begin(rules.mac, other);
	tags(2, 0x9100);
	put16(LAN_TYPE_AOE);
	assert_int_equal(verdict(&rules, 60, false), LAN_AOE);
	assert_int_equal(verdict(&with_aoe, 60, false), LAN_PASSES);
	begin(rules.mac, other);
	tags(2, 0x9100);
	put16(NODES);
	assert_int_equal(verdict(&with_aoe, 60, false), LAN_OF_NODES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),
		cmocka_unit_test(the_nodes_protocol_never_leaves),
		cmocka_unit_test(aoe_is_left_to_the_operator),
		cmocka_unit_test(a_type_behind_a_length),
		cmocka_unit_test(nobody_elses_name),
		cmocka_unit_test(the_links_own_frames),
		cmocka_unit_test(neither_way),
	};

	return cmocka_run_group_tests_name("lan-rules", tests, NULL, NULL);
}
