# amalgam.elf: a Multiboot 1 image for BIOS machines with the core inside.

STUB_OUT := $(BOOT_OUT)/multiboot
STUB_SRC := boot/multiboot.c boot/coreload.c boot/ranges.c
STUB_OBJ := $(STUB_SRC:%.c=$(STUB_OUT)/%.o) $(STUB_OUT)/boot/multiboot_entry.o

STUB_CFLAGS := -m32 -march=i686 -std=gnu17 -O2 -ffreestanding -fno-builtin -fno-pic -fno-pie \
               $(STACK_PROTECTOR) -fno-asynchronous-unwind-tables -mgeneral-regs-only -I. $(WARNINGS) -MMD -MP

$(STUB_OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(STUB_CFLAGS) -c $< -o $@

$(STUB_OUT)/boot/multiboot_entry.o: boot/multiboot_entry.S $(CORE_STRIPPED)
	@mkdir -p $(@D)
	$(CC) -m32 -DCORE_IMAGE='"$(CORE_STRIPPED)"' -c $< -o $@

$(BOOT_OUT)/amalgam.elf: $(STUB_OBJ) boot/multiboot.ld
	ld -m elf_i386 -nostdlib -z noexecstack --no-warn-rwx-segments -T boot/multiboot.ld $(STUB_OBJ) -o $@

-include $(STUB_OBJ:.o=.d)
