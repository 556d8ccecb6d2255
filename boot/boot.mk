# The two boot images; each carries the core inside it.

BOOT_OUT := $(BUILD)/boot

# Symbols for the backtrace are in the core's own data; ELF's are not needed at run time.
CORE_STRIPPED := $(BOOT_OUT)/core.stripped
$(CORE_STRIPPED): $(CORE_ELF)
	@mkdir -p $(@D)
	$(OBJCOPY) --strip-all $< $@

include boot/efi.mk
include boot/multiboot.mk

boot: $(BOOT_OUT)/amalgam.efi $(BOOT_OUT)/amalgam.elf ## both boot images
.PHONY: boot

check-panic: $(BOOT_OUT)/amalgam.elf ## every kind of panic, provoked in QEMU, is reported with its function
	$(PYTHON) tests/panic.py $<
.PHONY: check-panic
