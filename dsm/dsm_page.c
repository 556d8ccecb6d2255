/* What a node does with its copies: grants that come, requests that wait, flushes. */
#include "dsm/dsm_state.h"

struct dsm_action *page_act(struct step *s, enum dsm_action_kind kind, const struct page *p)
{
	struct dsm_action *a = step_act(s, kind);

	a->gfn = p->gfn;
	a->frame = page_frame(s->d, p);
	return a;
}

static bool page_busy(const struct page *p)
{
	return p->pend || p->evict || p->flushing || p->read_holds || p->write_holds ||
	       p->q_head != DSM_NIL;
}

void page_settle(struct step *s, struct page *p)
{
	bool homed = page_homed(s->d, p);

	if (!p->used || page_busy(p) || (!homed && p->state != PAGE_NONE))
		return;
	if (!homed)
		page_act(s, DSM_ACT_DROP, p);
	page_free(s->d, p);
}

void page_kick(struct step *s, struct page *p, enum dsm_perm perm)
{
	page_act(s, DSM_ACT_KICK, p)->perm = perm;
	p->flushing = true;
	p->flush_to = (uint8_t)perm;
	dsm_count(s->d)->kicks++;
}

void page_map(struct step *s, struct page *p, bool write)
{
	enum dsm_perm perm = DSM_PERM_READ;

	if (p->state == PAGE_WRITABLE && (write || !guess_open(s->d, p->gfn)))
		perm = DSM_PERM_WRITE;
	if (write && guess_open(s->d, p->gfn))
		guess_written(s->d, p->gfn);

	p->touched = true;
	if (p->mapped >= perm)
		return;
	page_act(s, DSM_ACT_MAP, p)->perm = perm;
	p->mapped = (uint8_t)perm;
}

static void fill_from(struct step *s, struct page *p, const struct dsm_msg *m)
{
	if (!(m->flags & (DSM_F_PAGE | DSM_F_ZERO)))
		return;
	page_act(s, m->flags & DSM_F_PAGE ? DSM_ACT_FILL : DSM_ACT_ZERO, p);
	dsm_count(s->d)->zero_fills += m->flags & DSM_F_ZERO ? 1 : 0;
}

/* The rights left to this node once `it` is served. */
static enum dsm_perm perm_after(const struct item *it)
{
	return it->type == DSM_FWD_READ ? DSM_PERM_READ : DSM_PERM_NONE;
}

/* What takes a page that is only read here waits for instructions, and not for reads that are kept. */
static bool item_held_up(struct dsm *d, struct page *p, const struct item *it)
{
	if (DSM_MUTANT(MUT_NO_HOLD))
		return false;
	if (p->write_holds || perm_after(it) != DSM_PERM_NONE)
		return p->write_holds;
	if (p->read_holds)
		kept_reads_end(d, p);
	return p->read_holds;
}

static bool mutant_skips_flush(const struct item *it)
{
	return (DSM_MUTANT(MUT_ACK_BEFORE_FLUSH) && it->type == DSM_INV) ||
	       (DSM_MUTANT(MUT_GRANT_BEFORE_FLUSH) && it->type == DSM_FWD_WRITE) ||
	       (DSM_MUTANT(MUT_DOWNGRADE_NO_FLUSH) && it->type == DSM_FWD_READ);
}

static void item_serve(struct step *s, struct page *p, const struct item *it)
{
	struct dsm_msg m = {.gfn = p->gfn,
			    .version = it->version,
			    .requester = it->requester,
			    .waited = dsm_waited(s->d->now - it->since_ns)};
	uint8_t content = it->version == 0 ? DSM_F_ZERO : DSM_F_PAGE;

	if (DSM_MUTANT(MUT_ZERO_AFTER_WRITE) && it->version == 1)
		content = DSM_F_ZERO;
	dsm_count(s->d)->waited_ns += s->d->now - it->since_ns;
	guess_lost(s->d, p->gfn);
	if (it->type == DSM_FWD_READ) {
		m.type = DSM_DATA;
		m.flags = content;
		if (p->state == PAGE_WRITABLE)
			p->state = PAGE_OWNED;
	} else {
		m.type = it->type == DSM_INV ? DSM_ACK : DSM_GRANT;
		m.version++;
		m.acks = it->acks;
		if (it->type == DSM_FWD_WRITE && !(it->flags & DSM_F_HAVE))
			m.flags = content;
		p->state = PAGE_NONE;
	}
	step_send(s, it->requester, &m, p);
}

