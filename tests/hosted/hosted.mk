# The engine and the transport in Linux processes, with real page protection, over a veth pair.

HOSTED_OUT   := $(BUILD)/hosted
HOSTED_SRC   := $(wildcard tests/hosted/*.c) tests/host/plat.c \
                $(filter dsm/% net/transport/% hv/base/%,$(PORTABLE_SRC))
IN_VETH      := unshare -Urn --kill-child sh -c 'ip link add veth0 type veth peer name veth1 && \
                ip link set veth0 up && ip link set veth1 up && exec timeout -s KILL 300 "$$0"'

$(HOSTED_OUT)/bench: $(call fast,$(HOSTED_SRC))
	@mkdir -p $(@D)
	$(CC) $(FAST_CFLAGS) $^ -o $@

bench-dsm: $(HOSTED_OUT)/bench ## coherence operations over AF_PACKET with real faults, beside the bare wire
	$(IN_VETH) $<

.PHONY: bench-dsm
