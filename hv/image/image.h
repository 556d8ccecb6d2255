/*
 * A vCPU as an object: all of it that its guest can see and that is in no page, no device and not the
 * machine's own (the clock, who is a member). docs/machine.md has the table of what is where. Nothing here is
 * a vendor's or a CPU model's; a vCPU goes on from its image on any CPU that has the features it was shown.
 *
 * An image is bytes for a wire or a disk, all of one length: they are checked when they are read, and what
 * has been read gives the same bytes again.
 */
#ifndef HV_IMAGE_IMAGE_H
#define HV_IMAGE_IMAGE_H

#include "apic/lapic_state.h"
#include "hv/core/vm.h"
#include "hv/virt/state.h"
#include "hv/x86/xstate.h"

#define IMAGE_VERSION 1u
#define IMAGE_BYTES   3405u

struct image {
	uint32_t cpu; /* the vCPU's number in the machine */
	enum vcpu_state state;
	bool nmi_pending, extint, pv_unhalt; /* as in struct vcpu */
	struct virt_state cpu_state;
	uint64_t dr[4]; /* DR0 to DR3 */
	struct xstate xstate;
	struct lapic_state lapic;
	struct apic_posted posted;
	uint64_t kvm_clock_msr, kvm_wall_msr;
	uint64_t misc_enable;
};

/* `image` is one that image_take() or image_decode() has filled. */
void image_encode(const struct image *image, uint8_t out[IMAGE_BYTES]);

/*
 * ERR_INVALID or, for another version, ERR_UNSUPPORTED, with a sentence: there is no vCPU of which these
 * bytes are the image. `out` is to be dropped then. Whether it is one for this machine and CPU,
 * image_load() says.
 */
int image_decode(const void *from, size_t size, struct image *out, struct why *why) MUST_CHECK;

/*
 * The calling CPU's vCPU, between two stays in the guest and with nothing acquired. Its posted messages go
 * into the image and out of its block; they have to come back (image_load), or they are lost.
 */
void image_take(struct vcpu *v, struct image *out);

/*
 * The other way, on the calling CPU's vCPU, which is as after RESET: its next stay goes on where the one
 * before image_take() ended. What others have posted meanwhile stays, behind what is in the image. The book
 * and other nodes' ideas of its LAPIC are the caller's. ERR_INVALID with a sentence: the image is not of this
 * vCPU, or of one with features that this CPU has not; then it has to be reset again.
 */
int image_load(struct vcpu *v, const struct image *image, struct why *why) MUST_CHECK;

#endif
