/*
 * Included before the glue's own files where one runner goes at a time: each access to a mark that CPUs share
 * is a place where another may go on.
 */
#ifndef TESTS_GLUE_POINTS_H
#define TESTS_GLUE_POINTS_H

#include <stdatomic.h>

void glue_point(void);

#define GLUE_THEN(what)       \
	__extension__({       \
		glue_point(); \
		what;         \
	})

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_or
#undef atomic_fetch_and
#define atomic_load(p)         GLUE_THEN(atomic_load_explicit(p, memory_order_seq_cst))
#define atomic_store(p, v)     GLUE_THEN(atomic_store_explicit(p, v, memory_order_seq_cst))
#define atomic_exchange(p, v)  GLUE_THEN(atomic_exchange_explicit(p, v, memory_order_seq_cst))
#define atomic_fetch_add(p, v) GLUE_THEN(atomic_fetch_add_explicit(p, v, memory_order_seq_cst))
#define atomic_fetch_or(p, v)  GLUE_THEN(atomic_fetch_or_explicit(p, v, memory_order_seq_cst))
#define atomic_fetch_and(p, v) GLUE_THEN(atomic_fetch_and_explicit(p, v, memory_order_seq_cst))

#endif
