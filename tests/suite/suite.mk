# The in-guest suite: a static 32-bit Linux program, and an initrd that runs it as the command line asks.

SUITE_OUT    := $(BUILD)/suite
SUITE_CFLAGS := -m32 -march=i686 -std=gnu17 -O2 -g -fno-pie -fno-strict-aliasing -fcf-protection=none \
                -pthread -I. $(WARNINGS) -MMD -MP
SUITE_OBJ    := $(patsubst tests/suite/%.c,$(SUITE_OUT)/%.o,$(wildcard tests/suite/*.c))
SUITE_INITRD := $(IMAGES_OUT)/suite.gz

$(SUITE_OUT)/%.o: tests/suite/%.c
	@mkdir -p $(@D)
	$(CC) $(SUITE_CFLAGS) -c $< -o $@

$(SUITE_OUT)/suite: $(SUITE_OBJ)
	$(CC) -m32 -static -no-pie -pthread -s $^ -o $@

$(SUITE_INITRD): $(SUITE_OUT)/suite tools/mkinitrd tests/suite/init $(DEPS)/busybox/.stamp
	@mkdir -p $(@D)
	$(PYTHON) tools/mkinitrd --busybox $(DEPS)/busybox/bin/busybox --init tests/suite/init \
	  --add bin/suite=$(SUITE_OUT)/suite -o $@

suite: $(SUITE_INITRD) ## the tests that run in the guest's Linux: build/guest/suite.gz (docs/suite.md)

check-suite: $(SUITE_OUT)/suite ## those tests on this machine itself: do they pass, and do they fail when broken?
	tests/suite/selftest $<

# SUITE= words for the suite, LAB= more options of tools/lab
SUITE ?= iters=1000
run-suite: suite all guest-images ## the suite in an emulated cluster (SUITE="suite=tlb iters=100" LAB="--cores 2")
	@tools/lab run --build $(BUILD) --verbose --initrd $(SUITE_INITRD) --expect "suite: exit code 0" \
	  --fail "suite: exit code [1-9]" --fail "Kernel panic" $(LAB) \
	  --append "console=ttyS0,115200 cryptomgr.notests noisapnp $(SUITE)"

.PHONY: suite check-suite run-suite

-include $(SUITE_OBJ:.o=.d)
