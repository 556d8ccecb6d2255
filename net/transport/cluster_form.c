/* Seeking, offering, joining: how nodes become one membership. */
#include "net/transport/cluster_priv.h"

#include "hv/base/fmt.h"
#include "hv/base/string.h"

static struct cluster_candidate *candidate_get(struct cluster *c, const uint8_t mac[WIRE_MAC],
					       uint64_t life, uint64_t now)
{
	struct cluster_candidate *spare = NULL;

	for (unsigned i = 0; i < CLUSTER_CANDIDATES; i++) {
		struct cluster_candidate *n = &c->candidates[i];

		if (!n->used) {
			spare = spare ? spare : n;
		} else if (memcmp(n->mac, mac, WIRE_MAC) == 0) {
			if (n->hello.life == life)
				return n;
			spare = n; /* it restarted */
			break;
		}
	}
	if (spare == NULL)
		return NULL;
	memset(spare, 0, sizeof(*spare));
	spare->used = true;
	memcpy(spare->mac, mac, WIRE_MAC);
	spare->first = now;
	return spare;
}

static struct cluster_candidate *candidate_find(struct cluster *c, const uint8_t mac[WIRE_MAC])
{
	for (unsigned i = 0; i < CLUSTER_CANDIDATES; i++) {
		if (c->candidates[i].used && memcmp(c->candidates[i].mac, mac, WIRE_MAC) == 0)
			return &c->candidates[i];
	}
	return NULL;
}

static int member_find(const struct cluster *c, const uint8_t mac[WIRE_MAC])
{
	for (unsigned i = 0; i < c->count; i++) {
		if (memcmp(c->members[i].mac, mac, WIRE_MAC) == 0)
			return (int)i;
	}
	return -1;
}

static bool is_member(const struct cluster *c, const struct cluster_candidate *n)
{
	int i = member_find(c, n->mac);

	return i >= 0 && c->members[i].life == n->hello.life;
}

static bool leads_us(const struct cluster *c, const struct cluster_candidate *n)
{
	return cluster_leads(c, n->mac, n->hello.flags & WIRE_HAS_GUEST, c->config.mac,
			     c->config.has_guest);
}

/* Back to looking for others; the members of an offer of ours are told. */
void cluster_seek(struct cluster *c, uint64_t now)
{
	if (c->state == CLUSTER_OFFERING || c->state == CLUSTER_STARTING) {
		c->abort_due = 0;
		for (unsigned i = 0; i < c->count; i++) {
			memcpy(c->abort_macs[i], c->members[i].mac, WIRE_MAC);
			if (i != c->self)
				c->abort_due |= (uint32_t)BIT(i);
		}
		c->abort_epoch = c->epoch;
	}
	c->state = CLUSTER_SEEKING;
	c->count = 0;
	c->epoch = 0;
	c->offer_due = c->start_due = 0;
	c->accept_due = false;
	c->vote_at = CLUSTER_NEVER;
	c->hello_at = now;
}

static void stop_refused(struct cluster *c, const char *fmt, const uint8_t *mac, const char *detail)
{
	cluster_seek(c, CLUSTER_NEVER);
	c->state = CLUSTER_STOPPED;
	cluster_event(c, CLUSTER_REFUSED, WIRE_NOBODY, fmt, MAC_ARGS(mac), c->config.name, detail);
}

/* Says no to the candidate; a person reads it once, the candidate as often as it asks. */
static void refuse(struct cluster *c, struct cluster_candidate *n, enum cluster_reason reason,
		   const char *detail)
{
	n->refuse_due = c->refuse_due = true;
	str_copy(n->detail, detail, sizeof(n->detail));
	if (n->told == reason)
		return;
	n->told = reason;
	cluster_tell(c, CLUSTER_REFUSES, "node " MAC_FMT " is refused: it %s", MAC_ARGS(n->mac),
		     detail);
}

/* The reason a running cluster gives to a node that is not one of it. */
static enum cluster_reason late(const struct cluster *c, const struct cluster_candidate *n,
				char detail[WIRE_TEXT])
{
	enum cluster_reason reason = cluster_fits(c, n, detail);
	int i = member_find(c, n->mac);

	if (i >= 0 && reason != CLUSTER_MAC) {
		fmt_print(detail, WIRE_TEXT,
			  "has the MAC address of running node %d: it restarted, "
			  "or two NICs are alike",
			  i);
		return CLUSTER_MAC;
	}
	if (reason != CLUSTER_FITS)
		return reason;
	fmt_print(detail, WIRE_TEXT,
		  "comes too late: all %u nodes of the cluster are there already", c->count);
	return CLUSTER_FULL;
}

