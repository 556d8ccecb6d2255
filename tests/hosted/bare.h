/*
 * What wire and kernel take without engine and transport: the same frames through the same kind of port,
 * the same changes of page protection, nothing else.
 */
#ifndef TESTS_HOSTED_BARE_H
#define TESTS_HOSTED_BARE_H

#include <stdint.h>

#define BARE_SHARERS 16u

/* In each process, once: its end of the wire. */
void bare_open(const char *interface);

/* The answering process: looks once whether there is something to answer. */
void bare_serve(void);

/* A small frame there, a page's three frames back. */
uint64_t bare_round(void);

/* A SIGSEGV, the change of one page's protection, the return: what any user-space fault costs. */
uint64_t bare_fault(void);

/*
 * A fault for which a small frame goes there; then the home and `sharers` more take a page of their own
 * away from themselves, and a page's three frames and one small frame for each sharer come back. As the
 * hosted nodes, they are all in one process.
 */
uint64_t bare_fan(unsigned sharers);

#endif
