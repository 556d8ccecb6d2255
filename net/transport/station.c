#include "net/transport/station.h"

#include "hv/base/string.h"

void station_init(struct station *s, const struct cluster_config *config, uint16_t mtu,
		  struct xport_peer *peers, unsigned peer_max, struct xport_buf *pool,
		  unsigned pool_count, uint64_t now)
{
	ASSERT(peer_max >= config->nodes);
	memset(s, 0, sizeof(*s));
	s->mtu = mtu;
	s->peers = peers;
	s->peer_max = peer_max;
	s->pool = pool;
	s->pool_count = pool_count;
	cluster_init(&s->cluster, config, now);
}

/* Time never goes back, whatever clock the caller read. */
static uint64_t forward(struct station *s, uint64_t now)
{
	s->now = MAX(s->now, now);
	return s->now;
}

/* The membership stands: a session to every other member. */
static void sessions_open(struct station *s, uint64_t now)
{
	const struct cluster *c = &s->cluster;
	struct xport_config config = {.node = c->self,
				      .mtu = s->mtu,
				      .cluster = wire_cluster_hash(c->config.name),
				      .seed = c->config.life};

	memcpy(config.mac, c->config.mac, WIRE_MAC);
	xport_init(&s->xport, &config, s->peers, c->count, s->pool, s->pool_count);
	for (unsigned i = 0; i < c->count; i++) {
		if (i != c->self)
			xport_open(&s->xport, now, i, c->members[i].mac);
	}
	s->open = true;
}

static void session_rx(struct station *s, uint64_t now, const struct wire_head *head,
		       const void *frame, size_t len)
{
	if (s->open && xport_rx(&s->xport, now, frame, len))
		cluster_alive(&s->cluster, now, head->src);
}

void station_rx(struct station *s, uint64_t now, const void *frame, size_t len)
{
	const struct wire_head *head =
		(const struct wire_head *)((const uint8_t *)frame + WIRE_ETH);

	if (len < WIRE_ETH + sizeof(*head))
		return;
	now = forward(s, now);
	/* Not checked yet: just enough to know who checks it. */
	if (head->kind < WIRE_HELLO)
		session_rx(s, now, head, frame, len);
	else
		cluster_rx(&s->cluster, now, frame, len);
}

bool station_poll(struct station *s, uint64_t now, struct station_event *event)
{
	now = forward(s, now);
	if (cluster_poll(&s->cluster, &event->cluster)) {
		event->kind = STATION_CLUSTER;
		if (event->cluster.kind == CLUSTER_UP)
			sessions_open(s, now);
		return true;
	}
	event->kind = STATION_WIRE;
	return s->open && xport_poll(&s->xport, now, &event->wire);
}

void station_heard(struct station *s, uint64_t seen)
{
	cluster_heard(&s->cluster, seen);
}

void station_stop(struct station *s, const char *why)
{
	cluster_stop(&s->cluster, why);
}

size_t station_tx(struct station *s, uint64_t now, void *buf)
{
	size_t len = 0;

	now = forward(s, now);
	if (s->open && s->cluster.state == CLUSTER_RUNNING)
		len = xport_tx(&s->xport, now, buf);
	if (len == 0 && cluster_deadline(&s->cluster) <= now)
		len = cluster_tx(&s->cluster, now, buf);
	return len;
}

uint64_t station_deadline(const struct station *s)
{
	uint64_t at = cluster_deadline(&s->cluster);

	return s->open && s->cluster.state == CLUSTER_RUNNING ? MIN(at, xport_deadline(&s->xport))
							      : at;
}
