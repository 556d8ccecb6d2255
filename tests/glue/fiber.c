#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/glue/fiber.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
static void __asan_unpoison_memory_region(const void *memory, size_t size)
{
}

static void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size)
{
}

static void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size)
{
}
#endif

/* Keeps what a called function has to keep (System V ABI for x86-64, 3.2.1) on the stack it leaves. */
void fiber_swap(void **sp, void *to);
__asm__(".text\n"
	".globl fiber_swap\n"
	"fiber_swap:\n"
	"push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
	"mov %rsp, (%rdi)\n"
	"mov %rsi, %rsp\n"
	"pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n"
	"ret\n");

/* Of the thread's own stack, which the sanitizer knows. */
static const void *own_stack;
static size_t own_size;

void fiber_make(struct fiber *f, void (*fn)(void))
{
	uint64_t *top;

	if (!f->stack) {
		f->stack = mmap(NULL, FIBER_STACK, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (f->stack == MAP_FAILED || mprotect(f->stack, PAGE_SIZE, PROT_NONE)) {
			perror("glue: a stack");
			exit(2);
		}
	}
	/* Who had it before may have been left in the middle of something. */
	__asan_unpoison_memory_region(f->stack + PAGE_SIZE, FIBER_STACK - PAGE_SIZE);
	top = (uint64_t *)(f->stack + FIBER_STACK);
	*--top = 0; /* as if called from nowhere */
	*--top = (uintptr_t)fn;
	top -= 6;
	f->sp = top;
	f->fake = NULL;
}

void fiber_begun(void)
{
	const void *stack = NULL;
	size_t size = 0;

	__sanitizer_finish_switch_fiber(NULL, &stack, &size);
	if (!own_stack) {
		own_stack = stack;
		own_size = size;
	}
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
	__sanitizer_start_switch_fiber(&from->fake, to->stack ? to->stack : own_stack,
				       to->stack ? FIBER_STACK : own_size);
	fiber_swap(&from->sp, to->sp);
	__sanitizer_finish_switch_fiber(from->fake, NULL, NULL);
}
