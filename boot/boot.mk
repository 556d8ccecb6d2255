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

# One function at least that checks its canary, and one place that answers, in each image.
check-canaries: boot ## the core and both loaders check their stacks' canaries
	@for image in $(CORE_ELF) $(EFI_OUT)/amalgam.so $(BOOT_OUT)/amalgam.elf; do \
	  objdump -d --no-show-raw-insn $$image | grep -q 'call.*<__stack_chk_fail' || \
	    { echo "$$image: no function checks its canary"; exit 1; }; done

check-panic: $(BOOT_OUT)/amalgam.elf check-canaries ## every kind of panic, provoked in QEMU, is reported with its function
	$(PYTHON) tests/panic.py $<
.PHONY: check-panic check-canaries
