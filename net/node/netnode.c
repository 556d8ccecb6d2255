#include "net/ip/netnode.h"

#include "hv/base/fmt.h"
#include "hv/base/string.h"

#define TX_BATCH 64
#define SAY_NS   (10 * NS_PER_S) /* between two lines that tell a person what we wait for */

static struct {
	struct nic nic;
	struct station station;
	struct netnode_config config;
	struct xport_peer *peers;
	uint64_t say_at;
} node;

size_t netnode_memory(unsigned nodes, uint16_t mtu)
{
	return align_up(NIC_MEMORY(mtu), PAGE_SIZE) +
	       align_up(nodes * sizeof(struct xport_peer), PAGE_SIZE) +
	       NETNODE_POOL * sizeof(struct xport_buf);
}

static void events(uint64_t now)
{
	struct station_event e;

	while (station_poll(&node.station, now, &e)) {
		if (e.kind == STATION_CLUSTER)
			node.config.cluster_event(node.config.ctx, now, &e.cluster);
		else
			node.config.wire_event(node.config.ctx, now, &e.wire);
	}
}

static void on_wire(void *ctx, uint64_t polled_at, const void *frame, size_t len)
{
	uint64_t now = node.config.clock();

	(void)ctx, (void)polled_at;
	station_rx(&node.station, now, frame, len);
	events(now);
}

/* Frames are built where the card sends them from. */
static bool transmit(uint64_t now)
{
	unsigned count = 0;

	while (count < TX_BATCH) {
		uint8_t *buf = nic_tx_buffer(&node.nic);
		size_t len = buf ? station_tx(&node.station, now, buf) : 0;

		if (len == 0)
			break;
		nic_tx_send(&node.nic, len);
		count++;
	}
	if (count > 0)
		nic_tx_kick(&node.nic);
	return count > 0;
}

static size_t peer_status(unsigned i, char *buf, size_t size)
{
	const struct xport_stats *s = &node.peers[i].stats;

	return fmt_print(buf, size,
			 "  out %llu frames, in %llu, resent %llu, timeouts %llu, doubled %llu, "
			 "round trip p50 "
			 "%llu p99 %llu us\n",
			 (unsigned long long)s->frames_out, (unsigned long long)s->frames_in,
			 (unsigned long long)s->resent, (unsigned long long)s->timeouts,
			 (unsigned long long)s->doubled,
			 (unsigned long long)hist_quantile(&s->rtt, 500) / 1000,
			 (unsigned long long)hist_quantile(&s->rtt, 990) / 1000);
}

/* The status console's text. */
static size_t status(void *ctx, char *buf, size_t size)
{
	static const char *const states[] = {"seeking",  "offering", "joining",
					     "starting", "running",  "stopped"};
	const struct cluster *c = &node.station.cluster;
	const struct nic_stats *s = &node.nic.stats;
	size_t n;
	char line[120];

	(void)ctx;
	n = fmt_print(
		buf, size,
		"cluster '%s': %s, %u of %u nodes\ncard %s: link %s, %u Mbit/s, in %llu, out %llu, "
		"errors %llu\n",
		c->config.name, states[c->state], c->count, c->config.nodes, node.nic.id->name,
		node.nic.link ? "up" : "down", node.nic.mbit, (unsigned long long)s->rx_frames,
		(unsigned long long)s->tx_frames, (unsigned long long)s->rx_errors);
	for (unsigned i = 0; i < c->count && n + 400 < size; i++) {
		cluster_describe(c, i, line, sizeof(line));
		n += fmt_print(buf + n, size - n, "%s\n", line);
		if (node.station.open && i != c->self)
			n += peer_status(i, buf + n, size - n);
	}
	n = MIN(n, size - 1);
	return node.config.status ? n + node.config.status(node.config.ctx, buf + n, size - n) : n;
}

static void station_start(void *mem, uint64_t now)
{
	struct netnode_config *c = &node.config;

	memcpy(c->cluster.mac, node.nic.mac, WIRE_MAC);
	/* Two nodes with one seed still differ by their MAC. */
	c->cluster.life = wire_sum(node.nic.mac, WIRE_MAC, c->seed) | 1;
	node.peers = mem;
	station_init(&node.station, &c->cluster, node.nic.mtu, node.peers, c->cluster.nodes,
		     (struct xport_buf *)((uint8_t *)mem +
					  align_up(c->cluster.nodes * sizeof(struct xport_peer),
						   PAGE_SIZE)),
		     NETNODE_POOL, now);
}

int netnode_start(const struct nic_hw *hw, const struct netnode_config *config, void *mem,
		  size_t size, uint64_t now, struct why *why)
{
	size_t nic_size = align_up(NIC_MEMORY(config->mtu), PAGE_SIZE);
	struct netip_config *ip = &node.config.ip;
	int err = nic_probe(&node.nic, hw, why);

	ASSERT(size >= netnode_memory(config->cluster.nodes, config->mtu));
	if (err == 0)
		err = nic_start(&node.nic, mem, nic_size, config->mtu, why);
	if (err)
		return err;
	log_info(LOG_NET, "card %s, MAC %02x:%02x:%02x:%02x:%02x:%02x, MTU %u", node.nic.id->name,
		 node.nic.mac[0], node.nic.mac[1], node.nic.mac[2], node.nic.mac[3],
		 node.nic.mac[4], node.nic.mac[5], node.nic.mtu);
	node.config = *config;
	node.say_at = now + SAY_NS;
	ip->wire = on_wire;
	ip->wire_type = WIRE_ETHERTYPE;
	ip->status = status;
	ip->seed = config->seed;
	station_start((uint8_t *)mem + nic_size, now);
	return netip_start(&node.nic, ip, now, why);
}

static void say_waiting(uint64_t now)
{
	const struct cluster *c = &node.station.cluster;

	if (c->up || c->state == CLUSTER_STOPPED || now < node.say_at)
		return;
	node.say_at = now + SAY_NS;
	log_info(LOG_CLUSTER, "cluster '%s' waits: %u of %u nodes are here", c->config.name,
		 cluster_found(c), c->config.nodes);
}

bool netnode_poll(uint64_t now)
{
	bool moved = netip_poll(now);

	station_heard(&node.station, netip_seen());
	say_waiting(now);
	moved |= transmit(now);
	events(now); /* a timer of the formation's may have had something to say */
	return moved;
}

void netnode_send(uint64_t now)
{
	transmit(now);
}

uint64_t netnode_deadline(uint64_t now)
{
	return MIN(netip_deadline(now), station_deadline(&node.station));
}

struct nic *netnode_nic(void)
{
	return &node.nic;
}

struct station *netnode_station(void)
{
	return &node.station;
}
