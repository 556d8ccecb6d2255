/*
 * hv/dev/devices: which device a vCPU's access reaches, whatever its address and width; interrupts out of the
 * PC and their ends back in; the console; one PC for each machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "guest/layout.h"
#include "hv/cluster/nodemsg.h"
#include "hv/core/intr.h"
#include "hv/dev/devices.h"
#include "tests/host/dev_double.h"
#include "tests/host/plat.h"

#define UART      LAYOUT_UART_PORT
#define UART_PIN  LAYOUT_UART_IRQ
#define LEVEL     (1u << 15)
#define MASKED    (1u << 16)
#define NOWHERE   0xe0000000ull
#define MACHINES  2
#define REMOTE_IN 0x1122334455667788ull

static struct machine {
	struct vm vm;
	struct devices devices;
	uint32_t lapic_page[1024] ALIGNED(PAGE_SIZE);
	/* what happened above */
	unsigned kicks, routed, applied;
	struct apic_msg last;
	enum vm_stop stop;
	char failure[200];
	struct lapic_actions actions;
	struct node_io asked; /* the last access that went to the head */
	unsigned far_count;
} machines[MACHINES];

static struct machine *const m = &machines[0];
static const struct options options = {.debug_exit = true};
static uint64_t now;
static unsigned waits;

/* --- What is above and beside the devices --- */

static struct machine *of(const struct vm *vm)
{
	return (struct machine *)((uintptr_t)vm - offsetof(struct machine, vm));
}

void vcpu_kick(struct vcpu *target)
{
	of(target->vm)->kicks++;
}

void vm_cpu_kick(struct vm_cpu *target)
{
	of(target->vm)->kicks++;
}

void intr_route(struct vm *vm, const struct apic_msg *msg, uint32_t src)
{
	assert_int_equal(src, APIC_NO_CPU);
	of(vm)->routed++;
	of(vm)->last = *msg;
}

struct lapic *intr_lapic(struct vcpu *v)
{
	return &v->lapic;
}

void intr_apply(struct vcpu *v, const struct lapic_actions *actions)
{
	of(v->vm)->applied++;
	of(v->vm)->actions = *actions;
}

static uint64_t far_io(struct vcpu *v, uint64_t address, unsigned size, unsigned flags,
		       uint64_t value)
{
	of(v->vm)->asked = (struct node_io){.address = address,
					    .value = value,
					    .cpu = (uint16_t)v->index,
					    .size = (uint8_t)size,
					    .flags = (uint8_t)flags};
	of(v->vm)->far_count++;
	return REMOTE_IN;
}

/* Another CPU has the lock, and lets it go after some turns. */
static void far_wait(struct vm *vm)
{
	if (++waits < 3)
		return;
	host_cpu = 1;
	spin_unlock(&m->vm.pc_lock);
	host_cpu = 0;
}

static const struct vm_far far = {.io = far_io, .wait = far_wait};

void vm_stop(struct vm *vm, enum vm_stop how)
{
	of(vm)->stop = how;
}

void vm_fail(struct vm *vm, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(of(vm)->failure, sizeof(of(vm)->failure), fmt, ap);
	va_end(ap);
}

uint64_t vm_now_ns(const struct vm *vm)
{
	return now;
}

uint64_t vm_guest_tsc(const struct vm *vm)
{
	return now;
}

/* --- The machines --- */

static void make(struct machine *x, uint16_t port)
{
	const struct lapic_config lapic = {.bsp = true,
					   .features = LAPIC_HAS_X2APIC,
					   .phys_bits = 36,
					   .tsc_hz = 1000000000,
					   .timer_hz = 1000000000};

	memset(x, 0, sizeof(*x));
	vm_locks_init(&x->vm);
	x->vm.options = &options;
	x->vm.ram_bytes = MIB(16);
	x->vm.cpu_count = 1;
	x->vm.nodes = (struct vm_nodes){.count = 1, .local_cpus = 1};
	x->vm.vcpus[0].vm = &x->vm;
	x->vm.cpus[0].vm = &x->vm;
	lapic_init(&x->vm.vcpus[0].lapic, x->lapic_page, &lapic);
	devices_init(&x->devices, &x->vm);
	devices_console_open(&x->devices, port);
	devices_start(&x->vm);
}

