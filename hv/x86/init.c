#include "hv/base/log.h"
#include "hv/x86/hostapic.h"
#include "hv/x86/platform.h"
#include "hv/x86/tsc.h"
#include "hv/x86/x86.h"

int x86_init(struct handoff *handoff, struct why *why)
{
	platform_discover(handoff);
	tsc_calibrate();
	return hostapic_setup(why);
}
