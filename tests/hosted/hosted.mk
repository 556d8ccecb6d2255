# The engine and the transport in Linux processes, with real page protection, over a veth pair.

HOSTED_OUT   := $(BUILD)/hosted
HOSTED_SRC   := $(wildcard tests/hosted/*.c) $(wildcard dsm/*.c) $(wildcard net/transport/*.c) tests/host/plat.c \
                $(filter-out hv/base/string.c,$(wildcard hv/base/*.c))
HOSTED_HEADS := $(wildcard tests/hosted/*.h dsm/*.h net/transport/*.h hv/base/*.h)
IN_VETH      := unshare -Urn --kill-child sh -c 'ip link add veth0 type veth peer name veth1 && \
                ip link set veth0 up && ip link set veth1 up && exec timeout -s KILL 300 "$$0"'

$(HOSTED_OUT)/bench: $(HOSTED_SRC) $(HOSTED_HEADS)
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 -g -I. -D_GNU_SOURCE $(WARNINGS) -Wno-missing-field-initializers $(HOSTED_SRC) -o $@

bench-dsm: $(HOSTED_OUT)/bench ## coherence operations over AF_PACKET with real faults, beside the bare wire
	$(IN_VETH) $<

.PHONY: bench-dsm
