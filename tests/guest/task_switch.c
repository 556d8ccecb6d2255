/*
 * A hardware task switch by a task gate in the IDT. A PC does it; this hypervisor says that it does not
 * (no operating system it is for uses them) and ends.
 */
#include "tests/guest/lib/last.h"
#include "tests/guest/lib/smp.h"
#include "tests/guest/lib/trap.h"

#define TSS_SELECTOR SEL_TEST

static struct tss other;
static uint8_t stack[4096] ALIGNED(16);
static volatile uint32_t ran;

static void task(void)
{
	for (;;) {
		ran++;
		asm volatile("iretl"); /* NT is set: back to the task that was interrupted */
	}
}

static void test_task_gate(void)
{
	other = (struct tss){
		.cr3 = read_cr3(),
		.eip = (uint32_t)task,
		.eflags = 2,
		.esp = (uint32_t)stack + sizeof(stack),
		.ss0 = SEL_DATA32,
		.esp0 = (uint32_t)stack + sizeof(stack),
		.es = SEL_DATA32,
		.cs = SEL_CODE32,
		.ss = SEL_DATA32,
		.ds = SEL_DATA32,
		.fs = SEL_DATA32,
		.gs = SEL_DATA32,
		.io_map = sizeof(struct tss),
	};
	gdt_set(TSS_SELECTOR, (uint32_t)&other, sizeof(other) - 1, 0x89, 0);
	trap_gate_set(VEC_USER, 0, TSS_SELECTOR, GATE_TASK);
	print("LAST a task gate\n");
	asm volatile("int %0" : : "i"(VEC_USER) : "memory");
	CHECK_EQ(ran, 1);
	asm volatile("int %0" : : "i"(VEC_USER) : "memory");
	CHECK_EQ(ran, 2);
}

const struct test guest_tests[] = {
	{"task-gate", test_task_gate},
	{NULL, NULL},
};
