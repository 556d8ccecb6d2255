#include "hv/cluster/uplink.h"

#include <stdatomic.h>

#include "hv/base/log.h"
#include "hv/base/string.h"
#include "hv/cpu/cpu_words.h"
#include "hv/x86/irq.h"
#include "hv/x86/hostapic.h"
#include "hv/x86/hostpci.h"
#include "hv/x86/pmem.h"
#include "hv/x86/tsc.h"
#include "net/node/netnode.h"
#include "net/transport/selftest.h"

#define PCI_CLASS          0x0a /* subclass and class, PCI 3.0, D.3 */
#define PCI_CLASS_ETHERNET 0x0200
#define PCI_COMMAND        0x04
#define PCI_INTX_OFF       BIT(10)
#define PCI_LINE           0x3c

/* SDM vol. 3, 11.11 */
#define MSI_ADDRESS    0xfee00000u
#define MSI_DEST_SHIFT 12

/* The same on every node, whatever silence each one bears: several beats must fit the least. */
#define BEAT_NS  (50 * NS_PER_MS)
#define AFTER_NS (2 * NS_PER_S) /* after the self-test: the others may still miss our last answer */

STATIC_ASSERT((int)CPU_WORDS == WIRE_FEATURES && (int)CPU_VENDOR == WIRE_VENDOR,
	      "a node tells the others what docs/wire.md says");

struct uplink {
	struct hostpci_dev dev;
	struct nic_hw hw;
	struct netnode node;
	struct selftest test;
	uint32_t messages; /* of the self-test */
	bool testing, up;
	bool (*tap)(void *ctx, const void *frame, size_t len);
	void *tap_ctx;
	size_t (*status)(char *buf, size_t size);
	void (*receiver)(void *ctx, const struct xport_event *event);
	void *receiver_ctx;
	char ended[sizeof(((struct cluster_event *)0)->text)];
	_Atomic uint64_t interrupts;
};

/* A node has one card, and its interrupt comes without a word of whose it is. */
static struct uplink the_uplink;

/* --- The card, as its driver reaches it --- */

static uint32_t hw_config_read(void *ctx, unsigned offset, unsigned size)
{
	return hostpci_read(ctx, offset, size);
}

static void hw_config_write(void *ctx, unsigned offset, unsigned size, uint32_t value)
{
	hostpci_write(ctx, offset, size, value);
}

static uint32_t hw_read(void *ctx, unsigned bar, uint32_t offset, unsigned size)
{
	return hostpci_bar_read(ctx, bar, offset, size);
}

static void hw_write(void *ctx, unsigned bar, uint32_t offset, unsigned size, uint32_t value)
{
	hostpci_bar_write(ctx, bar, offset, size, value);
}

static uint64_t hw_bus(void *ctx, const void *virt)
{
	(void)ctx;
	return pmem_phys(virt);
}

static void hw_delay(void *ctx, unsigned us)
{
	(void)ctx;
	tsc_delay_us(us);
}

/* The first Ethernet card that has a driver. */
static int find_card(struct uplink *u, struct why *why)
{
	static struct nic probe;
	bool first = true, any = false;

	u->hw = (struct nic_hw){&u->dev,  hw_config_read, hw_config_write, hw_read,
				hw_write, hw_bus,         hw_delay};
	while (hostpci_next(&u->dev, &first)) {
		if (hostpci_read(&u->dev, PCI_CLASS, 2) != PCI_CLASS_ETHERNET)
			continue;
		any = true;
		if (nic_probe(&probe, &u->hw, why) == 0)
			return hostpci_map_bars(&u->dev, why);
	}
	if (any)
		return ERR_UNSUPPORTED;
	return why_set(why, ERR_NOTFOUND,
		       "no Ethernet card was found on PCI; a cluster of several nodes needs one");
}

/* --- Events --- */

static void members_log(const struct cluster *c)
{
	char line[120];

	for (unsigned i = 0; i < c->count; i++) {
		cluster_describe(c, i, line, sizeof(line));
		log_info(LOG_CLUSTER, "member %s", line);
	}
}

static void on_cluster(void *ctx, uint64_t now, const struct cluster_event *e)
{
	struct uplink *u = ctx;
	const struct cluster *c = &u->node.station.cluster;

	if (e->kind == CLUSTER_UP) {
		u->up = true;
		log_set_node(c->self);
		log_info(LOG_CLUSTER, "%s", e->text);
		members_log(c);
		if (u->testing)
			selftest_init(&u->test, c->self, c->count, u->messages, now);
		return;
	}
	if (e->kind == CLUSTER_LOST || e->kind == CLUSTER_REFUSED) {
		str_copy(u->ended, e->text, sizeof(u->ended));
		log_error(LOG_CLUSTER, "%s", e->text);
		return;
	}
	log_info_few(LOG_CLUSTER, "%s", e->text); /* a stranger that is refused, under any MAC */
}

static void on_transport(void *ctx, uint64_t now, const struct xport_event *e)
{
	struct uplink *u = ctx;

	(void)now;
	if (u->testing)
		selftest_event(&u->test, e);
	else if (u->receiver)
		u->receiver(u->receiver_ctx, e);
}

