/*
 * The emulator's surroundings in host tests and in its fuzzer: a fake vCPU, 64 KiB of RAM, one page of
 * device memory and ports.
 */
#ifndef TESTS_HOST_EMULATE_RIG_H
#define TESTS_HOST_EMULATE_RIG_H

#include "tests/host/fake_virt.h"

#define RIG_RAM  0x10000u
#define RIG_CODE 0x1000u
#define RIG_DEV  0xfee00000u

/* The device: a page of memory that counts its accesses, and ports that stream numbers. */
struct rig_device {
	uint8_t page[4096];
	unsigned reads, writes;
	uint32_t port_next; /* what is read next from any port */
	char port_log[64];  /* the low bytes of what was written, as far as they fit */
	size_t port_len;
	gva_t invalidated; /* by INVLPG */
	char failure[256]; /* vm_fail()'s sentence */
};

extern struct rig_device dev;

#define RIG_CR4_ALLOWED (CR4_PSE | CR4_PAE | CR4_PGE | CR4_UMIP)

/* Everything anew; the vCPU is the fake one's, 32-bit and flat. */
struct fake *rig_reset(void);
/* Puts the bytes at RIG_CODE and emulates them there for such an exit. */
void rig_emulate(const char *bytes, unsigned len, const struct vm_exit *exit);
/* An exit for INS or OUTS. */
struct vm_exit rig_port_exit(bool in, unsigned size);

#endif
