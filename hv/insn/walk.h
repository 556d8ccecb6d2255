/* The guest's own paging, walked in software as the CPU would (SDM vol. 3, ch. 4). */
#ifndef HV_INSN_WALK_H
#define HV_INSN_WALK_H

#include "hv/core/vm.h"

/* Bits of a page-table entry at every level. SDM vol. 3, 4.5; APM vol. 2, 5.4 */
#define PTE_P    BIT(0)
#define PTE_W    BIT(1)
#define PTE_U    BIT(2)
#define PTE_A    BIT(5)
#define PTE_D    BIT(6)
#define PTE_PS   BIT(7)
#define PTE_G    BIT(8)
#define PTE_NX   BIT(63)
#define PTE_ADDR BITS(51, 12)

/* The error code of a page fault. SDM vol. 3, 4.7 */
#define PF_P     BIT(0)
#define PF_W     BIT(1)
#define PF_U     BIT(2)
#define PF_RSVD  BIT(3)
#define PF_FETCH BIT(4)

/* One of the four ways to walk. Index bits per level, top level first. */
struct walk_format {
	uint8_t levels;
	uint8_t entry_bytes;
	uint8_t top_bits;    /* index bits of the top level */
	uint8_t index_bits;  /* of the others */
	bool top_has_rights; /* PAE's PDPTEs carry neither W nor U nor A */
};

enum walk_access { WALK_READ = 0, WALK_WRITE = 1, WALK_FETCH = 2 };

/* The state that decides how a linear address is translated; read once per emulated instruction. */
struct walk_mode {
	uint64_t cr0, cr3, cr4, efer;
	bool user; /* CPL 3 */
	bool ac;   /* RFLAGS.AC: lets supervisor data accesses pass SMAP */
};

void walk_mode_read(struct vcpu *v, struct walk_mode *mode);
/* With paging on: how the mode's tables look, and where the top one is. Levels count from 1, the last. */
const struct walk_format *walk_format(const struct walk_mode *mode);
gpa_t walk_root(const struct walk_mode *mode);
/* Bits of a linear address below those that index a table of this level. */
unsigned walk_shift(const struct walk_format *f, unsigned level);
/* The entry's index in a table of this level. */
unsigned walk_index(const struct walk_format *f, unsigned level, gva_t gva);
uint64_t walk_entry_read(const void *p, unsigned bytes);
/* Does a present entry of this level map a page? */
bool walk_is_leaf(const struct walk_mode *mode, unsigned level, uint64_t entry);
/* The next table, of an entry that maps none. */
gpa_t walk_next(const struct walk_format *f, uint64_t entry);

/*
 * Translates `gva` for one access, setting accessed and dirty bits as the walker does. Returns 0, or
 * ERR_INVALID with the #PF to inject in `fault` (CR2 is the caller's to set to gva), or ERR_BUSY when
 * other CPUs kept changing the entries it met: the guest then runs the instruction again.
 */
int walk(struct vcpu *v, const struct walk_mode *mode, gva_t gva, enum walk_access access,
	 gpa_t *gpa, struct virt_event *fault) MUST_CHECK;

#endif
