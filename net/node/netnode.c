#include "net/node/netnode.h"

#include "hv/base/fmt.h"
#include "hv/base/string.h"

#define TX_BATCH 64
#define SAY_NS   (10 * NS_PER_S) /* between two lines that tell a person what we wait for */

size_t netnode_memory(unsigned nodes, uint16_t mtu)
{
	return align_up(NIC_MEMORY(mtu), PAGE_SIZE) +
	       align_up(nodes * sizeof(struct xport_peer), PAGE_SIZE) +
	       NETNODE_POOL * sizeof(struct xport_buf);
}

static void events(struct netnode *n, uint64_t now)
{
	struct station_event e;

	while (station_poll(&n->station, now, &e)) {
		if (e.kind == STATION_CLUSTER)
			n->config.on_cluster(n->config.ctx, now, &e.cluster);
		else
			n->config.on_transport(n->config.ctx, now, &e.wire);
	}
}

/* From below: a frame of the nodes' own type. */
static void raw_frame(void *ctx, uint64_t polled_at, const void *frame, size_t len)
{
	struct netnode *n = ctx;
	uint64_t now = n->config.clock();

	(void)polled_at;
	station_rx(&n->station, now, frame, len);
	events(n, now);
}

static bool tap(void *ctx, const void *frame, size_t len)
{
	const struct netnode_config *c = &((struct netnode *)ctx)->config;

	return c->on_frame && c->on_frame(c->ctx, frame, len);
}

/* Frames are built where the card sends them from. */
static bool transmit(struct netnode *n, uint64_t now)
{
	unsigned count = 0;

	while (count < TX_BATCH) {
		uint8_t *buf = nic_tx_buffer(&n->nic);
		size_t len = buf ? station_tx(&n->station, now, buf) : 0;

		if (len == 0)
			break;
		nic_tx_send(&n->nic, len);
		count++;
	}
	if (count > 0)
		nic_tx_kick(&n->nic);
	return count > 0;
}

static size_t ip_status(const struct netnode *n, char *buf, size_t size)
{
	const struct netip_stats *s = netip_stats_get(n->ip);
	uint32_t a = netip_address(n->ip);

	return fmt_print(buf, size,
			 "address %u.%u.%u.%u: %llu lines to syslog, console read %llu times, "
			 "%llu turned away, %llu cut off\n",
			 a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255,
			 (unsigned long long)s->syslog_lines, (unsigned long long)s->console_reads,
			 (unsigned long long)s->console_refused,
			 (unsigned long long)s->console_cut);
}

static size_t peer_status(const struct netnode *n, unsigned i, char *buf, size_t size)
{
	const struct xport_stats *s = &n->peers[i].stats;

	return fmt_print(buf, size,
			 "  out %llu frames, in %llu, strange %llu, resent %llu, timeouts %llu, "
			 "doubled %llu, round trip p50 %llu p99 %llu us\n",
			 (unsigned long long)s->frames_out, (unsigned long long)s->frames_in,
			 (unsigned long long)s->strange, (unsigned long long)s->resent,
			 (unsigned long long)s->timeouts, (unsigned long long)s->doubled,
			 (unsigned long long)hist_quantile(&s->rtt, 500) / 1000,
			 (unsigned long long)hist_quantile(&s->rtt, 990) / 1000);
}

