# The wire: transport, NIC drivers, IP, and their tests.

# The drivers reach hardware through small ops, so they run against fake devices on the host.
NET_DRIVER_SRC := $(wildcard net/drivers/*.c)
HOST_CORE      += $(NET_DRIVER_SRC) $(wildcard net/ip/*.c net/node/*.c)
NET_OUT        := $(BUILD)/net
WIRE_SRC       := $(filter hv/base/% net/transport/%,$(PORTABLE_SRC)) tests/host/plat.c

# Fake cards, for the tests and fuzzers of the drivers.
$(HOST_OUT)/test_nic: $(HOST_OUT)/tests/host/fake_nic.o
# Nodes that form clusters, for both tests of that.
$(HOST_OUT)/test_cluster $(HOST_OUT)/test_cluster_trust: $(HOST_OUT)/tests/host/cluster_lab.o
$(FUZZ_OUT)/fuzz_nic: $(FUZZ_OUT)/tests/host/fake_nic.o

# Every table of docs/wire.md against the structures.
$(NET_OUT)/wiredoc.c: docs/wire.md net/transport/frame.h tools/wiredoc
	@mkdir -p $(@D)
	tools/wiredoc docs/wire.md net/transport/frame.h > $@
$(NET_OUT)/wiredoc.o: $(NET_OUT)/wiredoc.c net/transport/frame.h
	$(CC) $(FAST_CFLAGS) -c $< -o $@

##: The wire
check-wire-doc: $(NET_OUT)/wiredoc.o ## docs/wire.md against the structures it describes
check-host: check-wire-doc

# The same test programs without sanitizers, for many schedules.
$(NET_OUT)/test_cluster: $(call fast,tests/host/cluster_lab.c)
$(NET_OUT)/test_%: $(FAST_OUT)/tests/host/test_%.o $(call fast,$(WIRE_SRC))
	@mkdir -p $(@D)
	$(CC) $(FAST_CFLAGS) $^ -lcmocka -o $@

WIRE_SCHEDULES ?= $(if $(TEST_LONG),1000000,100000)
CLUSTER_SCHEDULES ?= $(if $(TEST_LONG),20000,2000)
test-wire: $(NET_OUT)/test_transport $(NET_OUT)/test_cluster ## transport and formation under seeded fault schedules
	$(NET_OUT)/test_transport $(WIRE_SCHEDULES)
	$(NET_OUT)/test_cluster $(CLUSTER_SCHEDULES)

# The hosted node, the switch in its path, and the bench: programs for Linux interfaces.
WIRE_TOOLS := $(NET_OUT)/node $(NET_OUT)/switch $(NET_OUT)/bench
$(NET_OUT)/node: $(call fast,tests/wire/node.c $(WIRE_SRC))
$(NET_OUT)/bench: $(call fast,tests/wire/bench.c $(WIRE_SRC))
$(NET_OUT)/switch: $(call fast,tools/switch/switch.c)
$(WIRE_TOOLS): $(call fast,tests/wire/packet.c)
	@mkdir -p $(@D)
	$(CC) $(FAST_CFLAGS) $^ -o $@

wire-tools: $(WIRE_TOOLS) ## the hosted node and the user-space switch

check-wire: $(WIRE_TOOLS) ## hosted nodes over the switch: membership, self-test, loss, capture, refusals
	tests/wire/cluster --messages 2000
test-wire-nodes: $(WIRE_TOOLS) ## the same with a hundred thousand messages each way, in long a million
	tests/wire/cluster --messages $(if $(TEST_LONG),1000000,100000) --timeout 900
	tests/wire/cluster --messages 20000 --mtu 9000 clean lossy

bench-wire: $(WIRE_TOOLS) ## the transport against bare frames on one veth pair
	tests/wire/bench

test-programs: $(NET_OUT)/wiredoc.o $(NET_OUT)/test_transport $(NET_OUT)/test_cluster
.PHONY: wire-tools check-wire test-wire-nodes bench-wire check-wire-doc test-wire test