/* What the sentence for the refused candidate is; also says whether it is ours to refuse it. */
static enum cluster_reason judge(const struct cluster *c, const struct cluster_candidate *n,
				 char detail[WIRE_TEXT])
{
	bool ours = memcmp(n->mac, c->config.mac, WIRE_MAC) == 0;
	enum cluster_reason reason;

	if (c->state == CLUSTER_STOPPED)
		return CLUSTER_FITS;
	if (cluster_runs(c)) {
		if (is_member(c, n) || (!ours && c->self != c->head))
			return CLUSTER_FITS;
		return late(c, n, detail);
	}
	reason = cluster_fits(c, n, detail);
	return reason == CLUSTER_MAC || !leads_us(c, n) ? reason : CLUSTER_FITS;
}

static bool viable(const struct cluster *c, const struct cluster_candidate *n)
{
	char detail[WIRE_TEXT];

	return n->used && n->hello.state == WIRE_SEEKING &&
	       cluster_fits(c, n, detail) == CLUSTER_FITS;
}

unsigned cluster_found(const struct cluster *c)
{
	char detail[WIRE_TEXT];
	unsigned found = 1;

	for (unsigned i = 0; i < CLUSTER_CANDIDATES; i++)
		found += c->candidates[i].used &&
			 cluster_fits(c, &c->candidates[i], detail) == CLUSTER_FITS;
	return found;
}

/* Nobody has no CPU, or more RAM than a CPU can address (SDM vol. 3, 4.1.4). */
static bool hello_good(const struct wire_hello *h)
{
	return h->life != 0 && h->cpus != 0 && h->ram < BIT(52);
}

void cluster_hello_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		      const uint8_t mac[WIRE_MAC])
{
	const struct wire_hello *hello = wire_body(head, sizeof(*hello));
	struct cluster_candidate *n;
	enum cluster_reason reason;
	char detail[WIRE_TEXT];

	if (hello == NULL || hello->life == c->config.life || !hello_good(hello))
		return;
	if (strncmp(hello->name, c->config.name, WIRE_NAME) != 0) {
		c->foreign++;
		return;
	}
	n = candidate_get(c, mac, hello->life, now);
	if (n == NULL)
		return;
	n->hello = *hello;
	n->version = head->version;
	n->heard = now;
	reason = judge(c, n, detail);
	if (reason != CLUSTER_FITS) {
		refuse(c, n, reason, detail);
		return;
	}
	/* Two offers can stand against each other: the lesser head withdraws. */
	if (c->state == CLUSTER_OFFERING && viable(c, n) && leads_us(c, n))
		cluster_seek(c, now);
	cluster_form_run(c, now);
}

void cluster_refuse_in(struct cluster *c, const struct wire_head *head, const uint8_t mac[WIRE_MAC])
{
	const struct wire_refuse *r = wire_body(head, sizeof(*r));
	char detail[WIRE_TEXT];

	if (r == NULL || r->life != c->config.life || cluster_runs(c) ||
	    c->state == CLUSTER_STOPPED)
		return;
	/*
	 * Who refuses has said HELLO, or has our MAC. It says so again, so one that comes too early does no
	 * harm.
	 */
	if (candidate_find(c, mac) == NULL && memcmp(mac, c->config.mac, WIRE_MAC) != 0)
		return;
	cluster_text(detail, r->text, sizeof(detail));
	stop_refused(c, "node " MAC_FMT " of cluster '%s' refuses this node: it %s", mac, detail);
}

static void member_set(struct cluster_member *m, const struct wire_member *w)
{
	memset(m, 0, sizeof(*m));
	memcpy(m->mac, w->mac, WIRE_MAC);
	m->cpus = w->cpus;
	m->life = w->life;
	m->ram = w->ram;
	clock_init(&m->clock);
}

/* What the offer says about all is what its head has said, and no more than we have. */
static bool offer_fits(const struct cluster *c, const struct wire_offer *o,
		       const struct wire_hello *theirs)
{
	for (unsigned w = 0; w < WIRE_FEATURES; w++) {
		if (o->features[w] & ~(theirs->features[w] & c->config.features[w]))
			return false;
	}
	return o->epoch != 0 && o->count == c->config.nodes && o->head < o->count &&
	       o->tsc_khz == theirs->tsc_khz;
}