/* The status console's text. */
static size_t status(void *ctx, char *buf, size_t size)
{
	static const char *const states[] = {"seeking",  "offering", "joining",
					     "starting", "running",  "stopped"};
	struct netnode *n = ctx;
	const struct cluster *c = &n->station.cluster;
	const struct nic_stats *s = &n->nic.stats;
	size_t len;
	char line[120];

	len = fmt_print(buf, size,
			"cluster '%s': %s, %u of %u nodes\ncard %s: link %s, "
			"%u Mbit/s, in %llu, out %llu, errors %llu\n",
			c->config.name, states[c->state], c->count, c->config.nodes,
			n->nic.id->name, n->nic.link ? "up" : "down", n->nic.mbit,
			(unsigned long long)s->rx_frames, (unsigned long long)s->tx_frames,
			(unsigned long long)s->rx_errors);
	len += ip_status(n, buf + len, size - len);
	for (unsigned i = 0; i < c->count && len + 400 < size; i++) {
		cluster_describe(c, i, line, sizeof(line));
		len += fmt_print(buf + len, size - len, "%s\n", line);
		if (n->station.open && i != c->self)
			len += peer_status(n, i, buf + len, size - len);
	}
	len = MIN(len, size - 1);
	return n->config.status ? len + n->config.status(n->config.ctx, buf + len, size - len)
				: len;
}

static void station_start(struct netnode *n, void *mem, uint64_t now)
{
	struct netnode_config *c = &n->config;

	memcpy(c->cluster.mac, n->nic.mac, WIRE_MAC);
	/* Two nodes with one seed still differ by their MAC. */
	c->cluster.life = wire_sum(n->nic.mac, WIRE_MAC, c->seed) | 1;
	n->peers = mem;
	station_init(&n->station, &c->cluster, n->nic.mtu, n->peers, c->cluster.nodes,
		     (struct xport_buf *)((uint8_t *)mem +
					  align_up(c->cluster.nodes * sizeof(struct xport_peer),
						   PAGE_SIZE)),
		     NETNODE_POOL, now);
}

int netnode_start(struct netnode *n, const struct nic_hw *hw, const struct netnode_config *config,
		  void *mem, size_t size, uint64_t now, struct why *why)
{
	size_t nic_size = align_up(NIC_MEMORY(config->mtu), PAGE_SIZE);
	struct netip_config ip = config->ip;
	int err = nic_probe(&n->nic, hw, why);

	ASSERT(size >= netnode_memory(config->cluster.nodes, config->mtu));
	if (err == 0)
		err = nic_start(&n->nic, mem, nic_size, config->mtu, why);
	if (err)
		return err;
	log_info(LOG_NET, "card %s, MAC %02x:%02x:%02x:%02x:%02x:%02x, MTU %u", n->nic.id->name,
		 n->nic.mac[0], n->nic.mac[1], n->nic.mac[2], n->nic.mac[3], n->nic.mac[4],
		 n->nic.mac[5], n->nic.mtu);
	n->config = *config;
	n->say_at = now + SAY_NS;
	ip.raw = raw_frame;
	ip.raw_type = WIRE_ETHERTYPE;
	ip.tap = tap;
	ip.status = status;
	ip.seed = config->seed;
	ip.ctx = n;
	station_start(n, (uint8_t *)mem + nic_size, now);
	n->ip = netip_start(&n->nic, &ip, now, why);
	return n->ip ? 0 : ERR_NOMEM;
}

static void say_waiting(struct netnode *n, uint64_t now)
{
	const struct cluster *c = &n->station.cluster;

	if (c->up || c->state == CLUSTER_STOPPED || now < n->say_at)
		return;
	n->say_at = now + SAY_NS;
	log_info(LOG_CLUSTER, "cluster '%s' waits: %u of %u nodes are here", c->config.name,
		 cluster_found(c), c->config.nodes);
}

bool netnode_poll(struct netnode *n, uint64_t now)
{
	bool moved = netip_poll(n->ip, now);

	station_heard(&n->station, netip_seen(n->ip));
	say_waiting(n, now);
	moved |= transmit(n, now);
	events(n, now); /* a timer of the formation's may have had something to say */
	return moved;
}

void netnode_send(struct netnode *n, uint64_t now)
{
	transmit(n, now);
}

uint64_t netnode_deadline(struct netnode *n, uint64_t now)
{
	return MIN(netip_deadline(n->ip, now), station_deadline(&n->station));
}

void netnode_stop(struct netnode *n, uint64_t now, const char *why)
{
	station_stop(&n->station, why);
	transmit(n, now);
}
