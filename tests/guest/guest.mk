# Bare-metal test guests: one 32-bit multiboot ELF per tests/guest/*.c.

GUEST_OUT    := $(BUILD)/guests
GUEST_CFLAGS := -m32 -march=i686 -std=gnu17 -O2 -g -ffreestanding -fno-pic -fno-pie -fno-stack-protector \
                -mgeneral-regs-only -fno-strict-aliasing -fno-asynchronous-unwind-tables \
                -fno-tree-loop-distribute-patterns -fcf-protection=none -ffunction-sections -I. \
                $(WARNINGS) -Wno-array-bounds -MMD -MP
GUEST_LDFLAGS := -m32 -nostdlib -static -no-pie -Wl,-T,tests/guest/lib/guest.ld -Wl,--build-id=none \
                 -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments

# The hypervisor's own printf and string functions, built as 32-bit code.
GUEST_LIB_SRC := $(wildcard tests/guest/lib/*.c tests/guest/lib/*.S) hv/base/fmt.c
GUEST_LIB_OBJ := $(GUEST_LIB_SRC:%=$(GUEST_OUT)/obj/%.o)
GUESTS        := $(patsubst tests/guest/%.c,$(GUEST_OUT)/%.elf,$(wildcard tests/guest/*.c))

$(GUEST_OUT)/obj/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -c $< -o $@

$(GUEST_OUT)/obj/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -D__ASSEMBLY__ -c $< -o $@

# NAME.sym keeps the debug information that NAME.elf is stripped of.
$(GUEST_OUT)/%.elf: $(GUEST_OUT)/obj/tests/guest/%.c.o $(GUEST_LIB_OBJ) tests/guest/lib/guest.ld
	$(CC) $(GUEST_LDFLAGS) $(filter %.o,$^) -lgcc -o $(@:.elf=.sym)
	$(OBJCOPY) --strip-debug $(@:.elf=.sym) $@

guests: $(GUESTS) ## the bare-metal test guests, build/guests/*.elf

check-guests-native: $(GUESTS) ## the test guests on QEMU itself: do the tests state how a PC behaves?
	tests/guest/run native $(GUESTS)

check-guests: $(GUESTS) boot ## the test guests under the hypervisor, one emulated node of two CPUs
	AMALGAM_BUILD=$(abspath $(BUILD)) tests/guest/run lab $(GUESTS)

bench-exits: $(GUEST_OUT)/bench.elf boot ## instructions that each kind of exit costs, on Bochs
	tools/bench-exits

.PHONY: guests check-guests check-guests-native bench-exits

-include $(GUEST_LIB_OBJ:.o=.d) $(wildcard $(GUEST_OUT)/obj/tests/guest/*.d)
