# lwIP, fetched like the other dependencies (tools/deps.mk), as a library for the hypervisor and for host
# programs. Only net/ip includes it.
LWIP      := $(DEPS)/lwip
LWIP_SRC  := $(addprefix $(LWIP)/src/,$(addprefix core/,init.c def.c inet_chksum.c ip.c mem.c memp.c netif.c \
             pbuf.c stats.c sys.c tcp.c tcp_in.c tcp_out.c timeouts.c udp.c) \
             $(addprefix core/ipv4/,dhcp.c etharp.c icmp.c ip4.c ip4_addr.c) netif/ethernet.c)
LWIP_CFLAGS := -isystem $(LWIP)/src/include -isystem net/ip/lwip
# Not our code: its warnings are not our errors.
LWIP_QUIET  := -w

HV_EXTRA_CFLAGS   += $(LWIP_CFLAGS)
HOST_EXTRA_CFLAGS += $(LWIP_CFLAGS)

HV_LWIP   := $(HV_OUT)/liblwip.a
HOST_LWIP := $(HOST_OUT)/liblwip.a
HV_LIBS   += $(HV_LWIP)
HOST_LIBS += $(HOST_LWIP)
$(CORE_ELF) $(HV_OUT)/core1.elf: $(HV_LWIP)
$(HOST_TESTS): $(HOST_LWIP)
$(filter $(HV_OUT)/net/ip/%,$(HV_OBJ)) $(filter $(HOST_OUT)/net/ip/%,$(HOST_OBJ)): | $(LWIP)/.stamp
$(HOST_OUT)/tests/host/test_ip.o: | $(LWIP)/.stamp

$(LWIP_SRC): $(LWIP)/.stamp ;

$(HV_OUT)/lwip/%.o: $(LWIP)/src/%.c net/ip/lwip/lwipopts.h net/ip/lwip/arch/cc.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -Werror,$(HV_CFLAGS)) $(LWIP_CFLAGS) $(LWIP_QUIET) -c $< -o $@

$(HOST_OUT)/lwip/%.o: $(LWIP)/src/%.c net/ip/lwip/lwipopts.h net/ip/lwip/arch/cc.h
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP -Werror,$(HOST_CFLAGS)) $(LWIP_CFLAGS) $(LWIP_QUIET) -c $< -o $@

$(HV_LWIP): $(LWIP_SRC:$(LWIP)/src/%.c=$(HV_OUT)/lwip/%.o)
$(HOST_LWIP): $(LWIP_SRC:$(LWIP)/src/%.c=$(HOST_OUT)/lwip/%.o)
$(HV_LWIP) $(HOST_LWIP):
	@rm -f $@
	ar rcs $@ $^

$(HOST_OUT)/test_ip: $(HOST_OUT)/tests/host/fake_nic.o
