/* What every access has to give. One runner at a time: exactly; threads: by each writer's order. */
#include <pthread.h>
#include <string.h>

#include "hv/core/arch.h"
#include "tests/glue/glue.h"

#define FILL_AT (GLUE_WORDS * 8)

struct oracle_figures oracle_figures;

struct word {
	uint64_t value, tsc; /* the guest's when it was written */
	unsigned cpu;
};

static struct word words[GLUE_GFNS][GLUE_WORDS];
static uint64_t fills[GLUE_GFNS]; /* 0: zeros */
static uint64_t fill_count;
static _Atomic uint64_t values, sums[COUNTS];
static uint64_t seen[GLUE_CPUS][GLUE_CPUS][ROUNDS];
static _Atomic unsigned lives;

static struct {
	_Atomic uint64_t sent, came;
} ipis[GLUE_CPUS][GLUE_CPUS];

static struct {
	pthread_mutex_t lock;
	_Atomic bool lapic_on[GLUE_CPUS];
	bool asleep[GLUE_CPUS], called[GLUE_CPUS];
	unsigned awake, done;
} life = {.lock = PTHREAD_MUTEX_INITIALIZER};

void oracle_reset(void)
{
	memset(words, 0, sizeof(words));
	memset(fills, 0, sizeof(fills));
	memset(seen, 0, sizeof(seen));
	memset(&oracle_figures, 0, sizeof(oracle_figures));
	for (unsigned i = 0; i < COUNTS; i++)
		atomic_store(&sums[i], 0);
	atomic_store(&values, 0);
	fill_count = 0;
	atomic_store(&lives, 0);
}

void oracle_life(void)
{
	for (unsigned i = 0; i < GLUE_CPUS; i++) {
		for (unsigned k = 0; k < GLUE_CPUS; k++) {
			atomic_store(&ipis[i][k].sent, 0);
			atomic_store(&ipis[i][k].came, 0);
		}
		atomic_store(&life.lapic_on[i], false);
		life.asleep[i] = life.called[i] = false;
	}
	life.awake = glue.config.total;
	life.done = 0;
	devices_life();
	atomic_fetch_add(&lives, 1);
}

unsigned oracle_lives(void)
{
	return atomic_load(&lives);
}

/* --- Words --- */

/* As the CPU counts in the guest; what the hypervisor reads for it, it sees when it enters again. */
static uint64_t guest_tsc(const struct cpu *c)
{
	return arch_tsc() + c->tsc_offset;
}

static uint64_t seen_tsc(const struct cpu *c)
{
	return c->v->cpu->in_guest ? guest_tsc(c) : vm_guest_tsc(c->v->vm);
}

void oracle_read(struct cpu *c, gfn_t gfn, unsigned word, uint64_t value)
{
	const struct word *w = &words[gfn][word];

	if (glue.config.threads)
		return;
	oracle_figures.accesses++;
	if (value != w->value)
		glue_wrong("read %#llx at page %#llx, word %u, where vCPU %u has written %#llx",
			   (unsigned long long)value, (unsigned long long)gfn, word, w->cpu,
			   (unsigned long long)w->value);
	if ((int64_t)(seen_tsc(c) - w->tsc) < 0)
		glue_wrong("time runs backwards: it reads %llu ticks earlier what vCPU %u wrote",
			   (unsigned long long)(w->tsc - seen_tsc(c)), w->cpu);
}

void oracle_write(struct cpu *c, gfn_t gfn, unsigned word, uint64_t value)
{
	if (glue.config.threads)
		return;
	oracle_figures.accesses++;
	words[gfn][word] = (struct word){value, guest_tsc(c), c->v->index};
}

uint64_t oracle_value(struct cpu *c)
{
	return atomic_fetch_add(&values, 1) << 8 | c->v->index;
}

void oracle_added(gfn_t gfn)
{
	atomic_fetch_add(&sums[gfn - GFN_COUNT], 1);
}

uint64_t oracle_sum(gfn_t gfn)
{
	return atomic_load(&sums[gfn - GFN_COUNT]);
}

/* --- Whole pages --- */

