/*
 * The rules that a VMCB must keep for VMRUN to enter the guest (APM vol. 2, 15.5.1, 15.20 and 15.25.3),
 * checked in software. The CPU only says that some rule is broken; this names it.
 */
#ifndef HV_SVM_SVM_CHECK_H
#define HV_SVM_SVM_CHECK_H

#include "hv/svm/svm_caps.h"
#include "hv/svm/vmcb.h"

/* 0, or ERR_INVALID with a sentence that names the first broken rule and the offending value. */
int svm_check_guest(const struct vmcb *vmcb, const struct svm_caps *caps,
		    struct why *why) MUST_CHECK;

#endif
