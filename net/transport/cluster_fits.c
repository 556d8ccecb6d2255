/* Who leads, and who may not join and why. */
#include "net/transport/cluster_priv.h"

#include "hv/base/fmt.h"
#include "hv/base/string.h"

static const uint8_t no_mac[WIRE_MAC];

bool cluster_leads(const struct cluster *c, const uint8_t *a, bool a_guest, const uint8_t *b,
		   bool b_guest)
{
	bool a_named = memcmp(a, c->config.head, WIRE_MAC) == 0;
	bool b_named = memcmp(b, c->config.head, WIRE_MAC) == 0;

	if (a_named != b_named)
		return a_named;
	if (a_guest != b_guest)
		return a_guest;
	return memcmp(a, b, WIRE_MAC) < 0;
}

static const char *mac_or_none(char buf[20], const uint8_t *mac)
{
	if (memcmp(mac, no_mac, WIRE_MAC) == 0)
		str_copy(buf, "none", 20);
	else
		fmt_print(buf, 20, MAC_FMT, MAC_ARGS(mac));
	return buf;
}

/* The lowest feature bit we need and the other lacks; -1: none. */
static int feature_missing(const struct cluster *c, const struct wire_hello *other)
{
	for (unsigned w = 0; w < WIRE_FEATURES; w++) {
		uint32_t missing = c->config.needs[w] & ~other->features[w];

		if (missing)
			return (int)(w * 32 + bit_lowest(missing));
	}
	return -1;
}

static const char *feature_name(const struct cluster *c, unsigned bit, char buf[24])
{
	const char *name = c->config.feature_name ? c->config.feature_name(bit) : NULL;

	if (name)
		return name;
	fmt_print(buf, 24, "feature %u", bit);
	return buf;
}

static void feature_detail(const struct cluster *c, int bit, char detail[WIRE_TEXT])
{
	char number[24];

	fmt_print(detail, WIRE_TEXT,
		  "has a CPU without %s, which the cluster needs; "
		  "take another machine or another guest",
		  feature_name(c, (unsigned)bit, number));
}

static const char *vendor_name(const struct cluster *c, uint32_t word, char buf[24])
{
	return word ? feature_name(c, WIRE_VENDOR * 32 + bit_lowest(word), buf) : "unknown vendor";
}

/* What differs between vendors can't be brought to a common measure as features can. */
static bool vendor_differs(const struct cluster *c, const struct wire_hello *other,
			   char detail[WIRE_TEXT])
{
	uint32_t theirs = other->features[WIRE_VENDOR], ours = c->config.features[WIRE_VENDOR];
	char buf[2][24];

	if (theirs == ours)
		return false;
	fmt_print(detail, WIRE_TEXT,
		  "has a CPU of %s, the cluster of %s; the guest would notice by CPUID's vendor "
		  "and model, VMCALL and SYSCALL; take nodes of one vendor",
		  vendor_name(c, theirs, buf[0]), vendor_name(c, ours, buf[1]));
	return true;
}

static bool tsc_near(uint32_t a, uint32_t b)
{
	uint64_t off = a > b ? a - b : b - a;

	return off * 1000000 <= (uint64_t)CLUSTER_TSC_PPM * MAX(a, b);
}

static bool tsc_differs(const struct cluster *c, const struct cluster_candidate *other,
			char detail[WIRE_TEXT], enum cluster_reason *reason)
{
	if (!(other->hello.flags & WIRE_TSC_INVARIANT) || !c->config.tsc_invariant) {
		*reason = CLUSTER_TSC;
		fmt_print(detail, WIRE_TEXT,
			  "%s no invariant TSC, so the nodes can't keep one time",
			  c->config.tsc_invariant ? "has" : "would follow a head that has");
		return true;
	}
	if (!tsc_near(other->hello.tsc_khz, c->config.tsc_khz)) {
		*reason = CLUSTER_TSC_KHZ;
		fmt_print(detail, WIRE_TEXT,
			  "has a TSC of %u kHz, the cluster one of %u; "
			  "they may differ by 1 percent",
			  other->hello.tsc_khz, c->config.tsc_khz);
		return true;
	}
	return false;
}

enum cluster_reason cluster_fits(const struct cluster *c, const struct cluster_candidate *other,
				 char detail[WIRE_TEXT])
{
	const struct wire_hello *h = &other->hello;
	enum cluster_reason reason;
	char theirs[20], ours[20];
	int bit;

	detail[0] = '\0';
	if (memcmp(other->mac, c->config.mac, WIRE_MAC) == 0) {
		fmt_print(detail, WIRE_TEXT,
			  "has the MAC address of another node; give every NIC its own");
		return CLUSTER_MAC;
	}
	if (other->version != WIRE_VERSION) {
		fmt_print(detail, WIRE_TEXT,
			  "speaks protocol version %u, the cluster %u; "
			  "boot the same Amalgam on every node",
			  other->version, WIRE_VERSION);
		return CLUSTER_VERSION;
	}
	if (h->nodes != c->config.nodes) {
		fmt_print(detail, WIRE_TEXT,
			  "expects %u nodes, the cluster %u; "
			  "give every node the same nodes= option",
			  h->nodes, c->config.nodes);
		return CLUSTER_COUNT;
	}
	if (memcmp(h->head, c->config.head, WIRE_MAC) != 0) {
		fmt_print(detail, WIRE_TEXT,
			  "names head %s, the cluster %s; give every node the same head= option",
			  mac_or_none(theirs, h->head), mac_or_none(ours, c->config.head));
		return CLUSTER_HEAD;
	}
	if (vendor_differs(c, h, detail))
		return CLUSTER_VENDOR;
	bit = feature_missing(c, h);
	if (bit >= 0) {
		feature_detail(c, bit, detail);
		return CLUSTER_FEATURE;
	}
	return tsc_differs(c, other, detail, &reason) ? reason : CLUSTER_FITS;
}