static size_t on_status(void *ctx, char *buf, size_t size)
{
	struct uplink *u = ctx;

	return u->status ? u->status(buf, size) : 0;
}

static bool on_frame(void *ctx, const void *frame, size_t len)
{
	struct uplink *u = ctx;

	return u->tap && u->tap(u->tap_ctx, frame, len);
}

/* --- What this node is --- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int mac_parse(const char *text, uint8_t mac[WIRE_MAC], struct why *why)
{
	for (unsigned i = 0; i < WIRE_MAC; i++) {
		int high = strlen(text) >= 3 * i + 2 ? hex(text[3 * i]) : -1;
		int low = high < 0 ? -1 : hex(text[3 * i + 1]);
		char end = i < 5 ? ':' : '\0';

		if (low < 0 || text[3 * i + 2] != end)
			return why_set(why, ERR_INVALID,
				       "option 'head=%s' is wrong; expected the MAC address "
				       "of the node that shall be head, like 52:54:00:12:34:56",
				       text);
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static int address_parse(const char *text, uint32_t *address, struct why *why)
{
	const char *p = text;
	uint32_t out = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned part = 0, digits = 0;

		for (; *p >= '0' && *p <= '9' && digits < 4; p++, digits++)
			part = part * 10 + (unsigned)(*p - '0');
		if (digits == 0 || part > 255 || *p != (i < 3 ? '.' : '\0'))
			return why_set(why, ERR_INVALID,
				       "option 'syslog=%s' is wrong; "
				       "expected an address like 192.0.2.1",
				       text);
		p++;
		out = out << 8 | part;
	}
	*address = out;
	return 0;
}

/* The cards' rings, and what there is of each peer. */
static size_t network_memory(const struct uplink_options *o)
{
	return netnode_memory((unsigned)o->nodes, (uint16_t)o->mtu);
}

static int configure(const struct uplink_options *o, struct netnode_config *c, struct why *why)
{
	uint64_t own = PAGE_SIZE << pmem_order(network_memory(o));
	int err = 0;

	*c = (struct netnode_config){
		.cluster = {.nodes = (uint16_t)o->nodes,
			    .cpus = (uint16_t)o->cpus,
			    .ram = o->ram > own ? o->ram - own : 0,
			    .tsc_khz = (uint32_t)(tsc_hz() / 1000),
			    .tsc_invariant = tsc_invariant() || o->tsc_trusted,
			    .has_guest = o->has_guest,
			    .beat_ns = BEAT_NS,
			    .lost_ns = o->lost_ns,
			    .feature_name = cpu_word_name},
		.ip = {.hostname = "amalgam"},
		.clock = tsc_now_ns,
		.mtu = (uint16_t)o->mtu,
		.seed = o->seed,
		.on_cluster = on_cluster,
		.on_transport = on_transport,
		.on_frame = on_frame,
		.status = on_status,
		.ctx = &the_uplink,
	};
	str_copy(c->cluster.name, o->cluster, sizeof(c->cluster.name));
	cpu_words(c->cluster.features);
	if (o->head[0])
		err = mac_parse(o->head, c->cluster.head, why);
	if (err == 0 && o->syslog[0])
		err = address_parse(o->syslog, &c->ip.syslog, why);
	return err;
}

/* --- The card's interrupt: it ends the guest's stay, or the CPU's sleep --- */

static void card_calls(void)
{
	atomic_fetch_add_explicit(&the_uplink.interrupts, 1, memory_order_relaxed);
	nic_events(&the_uplink.node.nic);
}

/*
 * By message where the card can, else on its legacy line, which firmware has put into its registers.
 * Without either the card is looked at from time to time (uplink_wakes() stays false).
 */
static void open_interrupt(struct uplink *u)
{
	struct nic *nic = &u->node.nic;
	uint32_t line = hostpci_read(&u->dev, PCI_LINE, 1);

	irq_handler_set(IRQ_NIC, card_calls);
	if (nic_msi(nic, MSI_ADDRESS | hostapic_id() << MSI_DEST_SHIFT, IRQ_NIC) != 0) {
		if (line >= PIC_LINES || line == PIC_CASCADE) {
			log_warn(LOG_NET, "the card has no interrupt; it is polled");
			return;
		}
		hostpci_write(&u->dev, PCI_COMMAND, 2,
			      hostpci_read(&u->dev, PCI_COMMAND, 2) & ~(uint32_t)PCI_INTX_OFF);
		irq_pic_open(line, card_calls);
		hostapic_extint();
	}
	nic_events(nic);
	nic_irq(nic, true);
}

bool uplink_wakes(const struct uplink *u)
{
	return atomic_load_explicit(&u->interrupts, memory_order_relaxed) > 0;
}

/* --- Running --- */

struct uplink *uplink_start(const struct uplink_options *options, struct why *why)
{
	static struct netnode_config config;
	struct uplink *u = &the_uplink;
	size_t size = network_memory(options);
	hpa_t mem;

