# Format and lint, for each language of the tree.

HOUSE    := apic boot dsm guest hv net
C_FILES   = $(shell find $(HOUSE) tests tools -name '*.[ch]')
PY_FILES  = $(sort $(shell find tests tools -name '*.py') $(shell grep -rlIE '^\#!.*python3' tests tools))
SH_FILES  = $(shell grep -rlIE '^\#!/.*[ /](sh|bash)$$' .ci tests tools)

##: Tests
check-format: ## every C file is as clang-format would write it, and no line too wide
	@clang-format --dry-run -Werror $(C_FILES)
	@tools/check-widths --self-test
	@tools/check-widths
format: ## let clang-format write every C file
	@clang-format -i $(C_FILES)

# Left out: subtracting the linker's symbols is how their distance is told; "condition" findings
# assume that every test made can come out both ways; it does not follow counters and inline assembly
# in what is initialised (gcc does); internalAstError is its parser's trouble with an atomic type.
# All macros that code depends on are told, so that it goes through a file once: with the deliberate faults, and
# as on a host, since it knows memcpy and its like but not what hv/base/string.h makes of them.
CPPCHECK := -q --enable=warning,portability --inline-suppr --std=c11 --error-exitcode=1 -I. \
            -D__STDC_HOSTED__=1 -DDSM_MUTANTS -DGLUE_MUTANTS \
            $(foreach s,comparePointers signConversionCond integerOverflowCond legacyUninitvar uninitvar \
            arrayIndexOutOfBoundsCond internalAstError,--suppress=$s)
check-static: ## cppcheck over the hypervisor
	@cppcheck $(CPPCHECK) --template='{file}:{line}: {severity}: {message} [{id}]' $(HOUSE)

# $(call tidy,FILES,FLAGS): .clang-tidy has the checks. Its second stream only counts; the first tells.
NOT_CLANG := $(WARNINGS) -MMD -MP -maccumulate-outgoing-args
tidy = @printf '%s\n' $(sort $1) | xargs -n 8 -P 2 sh -c \
       'clang-tidy --quiet "$$@" -- $(filter-out $(NOT_CLANG),$2) 2>>$(BUILD)/tidy.log' tidy
check-tidy: | $(addsuffix /.stamp,$(addprefix $(DEPS)/,zydis zycore lz4 lwip)) ## clang-tidy over the hypervisor and the boot images
	@rm -f $(BUILD)/tidy.log
	$(call tidy,$(filter %.c,$(HV_SRC)),$(HV_CFLAGS) $(HV_EXTRA_CFLAGS))
	$(call tidy,$(filter-out $(STUB_SRC),$(EFI_SRC)),$(EFI_CFLAGS))
	$(call tidy,$(STUB_SRC),$(STUB_CFLAGS))

check-shell: ## shellcheck over every shell script
	@shellcheck $(SH_FILES)

check-python: ## flake8 and pylint over every Python program
	@flake8 $(PY_FILES)
	@pylint $(PY_FILES)

.PHONY: check-format format check-static check-tidy check-shell check-python
