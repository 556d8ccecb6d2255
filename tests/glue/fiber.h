/* Stacks of their own for what takes turns in one thread. x86-64 only, as the product is. */
#ifndef TESTS_GLUE_FIBER_H
#define TESTS_GLUE_FIBER_H

#include "hv/base/types.h"

struct fiber {
	void *sp;
	uint8_t *stack; /* kept for the next use; NULL: the thread's own */
	void *fake;     /* of the address sanitizer */
};

#define FIBER_STACK KIB(256)

/* Makes it ready to run `fn`, which never returns. */
void fiber_make(struct fiber *f, void (*fn)(void));
void fiber_switch(struct fiber *from, struct fiber *to);
/* First thing in `fn`. */
void fiber_begun(void);

#endif
