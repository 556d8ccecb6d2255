# lwIP, fetched and built like the other dependencies (tools/deps.mk). Only net/ip includes it.
lwip_CFLAGS := -isystem $(DEPS)/lwip/src/include -isystem net/ip/lwip
lwip_QUIET  := -w
LWIP_SRC    := $(addprefix core/,init.c def.c inet_chksum.c ip.c mem.c memp.c netif.c pbuf.c stats.c sys.c tcp.c \
               tcp_in.c tcp_out.c timeouts.c udp.c) \
               $(addprefix core/ipv4/,dhcp.c etharp.c icmp.c ip4.c ip4_addr.c) netif/ethernet.c
$(call library,lwip,$(DEPS)/lwip/src,$(LWIP_SRC),net/ip/lwip/lwipopts.h net/ip/lwip/arch/cc.h,$(DEPS)/lwip/.stamp)

$(HOST_OUT)/test_ip $(HOST_OUT)/test_netnode $(HOST_OUT)/test_console: $(HOST_OUT)/tests/host/fake_nic.o
$(HOST_OUT)/test_console: $(HOST_OUT)/tests/host/tcp_rig.o
