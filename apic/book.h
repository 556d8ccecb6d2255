/*
 * The book: how every LAPIC of the machine is addressed, as each node sees it. One writer per CPU's
 * entry (its owner, or the node's receiver for remote CPUs), any number of readers, no lock: an entry
 * is one 64-bit word.
 */
#ifndef APIC_BOOK_H
#define APIC_BOOK_H

#include <stdatomic.h>

#include "apic/cpuset.h"
#include "apic/msg.h"

enum apic_mode { APIC_OFF, APIC_XAPIC, APIC_X2APIC };

/* One LAPIC's address. SDM vol. 3, 11.6.2 and 11.12.10 */
struct apic_dest {
	uint32_t id;
	enum apic_mode mode;
	bool enabled;    /* software enabled (SVR[8]): accepts FIXED and LOWEST */
	bool cluster;    /* DFR: cluster model; xAPIC only */
	uint8_t logical; /* LDR[31:24]; xAPIC only, in x2APIC mode it follows from the id */
};

struct apic_book {
	_Atomic uint32_t count;  /* entries in use */
	_Atomic uint32_t lowest; /* who got the last lowest-priority message */
	_Atomic uint64_t cpu[CPUSET_MAX];
};

/* The sender of a message that is no CPU (an IOAPIC). */
#define APIC_NO_CPU UINT32_MAX

void apic_book_init(struct apic_book *book);

/* `cpu` is below CPUSET_MAX. Entries never written are off. */
void apic_book_update(struct apic_book *book, unsigned cpu, const struct apic_dest *dest);
void apic_book_get(const struct apic_book *book, unsigned cpu, struct apic_dest *dest);

/* The same in one word, for the wire. */
uint64_t apic_dest_pack(const struct apic_dest *dest);
void apic_dest_unpack(uint64_t word, struct apic_dest *dest);

/*
 * The CPUs that accept the message; none when nobody does. LOWEST picks one of them, in rotation: the
 * next one after whoever got the last. SDM vol. 3, 11.6.2; 11.6.2.4 leaves the choice to the platform
 */
void apic_match(struct apic_book *book, const struct apic_msg *msg, uint32_t src_cpu,
		struct cpuset *out);

#endif
