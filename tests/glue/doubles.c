/* What the product stands on, as far as it is linked here: the CPU, time, RAM, the platform, devices. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/log.h"
#include "hv/core/arch.h"
#include "hv/core/intr.h"
#include "hv/core/vtlb.h"
#include "hv/dev/devices.h"
#include "hv/x86/irq.h"
#include "hv/x86/pmem.h"
#include "hv/x86/tsc.h"
#include "tests/glue/glue.h"

/* --- The CPU: hv/core/arch.h --- */

static void (*irq_timer)(void);

void irq_handler_set(uint8_t vector, void (*fn)(void))
{
	if (vector == IRQ_TIMER)
		irq_timer = fn;
}

/* Who posts an interrupt calls the CPU: it does not wait until the CPU looks around by itself. */
static void check_called(struct vcpu *v, unsigned irq)
{
	if (glue.config.threads || glue.config.lost_kicks || irq != GLUE_IRQ_TIMER)
		return;
	if (v && !v->recheck && !v->dozes && apic_post_pending(&v->post))
		glue_wrong("an interrupt was posted, and this CPU was not called");
}

bool host_interrupts(struct runner *r)
{
	unsigned irq;

	if (!atomic_load(&r->irq))
		return false;
	irq = atomic_exchange(&r->irq, 0);
	check_called(r->host ? r->host->current : NULL, irq);
	if (irq & GLUE_IRQ_TIMER && irq_timer)
		irq_timer();
	return true;
}

struct vm_cpu *arch_cpu(void)
{
	return glue_self() ? glue_self()->host : NULL;
}

void arch_kick(const struct vm_cpu *c)
{
	struct runner *r = container_of(c->vm, struct glue_node, vm)->runners[c->index];

	if (glue_random(1000) >= glue.config.lost_kicks)
		runner_interrupt(r, GLUE_IRQ_KICK);
	glue_yield(PACE_POINT);
}

/* The node's clock is not the others'. */
uint64_t tsc_now_ns(void)
{
	const struct runner *r = glue_self();
	uint64_t now = glue_now();

	return r ? now + now / 1024 * r->node->fast + r->node->skew_ns : now;
}

uint64_t arch_tsc(void)
{
	return tsc_now_ns() * TICKS_PER_NS;
}

void arch_timer_arm(uint64_t tsc)
{
	uint64_t at = tsc / TICKS_PER_NS, now = tsc_now_ns();

	/* Not before it; with a fast clock a little late. */
	atomic_store(&glue_self()->timer_at, glue_now() + (at > now ? at - now : 0));
}

void arch_idle(void)
{
	struct runner *r = glue_self();

	runner_sleep();
	if (glue.config.threads && atomic_load(&r->timer_at) <= glue_now()) {
		atomic_store(&r->timer_at, GLUE_NEVER);
		atomic_fetch_or(&r->irq, GLUE_IRQ_TIMER);
	}
	host_interrupts(r);
}

/* --- hv/x86/tsc.h --- */

uint64_t tsc_hz(void)
{
	return TICKS_PER_NS * NS_PER_S;
}

uint64_t tsc_to_ns(uint64_t ticks)
{
	return ticks / TICKS_PER_NS;
}

uint64_t ns_to_tsc(uint64_t ns)
{
	return ns * TICKS_PER_NS;
}

/* --- hv/x86/pmem.h: blocks are used again by the next schedule --- */

struct block {
	struct block *next;
	void *memory;
};

static struct block *used[PMEM_MAX_ORDER + 1], *unused[PMEM_MAX_ORDER + 1];
static pthread_mutex_t ram = PTHREAD_MUTEX_INITIALIZER;

void ram_reset(void)
{
	for (unsigned o = 0; o <= PMEM_MAX_ORDER; o++)
		while (used[o]) {
			struct block *b = used[o];

			used[o] = b->next;
			b->next = unused[o];
			unused[o] = b;
		}
}

static struct block *block_take(unsigned order)
{
	struct block *b = unused[order];

	if (b) {
		unused[order] = b->next;
	} else {
		b = malloc(sizeof(*b));
		if (!b || posix_memalign(&b->memory, PAGE_SIZE, (size_t)PAGE_SIZE << order))
			exit(2);
	}
	b->next = used[order];
	used[order] = b;
	return b;
}

hpa_t pmem_alloc(unsigned order)
{
	struct block *b;

	pthread_mutex_lock(&ram);
	b = block_take(order);
	pthread_mutex_unlock(&ram);
	/* What a schedule finds in it does not depend on those before. */
	if (order < 4)
		memset(b->memory, 0xa5, (size_t)PAGE_SIZE << order);
	return (uintptr_t)b->memory - PAGING_DIRECT_MAP;
}

hpa_t pmem_take(size_t bytes)
{
	hpa_t hpa = pmem_alloc(pmem_order(bytes));

	memset(pmem_virt(hpa), 0, bytes);
	return hpa;
}

hpa_t pmem_alloc_zeroed(unsigned order)
{
	return pmem_take((size_t)PAGE_SIZE << order);
}

void pmem_free(hpa_t base, unsigned order)
{
}

uint64_t pmem_free_bytes(void)
{
	return glue_self()->node->free_bytes;
}

/* --- hv/base/plat.h --- */

void plat_panic(const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	glue_wrong("panic: %s", text);
}

uint64_t plat_log_ns(void)
{
	return glue_now();
}

