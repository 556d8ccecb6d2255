/* The engine's frame: memory, events in, actions out. */
#include "dsm/dsm.h"

#include "dsm/dsm_state.h"
#include "hv/base/string.h"

struct dsm_action *step_act(struct step *s, enum dsm_action_kind kind)
{
	struct dsm_action *a;

	ASSERT(s->out->count < s->out->room);
	a = &s->out->list[s->out->count++];
	*a = (struct dsm_action){.kind = kind};
	return a;
}

void step_send(struct step *s, uint16_t node, const struct dsm_msg *m, const struct page *from)
{
	struct dsm *d = s->d;
	struct dsm_action *a;

	if (node == d->cfg.self) {
		struct dsm_msg *ring = dsm_at(d, d->off_self);

		ASSERT(d->self_count < d->self_room && !(m->flags & DSM_F_PAGE));
		ring[(d->self_head + d->self_count++) % d->self_room] = *m;
		return;
	}
	a = step_act(s, DSM_ACT_SEND);
	a->node = node;
	a->msg = *m;
	dsm_count(d)->sent[m->type]++;
	if (m->flags & DSM_F_PAGE) {
		a->frame = page_frame(d, from);
		dsm_count(d)->pages_sent++;
	}
}

int step_stop(struct step *s, const char *reason)
{
	if (!s->d->stopped) {
		s->d->stopped = reason;
		step_act(s, DSM_ACT_STOP);
	}
	return ERR_INVALID;
}

const char *dsm_stop_reason(const struct dsm *d)
{
	return d->stopped;
}

const struct dsm_stats *dsm_stats(const struct dsm *d)
{
	return dsm_count(d);
}

static int dispatch(struct step *s, uint16_t from, const struct dsm_msg *m)
{
	bool to_home = m->type == DSM_REQ_READ || m->type == DSM_REQ_WRITE || m->type == DSM_PUT;

	if (m->type >= DSM_MSG_TYPES || m->gfn >= s->d->cfg.gfns || m->version > DSM_VERSION_MAX)
		return step_stop(s, "a peer's message is outside the guest's memory");
	if (!to_home)
		return page_message(s, from, m);
	if (dsm_home(s->d, m->gfn) != s->d->cfg.self)
		return step_stop(s, "a peer asked this node for a page it is not home to: "
				    "the nodes disagree about homes");
	return home_message(s, from, m);
}

static int step_event(struct step *s, const struct dsm_event *in)
{
	struct dsm *d = s->d;
	bool fault = in->kind == DSM_EV_FAULT;

	if ((fault || in->kind == DSM_EV_RELEASE) && in->agent >= d->cfg.agents)
		return ERR_INVALID;
	if (fault && (in->gfn >= d->cfg.gfns || in->access > DSM_EXECUTE))
		return ERR_INVALID;
	switch (in->kind) {
	case DSM_EV_FAULT:
		return agent_fault(s, in);
	case DSM_EV_RELEASE:
		if (dsm_agents(d)[in->agent].state == AGENT_WAIT)
			return ERR_INVALID;
		agent_leave(s, &dsm_agents(d)[in->agent]);
		return 0;
	case DSM_EV_FLUSHED:
		return page_flushed(s, in->gfn);
	case DSM_EV_MESSAGE:
		if (in->peer >= d->cfg.nodes || in->peer == d->cfg.self)
			return ERR_INVALID;
		return dispatch(s, in->peer, &in->msg);
	case DSM_EV_TICK:
		agents_tick(s);
		return 0;
	case DSM_EV_PEER_LOST:
		if (DSM_MUTANT(MUT_SERVE_AFTER_LOSS))
			return 0;
		step_stop(s, "a node is lost, and with it guest memory that only it had");
		return 0;
	}
	return ERR_INVALID;
}

/* What this node has to say to itself. */
static int step_own(struct step *s)
{
	struct dsm *d = s->d;
	int err = 0;

	while (err == 0 && d->self_count) {
		const struct dsm_msg *ring = dsm_at(d, d->off_self);
		struct dsm_msg m = ring[d->self_head];

		d->self_head = (d->self_head + 1) % d->self_room;
		d->self_count--;
		err = dispatch(s, d->cfg.self, &m);
	}
	return err;
}

int dsm_step(struct dsm *d, const struct dsm_event *in, struct dsm_actions *out)
{
	struct step s = {d, out};
	int err;

	out->count = 0;
	if (d->stopped)
		return ERR_NOTFOUND;
	d->now = in->now_ns;
	err = step_event(&s, in);
	if (err == 0)
		err = step_own(&s);
	/* An eviction makes a frame free, and so does an invalidation. */
	if (err == 0 && !d->stopped && d->wish_count)
		err = frames_grant(&s);
	if (err == 0 && !d->stopped)
		agents_wake_frames(&s);
	if (err == 0)
		err = step_own(&s);
	/* Without a reserve, too: what nothing could be evicted for may be waited for now. */
	if (err == 0 && frames_left(d) + d->evicting < MAX(d->cfg.cache_reserve, 1u))
		evict_some(&s);
	return d->stopped && err == 0 ? 0 : err;
}
