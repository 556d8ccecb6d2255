/* Cluster formation's front: set-up, frames in, frames out, events. */
#include "net/transport/cluster.h"

#include "hv/base/fmt.h"
#include "hv/base/string.h"
#include "net/transport/cluster_priv.h"

static const uint8_t everybody[WIRE_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

void cluster_init(struct cluster *c, const struct cluster_config *config, uint64_t now)
{
	ASSERT(config->nodes >= 1 && config->nodes <= WIRE_NODES && config->life != 0);
	memset(c, 0, sizeof(*c));
	c->config = *config;
	c->hello_at = now;
	c->hello_wait = MIN(CLUSTER_HELLO_MIN, config->beat_ns);
	c->vote_at = c->beat_at = CLUSTER_NEVER;
	cluster_form_run(c, now);
	if (config->nodes == 1)
		c->hello_at = c->vote_at = c->beat_at = CLUSTER_NEVER;
}

void cluster_event(struct cluster *c, enum cluster_event_kind kind, unsigned node, const char *fmt,
		   ...)
{
	struct cluster_event *e;
	va_list ap;

	if (c->event_count == CLUSTER_EVENTS) {
		/* Nobody reads them: the oldest goes. */
		c->event_first = (c->event_first + 1) % CLUSTER_EVENTS;
		c->event_count--;
		c->dropped_events++;
	}
	e = &c->events[(c->event_first + c->event_count++) % CLUSTER_EVENTS];
	e->kind = kind;
	e->node = (uint16_t)node;
	va_start(ap, fmt);
	fmt_vprint(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
}

void cluster_tell(struct cluster *c, enum cluster_event_kind kind, const char *fmt, ...)
{
	char text[sizeof(((struct cluster_event *)0)->text) - 40];
	va_list ap;

	if (c->told == CLUSTER_TOLD_MAX)
		return;
	c->told++;
	va_start(ap, fmt);
	fmt_vprint(text, sizeof(text), fmt, ap);
	va_end(ap);
	cluster_event(c, kind, WIRE_NOBODY, "%s%s", text,
		      c->told == CLUSTER_TOLD_MAX ? "; no more is said of others" : "");
}

void cluster_text(char *out, const char *text, size_t size)
{
	memcpy(out, text, size);
	out[size - 1] = '\0';
	for (char *p = out; *p; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

bool cluster_poll(struct cluster *c, struct cluster_event *event)
{
	if (c->event_count == 0)
		return false;
	*event = c->events[c->event_first];
	c->event_first = (c->event_first + 1) % CLUSTER_EVENTS;
	c->event_count--;
	return true;
}

void cluster_rx(struct cluster *c, uint64_t now, const void *frame, size_t len)
{
	int err;
	const struct wire_head *head = wire_check(frame, len, &err);
	const uint8_t *mac = wire_eth_of(frame)->src;

	if (c->config.nodes == 1)
		return; /* alone by choice: others of the name are none of its business */
	if (err && err != ERR_UNSUPPORTED) {
		c->damaged += err == ERR_INVALID;
		return;
	}
	if (head->cluster != wire_cluster_hash(c->config.name)) {
		c->foreign++;
		return;
	}
	if (head->kind == WIRE_HELLO)
		cluster_hello_in(c, now, head, mac);
	else if (head->kind == WIRE_REFUSE)
		cluster_refuse_in(c, head, mac);
	if (err)
		return;
	switch (head->kind) {
	case WIRE_OFFER:
		cluster_offer_in(c, now, head, mac);
		break;
	case WIRE_ACCEPT:
	case WIRE_START:
	case WIRE_ABORT:
		cluster_vote_in(c, now, head, mac);
		break;
	case WIRE_BEAT:
		cluster_beat_in(c, now, head, mac);
		break;
	case WIRE_LOST:
		cluster_lost_in(c, head, mac);
		break;
	case WIRE_STOP:
		cluster_stop_in(c, now, head, mac);
		break;
	default:
		break;
	}
}

static void *body_of(void *frame)
{
	return (uint8_t *)frame + WIRE_ETH + sizeof(struct wire_head);
}

static size_t seal(struct cluster *c, void *frame, enum wire_kind kind, const uint8_t dst[WIRE_MAC],
		   unsigned node, size_t body)
{
	struct wire_head *head = (struct wire_head *)((uint8_t *)frame + WIRE_ETH);
	bool numbered = cluster_runs(c) || (c->state == CLUSTER_STOPPED && c->epoch != 0);

	head->kind = (uint8_t)kind;
	head->cluster = wire_cluster_hash(c->config.name);
	head->src_id = head->dst_id = 0;
	head->src = numbered ? c->self : WIRE_NOBODY;
	head->dst = (uint16_t)node;
	return wire_seal(frame, dst, c->config.mac, body);
}

static size_t tx_hello(struct cluster *c, void *frame)
{
	static const uint8_t states[] = {
		[CLUSTER_SEEKING] = WIRE_SEEKING, [CLUSTER_OFFERING] = WIRE_SEEKING,
		[CLUSTER_JOINING] = WIRE_JOINING, [CLUSTER_STARTING] = WIRE_RUNNING,
		[CLUSTER_RUNNING] = WIRE_RUNNING, [CLUSTER_STOPPED] = WIRE_STOPPED,
	};
	const struct cluster_config *config = &c->config;
	struct wire_hello *h = body_of(frame);

	c->hello_due = false;
	memset(h, 0, sizeof(*h));
	str_copy(h->name, config->name, sizeof(h->name));
	h->life = config->life;
	h->ram = config->ram;
	h->tsc_khz = config->tsc_khz;
	h->nodes = config->nodes;
	h->cpus = config->cpus;
	h->state = states[c->state];
	h->flags = (uint8_t)((config->has_guest ? WIRE_HAS_GUEST : 0) |
			     (config->tsc_invariant ? WIRE_TSC_INVARIANT : 0));
	memcpy(h->head, config->head, WIRE_MAC);
	memcpy(h->features, config->features, sizeof(h->features));
	memcpy(h->needs, config->needs, sizeof(h->needs));
	return seal(c, frame, WIRE_HELLO, everybody, WIRE_NOBODY, sizeof(*h));
}

static size_t tx_refuse(struct cluster *c, struct cluster_candidate *n, void *frame)
{
	struct wire_refuse *r = body_of(frame);

	n->refuse_due = false;
	memset(r, 0, sizeof(*r));
	r->life = n->hello.life;
	r->reason = n->told;
	str_copy(r->text, n->detail, sizeof(r->text));
	return seal(c, frame, WIRE_REFUSE, everybody, WIRE_NOBODY, sizeof(*r));
}

static size_t tx_vote(struct cluster *c, void *frame, enum wire_kind kind, uint64_t epoch,
		      const uint8_t mac[WIRE_MAC], unsigned node)
{
	struct wire_vote *v = body_of(frame);

	v->epoch = epoch;
	v->life = c->config.life;
	return seal(c, frame, kind, mac, node, sizeof(*v));
}

static size_t tx_offer(struct cluster *c, unsigned node, void *frame)
{
	struct wire_offer *o = body_of(frame);
	struct wire_member *m = (struct wire_member *)(o + 1);

	o->epoch = c->epoch;
	o->tsc_khz = c->tsc_khz;
	o->count = c->count;
	o->head = c->head;
	memcpy(o->features, c->features, sizeof(o->features));
	for (unsigned i = 0; i < c->count; i++) {
		memcpy(m[i].mac, c->members[i].mac, WIRE_MAC);
		m[i].cpus = c->members[i].cpus;
		m[i].life = c->members[i].life;
		m[i].ram = c->members[i].ram;
	}
	return seal(c, frame, WIRE_OFFER, c->members[node].mac, node,
		    sizeof(*o) + c->count * sizeof(*m));
}

static size_t tx_beat(struct cluster *c, uint64_t now, unsigned node, bool ask, void *frame)
{
	const struct cluster_member *m = &c->members[node];
	struct wire_beat *b = body_of(frame);

	b->epoch = c->epoch;
	b->life = c->config.life;
	b->sent = now;
	b->peer_sent = m->rx_sent;
	b->received = m->rx_at;
	b->alive = 0;
	for (unsigned i = 0; i < c->count; i++)
		b->alive |= c->members[i].beaten ? (uint32_t)BIT(i) : 0;
	b->flags = ask ? WIRE_FLAG_ASK : 0;
	return seal(c, frame, WIRE_BEAT, m->mac, node, sizeof(*b));
}

static size_t tx_lost(struct cluster *c, void *frame)
{
	struct wire_lost *l = body_of(frame);

	c->lost_due--;
	memset(l, 0, sizeof(*l));
	l->epoch = c->epoch;
	l->node = c->lost_node;
	str_copy(l->text, c->lost_text, sizeof(l->text));
	return seal(c, frame, WIRE_LOST, everybody, WIRE_NOBODY, sizeof(*l));
}

static size_t tx_stop(struct cluster *c, void *frame)
{
	struct wire_stop *s = body_of(frame);

	c->stop_due--;
	memset(s, 0, sizeof(*s));
	s->epoch = c->epoch;
	s->life = c->config.life;
	str_copy(s->text, c->stop_text, sizeof(s->text));
	return seal(c, frame, WIRE_STOP, everybody, WIRE_NOBODY, sizeof(*s));
}

/* Takes the lowest node out of a set that is not empty. */
static unsigned pick(uint32_t *set)
{
	unsigned node = bit_lowest(*set);

	*set &= *set - 1;
	return node;
}

static void timers(struct cluster *c, uint64_t now)
{
	if (c->hello_at <= now) {
		c->hello_due = true;
		c->hello_at = now + c->hello_wait;
		c->hello_wait = MIN(2 * c->hello_wait, c->config.beat_ns);
		cluster_form_run(c, now);
	}
	if (c->vote_at <= now) {
		if (c->state == CLUSTER_JOINING)
			c->accept_due = true;
		for (unsigned i = 0; i < c->count && c->self == c->head; i++) {
			/* Who has accepted would take silence for the head's end. */
			if (c->state == CLUSTER_OFFERING && i != c->self)
				c->offer_due |= (uint32_t)BIT(i);
			if (c->state == CLUSTER_STARTING && !c->members[i].beaten)
				c->start_due |= (uint32_t)BIT(i);
		}
		c->vote_at =
			c->state == CLUSTER_RUNNING ? CLUSTER_NEVER : now + c->config.beat_ns / 2;
	}
	if (c->beat_at <= now)
		cluster_beat_run(c, now);
}

static size_t tx_refusals(struct cluster *c, void *frame)
{
	for (unsigned i = 0; c->refuse_due && i < CLUSTER_CANDIDATES; i++) {
		if (c->candidates[i].refuse_due)
			return tx_refuse(c, &c->candidates[i], frame);
	}
	c->refuse_due = false;
	return 0;
}

size_t cluster_tx(struct cluster *c, uint64_t now, void *buf)
{
	size_t len;
	unsigned n;

	timers(c, now);
	if (c->stop_due > 0)
		return tx_stop(c, buf);
	if (c->lost_due > 0)
		return tx_lost(c, buf);
	if (c->abort_due) {
		n = pick(&c->abort_due);
		return tx_vote(c, buf, WIRE_ABORT, c->abort_epoch, c->abort_macs[n], n);
	}
	len = tx_refusals(c, buf);
	if (len > 0 || c->state == CLUSTER_STOPPED)
		return len;
	if (c->accept_due) {
		c->accept_due = false;
		return tx_vote(c, buf, WIRE_ACCEPT, c->epoch, c->members[c->head].mac, c->head);
	}
	if (c->offer_due)
		return tx_offer(c, pick(&c->offer_due), buf);
	if (c->start_due) {
		n = pick(&c->start_due);
		return tx_vote(c, buf, WIRE_START, c->epoch, c->members[n].mac, n);
	}
	if (c->answer_due)
		return tx_beat(c, now, pick(&c->answer_due), false, buf);
	if (c->beat_due)
		return tx_beat(c, now, pick(&c->beat_due), true, buf);
	return c->hello_due ? tx_hello(c, buf) : 0;
}

uint64_t cluster_deadline(const struct cluster *c)
{
	if (c->lost_due || c->stop_due || c->abort_due || c->accept_due || c->offer_due ||
	    c->start_due || c->answer_due || c->beat_due || c->hello_due || c->refuse_due ||
	    c->event_count)
		return 0;
	return MIN(c->hello_at, MIN(c->vote_at, c->beat_at));
}

void cluster_describe(const struct cluster *c, unsigned node, char *buf, size_t size)
{
	const struct cluster_member *m = &c->members[node];

	fmt_print(buf, size, "node %u: " MAC_FMT ", %u CPUs, %llu MiB%s", node, MAC_ARGS(m->mac),
		  m->cpus, (unsigned long long)(m->ram >> 20), node == c->head ? ", head" : "");
}
