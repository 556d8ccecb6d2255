/* AMD-V (SVM) behind the virtualization seam. */
#ifndef HV_SVM_SVM_H
#define HV_SVM_SVM_H

#include "hv/virt/virt.h"

extern const struct virt_ops svm_ops;

#endif