static void power_on(void)
{
	now = NS_PER_S;
	waits = 0;
	double_ports_reset();
	make(m, 1);
}

static uint32_t in(uint16_t port, unsigned size)
{
	return (uint32_t)devices_io.read(&m->vm.vcpus[0], port, size, 0);
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
	devices_io.write(&m->vm.vcpus[0], port, size, 0, value);
}

static uint64_t rd(gpa_t gpa, unsigned size)
{
	return devices_io.read(&m->vm.vcpus[0], gpa, size, VM_IO_MMIO);
}

static void wr(gpa_t gpa, unsigned size, uint64_t value)
{
	devices_io.write(&m->vm.vcpus[0], gpa, size, VM_IO_MMIO, value);
}

static void ioapic_set(uint8_t index, uint32_t value)
{
	wr(LAYOUT_IOAPIC + IOAPIC_INDEX, 4, index);
	wr(LAYOUT_IOAPIC + IOAPIC_DATA, 4, value);
}

static uint32_t ioapic_get(uint8_t index)
{
	wr(LAYOUT_IOAPIC + IOAPIC_INDEX, 4, index);
	return (uint32_t)rd(LAYOUT_IOAPIC + IOAPIC_DATA, 4);
}

static uint64_t ones(unsigned size)
{
	return UINT64_MAX >> (64 - 8 * size);
}

/* --- Ports --- */

static void ports_of_every_width(void **state)
{
	power_on();
	for (unsigned size = 1; size <= 4; size *= 2) {
		assert_int_equal(in(0x5000, size), ones(size));
		assert_int_equal(in(0xffff, size), ones(size));
		out(0x5000, size, 0x12345678);
	}
	/* a wide access to registers of a byte is one access for each */
	out(UART + 7, 1, 0x5a);
	assert_int_equal(in(UART + 7, 1), 0x5a);
	out(UART + 3, 1, 0x80);
	out(UART, 2, 0x0203);
	assert_int_equal(in(UART, 2), 0x0203);
	assert_int_equal(in(UART, 4) & 0xffff, 0x0203);
	out(UART + 3, 1, 3);
	/* one that begins in a device and ends behind it */
	assert_int_equal(in(UART + 7, 2), 0xff5a);
	/* PCI's address is a dword, and half of it something else */
	out(0xcf8, 4, 0x80000000);
	assert_int_equal(in(0xcf8, 4), 0x80000000);
	assert_int_equal(in(0xcfe, 4), ones(4));
	assert_int_equal(m->far_count, 0);
}

static void ports_that_end_it(void **state)
{
	power_on();
	out(LAYOUT_DEBUG_EXIT, 1, 0x42);
	assert_int_equal(m->stop, VM_DEBUG_EXIT);
	assert_int_equal(m->vm.debug_code, 0x42);
	power_on();
	out(LAYOUT_RESET_PORT, 1, 6);
	assert_int_equal(m->stop, VM_RESET);
	power_on();
	out(LAYOUT_PM_PORT + PM_CNT, 2, 1u << 13 | PM_S5_TYPE << 10);
	assert_int_equal(m->stop, VM_POWERED_OFF);
}

/* --- Device memory --- */

static void holes_read_ones(void **state)
{
	power_on();
	for (unsigned size = 1; size <= 8; size *= 2)
		for (unsigned at = 0; at < 9; at++) {
			assert_true(rd(NOWHERE + at, size) == ones(size));
			wr(NOWHERE + at, size, 0);
			assert_true(rd(UINT64_MAX - at, size) == ones(size));
			wr(UINT64_MAX - at, size, 0);
		}
	assert_int_equal(m->routed, 0);
}

