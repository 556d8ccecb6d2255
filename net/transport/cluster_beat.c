/* The running cluster: start barrier, heartbeats, loss. */
#include "net/transport/cluster_priv.h"

#include "hv/base/fmt.h"
#include "hv/base/string.h"

static void up(struct cluster *c)
{
	c->up = true;
	c->state = CLUSTER_RUNNING;
	cluster_event(c, CLUSTER_UP, c->self,
		      "cluster '%s' runs: %u nodes, this is node %u, head %u", c->config.name,
		      c->count, c->self, c->head);
}

/* The head's barrier: every node runs and hears every other. */
static void barrier(struct cluster *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		if (i != c->self && c->members[i].alive != cluster_all(c))
			return;
	}
	up(c);
}

void cluster_run(struct cluster *c, uint64_t now)
{
	uint32_t others = cluster_all(c) & ~(uint32_t)BIT(c->self);

	for (unsigned i = 0; i < c->count; i++)
		c->members[i].heard = now;
	c->offer_due = 0;
	c->accept_due = false;
	c->beat_at = now;
	c->members[c->self].beaten = true;
	if (c->self == c->head) {
		c->state = CLUSTER_STARTING;
		c->start_due = others;
		c->vote_at = now + c->config.beat_ns;
		barrier(c);
	} else {
		c->vote_at = CLUSTER_NEVER;
		c->hello_at = CLUSTER_NEVER;
		up(c);
	}
}

static void lose(struct cluster *c, unsigned node, const char *text)
{
	c->state = CLUSTER_STOPPED;
	c->lost_node = (uint16_t)node;
	str_copy(c->lost_text, text, sizeof(c->lost_text));
	c->lost_due = CLUSTER_LOST_SENT;
	c->beat_at = c->vote_at = c->hello_at = CLUSTER_NEVER;
	c->beat_due = c->answer_due = c->start_due = 0;
}

static void lose_silent(struct cluster *c, uint64_t seen, unsigned node)
{
	const struct cluster_member *m = &c->members[node];
	char text[WIRE_TEXT];

	fmt_print(text, sizeof(text), "node %u (" MAC_FMT ") was lost: nothing heard for %llu ms%s",
		  node, MAC_ARGS(m->mac), (unsigned long long)((seen - m->heard) / NS_PER_MS),
		  m->beaten ? "" : " since it agreed to start");
	cluster_event(c, CLUSTER_LOST, node, "%s; with it %u CPUs and %llu MiB of memory", text,
		      m->cpus, (unsigned long long)(m->ram >> 20));
	lose(c, node, text);
}

void cluster_heard(struct cluster *c, uint64_t seen)
{
	if (c->state == CLUSTER_STOPPED || seen <= c->silent_at)
		return;
	c->silent_at = seen + c->config.lost_ns; /* or sooner */
	cluster_form_heard(c, seen);
	for (unsigned i = 0; i < c->count && cluster_runs(c); i++) {
		if (i != c->self && cluster_silent(c, c->members[i].heard, seen))
			lose_silent(c, seen, i);
	}
}

void cluster_beat_run(struct cluster *c, uint64_t now)
{
	c->beat_due = cluster_all(c) & ~(uint32_t)BIT(c->self);
	c->beat_at = now + c->config.beat_ns;
}

void cluster_alive(struct cluster *c, uint64_t now, unsigned node)
{
	if (cluster_runs(c) && node < c->count)
		c->members[node].heard = MAX(c->members[node].heard, now);
}

void cluster_beat_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		     const uint8_t mac[WIRE_MAC])
{
	const struct wire_beat *b = wire_body(head, sizeof(*b));
	struct cluster_member *m;

	if (b == NULL || c->epoch == 0 || b->epoch != c->epoch || head->src >= c->count ||
	    head->src == c->self || head->dst != c->self)
		return;
	m = &c->members[head->src];
	if (memcmp(m->mac, mac, WIRE_MAC) != 0 || b->life != m->life)
		return;
	/* Who beats was started, so everybody has agreed; our own START was lost. */
	if (c->state == CLUSTER_JOINING)
		cluster_run(c, now);
	if (!cluster_runs(c))
		return;
	/* One that was sent before another, or comes once more, says nothing about now. */
	if (b->sent < m->rx_sent)
		return;
	if (b->sent > m->rx_sent) {
		m->heard = MAX(m->heard, now);
		m->rx_sent = b->sent;
		m->rx_at = now;
	}
	m->beaten = true;
	m->alive = b->alive;
	c->start_due &= ~(uint32_t)BIT(head->src);
	if (b->flags & WIRE_FLAG_ASK)
		c->answer_due |= (uint32_t)BIT(head->src);
	else if (b->peer_sent != 0)
		clock_sample(&m->clock, b->peer_sent, b->received, b->sent, now);
	if (c->state == CLUSTER_STARTING)
		barrier(c);
}

void cluster_lost_in(struct cluster *c, const struct wire_head *head, const uint8_t mac[WIRE_MAC])
{
	const struct wire_lost *l = wire_body(head, sizeof(*l));
	char text[WIRE_TEXT];

	if (l == NULL || !cluster_runs(c) || l->epoch != c->epoch || l->node >= c->count ||
	    head->src >= c->count || head->src == c->self ||
	    memcmp(c->members[head->src].mac, mac, WIRE_MAC) != 0)
		return;
	cluster_text(text, l->text, sizeof(text));
	if (l->node == c->self)
		cluster_event(c, CLUSTER_LOST, l->node,
			      "node %u does not hear this node any more and stopped the cluster",
			      head->src);
	else
		cluster_event(c, CLUSTER_LOST, l->node, "%s (told by node %u)", text, head->src);
	lose(c, l->node, text);
}

static void member_stopped(struct cluster *c, const struct wire_head *head,
			   const uint8_t mac[WIRE_MAC], const struct wire_stop *s, const char *why)
{
	const struct cluster_member *m;
	char text[WIRE_TEXT];

	if (s->epoch != c->epoch || head->src >= c->count || head->src == c->self)
		return;
	m = &c->members[head->src];
	if (memcmp(m->mac, mac, WIRE_MAC) != 0 || s->life != m->life)
		return;
	cluster_event(c, CLUSTER_LOST, head->src, "node %u (" MAC_FMT ") stopped: %s", head->src,
		      MAC_ARGS(mac), why);
	fmt_print(text, sizeof(text), "node %u stopped: %s", head->src, why);
	lose(c, head->src, text);
}

void cluster_stop_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		     const uint8_t mac[WIRE_MAC])
{
	const struct wire_stop *s = wire_body(head, sizeof(*s));
	char why[WIRE_WHY];

	if (s == NULL || c->state == CLUSTER_STOPPED)
		return;
	cluster_text(why, s->text, sizeof(why));
	if (cluster_runs(c))
		member_stopped(c, head, mac, s, why);
	else
		cluster_left(c, now, mac, s->life, why);
}

void cluster_stop(struct cluster *c, const char *why)
{
	if (c->state == CLUSTER_STOPPED || c->config.nodes == 1)
		return;
	if (!cluster_runs(c))
		cluster_seek(c, CLUSTER_NEVER);
	c->state = CLUSTER_STOPPED;
	str_copy(c->stop_text, why, sizeof(c->stop_text));
	c->stop_due = CLUSTER_LOST_SENT;
	c->beat_at = c->vote_at = c->hello_at = CLUSTER_NEVER;
}
