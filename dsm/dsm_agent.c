/*
 * Agents: vCPUs and hypervisor code that need pages, sometimes several at once. An agent holds what it
 * was given until it has used it, and it never waits for a page while it holds a higher one; so no
 * circle of waiting can close, whatever the instructions need.
 */
#include "dsm/dsm_state.h"

static void hold_change(struct page *p, bool write, int by)
{
	if (write)
		p->write_holds = (uint16_t)(p->write_holds + by);
	else
		p->read_holds = (uint16_t)(p->read_holds + by);
}

/* Gives up the holds from the `first` needed page on; then others may have the pages. */
static void drop_from(struct step *s, struct agent *a, uint32_t first)
{
	gfn_t gfns[DSM_SET_MAX];
	uint32_t count = 0;

	for (uint32_t i = first; i < a->count; i++) {
		if (!a->set[i].held)
			continue;
		a->set[i].held = false;
		hold_change(page_find(s->d, a->set[i].gfn), a->set[i].write, -1);
		gfns[count++] = a->set[i].gfn;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct page *p = page_find(s->d, gfns[i]);

		if (p)
			page_run(s, p);
	}
}

/* Ends the kept holds that are over at `now`. */
static void kept_end(struct step *s, struct agent *a, uint64_t now)
{
	struct kept *kept = dsm_kept(s->d, a);

	/* From the last on: page_run() may end others of them, whose places the last ones take. */
	for (uint32_t i = a->kept_count; i-- > 0;) {
		struct kept k = kept[i];
		struct page *p = page_find(s->d, k.gfn);

		if (i >= a->kept_count || k.until > now || DSM_MUTANT(MUT_KEPT_FOR_GOOD))
			continue;
		kept[i] = kept[--a->kept_count];
		hold_change(p, k.write, -1);
		page_run(s, p);
	}
}

void kept_reads_end(struct dsm *d, struct page *p)
{
	for (uint32_t n = 0; n < d->cfg.agents; n++) {
		struct agent *a = &dsm_agents(d)[n];
		struct kept *kept = dsm_kept(d, a);

		for (uint32_t i = a->kept_count; i-- > 0;) {
			if (kept[i].gfn != p->gfn || kept[i].write)
				continue;
			kept[i] = kept[--a->kept_count];
			p->read_holds--;
		}
	}
}

/* The agent goes on to another instruction: what it holds stays for the rest of its time. */
static void agent_keep(struct step *s, struct agent *a)
{
	struct kept *kept = dsm_kept(s->d, a);

	if (a->state != AGENT_RUN || a->deadline_ns <= s->d->now)
		return;
	for (uint32_t i = 0; i < a->count && a->kept_count < s->d->cfg.kept_max; i++) {
		struct need *n = &a->set[i];

		if (!n->held)
			continue;
		n->held = DSM_MUTANT(MUT_KEPT_TWICE);
		kept[a->kept_count++] = (struct kept){n->gfn, a->deadline_ns, n->write};
	}
}

static bool page_allows(const struct page *p, bool write)
{
	return !p->flushing && !p->evict && (write ? p->state == PAGE_WRITABLE : page_readable(p));
}

void page_ask(struct step *s, struct page *p, bool write)
{
	struct dsm_msg m = {.gfn = p->gfn, .requester = s->d->cfg.self};

	m.type = write ? DSM_REQ_WRITE : DSM_REQ_READ;
	if (write && page_readable(p)) {
		m.flags = DSM_F_HAVE;
		m.version = p->version;
	}
	p->pend = write ? PEND_WRITE : PEND_READ;
	p->acks = 0;
	p->granted = 0;
	p->waited = 0;
	p->asked_ns = s->d->now;
	step_send(s, dsm_home(s->d, p->gfn), &m, NULL);
}

static void page_request(struct step *s, struct page *p, bool write)
{
	if (p->pend || p->flushing || p->evict || p->q_head != DSM_NIL)
		return;
	if (write && p->state == PAGE_SHARED)
		guess_written(s->d, p->gfn);
	else if (!write && guess_write(s->d, p->gfn))
		write = true;
	page_ask(s, p, write);
	if (write && p->version == 0)
		ahead_ask(s, p->gfn);
}

