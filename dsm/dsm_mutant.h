/*
 * Deliberate protocol bugs, one at a time, for the check that the checkers catch them. In every other
 * build DSM_MUTANT is the constant 0 and leaves nothing behind.
 */
#ifndef DSM_DSM_MUTANT_H
#define DSM_DSM_MUTANT_H

enum dsm_mutant {
	MUT_NONE,
	MUT_ACK_BEFORE_FLUSH,   /* an invalidation is acknowledged while TLBs may still hold it */
	MUT_GRANT_BEFORE_FLUSH, /* an owner sends the page on while its CPUs may still write it */
	MUT_DOWNGRADE_NO_FLUSH, /* an owner serves a read but keeps write access */
	MUT_LOST_INV,           /* the home forgets to invalidate the last sharer */
	MUT_FEWER_ACKS,         /* the grant asks for one acknowledgement too few */
	MUT_GRANT_NO_ACKS,      /* the requester writes as soon as the grant is there */
	MUT_STALE_UPGRADE,      /* any requester that says it has a copy is granted without data */
	MUT_VERSION_LOW_BIT,    /* versions are compared by their lowest bit only */
	MUT_DOUBLE_GRANT,       /* the home forgets the new owner and grants twice */
	MUT_INV_NOT_DEFERRED,   /* an invalidation that overtook its data is acknowledged at once */
	MUT_COPYSET_FORGETS,    /* a reader served by the owner is not noted in the copyset */
	MUT_EVICT_NO_FLUSH,     /* an evicted page is written back while CPUs may still write it */
	MUT_EVICT_FORGETS_DATA, /* an evicting node drops the page before the home has answered */
	MUT_STALE_PUT,         /* the home takes a write-back from a node that is no longer owner */
	MUT_EVICT_CLEAN_LOSES, /* an owner that never wrote since a read evicts without data */
	MUT_NO_HOLD,           /* a granted page is given up before the instruction has retired */
	MUT_HOLD_OUT_OF_ORDER, /* an agent waits for a page while it holds a higher one */
	MUT_KEPT_FOR_GOOD,     /* a hold that outlived its instruction does not end */
	MUT_KEPT_TWICE,        /* such a hold is given up, and counted as given up again */
	MUT_ZERO_AFTER_WRITE,  /* the home serves a written page as never written */
	MUT_READ_STALE_HOME,   /* the home serves a read from its own invalid frame */
	MUT_AHEAD_MAPPED_EARLY, /* a page asked for ahead is mapped before it is granted */
	MUT_SERVE_AFTER_LOSS,   /* the engine goes on after a node is lost */
	MUT_HOME_NOT_COUNTED,   /* a page that is granted away takes no frame at its home */
	MUT_DROP_EARLY,     /* an evicted page's frame is given away before the home has answered */
	MUT_DROP_NEVER,     /* the frame of a copy that is gone stays taken */
	MUT_WISH_FORGOTTEN, /* a write that waits for a frame waits for ever */
	MUT_WISH_NO_ROOM,   /* or nothing is evicted for it */
	MUT_COUNT
};

#ifdef DSM_MUTANTS
extern unsigned dsm_mutant;
#define DSM_MUTANT(n) (dsm_mutant == (n))
#else
#define DSM_MUTANT(n) 0
#endif

#endif
