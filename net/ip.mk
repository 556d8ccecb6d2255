# lwIP, fetched and built like the other dependencies (tools/deps.mk). Only net/ip includes it. Under the fuzzers
# too, as it stands between the network and what is ours.
lwip_CFLAGS := -isystem $(DEPS)/lwip/src/include -isystem net/ip/lwip
lwip_QUIET  := -w
LWIP        := $(DEPS)/lwip
LWIP_SRC    := $(addprefix core/,init.c def.c inet_chksum.c ip.c mem.c memp.c netif.c pbuf.c stats.c sys.c tcp.c \
               tcp_in.c tcp_out.c timeouts.c udp.c) \
               $(addprefix core/ipv4/,dhcp.c etharp.c icmp.c ip4.c ip4_addr.c) netif/ethernet.c
LWIP_OURS   := net/ip/lwip/lwipopts.h net/ip/lwip/arch/cc.h
$(call library,lwip,$(LWIP)/src,$(LWIP_SRC),$(LWIP_OURS),$(LWIP)/.stamp)

$(HOST_OUT)/test_ip $(HOST_OUT)/test_netnode $(HOST_OUT)/test_console: $(HOST_OUT)/tests/host/fake_nic.o
$(HOST_OUT)/test_console: $(HOST_OUT)/tests/host/tcp_rig.o

$(eval $(call library_rules,lwip,$(LWIP)/src,$(LWIP_SRC),$(LWIP_OURS),$(LWIP)/.stamp,$(FUZZ_OUT),FUZZ_CFLAGS,$(CLANG)))
FUZZ_IP_OBJ := $(patsubst %.c,$(FUZZ_OUT)/%.o,$(wildcard net/ip/*.c) tests/host/fake_nic.c tests/host/tcp_rig.c)
$(FUZZ_IP_OBJ) $(FUZZ_OUT)/tests/fuzz/fuzz_console.o $(FUZZ_OUT)/tests/fuzz/fuzz_ip.o: | $(DEPS)/lwip/.stamp
$(FUZZ_OUT)/fuzz_console $(FUZZ_OUT)/fuzz_ip: $(FUZZ_IP_OBJ) $(FUZZ_OUT)/liblwip.a
$(FUZZ_OUT)/fuzz_console $(FUZZ_OUT)/fuzz_ip: FUZZ_LIBS := $(FUZZ_OUT)/liblwip.a