/* Holds one page, or sets out to get it and returns false. */
static bool need_hold(struct step *s, struct agent *a, struct need *n, bool granted)
{
	struct page *p = page_get(s->d, n->gfn);

	a->no_frame = !p;
	if (!p)
		return false;
	if (!page_allows(p, n->write) || (p->q_head != DSM_NIL && !granted)) {
		a->remote |= dsm_home(s->d, n->gfn) != s->d->cfg.self || p->q_head != DSM_NIL;
		page_request(s, p, n->write);
		return false;
	}
	if (page_homed(s->d, p) && !frame_take(s, dsm_dir(s->d, p->gfn))) {
		a->no_frame = true;
		page_settle(s, p);
		return false;
	}
	if (p->version == 0 && page_homed(s->d, p) && p->mapped == DSM_PERM_NONE)
		page_act(s, DSM_ACT_ZERO, p);
	page_map(s, p, n->write);
	hold_change(p, n->write, 1);
	n->held = true;
	return true;
}

/* Long enough that a page which two nodes need all the time is mostly in use, and not mostly on the wire. */
static uint64_t hold_time(const struct dsm *d, const struct agent *a)
{
	uint64_t least = d->cfg.hold_ns << MIN(a->tries, 16);

	return MIN(MAX(least, d->cfg.hold_fetches * d->fetch_ns), d->cfg.hold_max_ns);
}

static void agent_resume(struct step *s, struct agent *a)
{
	struct dsm *d = s->d;
	uint64_t took = d->now - a->since_ns;

	step_act(s, DSM_ACT_RESUME)->agent = (uint16_t)(a - dsm_agents(d));
	dsm_count(d)->faults_local += !a->remote;
	a->state = AGENT_RUN;
	a->deadline_ns = d->now + hold_time(d, a);
	hist_add(a->access == DSM_WRITE ? &dsm_count(d)->write_ns : &dsm_count(d)->read_ns, took);
}

/* Somebody waits for a frame: pages that are only kept are let go, so that they can be evicted. */
static void keep_nothing(struct step *s)
{
	struct agent *agents = dsm_agents(s->d);

	for (uint32_t i = 0; i < s->d->cfg.agents; i++)
		kept_end(s, &agents[i], UINT64_MAX);
}

/* Takes the pages in order; waits at the first that is not to be had, holding only lower ones. */
static void agent_advance(struct step *s, struct agent *a, bool granted, gfn_t granted_gfn)
{
	for (uint32_t i = 0; i < a->count; i++) {
		struct need *n = &a->set[i];

		if (n->held || need_hold(s, a, n, granted && n->gfn == granted_gfn))
			continue;
		a->state = AGENT_WAIT;
		a->waiting = n->gfn;
		if (a->no_frame) {
			a->order = ++s->d->waits;
			keep_nothing(s);
			evict_some(s);
		}
		if (!DSM_MUTANT(MUT_HOLD_OUT_OF_ORDER))
			drop_from(s, a, i + 1);
		return;
	}
	agent_resume(s, a);
}

/* Adds a page to what the agent needs; a hold that is too weak is given up. */
static void agent_need(struct step *s, struct agent *a, gfn_t gfn, bool write)
{
	uint32_t i = 0;

	while (i < a->count && a->set[i].gfn < gfn)
		i++;
	if (i < a->count && a->set[i].gfn == gfn) {
		struct need *n = &a->set[i];

		if (n->write || !write)
			return;
		n->write = true;
		if (n->held) {
			struct page *p = page_find(s->d, gfn);

			p->read_holds--;
			n->held = false;
			page_run(s, p);
		}
		return;
	}
	for (uint32_t k = a->count; k > i; k--)
		a->set[k] = a->set[k - 1];
	a->set[i] = (struct need){.gfn = gfn, .write = write};
	a->count++;
}

static bool needs(const struct agent *a, gfn_t gfn)
{
	for (uint32_t i = 0; i < a->count; i++) {
		if (a->set[i].gfn == gfn)
			return true;
	}
	return false;
}

