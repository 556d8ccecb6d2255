/* The small clusters that are explored whole. */
#include "tests/model/explore.h"

/* clang-format off */
#define R(p) {p, false}
#define W(p) {p, true}

static const struct op three[] = {
	{"read p0", 1, {R(0)}}, {"write p0", 1, {W(0)}}, {"write p1", 1, {W(1)}},
	{"read p2", 1, {R(2)}}, {"write p2", 1, {W(2)}},
};

static const struct op single[] = {
	{"read p0", 1, {R(0)}}, {"write p0", 1, {W(0)}},
	{"read p1", 1, {R(1)}}, {"write p1", 1, {W(1)}},
};

static const struct op mixed[] = {
	{"read p0", 1, {R(0)}}, {"write p1", 1, {W(1)}},
	{"read p2", 1, {R(2)}}, {"write p3", 1, {W(3)}},
};

static const struct op writes[] = {
	{"write p0", 1, {W(0)}}, {"write p1", 1, {W(1)}},
	{"write p2", 1, {W(2)}}, {"write p3", 1, {W(3)}},
};

/* Instructions that need both pages, in both orders, for writing or mixed. */
static const struct op both[] = {
	{"write p0, p1", 2, {W(0), W(1)}}, {"write p1, p0", 2, {W(1), W(0)}},
	{"read p0, write p1", 2, {R(0), W(1)}}, {"read p1, write p0", 2, {R(1), W(0)}},
	{"read p0, then write p0 and p1", 3, {R(0), W(0), W(1)}},
};

const struct explore explore_jobs[] = {
	{"3 nodes, 2 pages, 1 operation each",
	 {3, 1, 2, 1, {0, 1}}, single, 4, 1, .table_bits = 22},
	{"3 nodes, 2 pages at one home, 1 operation each",
	 {3, 1, 2, 1, {0, 0}}, single, 4, 1, .table_bits = 22},
	{"3 nodes, 1 page, 2 vCPUs each, 1 operation each",
	 {3, 2, 1, 1, {0}}, single, 2, 1, .table_bits = 24},
	{"3 nodes, 1 page, 2 operations each in turn, 1 eviction",
	 {3, 1, 1, 1, {0}}, single, 2, 2, .evictions = 1, .table_bits = 24},
	{"3 nodes, 1 page, operations without end",
	 {3, 1, 1, 1, {0}}, single, 2, 1, .endless = true, .table_bits = 24},
	{"4 nodes, 1 page, operations without end",
	 {4, 1, 1, 1, {0}}, single, 2, 1, .endless = true, .table_bits = 26},
	{"3 nodes, 1 page, operations without end, 2 evictions",
	 {3, 1, 1, 1, {0}}, single, 2, 1, .endless = true, .evictions = 2, .table_bits = 24},
	{"2 nodes, 2 pages, operations without end",
	 {2, 1, 2, 1, {0, 1}}, single, 4, 1, .endless = true, .table_bits = 24},
	{"3 nodes, 1 page, a node is lost",
	 {3, 1, 1, 1, {0}}, single, 2, 1, .losses = 1, .table_bits = 22},
	{"2 nodes, 2 pages, 2 vCPUs each, instructions that need both",
	 {2, 2, 2, 2, {0, 1}}, both, 5, 1, .ordered = true, .table_bits = 24},
	{"3 nodes, 2 pages, instructions that need both",
	 {3, 1, 2, 2, {0, 0}}, both, 5, 1, .ordered = true, .table_bits = 24},
	{"3 nodes, 2 pages, instructions that need both, 1 hold cut short",
	 {3, 1, 2, 2, {0, 2}}, both, 2, 1, .ordered = true, .expiries = 1, .table_bits = 24},
	{"2 nodes, 2 pages, 3 operations each in turn, 2 pages kept",
	 {2, 1, 2, 1, {0, 1}, 2}, single, 4, 3, .table_bits = 24},
	{"2 nodes, 2 pages, 2 instructions each that need both, 2 pages kept, 1 hold cut short",
	 {2, 1, 2, 2, {0, 1}, 2}, both, 5, 2, .ordered = true, .expiries = 1, .table_bits = 24},
	{"3 nodes, 1 page, 2 operations each in turn, 1 page kept, 1 eviction",
	 {3, 1, 1, 1, {0}, 1}, single, 2, 2, .evictions = 1, .table_bits = 24},
	{"3 nodes, 2 pages, 2 operations each in turn, 2 pages kept",
	 {3, 1, 2, 1, {0, 1}, 2}, single, 4, 2, .table_bits = 26},
	{"3 nodes, 1 page, operations without end, reads that ask to write",
	 {3, 1, 1, 1, {0}, 0, 2}, single, 2, 1, .endless = true, .table_bits = 24},
	{"2 nodes, 2 pages, 4 operations each in turn, reads that ask to write, 1 eviction",
	 {2, 1, 2, 1, {0, 1}, 0, 2}, single, 4, 4, .evictions = 1, .table_bits = 24},
	{"2 nodes, 1 page, 2 vCPUs each, 3 operations each, reads that ask to write",
	 {2, 2, 1, 1, {0}, 0, 2}, single, 2, 3, .table_bits = 24},
	{"2 nodes, 3 pages, 3 operations each in turn, pages asked for ahead, 1 eviction",
	 {2, 1, 3, 1, {0, 1, 0}, 0, 0, 2}, three, 5, 3, .evictions = 1, .table_bits = 24},
	{"3 nodes, 3 pages, 2 operations each in turn, pages asked for ahead",
	 {3, 1, 3, 1, {0, 1, 2}, 0, 0, 2}, three, 5, 2, .table_bits = 24},
	{"2 nodes, 4 pages, 4 operations each in turn, frames run out",
	 {2, 1, 4, 1, {0, 0, 1, 1}, .frames = {3, 3}}, mixed, 4, 4, .table_bits = 24},
	{"2 nodes, 4 pages, 6 operations each in turn, frames run out",
	 {2, 1, 4, 1, {0, 0, 1, 1}, .frames = {3, 3}}, writes, 4, 6, .table_bits = 24},
	{"3 nodes, 4 pages, 2 operations each in turn, frames run out",
	 {3, 1, 4, 1, {0, 0, 1, 1}, .frames = {3, 3, 2}}, writes, 4, 2, .table_bits = 24},
	{"3 nodes, 3 pages, 2 operations each in turn, frames run out",
	 {3, 1, 3, 1, {0, 1, 2}, .frames = {2, 2, 2}}, writes, 3, 2, .table_bits = 24},
	{"3 nodes, 2 pages, 2 vCPUs each, 1 operation each",
	 {3, 2, 2, 1, {0, 1}}, single, 4, 1, .table_bits = 24},
	{"3 nodes, 2 pages at one home, 2 vCPUs each, 1 operation each",
	 {3, 2, 2, 1, {0, 0}}, single, 4, 1, .table_bits = 24},
	{"3 nodes, 2 pages, 2 operations each in turn, 1 eviction",
	 {3, 1, 2, 1, {0, 1}}, single, 4, 2, .evictions = 1, .table_bits = 26},
	{"3 nodes, 2 pages, operations without end",
	 {3, 1, 2, 1, {0, 1}}, single, 4, 1, .endless = true, .table_bits = 28},
};
/* clang-format on */

const unsigned explore_job_count = ARRAY_LEN(explore_jobs);
