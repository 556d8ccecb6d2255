/* Runs all litmus programs (or one, by number) cold and warm, and says what was seen. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/model/litmus.h"

static const char *const places[L_PLACES] = {"spread", "pairs", "together"};

/* Adds to what was seen of the outcome the program is named for. */
static bool run(const struct litmus *l, enum l_place place, bool warm, bool *named, bool *whole)
{
	struct litmus_result r = litmus_run(l, place, warm, 0);
	bool good = r.complete && !r.wrong && !r.forbidden_seen;

	printf("litmus %-18s %-8s %s: %7llu states, %3llu of %3llu allowed outcomes%s\n", l->name,
	       places[place], warm ? "warm" : "cold", (unsigned long long)r.states,
	       (unsigned long long)r.outcomes, (unsigned long long)r.allowed_outcomes,
	       r.wrong            ? r.wrong
	       : !r.complete      ? ", NOT all explored"
	       : r.forbidden_seen ? ", SAW WHAT x86-TSO FORBIDS"
				  : "");
	fflush(stdout);
	*named |= r.named_seen;
	*whole |= r.missing == 0;
	return good;
}

static bool run_all(const struct litmus *l)
{
	bool good = true, named = false, whole = false;

	for (unsigned i = 0; i < 2 * L_PLACES; i++)
		good &= run(l, (enum l_place)(i / 2), i % 2, &named, &whole);
	printf("litmus %-18s %s: %s and %s; %s\n", l->name, l->outcome,
	       l->allowed ? "x86 allows it" : "x86 forbids it",
	       named ? "it appears" : "it never appears",
	       good && whole && named == l->allowed ? "right" : "WRONG");
	return good && whole && named == l->allowed;
}

int main(int argc, char **argv)
{
	bool good = true;

	for (unsigned i = 0; i < litmus_test_count; i++) {
		if (argc == 1 || (unsigned)atoi(argv[1]) == i)
			good &= run_all(&litmus_tests[i]);
	}
	printf("litmus: %s\n", good ? "exactly x86-TSO" : "FAILED");
	return good ? 0 : 1;
}
