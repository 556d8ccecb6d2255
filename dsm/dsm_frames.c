/*
 * The node's frames, shared by the pages homed here and by copies of pages homed elsewhere. A homed page that
 * nobody has written is all zeros and needs no frame. It takes one for good where it is first mapped here, or
 * first granted to be written, anywhere. So whatever comes back to its home (a put, or data for its own
 * agents) finds a frame: only a grant can wait for one, never a put.
 *
 * What waits is a req-write for such a page, as if it were still on its way: it has no place in the page's
 * order yet, and reads of zeros and puts of them go on. It makes progress, whatever the other nodes do: with
 * no frame free there are more copies here than all agents together hold, keep and wait for (dsm_size() sees
 * to it), so one can be evicted; that takes a flush here and a put, and the put's home answers at once, full
 * or not. Two full nodes that evict each other's pages therefore never wait for each other.
 *
 * Requests that wait take what gets free before any agent here does. There are no more of them than homed
 * pages, ever, so the agents' turn comes as well.
 */
#include "dsm/dsm_state.h"

static struct wish *wishes(const struct dsm *d)
{
	return dsm_at(d, d->off_wishes);
}

const struct wish *frame_wish(const struct dsm *d, uint32_t i)
{
	return &wishes(d)[(d->wish_head + i) % d->wish_room];
}

/* `before`: how many others have a right to a free frame first. */
static bool take(struct step *s, uint64_t *dir, uint32_t before)
{
	struct dsm *d = s->d;

	if (*dir & DIR_FRAME)
		return true;
	if (!d->homes_left) {
		step_stop(s,
			  "more pages are written than this node is home to in the guest's memory: "
			  "a peer asks for what is none");
		return false;
	}
	if (d->frames_spare <= before)
		return false;
	*dir |= DIR_FRAME;
	d->homes_left--;
	if (!DSM_MUTANT(MUT_HOME_NOT_COUNTED))
		d->frames_spare--;
	return true;
}

bool frame_take(struct step *s, uint64_t *dir)
{
	return take(s, dir, s->d->wish_count);
}

int frame_wait(struct step *s, uint16_t from, const struct dsm_msg *m)
{
	struct dsm *d = s->d;

	if (d->wish_count == d->wish_room)
		return step_stop(s, "more pages are asked for at once than all nodes together may "
				    "ask for: a peer breaks the protocol");
	wishes(d)[(d->wish_head + d->wish_count++) % d->wish_room] = (struct wish){*m, from};
	dsm_count(d)->home_waits++;
	return 0;
}

int frames_grant(struct step *s)
{
	struct dsm *d = s->d;
	int err = 0;

	while (err == 0 && d->wish_count && !DSM_MUTANT(MUT_WISH_FORGOTTEN)) {
		struct wish w = *frame_wish(d, 0);

		if (!take(s, dsm_dir(d, w.msg.gfn), 0))
			break;
		d->wish_head = (d->wish_head + 1) % d->wish_room;
		d->wish_count--;
		err = home_order(s, w.from, &w.msg);
	}
	return err;
}
