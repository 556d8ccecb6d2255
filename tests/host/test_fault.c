/* hv/virt/fault.c against the manual's table of double faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/base/compiler.h"
#include "hv/virt/fault.h"

/* SDM vol. 3, table 6-5, one row per class of the first event. */
static void follows_the_table(void **state)
{
	static const struct {
		int first[5];
		enum fault_sum benign, contributory, page_fault;
	} rows[] = {
		{{1, 2, 6, 17, FAULT_NO_EXCEPTION}, FAULT_SECOND, FAULT_SECOND, FAULT_SECOND},
		{{0, 10, 11, 12, 13}, FAULT_SECOND, FAULT_DOUBLE, FAULT_SECOND},
		{{14, 14, 14, 14, 14}, FAULT_SECOND, FAULT_DOUBLE, FAULT_DOUBLE},
		{{8, 8, 8, 8, 8}, FAULT_SECOND, FAULT_SHUTDOWN, FAULT_SHUTDOWN},
	};
	static const int contributory[] = {0, 10, 11, 12, 13};

	for (unsigned r = 0; r < ARRAY_LEN(rows); r++)
		for (unsigned f = 0; f < ARRAY_LEN(rows[r].first); f++) {
			int first = rows[r].first[f];

			assert_int_equal(fault_sum(first, 6), rows[r].benign);
			assert_int_equal(fault_sum(first, 14), rows[r].page_fault);
			for (unsigned c = 0; c < ARRAY_LEN(contributory); c++)
				assert_int_equal(fault_sum(first, contributory[c]),
						 rows[r].contributory);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