	if (configure(options, &config, why) || find_card(u, why))
		return NULL;
	mem = pmem_alloc_low(pmem_order(size));
	if (mem == PMEM_NONE) {
		(void)!why_set(why, ERR_NOMEM,
			       "no %zu KiB of contiguous RAM below 4 GiB for the network",
			       size >> 10);
		return NULL;
	}
	if (netnode_start(&u->node, &u->hw, &config, pmem_virt(mem), size, tsc_now_ns(), why))
		return NULL;
	open_interrupt(u);
	return u;
}

void uplink_poll(struct uplink *u)
{
	uint64_t now = tsc_now_ns();

	netnode_poll(&u->node, now);
	if (u->testing && u->up && !u->ended[0])
		selftest_run(&u->test, &u->node.station.xport, now);
}

void uplink_tap(struct uplink *u, bool (*fn)(void *ctx, const void *frame, size_t len), void *ctx)
{
	u->tap = fn;
	u->tap_ctx = ctx;
}

void uplink_status(struct uplink *u, size_t (*fn)(char *buf, size_t size))
{
	u->status = fn;
}

bool uplink_send_frame(struct uplink *u, const void *frame, size_t len)
{
	return netip_send(u->node.ip, frame, len);
}

void uplink_add_mac(struct uplink *u, const uint8_t mac[6])
{
	nic_add_mac(&u->node.nic, mac);
}

const uint8_t *uplink_mac(const struct uplink *u)
{
	return u->node.nic.mac;
}

uint16_t uplink_mtu(const struct uplink *u)
{
	return u->node.nic.mtu;
}

bool uplink_up(const struct uplink *u, unsigned *self, unsigned *head)
{
	const struct cluster *c = &u->node.station.cluster;

	*self = c->self;
	*head = c->head;
	return u->up;
}

const char *uplink_ended(const struct uplink *u)
{
	return u->ended[0] ? u->ended : NULL;
}

const struct cluster *uplink_cluster(const struct uplink *u)
{
	return &u->node.station.cluster;
}

void uplink_receive(struct uplink *u, void (*fn)(void *ctx, const struct xport_event *event),
		    void *ctx)
{
	u->receiver = fn;
	u->receiver_ctx = ctx;
}

int uplink_send(struct uplink *u, unsigned node, enum wire_channel channel,
		const struct xport_part *parts, unsigned count)
{
	return xport_send(&u->node.station.xport, tsc_now_ns(), node, channel, parts, count);
}

void uplink_flush(struct uplink *u)
{
	netnode_send(&u->node, tsc_now_ns());
}

void uplink_stop(struct uplink *u, const char *why)
{
	netnode_stop(&u->node, tsc_now_ns(), why);
}

void uplink_close(struct uplink *u)
{
	nic_stop(&u->node.nic);
}

uint64_t uplink_deadline(struct uplink *u, uint64_t now_ns)
{
	return netnode_deadline(&u->node, now_ns);
}

void uplink_report(const struct uplink *u)
{
	const struct station *s = &u->node.station;

	for (unsigned i = 0; i < s->cluster.count; i++) {
		const struct xport_stats *x = &s->peers[i].stats;
		int64_t offset = 0;
		uint64_t error = 0;

		if (i == s->cluster.self)
			continue;
		clock_offset(&s->cluster.members[i].clock, tsc_now_ns(), &offset, &error);
		log_info(LOG_NET,
			 "node %u: %llu frames out, %llu in, resent %llu, timeouts %llu, doubled "
			 "%llu; round trip p50 %llu p99 %llu us; clock offset %lld us, error %llu "
			 "us; %llu messages out, %llu in; %llu bytes out, %llu in",
			 i, (unsigned long long)x->frames_out, (unsigned long long)x->frames_in,
			 (unsigned long long)x->resent, (unsigned long long)x->timeouts,
			 (unsigned long long)x->doubled,
			 (unsigned long long)hist_quantile(&x->rtt, 500) / 1000,
			 (unsigned long long)hist_quantile(&x->rtt, 990) / 1000,
			 (long long)offset / 1000, (unsigned long long)error / 1000,
			 (unsigned long long)x->msgs_out, (unsigned long long)x->msgs_in,
			 (unsigned long long)x->bytes_out, (unsigned long long)x->bytes_in);
	}
}

int uplink_selftest(struct uplink *u, uint32_t messages, struct why *why)
{
	char line[200];

	ASSERT(!u->up);
	/* The others may be faster: their first messages can come with the membership. */
	u->messages = messages;
	u->testing = true;
	while (!u->ended[0] && !u->test.wrong &&
	       (!u->test.finished || tsc_now_ns() < u->test.finished + AFTER_NS))
		uplink_poll(u);
	selftest_describe(&u->test, line, sizeof(line));
	if (!u->test.finished || u->test.wrong)
		return why_set(why, ERR_INVALID, "%s%s%s", line, u->ended[0] ? "; " : "", u->ended);
	log_info(LOG_NET, "%s", line);
	uplink_report(u);
	return 0;
}
