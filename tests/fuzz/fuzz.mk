# Fuzzers: one libFuzzer program per tests/fuzz/fuzz_NAME.c, against all portable sources. Seeds are
# tests/fuzz/corpus/NAME/; what a run finds interesting is kept in build/fuzz/corpus/NAME.

FUZZ_RUNS   ?= $(if $(TEST_LONG),200000,20000)
# Those whose inputs take long run fewer of them.
FUZZ_SLOW_console := 8
FUZZ_SLOW_lapic   := 4
FUZZ_SLOW_station := 4
FUZZ_SLOW_virtio  := 4
FUZZ_CFLAGS := -std=gnu17 -O1 $(HOST_DEBUG) -fsanitize=fuzzer-no-link,address,undefined \
               -fno-sanitize-recover=all -fno-omit-frame-pointer -I. -I$(BUILD)/include \
               $(filter-out -Wno-format-truncation,$(WARNINGS)) -MMD -MP
FUZZ_NAMES  := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_LIB    := $(FUZZ_OUT)/libportable.a
FUZZ_OBJ    := $(PORTABLE_SRC:%.c=$(FUZZ_OUT)/%.o) \
               $(patsubst %.c,$(FUZZ_OUT)/%.o,boot/config.c $(wildcard hv/insn/*.c) hv/cpu/cr.c hv/core/options.c \
               hv/image/image.c $(addprefix hv/virt/,fault.c state.c) \
               hv/x86/acpi.c hv/x86/mptable.c $(NET_DRIVER_SRC))

$(FUZZ_OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_CFLAGS) $(HOST_EXTRA_CFLAGS) -c $< -o $@

$(FUZZ_LIB): $(FUZZ_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(FUZZ_OUT)/fuzz_%: $(FUZZ_OUT)/tests/fuzz/fuzz_%.o $(FUZZ_OUT)/tests/host/plat.o $(FUZZ_LIB)
	$(CLANG) -fsanitize=fuzzer,address,undefined $(filter %.o,$^) $(FUZZ_LIB) $(FUZZ_LIBS) -lpthread -o $@

# The emulator, its surroundings and its decoder.
$(FUZZ_OUT)/fuzz_emulate: $(FUZZ_OUT)/tests/host/emulate_rig.o $(FUZZ_OUT)/tests/host/fake_virt.o $(FUZZ_OUT)/libzydis.a
$(FUZZ_OUT)/fuzz_emulate: FUZZ_LIBS := $(FUZZ_OUT)/libzydis.a

# What nodes send each other, to the rooms of the machine that it reaches.
$(FUZZ_OUT)/fuzz_nodemsg: $(patsubst %.c,$(FUZZ_OUT)/%.o,hv/core/vm.c $(addprefix hv/cluster/,client.c life.c \
                          link.c parts.c remote.c share.c)) $(FUZZ_OUT)/liblz4.a
$(FUZZ_OUT)/fuzz_nodemsg: FUZZ_LIBS := $(FUZZ_OUT)/liblz4.a

# The driver's side of a virtio device.
$(FUZZ_OUT)/fuzz_virtio: $(FUZZ_OUT)/tests/host/virtio_rig.o

fuzzers: $(FUZZ_NAMES:%=$(FUZZ_OUT)/fuzz_%) ## build every fuzzer (run one by hand: build/fuzz/fuzz_NAME DIR)

test-programs: fuzzers

check-fuzz: $(FUZZ_NAMES:%=check-fuzz-%) ## every fuzzer for FUZZ_RUNS inputs from its seeds
# What finds something leaves the input as build/fuzz/NAME-crash-...
FUZZ_OPTIONS = -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 -artifact_prefix=$(FUZZ_OUT)/$*-
# The first directory is the one libFuzzer adds to; the seeds in the tree are only read.
FUZZ_CORPUS  = $(FUZZ_OUT)/corpus/$* $(wildcard tests/fuzz/corpus/$*)

$(FUZZ_NAMES:%=check-fuzz-%): check-fuzz-%: $(FUZZ_OUT)/fuzz_%
	@mkdir -p $(FUZZ_OUT)/corpus/$*
	$< -runs=$$(( $(FUZZ_RUNS) / $(or $(FUZZ_SLOW_$*),1) )) -seed=1 $(FUZZ_OPTIONS) $(FUZZ_CORPUS)

FUZZ_SECONDS ?= 600
fuzz: $(FUZZ_NAMES:%=fuzz-%) ## every fuzzer for FUZZ_SECONDS, each time with other inputs (make -j2 fuzz)
$(FUZZ_NAMES:%=fuzz-%): fuzz-%: $(FUZZ_OUT)/fuzz_%
	@mkdir -p $(FUZZ_OUT)/corpus/$*
	@$< -max_total_time=$(FUZZ_SECONDS) $(FUZZ_OPTIONS) $(FUZZ_CORPUS) >$(FUZZ_OUT)/$*.log 2>&1 || \
	  { tail -n 40 $(FUZZ_OUT)/$*.log; false; }
	@awk '/executed_units/ {print "$*: " $$2 " inputs in $(FUZZ_SECONDS) s, nothing found"}' $(FUZZ_OUT)/$*.log

fuzz-seeds: ## write the seeds of the guest's fuzzers again (they are committed)
	$(PYTHON) tests/fuzz/make_seeds.py

# The emulator against this machine's CPU. Without ASan, whose shadow would lie where 32-bit code reaches.
NATIVE_OUT    := $(FUZZ_OUT)/native
NATIVE_COUNT  ?= 100000
NATIVE_CFLAGS := -std=gnu17 -O1 $(HOST_DEBUG) -fsanitize=undefined -fno-sanitize-recover=all -I. -I$(BUILD)/include \
                 $(WARNINGS) -MMD -MP
NATIVE_OBJ    := $(patsubst %.c,$(NATIVE_OUT)/%.o,tests/fuzz/emulate_native.c tests/fuzz/native_cpu.c \
                 tests/host/emulate_rig.c tests/host/plat.c tests/host/fake_virt.c $(wildcard hv/insn/*.c) \
                 hv/cpu/cr.c $(filter hv/base/% apic/%,$(PORTABLE_SRC)))

$(NATIVE_OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(NATIVE_CFLAGS) $(HOST_EXTRA_CFLAGS) -c $< -o $@

$(NATIVE_OUT)/emulate: $(NATIVE_OBJ) $(NATIVE_OUT)/libzydis.a
	$(CC) -fsanitize=undefined $^ -o $@

check-emulate: $(NATIVE_OUT)/emulate ## the emulator against this machine's CPU, NATIVE_COUNT random instructions
	$< $(NATIVE_COUNT)
check-host: check-emulate

.PHONY: check-emulate fuzzers fuzz $(FUZZ_NAMES:%=fuzz-%) check-fuzz $(FUZZ_NAMES:%=check-fuzz-%) fuzz-seeds

# All that is there, whichever program it is for.
-include $(shell find $(FUZZ_OUT) -name corpus -prune -o -name '*.d' -print 2>/dev/null)
