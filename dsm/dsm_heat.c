/*
 * Which homed pages are asked for most: small sets of counters; a newcomer takes the place of the
 * coldest of its set and inherits its count, so that a hot page is never missed, only over-counted
 * by at most `over`.
 */
#include "dsm/dsm_state.h"

void heat_count(struct dsm *d, gfn_t gfn)
{
	struct dsm_heat *set = dsm_at(d, d->off_heat), *cold;

	if (d->cfg.heat_sets == 0)
		return;
	set += (gfn * 0x9e3779b97f4a7c15ull >> 40) % d->cfg.heat_sets * HEAT_WAYS;
	cold = &set[0];

	for (unsigned i = 0; i < HEAT_WAYS; i++) {
		if (set[i].requests && set[i].gfn == gfn) {
			set[i].requests++;
			return;
		}
		if (set[i].requests < cold->requests)
			cold = &set[i];
	}
	cold->gfn = gfn;
	cold->over = cold->requests++;
}

uint32_t dsm_heat(const struct dsm *d, struct dsm_heat *list, uint32_t max)
{
	const struct dsm_heat *all = dsm_at(d, d->off_heat);
	uint32_t n = 0;

	for (uint32_t i = 0; i < d->cfg.heat_sets * HEAT_WAYS; i++) {
		const struct dsm_heat *h = &all[i];
		uint32_t at = n;

		if (h->requests == 0)
			continue;
		while (at > 0 && list[at - 1].requests < h->requests)
			at--;
		if (at >= max)
			continue;
		if (n < max)
			n++;
		for (uint32_t k = n - 1; k > at; k--)
			list[k] = list[k - 1];
		list[at] = *h;
	}
	return n;
}
