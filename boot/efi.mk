# amalgam.efi: a GNU-EFI application with the core inside.

EFI_OUT := $(BOOT_OUT)/efi
EFI_SRC := boot/efi_main.c boot/efi_source.c boot/efi_handoff.c boot/config.c boot/coreload.c boot/ranges.c
EFI_OBJ := $(EFI_SRC:%.c=$(EFI_OUT)/%.o) $(EFI_OUT)/boot/efi_core.o

EFI_LIB    ?= /usr/lib
EFI_CFLAGS := -std=gnu17 -O2 -ffreestanding -fpic -fshort-wchar -mno-red-zone $(STACK_PROTECTOR) \
              -fno-strict-aliasing -maccumulate-outgoing-args -DGNU_EFI_USE_MS_ABI -I. \
              -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 $(WARNINGS) -MMD -MP
EFI_SECTIONS := .text .sdata .data .dynamic .dynsym .rel .rela .rel.* .rela.* .reloc

$(EFI_OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(EFI_CFLAGS) -c $< -o $@

$(EFI_OUT)/boot/efi_core.o: boot/efi_core.S $(CORE_STRIPPED)
	@mkdir -p $(@D)
	$(CC) -DCORE_IMAGE='"$(CORE_STRIPPED)"' -c $< -o $@

$(BOOT_OUT)/amalgam.efi: $(EFI_OBJ)
	ld -nostdlib -znocombreloc -z noexecstack -shared -Bsymbolic --no-warn-rwx-segments \
	  -T $(EFI_LIB)/elf_x86_64_efi.lds $(EFI_LIB)/crt0-efi-x86_64.o $(EFI_OBJ) -L $(EFI_LIB) \
	  -lefi -lgnuefi -o $(EFI_OUT)/amalgam.so
	$(OBJCOPY) $(EFI_SECTIONS:%=-j %) --target=efi-app-x86_64 --subsystem=10 $(EFI_OUT)/amalgam.so $@

-include $(EFI_OBJ:.o=.d)
