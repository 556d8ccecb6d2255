# Several nodes in one host program: hv/cluster and what it works with, over doubles of CPU, RAM and network.

GLUE_OUT   := $(BUILD)/glue
GLUE_OWN   := $(filter-out hv/cluster/uplink.c,$(wildcard hv/cluster/*.c)) \
              $(addprefix hv/core/,intr.c memory.c sched.c turns.c vcpu.c vm.c) hv/cpu/kvm_pv.c hv/virt/asid.c
GLUE_ROOMS := $(wildcard apic/*.c dsm/*.c net/pages/*.c net/transport/*.c) \
              $(filter-out hv/base/string.c,$(wildcard hv/base/*.c))
GLUE_TESTS := $(wildcard tests/glue/*.c)
GLUE_BASE   = -std=gnu17 $(HOST_DEBUG) -I. $(WARNINGS) -Wno-missing-field-initializers -MMD -MP $(lz4_CFLAGS)
GLUE_KINDS := san fast tsan cov

# One runner at a time, with places to change runners at in the glue's own files; the last one has threads.
GLUE_CFLAGS_san  = $(GLUE_BASE) -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
GLUE_CFLAGS_fast = $(GLUE_BASE) -O2 -flto -DGLUE_MUTANTS
GLUE_CFLAGS_cov  = $(GLUE_BASE) -O0 --coverage
GLUE_CFLAGS_tsan = $(GLUE_BASE) -O1 -fsanitize=thread

# What the unit tests are linked with is built with the same sanitizers.
GLUE_LIBS_san := $(HOST_LIB) $(HOST_OUT)/liblz4.a
$(foreach k,$(GLUE_KINDS),$(eval GLUE_SRC_$k := $(GLUE_OWN) $(GLUE_TESTS) $(if $(GLUE_LIBS_$k),,$(GLUE_ROOMS))))

define glue_rules
$(GLUE_OUT)/$1/%.o: %.c | $(HOST_OUT)/liblz4.a
	@mkdir -p $$(@D)
	$$(CC) $$(GLUE_CFLAGS_$1) $$(GLUE_EXTRA) -c $$< -o $$@

$(GLUE_OUT)/glue-$1: $(GLUE_SRC_$1:%.c=$(GLUE_OUT)/$1/%.o) $(or $(GLUE_LIBS_$1),$(GLUE_OUT)/$1/lz4/lz4.o)
	$$(CC) $$(GLUE_CFLAGS_$1) $$^ -lpthread -o $$@

-include $(GLUE_SRC_$1:%.c=$(GLUE_OUT)/$1/%.d)
endef
$(foreach k,$(GLUE_KINDS),$(eval $(call glue_rules,$k)))

$(foreach k,san fast cov,$(GLUE_OWN:%.c=$(GLUE_OUT)/$k/%.o)): GLUE_EXTRA := -include tests/glue/points.h

GLUE_RUNS     ?= $(if $(TEST_LONG),30000,10000)
GLUE_SAN_RUNS ?= $(if $(TEST_LONG),5000,300)

##: Tests
check-glue-runs: $(GLUE_OUT)/glue-fast ## nodes in one program, one CPU at a time by the seed: GLUE_RUNS schedules
	$< runs $(GLUE_RUNS)

check-glue-san: $(GLUE_OUT)/glue-san ## the same under ASan and UBSan, GLUE_SAN_RUNS
	$< runs $(GLUE_SAN_RUNS)

check-glue-tsan: $(GLUE_OUT)/glue-tsan ## the same with threads as CPUs, under TSan
	$< threads 30

check-glue-mutants: $(GLUE_OUT)/glue-fast ## deliberate faults of the glue: each has to be caught
	$< mutants

check-glue: $(GLUE_OUT)/glue-fast $(GLUE_OUT)/glue-tsan ## some of it, for each change
	$(GLUE_OUT)/glue-fast runs 200
	$(GLUE_OUT)/glue-tsan threads 5

test-programs: $(foreach k,san fast tsan,$(GLUE_OUT)/glue-$k)
# tests/tests.mk runs it.
coverage-run: $(GLUE_OUT)/glue-cov

.PHONY: check-glue check-glue-san check-glue-runs check-glue-tsan check-glue-mutants