void agent_release(struct step *s, struct agent *a, bool forget)
{
	a->state = AGENT_IDLE;
	drop_from(s, a, 0);
	if (forget) {
		a->count = 0;
		a->tries = 0;
	}
}

void agent_leave(struct step *s, struct agent *a)
{
	kept_end(s, a, UINT64_MAX);
	agent_release(s, a, true);
}

static void agent_begin(struct step *s, struct agent *a, const struct dsm_event *in)
{
	a->access = (uint8_t)in->access;
	a->since_ns = in->now_ns;
	a->remote = false;
	dsm_count(s->d)->faults[in->access]++;
	agent_need(s, a, in->gfn, in->access == DSM_WRITE);
	agent_advance(s, a, false, 0);
}

int agent_fault(struct step *s, const struct dsm_event *in)
{
	struct agent *a = &dsm_agents(s->d)[in->agent];

	if (a->state == AGENT_WAIT)
		return ERR_INVALID;
	if (in->cookie != a->cookie || (a->count == s->d->cfg.set_max && !needs(a, in->gfn))) {
		kept_end(s, a, s->d->now);
		agent_keep(s, a);
		agent_release(s, a, true);
	} else if (a->state == AGENT_IDLE && a->count) {
		a->tries++;
	}
	dsm_count(s->d)->restarts += a->count && in->gfn < a->set[a->count - 1].gfn;
	a->cookie = in->cookie;
	agent_begin(s, a, in);
	return 0;
}

void agents_wake(struct step *s, gfn_t gfn, bool granted)
{
	struct agent *agents = dsm_agents(s->d);

	for (uint32_t i = 0; i < s->d->cfg.agents; i++) {
		if (agents[i].state == AGENT_WAIT && agents[i].waiting == gfn)
			agent_advance(s, &agents[i], granted, gfn);
	}
}

void agents_wake_frames(struct step *s)
{
	struct agent *agents = dsm_agents(s->d);

	while (frames_left(s->d) > 0) {
		struct agent *first = NULL;

		for (uint32_t i = 0; i < s->d->cfg.agents; i++) {
			struct agent *a = &agents[i];

			if (a->state == AGENT_WAIT && a->no_frame &&
			    (!first || a->order < first->order))
				first = a;
		}
		if (!first)
			return;
		agent_advance(s, first, false, 0);
		if (first->state == AGENT_WAIT && first->no_frame)
			return;
	}
}

/* Somebody waits for a page the agent holds. */
static bool agent_blocks(const struct dsm *d, const struct agent *a)
{
	for (uint32_t i = 0; i < a->count; i++) {
		if (a->set[i].held && page_find(d, a->set[i].gfn)->q_head != DSM_NIL)
			return true;
	}
	return false;
}

static uint64_t kept_deadline(const struct dsm *d, const struct agent *a)
{
	const struct kept *kept = dsm_kept(d, a);
	uint64_t due = UINT64_MAX;

	for (uint32_t i = 0; i < a->kept_count; i++)
		if (page_find(d, kept[i].gfn)->q_head != DSM_NIL)
			due = MIN(due, kept[i].until);
	return due;
}

uint64_t dsm_deadline(const struct dsm *d)
{
	const struct agent *agents = dsm_agents(d);
	uint64_t due = UINT64_MAX;

	for (uint32_t i = 0; i < d->cfg.agents; i++) {
		due = MIN(due, kept_deadline(d, &agents[i]));
		if (agents[i].state == AGENT_RUN && agent_blocks(d, &agents[i]))
			due = MIN(due, agents[i].deadline_ns);
	}
	return due;
}

void agents_tick(struct step *s)
{
	struct agent *agents = dsm_agents(s->d);

	for (uint32_t i = 0; i < s->d->cfg.agents; i++) {
		struct agent *a = &agents[i];

		kept_end(s, a, s->d->now);
		if (a->state != AGENT_RUN || a->deadline_ns > s->d->now || !agent_blocks(s->d, a))
			continue;
		dsm_count(s->d)->holds_expired++;
		agent_release(s, a, false);
	}
}