/* Every other one is what a packer makes nothing of. */
static uint64_t noise(uint64_t seed, unsigned i)
{
	uint64_t z = seed * 0x9e3779b97f4a7c15ull + (seed & 1 ? i : i / 64);

	z = (z ^ z >> 32) * 0xd6e8feb86659fd93ull;
	return seed ? z ^ z >> 32 : 0;
}

void oracle_fill(gfn_t gfn, uint8_t *page)
{
	uint64_t *p = (uint64_t *)(page + FILL_AT);

	fills[gfn] = ++fill_count;
	for (unsigned i = 0; i < (PAGE_SIZE - FILL_AT) / 8; i++)
		p[i] = noise(fills[gfn], i);
}

void oracle_check(gfn_t gfn, const uint8_t *page)
{
	const uint64_t *p = (const uint64_t *)(page + FILL_AT);

	for (unsigned i = 0; i < (PAGE_SIZE - FILL_AT) / 8; i++)
		if (p[i] != noise(fills[gfn], i))
			glue_wrong("page %#llx is not what it was filled with",
				   (unsigned long long)gfn);
}

/* --- Rounds: what was written later must not be seen without what was written before --- */

void oracle_round_read(unsigned reader, unsigned cpu, unsigned page, uint64_t value)
{
	uint64_t *last = seen[reader][cpu];

	for (unsigned p = 0; p < ROUNDS; p++)
		if (value + (p < page) < last[p])
			glue_wrong("round %llu of vCPU %u on page %u, after round %llu on page %u",
				   (unsigned long long)value, cpu, page,
				   (unsigned long long)last[p], p);
	last[page] = value;
}

/* --- IPIs --- */

bool ipi_free(unsigned from, unsigned to)
{
	return atomic_load(&ipis[from][to].sent) == atomic_load(&ipis[from][to].came);
}

uint64_t ipi_next(unsigned from, unsigned to)
{
	return atomic_load(&ipis[from][to].sent) + 1;
}

void ipi_send(unsigned from, unsigned to)
{
	atomic_fetch_add(&ipis[from][to].sent, 1);
}

uint64_t ipi_mail(unsigned from, unsigned to)
{
	return atomic_load(&ipis[from][to].sent);
}

void ipi_came(unsigned from, unsigned to)
{
	uint64_t came = atomic_fetch_add(&ipis[from][to].came, 1) + 1;

	if (came > atomic_load(&ipis[from][to].sent))
		glue_wrong("an IPI of vCPU %u came that it has not sent", from);
	if (!glue.config.threads)
		oracle_figures.ipis++;
}

bool ipi_idle(void)
{
	for (unsigned i = 0; i < glue.config.total; i++)
		for (unsigned k = 0; k < glue.config.total; k++)
			if (!ipi_free(i, k))
				return false;
	return true;
}

/* --- Who is up, who sleeps, who is done --- */

void life_lapic_on(unsigned cpu)
{
	atomic_store(&life.lapic_on[cpu], true);
}

bool life_reachable(unsigned cpu)
{
	return atomic_load(&life.lapic_on[cpu]);
}

bool life_sleep(unsigned cpu)
{
	bool may;

	pthread_mutex_lock(&life.lock);
	may = life.awake > 1;
	if (may) {
		life.awake--;
		life.asleep[cpu] = true;
		life.called[cpu] = false;
	}
	pthread_mutex_unlock(&life.lock);
	return may;
}

void life_woke(unsigned cpu)
{
	pthread_mutex_lock(&life.lock);
	if (life.asleep[cpu] && !life.called[cpu])
		life.awake++;
	life.asleep[cpu] = false;
	pthread_mutex_unlock(&life.lock);
}

int life_sleeper(void)
{
	int found = -1;

	pthread_mutex_lock(&life.lock);
	for (unsigned i = 0; i < glue.config.total && found < 0; i++)
		if (life.asleep[i] && !life.called[i])
			found = (int)i;
	if (found >= 0) {
		life.called[found] = true;
		life.awake++;
	}
	pthread_mutex_unlock(&life.lock);
	return found;
}

bool life_done(unsigned cpu)
{
	bool last;

	pthread_mutex_lock(&life.lock);
	life.awake--;
	last = ++life.done == glue.config.total;
	pthread_mutex_unlock(&life.lock);
	return last;
}