/* Everyone is there once, with a CPU at least, and member `self` is us as we are. */
static bool members_good(const struct cluster *c, const struct wire_member *m, unsigned count,
			 unsigned self)
{
	for (unsigned i = 0; i < count; i++) {
		for (unsigned k = 0; k < i; k++) {
			if (memcmp(m[i].mac, m[k].mac, WIRE_MAC) == 0)
				return false;
		}
		if (m[i].life == 0 || m[i].cpus == 0 || m[i].ram >= BIT(52))
			return false;
	}
	return m[self].life == c->config.life && m[self].cpus == c->config.cpus &&
	       m[self].ram == c->config.ram && memcmp(m[self].mac, c->config.mac, WIRE_MAC) == 0;
}

/* True when the offer, whose members are all there, is one that node `n` can make to us. */
static bool offer_good(const struct cluster *c, const struct wire_head *head,
		       const struct wire_offer *o, const struct cluster_candidate *n)
{
	const struct wire_member *m = (const struct wire_member *)(o + 1);

	return n != NULL && leads_us(c, n) && offer_fits(c, o, &n->hello) && head->dst < o->count &&
	       head->dst != o->head && memcmp(m[o->head].mac, n->mac, WIRE_MAC) == 0 &&
	       m[o->head].life == n->hello.life && members_good(c, m, o->count, head->dst);
}

void cluster_offer_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		      const uint8_t mac[WIRE_MAC])
{
	const struct wire_offer *o = wire_body(head, sizeof(*o));
	const struct wire_member *m;

	if (o == NULL || o->count > WIRE_NODES ||
	    wire_body(head, sizeof(*o) + o->count * sizeof(*m)) == NULL)
		return;
	if (!offer_good(c, head, o, candidate_find(c, mac)))
		return;
	m = (const struct wire_member *)(o + 1);
	if (c->state == CLUSTER_JOINING) {
		if (memcmp(c->members[c->head].mac, mac, WIRE_MAC) != 0)
			return; /* one promise at a time */
		c->members[c->head].heard = now;
		if (o->epoch == c->epoch)
			return;
	} else if (c->state == CLUSTER_OFFERING) {
		cluster_seek(c, now);
	} else if (c->state != CLUSTER_SEEKING) {
		return;
	}
	c->state = CLUSTER_JOINING;
	c->epoch = o->epoch;
	c->self = head->dst;
	c->head = o->head;
	c->count = o->count;
	c->tsc_khz = o->tsc_khz;
	memcpy(c->features, o->features, sizeof(c->features));
	for (unsigned i = 0; i < o->count; i++)
		member_set(&c->members[i], &m[i]);
	c->members[c->head].heard = now;
	c->vote_at = now;
}

static void accept_in(struct cluster *c, uint64_t now, int from)
{
	if (c->state == CLUSTER_STARTING || c->state == CLUSTER_RUNNING) {
		if (c->self == c->head)
			c->start_due |= (uint32_t)BIT(from); /* it has not heard of the start */
		return;
	}
	if (c->state != CLUSTER_OFFERING)
		return;
	c->members[from].accepted = true;
	c->offer_due &= ~(uint32_t)BIT(from);
	for (unsigned i = 0; i < c->count; i++) {
		if (!c->members[i].accepted)
			return;
	}
	cluster_run(c, now);
}

void cluster_vote_in(struct cluster *c, uint64_t now, const struct wire_head *head,
		     const uint8_t mac[WIRE_MAC])
{
	const struct wire_vote *v = wire_body(head, sizeof(*v));
	int from = member_find(c, mac);

	if (v == NULL || from < 0 || v->epoch != c->epoch || c->epoch == 0 ||
	    v->life != c->members[from].life)
		return;
	if (head->kind == WIRE_ACCEPT && c->self == c->head) {
		accept_in(c, now, from);
	} else if (c->state == CLUSTER_JOINING && from == c->head) {
		if (head->kind == WIRE_START)
			cluster_run(c, now);
		else if (head->kind == WIRE_ABORT)
			cluster_seek(c, now);
	}
}

static void member_from_candidate(struct cluster_member *m, const struct cluster_candidate *n)
{
	struct wire_member w = {.cpus = n->hello.cpus, .life = n->hello.life, .ram = n->hello.ram};

	memcpy(w.mac, n->mac, WIRE_MAC);
	member_set(m, &w);
}

static void member_self(const struct cluster *c, struct cluster_member *m)
{
	struct wire_member w = {
		.cpus = c->config.cpus, .life = c->config.life, .ram = c->config.ram};

	memcpy(w.mac, c->config.mac, WIRE_MAC);
	member_set(m, &w);
	m->accepted = m->beaten = true;
}

