/*
 * What the home does: it gives every request its place in the page's order the moment it comes, by
 * the version and the copyset, and tells those concerned. Nothing waits for a message here; a request
 * waits at the node that has, or is about to get, what it asks for.
 */
#include "dsm/dsm_state.h"

static bool copy_has(const uint64_t *dir, uint16_t node)
{
	return bitmap_test(dir + 1, node);
}

static void copy_only(const struct dsm *d, uint64_t *dir, uint16_t node)
{
	for (uint32_t w = 0; w < d->copy_words; w++)
		dir[1 + w] = 0;
	bitmap_set(dir + 1, node);
}

/* The home's own copy is at hand, or will be by the time this request's turn comes. */
static bool home_serves(const struct dsm *d, const uint64_t *dir, const struct page *p)
{
	if (DSM_MUTANT(MUT_READ_STALE_HOME))
		return true;
	return dir_get(*dir, DIR_OWNER) == d->cfg.self ||
	       (copy_has(dir, d->cfg.self) && page_readable(p));
}

static int home_read(struct step *s, uint16_t from, struct page *p, uint64_t *dir)
{
	struct dsm_msg fwd = {.type = DSM_FWD_READ,
			      .requester = from,
			      .gfn = p->gfn,
			      .version = dir_get(*dir, DIR_VERSION)};

	if (copy_has(dir, from))
		return step_stop(s, "a peer asked to read a page of which it has a copy");
	if (home_serves(s->d, dir, p)) {
		bitmap_set(dir + 1, from);
		if (DSM_MUTANT(MUT_READ_STALE_HOME) && !copy_has(dir, s->d->cfg.self)) {
			fwd.type = DSM_DATA;
			fwd.flags = DSM_F_PAGE;
			step_send(s, from, &fwd, p);
			return 0;
		}
		return page_defer(s, p, &fwd);
	}
	if (!DSM_MUTANT(MUT_COPYSET_FORGETS))
		bitmap_set(dir + 1, from);
	step_send(s, (uint16_t)dir_get(*dir, DIR_OWNER), &fwd, NULL);
	return 0;
}

/* Invalidates all copies but those of `from` and `source`; returns how many, or an error. */
static int home_invalidate(struct step *s, uint16_t from, uint16_t source, struct page *p,
			   const uint64_t *dir)
{
	struct dsm_msg inv = {.type = DSM_INV,
			      .requester = from,
			      .gfn = p->gfn,
			      .version = dir_get(*dir, DIR_VERSION)};
	int count = 0;

	for (uint32_t w = 0; w < s->d->copy_words; w++) {
		for (uint64_t set = dir[1 + w]; set; set &= set - 1) {
			uint16_t node = (uint16_t)(w * 64 + bit_lowest(set));

			if (node == from || node == source)
				continue;
			count++;
			if (DSM_MUTANT(MUT_LOST_INV) && (set & (set - 1)) == 0) {
				count--;
				continue;
			}
			if (node != s->d->cfg.self)
				step_send(s, node, &inv, NULL);
			else if (page_defer(s, p, &inv) < 0)
				return ERR_INVALID;
		}
	}
	return count;
}

static bool copy_current(const struct dsm_msg *m, uint64_t version)
{
	if (DSM_MUTANT(MUT_STALE_UPGRADE))
		return m->flags & DSM_F_HAVE;
	if (DSM_MUTANT(MUT_VERSION_LOW_BIT))
		return m->flags & DSM_F_HAVE && ((m->version ^ version) & 1) == 0;
	return m->flags & DSM_F_HAVE && m->version == version;
}

static int home_write(struct step *s, uint16_t from, struct page *p, uint64_t *dir,
		      const struct dsm_msg *m)
{
	uint16_t self = s->d->cfg.self, owner = (uint16_t)dir_get(*dir, DIR_OWNER);
	uint64_t version = dir_get(*dir, DIR_VERSION);
	bool current = copy_current(m, version);
	bool home = from != self && home_serves(s->d, dir, p);
	uint16_t source = home ? self : current ? from : owner;
	struct dsm_msg fwd = {.gfn = p->gfn, .requester = from, .version = version};
	int acks = home_invalidate(s, from, source, p, dir);

	if (acks < 0)
		return acks;
	if (version == DSM_VERSION_MAX)
		return step_stop(s, "a page was written 2^48 times: its versions are used up");
	if (source == from && !current)
		return step_stop(s, "the owner of a page asked for it without having a copy");
	fwd.acks = (uint16_t)(DSM_MUTANT(MUT_FEWER_ACKS) && acks ? acks - 1 : acks);
	if (!DSM_MUTANT(MUT_DOUBLE_GRANT)) {
		dir_set(dir, DIR_VERSION, version + 1);
		dir_set(dir, DIR_OWNER, from);
		copy_only(s->d, dir, from);
	}
	if (source == from) {
		fwd.type = DSM_GRANT;
		fwd.version++;
		fwd.flags = version == 0 ? DSM_F_ZERO : 0;
		step_send(s, from, &fwd, NULL);
		return 0;
	}
	fwd.type = DSM_FWD_WRITE;
	fwd.flags = current ? DSM_F_HAVE : 0;
	if (source == self)
		return page_defer(s, p, &fwd);
	step_send(s, source, &fwd, NULL);
	return 0;
}

static int home_put(struct step *s, uint16_t from, struct page *p, uint64_t *dir,
		    const struct dsm_msg *m)
{
	struct dsm_msg ack = {.type = DSM_PUT_ACK, .gfn = p->gfn, .version = m->version};
	bool owner = dir_get(*dir, DIR_OWNER) == from;
	bool current = dir_get(*dir, DIR_VERSION) == m->version && copy_has(dir, from);

	if (DSM_MUTANT(MUT_STALE_PUT) && m->flags & DSM_F_PAGE)
		owner = current = true;
	if (current && owner != !!(m->flags & DSM_F_PAGE))
		return step_stop(s, "a peer evicted a page it owns without sending it, "
				    "or sent one it does not own");
	if (current && owner) {
		/* With a read of our own under way the page is coming to us from `from` as well. */
		if (p->state == PAGE_NONE && p->pend == PEND_NONE) {
			page_act(s, DSM_ACT_FILL, p);
			p->state = PAGE_SHARED;
			p->version = m->version;
		}
		dir_set(dir, DIR_OWNER, s->d->cfg.self);
		bitmap_set(dir + 1, s->d->cfg.self);
	}
	if (current)
		bitmap_clear(dir + 1, from);
	step_send(s, from, &ack, NULL);
	return 0;
}

int home_order(struct step *s, uint16_t from, const struct dsm_msg *m)
{
	struct page *p = page_get(s->d, m->gfn);
	uint64_t *dir = dsm_dir(s->d, m->gfn);
	int err;

	if (!p)
		return step_stop(s, "more pages are asked for at once than all nodes together may "
				    "ask for: a peer breaks the protocol");
	if (m->type != DSM_PUT)
		heat_count(s->d, m->gfn);
	if (m->type == DSM_REQ_READ)
		err = home_read(s, from, p, dir);
	else if (m->type == DSM_REQ_WRITE)
		err = home_write(s, from, p, dir, m);
	else
		err = home_put(s, from, p, dir, m);
	p = page_find(s->d, m->gfn);
	if (p)
		page_settle(s, p);
	return err;
}

int home_message(struct step *s, uint16_t from, const struct dsm_msg *m)
{
	if (m->type == DSM_REQ_WRITE && !frame_take(s, dsm_dir(s->d, m->gfn)))
		return s->d->stopped ? ERR_INVALID : frame_wait(s, from, m);
	return home_order(s, from, m);
}
