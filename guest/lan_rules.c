#include "guest/lan_rules.h"
#include "hv/base/bits.h"
#include "hv/base/string.h"

#define TYPE_AT    (2 * LAN_MAC)
#define LENGTH_MAX 1500 /* IEEE 802.3, 3.2.6: up to here it is a length */

/* IEEE 802.1Q, table 9-1, and what bridges took before there was one for stacked tags. */
static const uint16_t tags[] = {0x8100, 0x88a8, 0x9100, 0x9200, 0x9300};

/* MAC control, slow protocols, 802.1X, LLDP: of the link's two ends, whatever address they are sent to. */
static const uint16_t link_types[] = {0x8808, 0x8809, 0x888e, 0x88cc};

/* IEEE 802.1Q, table 8-1: no bridge passes on what is sent to 01:80:C2:00:00:00 to 0F. */
static const uint8_t link_group[LAN_MAC - 1] = {0x01, 0x80, 0xc2, 0x00, 0x00};

/* RFC 1042, and its sister for bridges (IEEE 802.1H), in front of an EtherType. */
static const uint8_t snap[][6] = {{0xaa, 0xaa, 0x03, 0, 0, 0}, {0xaa, 0xaa, 0x03, 0, 0, 0xf8}};

static bool is_one_of(unsigned type, const uint16_t *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (list[i] == type)
			return true;
	return false;
}

static unsigned type_at(const uint8_t *frame, size_t len, size_t at)
{
	return at + 2 <= len ? (unsigned)(frame[at] << 8 | frame[at + 1]) : 0;
}

/* Bytes from the field at `at` to the next that holds a type; 0: this one does. */
static size_t skip(const uint8_t *frame, size_t len, size_t at)
{
	unsigned type = type_at(frame, len, at);

	if (is_one_of(type, tags, ARRAY_LEN(tags)))
		return LAN_TAG;
	for (unsigned i = 0; type <= LENGTH_MAX && i < ARRAY_LEN(snap); i++)
		if (at + 2 + sizeof(snap[i]) <= len &&
		    !memcmp(frame + at + 2, snap[i], sizeof(snap[i])))
			return 2 + sizeof(snap[i]);
	return 0;
}

unsigned lan_type(const void *frame, size_t len)
{
	size_t at = TYPE_AT, step;

	while ((step = skip(frame, len, at)))
		at += step;
	return type_at(frame, len, at);
}

static bool is_tagged(const uint8_t *frame, size_t len)
{
	return is_one_of(type_at(frame, len, TYPE_AT), tags, ARRAY_LEN(tags));
}

/* What neither way is the guest's. */
static enum lan_verdict judge(const struct lan_rules *rules, const uint8_t *frame, size_t len)
{
	unsigned type = lan_type(frame, len);

	if (type == rules->nodes_type)
		return LAN_OF_NODES;
	if (type == LAN_TYPE_AOE && !rules->aoe)
		return LAN_AOE;
	if (is_one_of(type, link_types, ARRAY_LEN(link_types)) ||
	    (!memcmp(frame, link_group, sizeof(link_group)) && frame[LAN_MAC - 1] < 0x10))
		return LAN_LINK_ONLY;
	return LAN_PASSES;
}

static bool fits(const struct lan_rules *rules, const uint8_t *frame, size_t len)
{
	size_t most = (size_t)LAN_ETH + rules->mtu;

	return len >= LAN_ETH && len <= most + (is_tagged(frame, len) ? LAN_TAG : 0) &&
	       lan_type(frame, len) != 0;
}

enum lan_verdict lan_out(const struct lan_rules *rules, const void *frame, size_t len)
{
	const uint8_t *bytes = frame;

	if (!fits(rules, bytes, len))
		return LAN_UNFIT;
	if (memcmp(bytes + LAN_MAC, rules->mac, LAN_MAC))
		return LAN_NOT_OURS;
	return judge(rules, bytes, len);
}

enum lan_verdict lan_in(const struct lan_rules *rules, const void *frame, size_t len)
{
	const uint8_t *bytes = frame;

	if (!fits(rules, bytes, len))
		return LAN_UNFIT;
	if (!(bytes[0] & 1) && memcmp(bytes, rules->mac, LAN_MAC))
		return LAN_NOT_OURS;
	return judge(rules, bytes, len);
}
