/* The programs, by the names the literature on memory models gives them. */
#include "tests/model/litmus.h"

/* clang-format off */
#define X 0
#define Y 1
#define Z 2
#define ST(v, n) {L_STORE, v, n}
#define LD(v) {L_LOAD, v, 0}
#define MF {L_FENCE, 0, 0}
#define XC(v, n) {L_XCHG, v, n}

const struct litmus litmus_tests[] = {
	{"SB", {{ST(X, 1), LD(Y)}, {ST(Y, 1), LD(X)}}, "0:0=0 1:0=0", true},
	{"SB+mfences", {{ST(X, 1), MF, LD(Y)}, {ST(Y, 1), MF, LD(X)}}, "0:0=0 1:0=0", false},
	{"SB+mfence+po", {{ST(X, 1), MF, LD(Y)}, {ST(Y, 1), LD(X)}}, "0:0=0 1:0=0", true},
	{"SB+xchgs", {{XC(X, 1), LD(Y)}, {XC(Y, 1), LD(X)}}, "0:1=0 1:1=0", false},
	{"SB one page", {{ST(X, 1), LD(Y)}, {ST(Y, 1), LD(X)}}, "0:0=0 1:0=0", true, .one_page = true},
	{"SB+rfi", {{ST(X, 1), LD(X), LD(Y)}, {ST(Y, 1), LD(Y), LD(X)}},
	 "0:0=1 0:1=0 1:0=1 1:1=0", true},
	{"MP", {{ST(X, 1), ST(Y, 1)}, {LD(Y), LD(X)}}, "1:0=1 1:1=0", false},
	{"MP one page", {{ST(X, 1), ST(Y, 1)}, {LD(Y), LD(X)}}, "1:0=1 1:1=0", false,
	 .one_page = true},
	{"MP+xchg", {{ST(X, 1), XC(Y, 1)}, {XC(Y, 2), LD(X)}}, "1:0=1 1:1=0", false},
	{"LB", {{LD(X), ST(Y, 1)}, {LD(Y), ST(X, 1)}}, "0:0=1 1:0=1", false},
	{"R", {{ST(X, 1), ST(Y, 1)}, {ST(Y, 2), LD(X)}}, "y=2 1:0=0", true},
	{"R+mfence", {{ST(X, 1), ST(Y, 1)}, {ST(Y, 2), MF, LD(X)}}, "y=2 1:0=0", false},
	{"S", {{ST(X, 2), ST(Y, 1)}, {LD(Y), ST(X, 1)}}, "1:0=1 x=2", false},
	{"2+2W", {{ST(X, 1), ST(Y, 2)}, {ST(Y, 1), ST(X, 2)}}, "x=1 y=1", false},
	{"CoRR", {{ST(X, 1)}, {LD(X), LD(X)}}, "1:0=1 1:1=0", false},
	{"CoRR2", {{ST(X, 1)}, {ST(X, 2)}, {LD(X), LD(X)}, {LD(X), LD(X)}},
	 "2:0=1 2:1=2 3:0=2 3:1=1", false},
	{"CoWW", {{ST(X, 1), ST(X, 2)}, {LD(X)}}, "x=1", false},
	{"CoRW", {{LD(X), ST(X, 1)}, {ST(X, 2)}}, "0:0=2 x=2", false},
	{"CoWR", {{ST(X, 1), LD(X)}, {ST(X, 2)}}, "0:0=2 x=1", false},
	{"IRIW", {{ST(X, 1)}, {LD(X), LD(Y)}, {LD(Y), LD(X)}, {ST(Y, 1)}},
	 "1:0=1 1:1=0 2:0=1 2:1=0", false},
	{"WRC", {{ST(X, 1)}, {LD(X), ST(Y, 1)}, {LD(Y), LD(X)}}, "1:0=1 2:0=1 2:1=0", false},
	{"ISA2", {{ST(X, 1), ST(Y, 1)}, {LD(Y), ST(Z, 1)}, {LD(Z), LD(X)}},
	 "1:0=1 2:0=1 2:1=0", false},
	{"RWC", {{ST(X, 1)}, {LD(X), LD(Y)}, {ST(Y, 1), LD(X)}}, "1:0=1 1:1=0 2:0=0", true},
	{"RWC+mfence", {{ST(X, 1)}, {LD(X), LD(Y)}, {ST(Y, 1), MF, LD(X)}},
	 "1:0=1 1:1=0 2:0=0", false},
	{"xchg lock", {{XC(X, 1)}, {XC(X, 1)}}, "0:0=0 1:0=0", false},
	{"xchg lock, 3 CPUs", {{XC(X, 1)}, {XC(X, 2)}, {XC(X, 3)}}, "0:0=0 1:0=0", false},
};
/* clang-format on */

const unsigned litmus_test_count = ARRAY_LEN(litmus_tests);
