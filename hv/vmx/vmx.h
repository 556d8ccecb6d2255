/* Intel VT-x behind the virtualization seam. */
#ifndef HV_VMX_VMX_H
#define HV_VMX_VMX_H

#include "hv/virt/virt.h"

extern const struct virt_ops vmx_ops;

#endif