static void the_ioapics_registers(void **state)
{
	power_on();
	assert_int_equal(ioapic_get(1) >> 16, IOAPIC_PINS - 1);
	/* the index is a byte, and a store of one will do; elsewhere narrow stores are dropped */
	wr(LAYOUT_IOAPIC + IOAPIC_INDEX, 1, 0x10);
	ioapic_set(0x10, 0x0245 | MASKED);
	wr(LAYOUT_IOAPIC + IOAPIC_DATA, 1, 0xff);
	wr(LAYOUT_IOAPIC + IOAPIC_DATA, 2, 0xffff);
	for (unsigned at = 1; at < 4; at++) {
		wr(LAYOUT_IOAPIC + IOAPIC_DATA + at, 4, 0xffffffff);
		wr(LAYOUT_IOAPIC + IOAPIC_DATA + at, 8, UINT64_MAX);
	}
	assert_int_equal(ioapic_get(0x10), 0x0245 | MASKED);
	/* a narrow read gets its bytes of the register, and none of the next one */
	uint32_t whole = ioapic_get(0x10);

	for (unsigned at = 0; at < 4; at++)
		for (unsigned size = 1; size <= 8; size *= 2)
			assert_true(rd(LAYOUT_IOAPIC + IOAPIC_DATA + at, size) ==
				    (((uint64_t)whole >> 8 * at) & ones(size)));
	/* the page's end, and an access over it */
	for (unsigned size = 1; size <= 8; size *= 2) {
		assert_true(rd(LAYOUT_IOAPIC + 0xfff, size) == 0);
		wr(LAYOUT_IOAPIC + 0xfff, size, UINT64_MAX);
	}
}

static void the_lapics_page(void **state)
{
	struct vcpu *v = &m->vm.vcpus[0];
	gpa_t page = LAYOUT_LAPIC;

	power_on();
	wr(page + LAPIC_TPR, 4, 0x35);
	assert_int_equal(m->applied, 1);
	assert_int_equal(rd(page + LAPIC_TPR, 4), 0x35);
	assert_int_equal(rd(page + LAPIC_TPR, 1), 0x35);
	assert_int_equal(rd(page + LAPIC_TPR + 1, 1), 0);
	assert_int_equal(rd(page + LAPIC_TPR, 8), 0x35);
	/* undefined ones are dropped */
	wr(page + LAPIC_TPR, 1, 0x77);
	wr(page + LAPIC_TPR, 2, 0x77);
	wr(page + LAPIC_TPR + 2, 4, 0x77);
	assert_int_equal(rd(page + LAPIC_TPR, 4), 0x35);
	assert_int_equal(m->applied, 1);
	for (unsigned at = 0xff0; at < 0x1000; at++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			rd(page + at, size);
			wr(page + at, size, 0);
		}
	/* in x2APIC mode nothing is there, nor where the guest has taken it from */
	v->lapic.base_msr |= 1u << 10;
	assert_int_equal(rd(page + LAPIC_TPR, 4), 0xffffffff);
	v->lapic.base_msr = (v->lapic.base_msr & ~(1ull << 10) & 0xfff) | NOWHERE;
	assert_int_equal(rd(page + LAPIC_TPR, 4), 0xffffffff);
	assert_int_equal(rd(NOWHERE + LAPIC_TPR, 4), 0x35);
}

/* --- Interrupts --- */

/* The UART's line goes up as soon as its transmitter's interrupt is wanted: it is empty. */
static void line(bool up)
{
	out(UART + 4, 1, 0x0b);
	out(UART + 1, 1, up ? 2 : 0);
}

