/* hv/vmx/vmx_fault.c against the manual's table of double faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/base/compiler.h"
#include "hv/vmx/vmx_bits.h"
#include "hv/vmx/vmx_fault.h"

#define EXC(v) (INTR_VALID | INTR_TYPE_FIELD(INTR_EXCEPTION) | (v))

/* SDM vol. 3, table 6-5, one row per class of the first event. */
static void follows_the_table(void **state)
{
	static const struct {
		uint32_t first[4];
		enum vmx_fault_sum benign, contributory, page_fault;
	} rows[] = {
		{{EXC(1), EXC(6), EXC(17), INTR_VALID | 0x30},
		 FAULT_SECOND,
		 FAULT_SECOND,
		 FAULT_SECOND},
		{{EXC(0), EXC(10), EXC(11), EXC(13)}, FAULT_SECOND, FAULT_DOUBLE, FAULT_SECOND},
		{{EXC(12), EXC(12), EXC(12), EXC(12)}, FAULT_SECOND, FAULT_DOUBLE, FAULT_SECOND},
		{{EXC(14), EXC(14), EXC(14), EXC(14)}, FAULT_SECOND, FAULT_DOUBLE, FAULT_DOUBLE},
		{{EXC(8), EXC(8), EXC(8), EXC(8)}, FAULT_SECOND, FAULT_SHUTDOWN, FAULT_SHUTDOWN},
	};
	static const uint32_t contributory[] = {0, 10, 11, 12, 13};

	for (unsigned r = 0; r < ARRAY_LEN(rows); r++)
		for (unsigned f = 0; f < 4; f++) {
			uint32_t first = rows[r].first[f];

			assert_int_equal(vmx_fault_sum(first, EXC(6)), rows[r].benign);
			assert_int_equal(vmx_fault_sum(first, EXC(14)), rows[r].page_fault);
			for (unsigned c = 0; c < ARRAY_LEN(contributory); c++)
				assert_int_equal(vmx_fault_sum(first, EXC(contributory[c])),
						 rows[r].contributory);
		}
}

/* The vector alone does not make an exception: INT 13 and interrupt 14 are benign. */
static void looks_at_the_type(void **state)
{
	uint32_t soft = INTR_VALID | INTR_TYPE_FIELD(INTR_SOFT_INTERRUPT) | 13;
	uint32_t irq = INTR_VALID | INTR_TYPE_FIELD(INTR_EXTERNAL) | 14;
	uint32_t nmi = INTR_VALID | INTR_TYPE_FIELD(INTR_NMI) | 2;

	assert_int_equal(vmx_fault_sum(soft, EXC(13)), FAULT_SECOND);
	assert_int_equal(vmx_fault_sum(irq, EXC(14)), FAULT_SECOND);
	assert_int_equal(vmx_fault_sum(nmi, EXC(14)), FAULT_SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_table),
		cmocka_unit_test(looks_at_the_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
