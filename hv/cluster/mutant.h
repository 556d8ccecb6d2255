/*
 * Deliberate faults of the glue, one at a time, for the check that tests/glue catches them. In every other
 * build GLUE_MUTANT is the constant 0 and leaves nothing behind.
 */
#ifndef HV_CLUSTER_MUTANT_H
#define HV_CLUSTER_MUTANT_H

enum glue_mutant {
	GLUE_NONE,
	/* share.c */
	GLUE_NO_WAIT_FOR_GUEST, /* a CPU in the guest is not waited for */
	GLUE_NO_WAIT_FOR_TOUCH, /* nor one that touches the page in the hypervisor */
	GLUE_EPOCH_STAYS,       /* taking rights away does not raise the epoch */
	GLUE_NO_FLUSH,          /* a CPU enters with what its TLB has */
	GLUE_NO_SECOND_LOOK,    /* nor looks at the epoch again once it is marked */
	GLUE_FLUSHED_EARLY,     /* the engine hears of the flush before it is done */
	GLUE_TOUCH_UNMARKED,    /* the hypervisor touches a page and says nothing of it */
	GLUE_RELEASE_FORGETS,   /* what was acquired stays marked */
	GLUE_READ_IS_WRITE,     /* a copy to read is mapped to be written */
	GLUE_DROP_FORGOTTEN,    /* a frame that holds nothing any more keeps its RAM */
	GLUE_DROP_SHARED,       /* or gives it on and keeps it as well */
	/* link.c */
	GLUE_CLOCK_STAYS,    /* the clock does not follow what is received */
	GLUE_CLOCK_NO_SYNC,  /* or the node's CPUs in the guest don't */
	GLUE_PAGE_UNCHECKED, /* a delta against another page than it was made from */
	GLUE_QUEUE_JUMPED,   /* a message overtakes those that wait */
	GLUE_POST_DROPPED,   /* a vCPU's message is dropped when there is no room */
	/* remote.c, life.c */
	GLUE_ANY_ANSWER,      /* the first answer counts for all nodes */
	GLUE_EOI_LATE,        /* EOIs act after the accesses that came later */
	GLUE_SERVED_TWICE,    /* an access stays asked for */
	GLUE_IPI_UNTOLD,      /* an interrupt is posted, and nobody is called */
	GLUE_DEST_UNTOLD,     /* an address is acknowledged and not put into the book */
	GLUE_UNHALT_DROPPED,  /* a KICK_CPU from elsewhere is lost */
	GLUE_STOP_UNFOLLOWED, /* another node's end is not followed */
	GLUE_QUESTIONS_STAY,  /* what was asked in one life is served in the next */
	GLUE_MUTANTS_END
};

#ifdef GLUE_MUTANTS
extern unsigned glue_mutant;
#define GLUE_MUTANT(n) (glue_mutant == (n))
#else
#define GLUE_MUTANT(n) 0
#endif

#endif