/* One number for each CPU of all nodes: they share the log. Locks ask for it: another may be faster. */
unsigned plat_cpu(void)
{
	const struct runner *r = glue_self();

	if (r && glue_random(32) == 0)
		glue_yield(PACE_POINT);
	return r ? r->id : GLUE_CPUS;
}

uint32_t *plat_ranks(void)
{
	static uint32_t outside; /* of all schedules */

	return glue_self() ? &glue_self()->ranks : &outside;
}

/* Reads the log; told or not, so that the same schedule comes of it. */
static void show_log(void)
{
	static struct log_reader reader;
	char text[512];
	size_t n;

	while ((n = log_read(&reader, text, sizeof(text))) > 0)
		if (glue.config.verbose)
			fwrite(text, 1, n, stdout);
}

void doubles_init(void)
{
	intr_setup();
	log_wake_by(show_log);
}

void plat_relax(void)
{
	glue_yield(PACE_RELAX);
}

/* --- hv/core/vtlb.h: nested paging walks the guest's tables --- */

void vtlb_load(struct vcpu *v)
{
}

/*
 * --- Devices: a counter for each vCPU, which its writes tell the next number of, and reads raise ---
 *
 * An access is served once, in its vCPU's order; an EOI of a vCPU's acts before the access that it makes
 * next.
 */

static struct {
	uint64_t written[GLUE_CPUS], read[GLUE_CPUS], eois[GLUE_CPUS];
	_Atomic uint64_t owed[GLUE_CPUS]; /* EOIs that a vCPU has made */
	uint64_t count;
} dev;

void devices_reset(void)
{
	memset(&dev, 0, sizeof(dev));
}

void devices_life(void)
{
	uint64_t count = dev.count;

	devices_reset();
	dev.count = count;
}

uint64_t devices_count(void)
{
	return dev.count;
}

static void dev_lock(struct vm *vm)
{
	while (!spin_trylock(&vm->pc_lock))
		vm->far->wait(vm);
	glue_yield(PACE_POINT);
}

/* Ports 0x100 + vCPU. */
static unsigned dev_cpu(struct vm *vm, uint64_t address, unsigned size, unsigned flags)
{
	unsigned cpu = (unsigned)(address - 0x100);

	if (!vm_is_head(vm))
		glue_wrong("a device was asked of another node than the head");
	if (cpu >= vm->cpu_count || size != 4 || flags)
		glue_wrong("a device saw an access that nobody made");
	if (dev.eois[cpu] < atomic_load(&dev.owed[cpu]))
		glue_wrong("vCPU %u's access to a device came before the EOI it made first", cpu);
	dev.count++;
	return cpu;
}

static uint64_t head_read(struct vm *vm, uint64_t address, unsigned size, unsigned flags)
{
	unsigned cpu;
	uint64_t value;

	dev_lock(vm);
	cpu = dev_cpu(vm, address, size, flags);
	value = ++dev.read[cpu] << 8 | cpu;
	spin_unlock(&vm->pc_lock);
	return value;
}

static void head_write(struct vm *vm, uint64_t address, unsigned size, unsigned flags,
		       uint64_t value)
{
	unsigned cpu;

	dev_lock(vm);
	cpu = dev_cpu(vm, address, size, flags);
	if (value != ++dev.written[cpu])
		glue_wrong("vCPU %u's write %llu to a device came as its %lluth", cpu,
			   (unsigned long long)value, (unsigned long long)dev.written[cpu]);
	spin_unlock(&vm->pc_lock);
}

/* Vectors 0x80 + vCPU. Several EOIs of one vector may come as one. */
static void head_eoi(struct vm *vm, uint8_t vector)
{
	unsigned cpu = vector - 0x80u;

	dev_lock(vm);
	if (cpu >= vm->cpu_count || !atomic_load(&dev.owed[cpu]))
		glue_wrong("an EOI came that nobody made");
	dev.eois[cpu] = atomic_load(&dev.owed[cpu]);
	spin_unlock(&vm->pc_lock);
}

static uint64_t dev_read(struct vcpu *v, uint64_t address, unsigned size, unsigned flags)
{
	if (!vm_is_head(v->vm))
		return v->vm->far->io(v, address, size, flags, 0);
	return head_read(v->vm, address, size, flags);
}

static void dev_write(struct vcpu *v, uint64_t address, unsigned size, unsigned flags,
		      uint64_t value)
{
	if (!vm_is_head(v->vm))
		v->vm->far->io(v, address, size, flags | VM_IO_WRITE, value);
	else
		head_write(v->vm, address, size, flags, value);
}

const struct vm_io glue_io = {
	.read = dev_read,
	.write = dev_write,
	.head_read = head_read,
	.head_write = head_write,
	.head_eoi = head_eoi,
};

void devices_access(struct vcpu *v, uint64_t number, bool write)
{
	struct vm *vm = v->vm;
	uint64_t port = 0x100 + v->index, got;

	if (write) {
		vm->io->write(v, port, 4, 0, number);
		return;
	}
	got = vm->io->read(v, port, 4, 0);
	if (got != (number << 8 | v->index) && !atomic_load(&vm->stop))
		glue_wrong("read %llu of a device gave %#llx", (unsigned long long)number,
			   (unsigned long long)got);
}

void devices_eoi_due(unsigned cpu)
{
	atomic_fetch_add(&dev.owed[cpu], 1);
}

void devices_eoi(struct vm *vm, uint8_t vector)
{
	head_eoi(vm, vector);
}

uint64_t devices_tick(struct vm *vm)
{
	return UINT64_MAX;
}

bool devices_int_ack(struct vm *vm, uint8_t *vector)
{
	return false;
}