static void a_level_lasts_until_its_end(void **state)
{
	power_on();
	ioapic_set(0x10 + 2 * UART_PIN, 0x41 | LEVEL);
	line(true);
	assert_int_equal(m->routed, 1);
	assert_int_equal(m->last.vector, 0x41);
	assert_true(m->last.level_trigger);
	/* once, until a LAPIC says that vector's end; others' ends are not its */
	for (unsigned vector = 0; vector < 256; vector++)
		if (vector != 0x41)
			devices_eoi(&m->vm, (uint8_t)vector);
	assert_int_equal(m->routed, 1);
	devices_eoi(&m->vm, 0x41);
	assert_int_equal(m->routed, 2);
	line(false);
	devices_eoi(&m->vm, 0x41);
	assert_int_equal(m->routed, 2);
	line(true);
	assert_int_equal(m->routed, 3);
	/* by the IOAPIC's own register, too */
	wr(LAYOUT_IOAPIC + IOAPIC_EOI, 4, 0x41);
	assert_int_equal(m->routed, 4);
}

static void an_edge_is_sent_once(void **state)
{
	power_on();
	ioapic_set(0x10 + 2 * UART_PIN, 0x42);
	line(true);
	assert_int_equal(m->routed, 1);
	assert_false(m->last.level_trigger);
	devices_eoi(&m->vm, 0x42);
	assert_int_equal(m->routed, 1);
	line(false);
	line(true);
	assert_int_equal(m->routed, 2);
}

static void the_old_controllers(void **state)
{
	uint8_t vector = 0;

	power_on();
	assert_false(devices_int_ack(&m->vm, &vector));
	out(0x20, 1, 0x11);
	out(0x21, 1, 0x30);
	out(0x21, 1, 0x04);
	out(0x21, 1, 0x01);
	out(0x21, 1, 0);
	line(true);
	assert_true(m->vm.pc.intr_level);
	assert_true(m->kicks > 0);
	assert_true(devices_int_ack(&m->vm, &vector));
	assert_int_equal(vector, 0x30 + UART_PIN);
	assert_false(devices_int_ack(&m->vm, &vector));
}

/* --- Time and the console --- */

static void the_console_is_looked_at_each_ms(void **state)
{
	power_on();
	double_type(1, "abc");
	devices_tick(&m->vm);
	assert_int_equal(in(UART + 5, 1) & 1, 1);
	assert_int_equal(in(UART, 1), 'a');
	double_type(1, "d");
	devices_tick(&m->vm);
	atomic_store(&m->vm.pc_timer_moved, true); /* something else is to be done now */
	devices_tick(&m->vm);
	assert_int_equal(double_ports[1].typed_read, 3);
	assert_true(devices_tick(&m->vm) <= now + NS_PER_MS);
	now += NS_PER_MS;
	devices_tick(&m->vm);
	assert_int_equal(double_ports[1].typed_read, 4);
	for (const char *c = "bcd"; *c; c++) {
		now += NS_PER_MS;
		devices_tick(&m->vm);
		assert_int_equal(in(UART, 1), *c);
	}
}

/* More than the UART has room for: what is over waits in its order, here and in the port. */
static void typed_faster_than_read(void **state)
{
	char text[3001] = "";
	unsigned got = 0;

	power_on();
	out(UART + 2, 1, 1);
	for (unsigned i = 0; i < 3000; i++)
		text[i] = (char)('A' + i % 57);
	double_type(1, text);
	for (unsigned i = 0; i < 100; i++) {
		now += NS_PER_MS;
		devices_tick(&m->vm);
	}
	assert_true(double_ports[1].typed_read < 3000);
	for (unsigned i = 0; i < 20000 && got < 3000; i++) {
		now += 100 * NS_PER_US;
		devices_tick(&m->vm);
		while (in(UART + 5, 1) & 1)
			assert_int_equal(in(UART, 1), text[got++]);
	}
	assert_int_equal(got, 3000);
}

