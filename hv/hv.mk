# The hypervisor's core: one freestanding ELF, carried by both boot images.

# Code that builds into the hypervisor and into host programs alike.
PORTABLE_DIRS := hv/base hv/place apic dsm guest net/aoe net/pages net/transport
PORTABLE_SRC  := $(filter-out hv/base/string.c,$(foreach d,$(PORTABLE_DIRS),$(wildcard $(d)/*.c)))

HV_ROOMS := $(addprefix hv/,x86 virt vmx svm insn cpu image cluster dev core)

HV_SRC := $(PORTABLE_SRC) hv/base/string.c hv/main.c \
          $(foreach d,$(HV_ROOMS) net/drivers net/ip net/node,$(wildcard $(d)/*.c)) \
          $(foreach d,$(HV_ROOMS),$(wildcard $(d)/*.S))

HV_OUT   := $(BUILD)/hv
HV_OBJ   := $(HV_SRC:%=$(HV_OUT)/%.o)
CORE_ELF := $(HV_OUT)/core.elf

# The canary is a plain variable: neither GS nor FS is set up for it. Each image's entry sets it.
STACK_PROTECTOR := -fstack-protector-strong -mstack-protector-guard=global

# No SSE or x87: guest FPU state stays in the registers while the hypervisor runs.
HV_CFLAGS := -std=gnu17 -O2 -g -ffreestanding -fno-builtin-printf -mcmodel=kernel -mno-red-zone \
             -mgeneral-regs-only -fno-pic -fno-pie $(STACK_PROTECTOR) -fno-omit-frame-pointer \
             -fno-asynchronous-unwind-tables -fno-strict-aliasing -fcf-protection=none \
             -ffunction-sections -fdata-sections -flto -I. -I$(BUILD)/include $(WARNINGS) -MMD -MP
HV_LDFLAGS := -nostdlib -static -no-pie -Wl,-T,hv/core.ld -Wl,--gc-sections -Wl,--build-id=none \
              -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack

$(HV_OUT)/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HV_CFLAGS) $(HV_EXTRA_CFLAGS) -c $< -o $@

$(HV_OUT)/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) $(HV_CFLAGS) -D__ASSEMBLY__ -c $< -o $@

hv: $(CORE_ELF) ## the hypervisor's core alone
.PHONY: hv

# All code is optimized as one: an exit's way goes through a dozen small functions of five rooms. What GCC itself
# calls (memcmp, strlen) stays out of it, as it may come to need them after they were inlined and dropped.
$(HV_OUT)/hv/base/string.c.o: HV_EXTRA_CFLAGS += -fno-lto

$(HV_OUT)/core.o: $(HV_OBJ)
	$(CC) $(filter-out -MMD -MP,$(HV_CFLAGS)) -flto=auto -flinker-output=nolto-rel -r -nostdlib \
	  -Wl,-z,noexecstack $^ -o $@

# Linked twice: the symbol table for backtraces is made from the first link (hv/core.ld says why that works).
$(HV_OUT)/core1.elf: $(HV_OUT)/core.o hv/core.ld
	$(CC) $(HV_LDFLAGS) $< -o $@

$(HV_OUT)/symbols.S: $(HV_OUT)/core1.elf tools/symtab.py
	nm -n $< | $(PYTHON) tools/symtab.py >$@

$(CORE_ELF): $(HV_OUT)/core.o $(HV_OUT)/symbols.S
	$(CC) $(HV_LDFLAGS) $^ -o $@

-include $(HV_OBJ:.o=.d)
