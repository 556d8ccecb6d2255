/*
 * The proof that an image is whole: with the option test-image=N every N-th time that a vCPU is about to look
 * at its events, it is taken into an image, made bytes, wiped out, and put back from the bytes. A guest on
 * the machine must not notice.
 */
#ifndef HV_IMAGE_IMAGE_TEST_H
#define HV_IMAGE_IMAGE_TEST_H

#include "hv/base/report.h"
#include "hv/core/vm.h"

/* For vm->boundary. */
void image_test(struct vcpu *v);

/* How many images there were, and in how many of them each state was met. */
void image_test_report(struct report *r, const struct vm *vm);

#endif
