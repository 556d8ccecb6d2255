/* LAPICs, posted blocks, a book and an IOAPIC wired as hv/core wires them; for the APIC's host tests. */
#ifndef TESTS_HOST_APIC_RIG_H
#define TESTS_HOST_APIC_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apic/ioapic.h"
#include "apic/lapic.h"
#include "tests/host/plat.h"

#define RIG_CPUS 4
#define RIG_FEATURES \
	(LAPIC_HAS_X2APIC | LAPIC_HAS_TSC_DEADLINE | LAPIC_HAS_EOI_SUPPRESS | LAPIC_HAS_CMCI)
#define RIG_MASKED 0x10000u

struct rig {
	struct lapic lapic[RIG_CPUS];
	struct apic_post post[RIG_CPUS];
	struct lapic_events ev[RIG_CPUS];
	struct apic_book book;
	struct ioapic io;
	uint64_t now;
	unsigned kicks;
};

static uint32_t rig_page[RIG_CPUS][1024] ALIGNED(4096);
static struct rig rig;

static inline void rig_publish(unsigned cpu)
{
	struct apic_dest dest;

	lapic_dest(&rig.lapic[cpu], &dest);
	apic_book_update(&rig.book, cpu, &dest);
}

/* CPU 0 is the BSP, APIC ids are the CPU numbers; the TSC runs at 1 GHz, the timer at 100 MHz. */
static inline void rig_reset(uint32_t features)
{
	memset(&rig, 0, sizeof(rig));
	apic_book_init(&rig.book);
	ioapic_init(&rig.io, 0);
	for (unsigned cpu = 0; cpu < RIG_CPUS; cpu++) {
		struct lapic_config config = {
			.apic_id = cpu,
			.bsp = cpu == 0,
			.features = features,
			.phys_bits = 36,
			.tsc_hz = 1000000000,
			.timer_hz = 100000000,
		};

		memset(rig_page[cpu], 0xa5, sizeof(rig_page[cpu]));
		lapic_init(&rig.lapic[cpu], rig_page[cpu], &config);
		apic_post_init(&rig.post[cpu]);
		rig_publish(cpu);
	}
}

/* Gives a message to everybody it is for; returns to how many. */
static inline unsigned rig_route(const struct apic_msg *msg, uint32_t src)
{
	struct cpuset to;
	unsigned cpu;

	apic_match(&rig.book, msg, src, &to);
	cpuset_for_each(cpu, &to) rig.kicks += apic_post_msg(&rig.post[cpu], msg);
	return cpuset_count(&to);
}

static inline void rig_route_all(const struct ioapic_out *out)
{
	for (unsigned i = 0; i < out->count; i++)
		rig_route(&out->msg[i], APIC_NO_CPU);
}

static inline void rig_line(unsigned pin, bool asserted)
{
	struct ioapic_out out;

	ioapic_line(&rig.io, pin, asserted, &out);
	rig_route_all(&out);
}

static inline void rig_redir(unsigned pin, uint64_t entry)
{
	struct ioapic_out out;

	for (unsigned half = 2; half-- > 0;) {
		ioapic_write(&rig.io, IOAPIC_INDEX, 0x10 + 2 * pin + half, &out);
		ioapic_write(&rig.io, IOAPIC_DATA, (uint32_t)(entry >> (half * 32)), &out);
		rig_route_all(&out);
	}
}

static inline void rig_act(unsigned cpu, const struct lapic_actions *act)
{
	struct ioapic_out out;

	if (act->dest_changed)
		rig_publish(cpu);
	if (act->send_ipi)
		rig_route(&act->ipi, cpu);
	if (act->eoi_level) {
		ioapic_eoi(&rig.io, act->eoi_vector, &out);
		rig_route_all(&out);
	}
}

static inline struct lapic_actions rig_write(unsigned cpu, uint32_t offset, uint32_t value)
{
	struct lapic_actions act;

	memset(&act, 0xff, sizeof(act));
	lapic_mmio_write(&rig.lapic[cpu], offset, value, rig.now, &act);
	rig_act(cpu, &act);
	return act;
}

static inline uint32_t rig_read(unsigned cpu, uint32_t offset)
{
	return lapic_mmio_read(&rig.lapic[cpu], offset, rig.now);
}

static inline int rig_wrmsr(unsigned cpu, uint32_t msr, uint64_t value)
{
	struct lapic_actions act;
	int err = lapic_msr_write(&rig.lapic[cpu], msr, value, rig.now, &act);

	rig_act(cpu, &act);
	return err;
}

static inline uint64_t rig_rdmsr(unsigned cpu, uint32_t msr)
{
	uint64_t value = 0xbad;

	assert_int_equal(lapic_msr_read(&rig.lapic[cpu], msr, rig.now, &value), 0);
	return value;
}

static inline bool rig_rdmsr_faults(unsigned cpu, uint32_t msr)
{
	uint64_t value = 0;

	return lapic_msr_read(&rig.lapic[cpu], msr, rig.now, &value) == ERR_INVALID;
}

/* As the run loop does before it enters the guest; the answer is lapic_pending's. */
static inline int rig_pull(unsigned cpu)
{
	lapic_pull(&rig.lapic[cpu], &rig.post[cpu], &rig.ev[cpu]);
	if (rig.ev[cpu].dest_changed)
		rig_publish(cpu);
	return lapic_pending(&rig.lapic[cpu]);
}

/* Takes whatever the CPU can take now; -1 when nothing. */
static inline int rig_take(unsigned cpu)
{
	int vector = rig_pull(cpu);

	if (vector >= 0)
		lapic_accept(&rig.lapic[cpu], (uint8_t)vector);
	return vector;
}

static inline struct lapic_actions rig_eoi(unsigned cpu)
{
	return rig_write(cpu, LAPIC_EOI, 0);
}

/* Software enables the LAPIC with spurious vector 0xff. */
static inline void rig_enable(unsigned cpu)
{
	rig_write(cpu, LAPIC_SVR, 0x1ff);
}

/* A fixed edge interrupt straight to one CPU. */
static inline void rig_post(unsigned cpu, uint8_t vector)
{
	struct apic_msg msg = {.kind = APIC_FIXED, .vector = vector, .dest = cpu, .assert = true};

	rig.kicks += apic_post_msg(&rig.post[cpu], &msg);
}

static inline bool rig_bit(unsigned cpu, enum lapic_reg map, uint8_t vector)
{
	return rig_read(cpu, map + vector / 32 * 16) >> (vector % 32) & 1;
}

static inline int rig_setup(void **state)
{
	rig_reset(RIG_FEATURES);
	for (unsigned cpu = 0; cpu < RIG_CPUS; cpu++)
		rig_enable(cpu);
	return 0;
}

/* As after power-up, nothing enabled. */
static inline int rig_setup_cold(void **state)
{
	rig_reset(RIG_FEATURES);
	return 0;
}

#endif