/* True when the request at the head of the queue was served. */
static bool page_serve_first(struct step *s, struct page *p)
{
	const struct item *it = &dsm_items(s->d)[p->q_head];

	if (p->flushing || !page_readable(p) || p->version != it->version ||
	    item_held_up(s->d, p, it))
		return false;
	if (p->mapped > perm_after(it) && !mutant_skips_flush(it)) {
		page_kick(s, p, perm_after(it));
		return false;
	}
	item_serve(s, p, it);
	item_pop(s->d, p);
	return true;
}

void page_run(struct step *s, struct page *p)
{
	gfn_t gfn = p->gfn;
	bool served = false;

	while (p->q_head != DSM_NIL && page_serve_first(s, p))
		served = true;
	if (served)
		agents_wake(s, gfn, false);
	p = page_find(s->d, gfn);
	if (p)
		page_settle(s, p);
}

int page_flushed(struct step *s, gfn_t gfn)
{
	struct page *p = page_find(s->d, gfn);

	if (!p || !p->flushing)
		return ERR_INVALID;
	p->flushing = false;
	p->mapped = p->flush_to;
	if (p->evict == EVICT_FLUSH)
		evict_send(s, p);
	page_run(s, p);
	return 0;
}

/* DSM_FWD_READ, DSM_FWD_WRITE or DSM_INV: it waits in the page's queue, maybe for no time at all. */
int page_defer(struct step *s, struct page *p, const struct dsm_msg *m)
{
	bool here = page_readable(p) && p->version == m->version;
	struct item *it;

	if (DSM_MUTANT(MUT_INV_NOT_DEFERRED) && m->type == DSM_INV && !here) {
		struct dsm_msg ack = {.type = DSM_ACK, .gfn = p->gfn, .version = m->version + 1};

		step_send(s, m->requester, &ack, p);
		return 0;
	}
	if (!here && !p->pend)
		return step_stop(s, "a peer asked for a copy of a page that this node does "
				    "not have: the cluster's directories disagree");
	it = item_push(s->d, p);
	if (!it)
		return step_stop(s, "more requests wait than all nodes together may make: "
				    "a peer breaks the protocol");
	it->type = m->type;
	it->flags = m->flags;
	it->requester = m->requester;
	it->acks = m->acks;
	it->version = m->version;
	it->since_ns = s->d->now;
	page_run(s, p);
	p = page_find(s->d, m->gfn);
	dsm_count(s->d)->deferred += p && p->q_head != DSM_NIL;
	return 0;
}

/*
 * What a fetch takes that nobody holds back. What holders made us wait does not count: holds grow with this
 * time, and would make each other grow. It follows the quick ones, and rises slowly.
 */
static void fetch_took(struct dsm *d, uint64_t took, uint16_t waited)
{
	uint64_t held = dsm_waited_ns(waited), ns = took > held ? took - held : 0;

	if (waited == DSM_WAITED_LONG)
		return;
	if (!d->fetch_ns || ns < d->fetch_ns)
		d->fetch_ns = ns;
	else
		d->fetch_ns = MIN(ns, d->fetch_ns + d->fetch_ns / 64 + 1);
}

/* The copy is here: those who asked for it take their holds first, then come the others. */
static void page_arrived(struct step *s, struct page *p)
{
	gfn_t gfn = p->gfn;

	p->pend = PEND_NONE;
	fetch_took(s->d, s->d->now - p->asked_ns, p->waited);
	if (p->ahead)
		ahead_came(s, p);
	agents_wake(s, gfn, true);
	p = page_find(s->d, gfn);
	if (p)
		page_run(s, p);
}

