/* The engine's insides, shared by its own files and by the checkers that look at whole states. */
#ifndef DSM_DSM_STATE_H
#define DSM_DSM_STATE_H

#include "dsm/dsm.h"
#include "dsm/dsm_mutant.h"
#include "hv/base/assert.h"

#define DSM_NIL UINT32_MAX

/* What this node may do with its copy. OWNED and WRITABLE make it the page's owner. */
enum page_state { PAGE_NONE, PAGE_SHARED, PAGE_OWNED, PAGE_WRITABLE };

enum page_pend { PEND_NONE, PEND_READ, PEND_WRITE };

enum page_evict { EVICT_NONE, EVICT_FLUSH, EVICT_SENT };

/* One word of the directory; the copyset follows it, one bit per node. */
#define DIR_VERSION BITS(47, 0)
#define DIR_OWNER   BITS(57, 48)
#define DIR_STATE   BITS(59, 58) /* enum page_state of the home's own copy */
#define DIR_MAPPED  BITS(61, 60) /* enum dsm_perm the home's own guest may have */
#define DIR_BUSY    BIT(62)      /* a struct page in the side table has the two above */
#define DIR_FRAME   BIT(63)      /* it has taken its frame */

/* A request that waits until this node may give the page up: for its grant, a hold or a flush. */
struct item {
	uint64_t version;  /* the copy it is about */
	uint64_t since_ns; /* when it came */
	uint32_t next;
	uint16_t requester, acks;
	uint8_t type, flags;
};

/* A page this node has a copy of or is busy with; homed pages have one only while busy. */
struct page {
	gfn_t gfn;
	uint64_t version;  /* of the copy; means nothing in PAGE_NONE */
	uint64_t granted;  /* version of the write grant that has come, 0: not yet */
	uint64_t asked_ns; /* when `pend` began */
	uint16_t waited;   /* of that, at the holder that took longest; as in dsm_msg */
	uint32_t next;     /* in its hash chain or in the free list */
	uint32_t q_head, q_tail;
	int32_t acks; /* acknowledgements still to come; negative while the grant is awaited */
	uint16_t read_holds, write_holds;
	uint8_t state, mapped, pend, evict;
	bool used, flushing, touched;
	bool ahead; /* `pend` began before anybody here needed the page */
	uint8_t flush_to;
};

/* A req-write that waits at its home for a frame. */
struct wish {
	struct dsm_msg msg;
	uint16_t from;
};

enum agent_state { AGENT_IDLE, AGENT_WAIT, AGENT_RUN };

struct need {
	gfn_t gfn;
	bool write, held;
};

/* A hold whose time is not over when its agent has gone on to another instruction. */
struct kept {
	gfn_t gfn;
	uint64_t until;
	bool write;
};

/* What is known of a page's reads; see dsm_guess.c. */
struct guess {
	gfn_t gfn;
	uint8_t score; /* how often its reads were followed by writes, up to a limit; 0: an empty place */
	bool open; /* it was got for writing, and is mapped for reading until it is written */
};

struct agent {
	uint64_t cookie, since_ns, deadline_ns, order;
	gfn_t waiting; /* AGENT_WAIT: for this page */
	uint8_t state, access;
	bool no_frame, remote;
	uint8_t tries, count;
	uint8_t kept_count;
	struct need set[DSM_SET_MAX]; /* in rising order of gfn */
};

#define HEAT_WAYS 4u

struct dsm {
	struct dsm_config cfg; /* `slots` is not kept */
	uint64_t home_stripes, home_pages;
	uint32_t copy_words; /* of a copyset */
	uint32_t pages, buckets, items;
	uint32_t free_cache, free_busy, free_item; /* heads of free lists */
	uint32_t frames_free;                      /* records for copies */
	uint32_t evicting, clock_hand;
	uint64_t frames_spare; /* frames that neither a copy nor a homed page has */
	uint64_t homes_left;   /* pages that may still become homed ones with a frame */
	uint32_t wish_count, wish_head, wish_room;
	uint32_t aheads; /* pages asked for ahead that have not come */
	uint64_t waits;  /* gives agents that wait for a frame their order */
	const char *stopped;
	uint64_t now;
	uint64_t fetch_ns; /* what a page takes to come that nobody holds back */
	/* Byte offsets from this struct. */
	size_t off_slots, off_ranks, off_dir, off_pages, off_buckets, off_items, off_agents,
		off_kept, off_self, off_wishes, off_guesses;
	size_t off_stats, off_heat; /* last: nothing depends on what is there */
	/* Messages from this node to itself, handled before the step ends. */
	uint32_t self_count, self_room, self_head;
};

/* One step in progress. */
struct step {
	struct dsm *d;
	struct dsm_actions *out;
};

static inline void *dsm_at(const struct dsm *d, size_t off)
{
	return (char *)d + off;
}

static inline struct page *dsm_pages(const struct dsm *d)
{
	return dsm_at(d, d->off_pages);
}

static inline struct agent *dsm_agents(const struct dsm *d)
{
	return dsm_at(d, d->off_agents);
}