static void printed(void **state)
{
	power_on();
	for (const char *c = "hello"; *c; c++)
		out(UART, 1, (uint8_t)*c);
	assert_int_equal(double_ports[1].printed_count, 5);
	assert_memory_equal(double_ports[1].printed, "hello", 5);
	/* to nobody */
	make(m, 0);
	out(UART, 1, 'x');
	now += NS_PER_S;
	devices_tick(&m->vm);
	assert_int_equal(double_ports[1].printed_count, 5);
}

static void a_reset_keeps_what_was_typed(void **state)
{
	power_on();
	double_type(1, "typed");
	devices_tick(&m->vm);
	ioapic_set(0x10 + 2 * UART_PIN, 0x41 | LEVEL);
	devices_start(&m->vm);
	assert_int_equal(ioapic_get(0x10 + 2 * UART_PIN) & MASKED, MASKED);
	assert_int_equal(m->failure[0], '\0');
	for (const char *c = "typed"; *c; c++) {
		now += NS_PER_MS;
		devices_tick(&m->vm);
		assert_int_equal(in(UART, 1), *c);
	}
}

static void nothing_is_done_before_its_time(void **state)
{
	uint64_t next;

	power_on();
	next = devices_tick(&m->vm);
	assert_true(next > now);
	double_type(1, "x");
	assert_int_equal(devices_tick(&m->vm), next);
	assert_int_equal(double_ports[1].typed_read, 0);
	/* a register's write that moves the next event is seen at once */
	out(0x43, 1, 0x30);
	out(0x40, 1, 1);
	out(0x40, 1, 0);
	assert_true(m->kicks > 0);
	assert_true(atomic_load(&m->vm.pc_timer_moved));
}

/* --- Several nodes, several machines --- */

static void another_nodes_vcpu_asks_the_head(void **state)
{
	struct vcpu *v = &m->vm.vcpus[1];

	power_on();
	m->vm.nodes = (struct vm_nodes){.count = 2, .self = 1};
	places_set(&m->vm.places, 1, (struct place){1, 0});
	m->vm.far = &far;
	m->vm.cpu_count = 2;
	v->vm = &m->vm;
	v->index = 1;
	lapic_init(&v->lapic, m->lapic_page, &m->vm.vcpus[0].lapic.config);
	assert_int_equal((uint32_t)devices_io.read(v, 0x60, 2, 0), (uint32_t)REMOTE_IN);
	assert_int_equal(m->asked.address, 0x60);
	assert_int_equal(m->asked.size, 2);
	assert_int_equal(m->asked.flags, 0);
	assert_int_equal(m->asked.cpu, 1);
	devices_io.write(v, 0x64, 1, 0, 0xfe);
	assert_int_equal(m->asked.flags, VM_IO_WRITE);
	assert_int_equal(m->asked.value, 0xfe);
	assert_int_equal(m->stop, VM_RUNNING);
	assert_true(devices_io.read(v, NOWHERE + 1, 8, VM_IO_MMIO) == REMOTE_IN);
	assert_int_equal(m->asked.flags, VM_IO_MMIO);
	devices_io.write(v, LAYOUT_IOAPIC, 4, VM_IO_MMIO, 7);
	assert_int_equal(m->asked.flags, VM_IO_MMIO | VM_IO_WRITE);
	assert_int_equal(m->far_count, 4);
	/* its LAPIC is its own */
	devices_io.write(v, LAYOUT_LAPIC + LAPIC_TPR, 4, VM_IO_MMIO, 0x20);
	assert_int_equal(devices_io.read(v, LAYOUT_LAPIC + LAPIC_TPR, 4, VM_IO_MMIO), 0x20);
	assert_int_equal(m->far_count, 4);
}

/* Who waits for the lock in a cluster goes on serving the wire: the holder may wait for a page. */
static void the_wire_is_served_while_waiting(void **state)
{
	power_on();
	m->vm.far = &far;
	host_cpu = 1;
	spin_lock(&m->vm.pc_lock);
	host_cpu = 0;
	assert_int_equal(in(0x5000, 1), 0xff);
	assert_int_equal(waits, 3);
}