/* Node 0 is the head; the others follow by MAC. */
static void members_sort(struct cluster *c)
{
	for (unsigned i = 2; i < c->count; i++) {
		for (unsigned k = i;
		     k > 1 && memcmp(c->members[k].mac, c->members[k - 1].mac, WIRE_MAC) < 0; k--) {
			struct cluster_member t = c->members[k];

			c->members[k] = c->members[k - 1];
			c->members[k - 1] = t;
		}
	}
}

static void offer(struct cluster *c, uint64_t now, struct cluster_candidate **chosen,
		  unsigned count)
{
	c->count = (uint16_t)(count + 1);
	c->self = c->head = 0;
	c->tsc_khz = c->config.tsc_khz;
	memcpy(c->features, c->config.features, sizeof(c->features));
	member_self(c, &c->members[0]);
	for (unsigned i = 0; i < count; i++) {
		member_from_candidate(&c->members[i + 1], chosen[i]);
		for (unsigned w = 0; w < WIRE_FEATURES; w++)
			c->features[w] &= chosen[i]->hello.features[w];
	}
	members_sort(c);
	c->offers++;
	c->epoch = wire_sum(&c->offers, sizeof(c->offers), c->config.life) | 1;
	c->state = CLUSTER_OFFERING;
	c->offer_due = cluster_all(c) & ~1u;
	c->vote_at = now;
	if (count == 0)
		cluster_run(c, now);
}

/* Makes an offer when we hear enough nodes and lead them all; those heard first are taken. */
static void seek_run(struct cluster *c, uint64_t now)
{
	struct cluster_candidate *chosen[WIRE_NODES];
	unsigned want = c->config.nodes - 1u, count = 0;

	for (unsigned i = 0; i < CLUSTER_CANDIDATES; i++) {
		struct cluster_candidate *n = &c->candidates[i];
		unsigned k;

		if (!viable(c, n))
			continue;
		if (leads_us(c, n))
			return;
		for (k = count; k > 0 && chosen[k - 1]->first > n->first; k--) {
			if (k < WIRE_NODES)
				chosen[k] = chosen[k - 1];
		}
		if (k < WIRE_NODES)
			chosen[k] = n;
		count = MIN(count + 1, (unsigned)WIRE_NODES);
	}
	/* A named head is waited for. */
	if (count < want || (memcmp(c->config.head, "\0\0\0\0\0", WIRE_MAC) != 0 &&
			     memcmp(c->config.head, c->config.mac, WIRE_MAC) != 0))
		return;
	offer(c, now, chosen, want);
}

/* Withdraws the offer when a member is gone, restarted, or runs with others. */
static void offer_run(struct cluster *c, uint64_t now)
{
	for (unsigned i = 1; i < c->count; i++) {
		struct cluster_candidate *n = candidate_find(c, c->members[i].mac);

		if (n != NULL && n->hello.life == c->members[i].life &&
		    n->hello.state <= WIRE_JOINING)
			continue;
		cluster_tell(c, CLUSTER_NOTE,
			     "node " MAC_FMT " vanished while the cluster formed; it forms anew",
			     MAC_ARGS(c->members[i].mac));
		cluster_seek(c, now);
		return;
	}
}

void cluster_form_run(struct cluster *c, uint64_t now)
{
	if (c->state == CLUSTER_OFFERING)
		offer_run(c, now);
	if (c->state == CLUSTER_SEEKING)
		seek_run(c, now);
}

void cluster_form_heard(struct cluster *c, uint64_t seen)
{
	bool gone = false;

	for (unsigned i = 0; i < CLUSTER_CANDIDATES; i++) {
		struct cluster_candidate *n = &c->candidates[i];

		if (n->used && cluster_silent(c, n->heard, seen)) {
			n->used = false;
			gone = true;
		}
	}
	if (c->state == CLUSTER_JOINING && cluster_silent(c, c->members[c->head].heard, seen)) {
		cluster_tell(c, CLUSTER_NOTE,
			     "head " MAC_FMT " vanished while the cluster formed; it forms anew",
			     MAC_ARGS(c->members[c->head].mac));
		cluster_seek(c, seen);
	}
	if (gone)
		cluster_form_run(c, seen);
}

void cluster_left(struct cluster *c, uint64_t now, const uint8_t mac[WIRE_MAC], uint64_t life,
		  const char *text)
{
	struct cluster_candidate *n = candidate_find(c, mac);

	if (n == NULL || n->hello.life != life)
		return;
	cluster_tell(c, CLUSTER_NOTE, "node " MAC_FMT " stopped: %s", MAC_ARGS(mac), text);
	n->used = false;
	if (c->state == CLUSTER_JOINING && memcmp(c->members[c->head].mac, mac, WIRE_MAC) == 0)
		cluster_seek(c, now);
	cluster_form_run(c, now);
}