static void write_complete(struct step *s, struct page *p)
{
	bool mutant = DSM_MUTANT(MUT_GRANT_NO_ACKS);

	if (!p->granted || (p->acks != 0 && !mutant))
		return;
	p->state = PAGE_WRITABLE;
	p->version = p->granted;
	p->granted = 0;
	p->acks = 0;
	page_arrived(s, p);
}

static int on_data(struct step *s, struct page *p, const struct dsm_msg *m)
{
	if (p->pend != PEND_READ)
		return step_stop(s, "a peer sent a page nobody here has asked for");
	fill_from(s, p, m);
	p->waited = m->waited;
	p->state = PAGE_SHARED;
	p->version = m->version;
	page_arrived(s, p);
	return 0;
}

static int on_grant(struct step *s, struct page *p, const struct dsm_msg *m)
{
	bool with_content = m->flags & (DSM_F_PAGE | DSM_F_ZERO);
	bool current = page_readable(p) && p->version + 1 == m->version;

	if (p->pend != PEND_WRITE || p->granted || m->version == 0)
		return step_stop(s, "a peer granted a write nobody here has asked for");
	if (!with_content && !current)
		return step_stop(s, "a peer granted a write without the page, "
				    "but the copy here is not current");
	fill_from(s, p, m);
	dsm_count(s->d)->upgrades += !with_content;
	p->granted = m->version;
	p->waited = MAX(p->waited, m->waited);
	p->acks += m->acks;
	if (p->acks < 0)
		return step_stop(s, "more acknowledgements came than copies there were");
	write_complete(s, p);
	return 0;
}

static int on_ack(struct step *s, struct page *p, const struct dsm_msg *m)
{
	if (DSM_MUTANT(MUT_GRANT_NO_ACKS) && p->pend != PEND_WRITE)
		return 0;
	if (p->pend != PEND_WRITE || (p->granted && (p->granted != m->version || p->acks == 0)) ||
	    p->acks <= -(int32_t)s->d->cfg.nodes)
		return step_stop(s, "a peer acknowledged an invalidation nobody here waits for");
	p->acks--;
	p->waited = MAX(p->waited, m->waited);
	write_complete(s, p);
	return 0;
}

static int on_put_ack(struct step *s, struct page *p)
{
	gfn_t gfn = p->gfn;

	if (p->evict != EVICT_SENT || p->q_head != DSM_NIL)
		return step_stop(s, "the home confirmed an eviction that did not take place");
	p->evict = EVICT_NONE;
	p->state = PAGE_NONE;
	s->d->evicting--;
	page_settle(s, p);
	agents_wake(s, gfn, false);
	return 0;
}

int page_message(struct step *s, uint16_t from, const struct dsm_msg *m)
{
	bool ordered = m->type == DSM_FWD_READ || m->type == DSM_FWD_WRITE || m->type == DSM_INV;
	struct page *p = page_find(s->d, m->gfn);

	if ((ordered || m->type == DSM_PUT_ACK) && from != dsm_home(s->d, m->gfn))
		return step_stop(s, "a peer gave orders about a page it is not home to");
	if (DSM_MUTANT(MUT_GRANT_NO_ACKS) && !p)
		return 0;
	if (!p)
		return step_stop(s, "a peer sent word of a page that this node knows nothing of: "
				    "the cluster's directories disagree");
	if (ordered && (m->requester >= s->d->cfg.nodes || m->requester == s->d->cfg.self))
		return step_stop(s,
				 "a peer forwarded a request for a node that can't have made it");
	switch (m->type) {
	case DSM_DATA:
		return on_data(s, p, m);
	case DSM_GRANT:
		return on_grant(s, p, m);
	case DSM_ACK:
		return on_ack(s, p, m);
	case DSM_PUT_ACK:
		return on_put_ack(s, p);
	default:
		return page_defer(s, p, m);
	}
}