/* A vCPU that uses a device does more than tick; each tick of an idle one uses its LAPIC. */
static void devices_are_work(void **state)
{
	bool *worked = &m->vm.vcpus[0].tick.worked;

	power_on();
	(void)rd(LAYOUT_LAPIC + LAPIC_TPR, 4);
	wr(LAYOUT_LAPIC + LAPIC_EOI, 4, 0);
	assert_false(*worked);
	(void)in(UART + 7, 1);
	assert_true(*worked);
	*worked = false;
	out(UART + 7, 1, 0);
	assert_true(*worked);
}

static void two_machines(void **state)
{
	power_on();
	make(&machines[1], 2);
	double_type(2, "2");
	double_type(1, "1");
	for (unsigned i = 0; i < MACHINES; i++) {
		struct vcpu *v = &machines[i].vm.vcpus[0];

		devices_tick(&machines[i].vm);
		assert_int_equal((uint32_t)devices_io.read(v, UART, 1, 0), '1' + i);
		devices_io.write(v, UART, 1, 0, 'a' + i);
		assert_int_equal(double_ports[i + 1].printed[0], 'a' + i);
		assert_int_equal(double_ports[i + 1].printed_count, 1);
	}
	devices_io.write(&machines[1].vm.vcpus[0], LAYOUT_RESET_PORT, 1, 0, 6);
	assert_int_equal(machines[1].stop, VM_RESET);
	assert_int_equal(machines[0].stop, VM_RUNNING);
}

static void a_disk_in_it(void **state)
{
	static uint8_t image[4096];

	power_on();
	memset(m, 0, offsetof(struct machine, lapic_page));
	vm_locks_init(&m->vm);
	m->vm.options = &options;
	m->vm.ram_bytes = MIB(16);
	m->vm.cpu_count = 1;
	m->vm.nodes = (struct vm_nodes){.count = 1, .local_cpus = 1};
	m->vm.vcpus[0].vm = &m->vm;
	devices_init(&m->devices, &m->vm);
	virtdev_disk_image(&m->devices.virt, image, sizeof(image));
	devices_start(&m->vm);
	assert_int_equal(m->failure[0], '\0');
	out(0xcf8, 4, 0x80000000 | LAYOUT_DISK_SLOT << 11);
	assert_int_equal(in(0xcfc, 4), 0x10421af4);
	/* a reset leaves it in its slot */
	devices_start(&m->vm);
	assert_int_equal(m->failure[0], '\0');
	out(0xcf8, 4, 0x80000000 | LAYOUT_DISK_SLOT << 11);
	assert_int_equal(in(0xcfc, 4), 0x10421af4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_of_every_width),
		cmocka_unit_test(ports_that_end_it),
		cmocka_unit_test(holes_read_ones),
		cmocka_unit_test(the_ioapics_registers),
		cmocka_unit_test(the_lapics_page),
		cmocka_unit_test(a_level_lasts_until_its_end),
		cmocka_unit_test(an_edge_is_sent_once),
		cmocka_unit_test(the_old_controllers),
		cmocka_unit_test(the_console_is_looked_at_each_ms),
		cmocka_unit_test(typed_faster_than_read),
		cmocka_unit_test(printed),
		cmocka_unit_test(a_reset_keeps_what_was_typed),
		cmocka_unit_test(nothing_is_done_before_its_time),
		cmocka_unit_test(another_nodes_vcpu_asks_the_head),
		cmocka_unit_test(the_wire_is_served_while_waiting),
		cmocka_unit_test(devices_are_work),
		cmocka_unit_test(two_machines),
		cmocka_unit_test(a_disk_in_it),
	};

	return cmocka_run_group_tests_name("devices", tests, NULL, NULL);
}
