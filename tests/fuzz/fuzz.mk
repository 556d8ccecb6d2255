# Fuzzers: one libFuzzer program per tests/fuzz/fuzz_NAME.c, against all portable sources. Seeds are
# tests/fuzz/corpus/NAME/; what a run finds interesting is kept in build/fuzz/corpus/NAME.

FUZZ_RUNS   ?= 20000
FUZZ_CFLAGS := -std=gnu17 -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
               -fno-sanitize-recover=all -fno-omit-frame-pointer -I. -I$(BUILD)/include \
               $(filter-out -Wno-format-truncation,$(WARNINGS)) -MMD -MP
FUZZ_NAMES  := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_LIB    := $(FUZZ_OUT)/libportable.a
FUZZ_OBJ    := $(PORTABLE_SRC:%.c=$(FUZZ_OUT)/%.o) \
               $(patsubst %.c,$(FUZZ_OUT)/%.o,boot/config.c hv/core/options.c hv/x86/acpi.c hv/x86/mptable.c) $(NET_DRIVER_SRC:%.c=$(FUZZ_OUT)/%.o)

$(FUZZ_OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_CFLAGS) $(HOST_EXTRA_CFLAGS) -c $< -o $@

$(FUZZ_LIB): $(FUZZ_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(FUZZ_OUT)/fuzz_%: $(FUZZ_OUT)/tests/fuzz/fuzz_%.o $(FUZZ_OUT)/tests/host/plat.o $(FUZZ_LIB)
	$(CLANG) -fsanitize=fuzzer,address,undefined $(filter %.o,$^) $(FUZZ_LIB) $(FUZZ_LIBS) -lpthread -o $@

# The driver's side of a virtio device.
$(FUZZ_OUT)/fuzz_virtio: $(FUZZ_OUT)/tests/host/virtio_rig.o

fuzzers: $(FUZZ_NAMES:%=$(FUZZ_OUT)/fuzz_%) ## build every fuzzer (run one by hand: build/fuzz/fuzz_NAME DIR)

check-fuzz: $(FUZZ_NAMES:%=check-fuzz-%) ## every fuzzer for FUZZ_RUNS inputs from its seeds
# The first directory is the one libFuzzer adds to; the seeds in the tree are only read.
$(FUZZ_NAMES:%=check-fuzz-%): check-fuzz-%: $(FUZZ_OUT)/fuzz_%
	@mkdir -p $(FUZZ_OUT)/corpus/$*
	$< -runs=$(FUZZ_RUNS) -seed=1 -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 \
	  -verbosity=0 -artifact_prefix=$(FUZZ_OUT)/$*- \
	  $(FUZZ_OUT)/corpus/$* $(wildcard tests/fuzz/corpus/$*)

fuzz-seeds: ## write the seeds of the guest's fuzzers again (they are committed)
	$(PYTHON) tests/fuzz/make_seeds.py

.PHONY: fuzzers check-fuzz fuzz-seeds $(FUZZ_NAMES:%=check-fuzz-%)

-include $(FUZZ_OBJ:.o=.d) $(wildcard $(FUZZ_OUT)/tests/fuzz/*.d)
