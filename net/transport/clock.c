#include "net/transport/clock.h"

#include "hv/base/compiler.h"
#include "hv/base/string.h"

void clock_init(struct clock_peer *c)
{
	memset(c, 0, sizeof(*c));
	c->drift_error = CLOCK_DRIFT_MAX;
	c->rtt_min = UINT64_MAX;
}

/* x * ppb / 1e9 for times up to centuries. */
static int64_t scale(uint64_t x, int64_t ppb)
{
	int64_t whole = (int64_t)(x / NS_PER_S), rest = (int64_t)(x % NS_PER_S);

	return whole * ppb + rest * ppb / (int64_t)NS_PER_S;
}

/* The point carried on to `now` with the drift known. */
static struct clock_point carry(const struct clock_peer *c, const struct clock_point *p,
				uint64_t now)
{
	uint64_t age = now > p->at ? now - p->at : p->at - now;
	int64_t moved = scale(age, c->drift);
	struct clock_point out = {.at = now};

	out.offset = now > p->at ? p->offset + moved : p->offset - moved;
	out.error = p->error + (uint64_t)scale(age, (int64_t)c->drift_error) + 1;
	return out;
}

/* The drift from the pair of points that bounds it best: any two bound it by their errors. */
static void fit(struct clock_peer *c)
{
	const struct clock_point *last = &c->points[c->count - 1];

	c->drift_error = CLOCK_DRIFT_MAX;
	c->drift = 0;
	for (unsigned i = 0; i + 1 < c->count; i++) {
		const struct clock_point *p = &c->points[i];
		uint64_t span_us = (last->at - p->at) / 1000;
		uint64_t error =
			(last->error + p->error) * 1000000 / MAX(span_us, 1ull) + CLOCK_WANDER;

		if (error >= c->drift_error)
			continue;
		c->drift_error = error;
		c->drift = (last->offset - p->offset) * 1000000 / (int64_t)MAX(span_us, 1ull);
	}
}

static void point_add(struct clock_peer *c)
{
	if (c->count == CLOCK_POINTS) {
		memmove(c->points, c->points + 1, (CLOCK_POINTS - 1) * sizeof(c->points[0]));
		c->count--;
	}
	c->points[c->count++] = c->best;
	fit(c);
}

/* Does the sample deny what the earlier ones say? Then a clock drifts more than any may. */
static bool contradicts(const struct clock_peer *c, const struct clock_point *p)
{
	int64_t offset, off;
	uint64_t error;

	if (!clock_offset(c, p->at, &offset, &error))
		return false;
	off = p->offset > offset ? p->offset - offset : offset - p->offset;
	return (uint64_t)off > error + p->error;
}

void clock_sample(struct clock_peer *c, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t t4)
{
	uint64_t outer = t4 - t1, inner = t3 - t2, slack = inner / 1000;
	struct clock_point p;

	if (t4 < t1 || t3 < t2 || inner > outer + slack) {
		c->rejected++;
		return;
	}
	c->samples++;
	p.at = t1 + outer / 2;
	/* Differences first: the clocks themselves may be anything. */
	p.offset = ((int64_t)(t2 - t1) + (int64_t)(t3 - t4)) / 2;
	/* Their clock may have drifted while the answer waited, and ours while we read it. */
	p.error = (outer > inner ? outer - inner : 0) / 2 +
		  (uint64_t)scale(outer, CLOCK_DRIFT_MAX) + 1;
	if (contradicts(c, &p)) {
		c->jumps++;
		c->any = false;
		c->count = 0;
		c->drift = 0;
		c->drift_error = CLOCK_DRIFT_MAX;
	}
	c->rtt_min = MIN(c->rtt_min, outer > inner ? outer - inner : 0);
	if (!c->any || p.error <= carry(c, &c->best, p.at).error)
		c->best = p;
	if (!c->any)
		c->span_end = t4 + CLOCK_SPAN;
	c->any = true;
	if (t4 < c->span_end)
		return;
	point_add(c);
	c->span_end = t4 + CLOCK_SPAN;
}

bool clock_offset(const struct clock_peer *c, uint64_t now, int64_t *offset, uint64_t *error)
{
	struct clock_point best;

	if (!c->any)
		return false;
	best = carry(c, &c->best, now);
	for (unsigned i = 0; i < c->count; i++) {
		struct clock_point p = carry(c, &c->points[i], now);

		if (p.error < best.error)
			best = p;
	}
	*offset = best.offset;
	*error = best.error;
	return true;
}