/* The agent's, `kept_count` of them. */
static inline struct kept *dsm_kept(const struct dsm *d, const struct agent *a)
{
	return (struct kept *)dsm_at(d, d->off_kept) + (a - dsm_agents(d)) * d->cfg.kept_max;
}

static inline struct item *dsm_items(const struct dsm *d)
{
	return dsm_at(d, d->off_items);
}

static inline struct dsm_stats *dsm_count(const struct dsm *d)
{
	return dsm_at(d, d->off_stats);
}

static inline uint64_t dir_get(uint64_t word, uint64_t field)
{
	return (word & field) >> bit_lowest(field);
}

static inline void dir_set(uint64_t *word, uint64_t field, uint64_t value)
{
	*word = (*word & ~field) | value << bit_lowest(field);
}

static inline bool page_readable(const struct page *p)
{
	return p->state != PAGE_NONE;
}

/* Frames that an agent may take, or ask for; below 0: so many requests wait before it. */
static inline int64_t frames_left(const struct dsm *d)
{
	int64_t spare = (int64_t)d->frames_spare - (int64_t)d->wish_count;

	return MIN(spare, (int64_t)d->frames_free);
}

/* dsm.c */
struct dsm_action *step_act(struct step *s, enum dsm_action_kind kind);
void step_send(struct step *s, uint16_t node, const struct dsm_msg *m, const struct page *from);
int step_stop(struct step *s, const char *reason);

/* dsm_table.c: the directory's words and the side tables. */
uint64_t *dsm_dir(const struct dsm *d, gfn_t gfn); /* only for pages homed here */
uint64_t dsm_home_index(const struct dsm *d, gfn_t gfn);
struct page *page_find(const struct dsm *d, gfn_t gfn);
struct page *page_get(struct dsm *d, gfn_t gfn); /* made when there is none; NULL: no frame free */
void page_free(struct dsm *d,
	       struct page *p); /* nothing is going on, and a copy is none any more */
uint64_t page_frame(const struct dsm *d, const struct page *p);
bool page_homed(const struct dsm *d, const struct page *p);
struct item *item_push(struct dsm *d, struct page *p); /* NULL: the table is full */
void item_pop(struct dsm *d, struct page *p);

/* dsm_home.c: what the home does. */
int home_message(struct step *s, uint16_t from, const struct dsm_msg *m);
int home_order(struct step *s, uint16_t from,
	       const struct dsm_msg *m); /* there is a frame for it */

/* dsm_page.c: what a node does with its copies. */
int page_message(struct step *s, uint16_t from, const struct dsm_msg *m);
int page_defer(struct step *s, struct page *p, const struct dsm_msg *m);
int page_flushed(struct step *s, gfn_t gfn);
void page_settle(struct step *s, struct page *p); /* gives it back when nothing is going on */
void page_run(struct step *s, struct page *p);    /* serves what waits, as far as it can be */
struct dsm_action *page_act(struct step *s, enum dsm_action_kind kind, const struct page *p);
void page_kick(struct step *s, struct page *p, enum dsm_perm perm);
void page_map(struct step *s, struct page *p, bool write);

/* dsm_evict.c */
void evict_some(struct step *s); /* keeps the reserve of free frames */
bool evictable(const struct page *p);
void evict_start(struct step *s, struct page *p);
void evict_send(struct step *s, struct page *p);

/* dsm_frames.c */
bool frame_take(struct step *s, uint64_t *dir); /* for a homed page; true when it has one */
int frame_wait(struct step *s, uint16_t from, const struct dsm_msg *m);
int frames_grant(struct step *s); /* what waits, as far as there are frames */
const struct wish *frame_wish(const struct dsm *d, uint32_t i); /* the `i`th of those that wait */

/* dsm_agent.c */
int agent_fault(struct step *s, const struct dsm_event *in);
void agent_release(struct step *s, struct agent *a, bool forget);
void agent_leave(struct step *s, struct agent *a); /* it needs nothing any more */
void agents_wake(struct step *s, gfn_t gfn, bool granted);
void agents_wake_frames(struct step *s);
void agents_tick(struct step *s);
void kept_reads_end(struct dsm *d, struct page *p); /* of all agents, those of this page */
/* Asks the home for a page with which nothing else is going on. */
void page_ask(struct step *s, struct page *p, bool write);

/* dsm_guess.c */
struct guess *guess_find(const struct dsm *d, gfn_t gfn); /* NULL: nothing is known of the page */
bool guess_write(struct dsm *d, gfn_t gfn); /* is this read to ask for the right to write? */
bool guess_open(const struct dsm *d, gfn_t gfn);
void guess_written(struct dsm *d, gfn_t gfn); /* what was read here is to be written */
void guess_lost(struct dsm *d, gfn_t gfn);    /* others have asked for the page */

/* dsm_ahead.c */
/* `gfn` is to be written for the first time: others behind it, too? */
void ahead_ask(struct step *s, gfn_t gfn);
void ahead_came(struct step *s, struct page *p);

/* dsm_heat.c */
void heat_count(struct dsm *d, gfn_t gfn);

#endif
