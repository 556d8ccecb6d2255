# The coherence engine walked through whole: explorer, litmus programs, deliberate bugs, Promela model.

MODEL_OUT    := $(BUILD)/model
MODEL_CFLAGS := -std=gnu17 -O2 -flto $(HOST_DEBUG) -I. $(WARNINGS) -Wno-missing-field-initializers
MODEL_ENGINE := $(wildcard dsm/*.c) $(addprefix hv/base/,err.c fmt.c spinlock.c)
MODEL_HEADS  := $(wildcard dsm/*.h hv/base/*.h tests/model/*.h)
MODEL_WORLD  := $(addprefix tests/,host/plat.c model/world.c model/hash.c)
MODEL_WALK   := $(addprefix tests/model/,explore.c jobs.c)
MODEL_LITMUS := $(addprefix tests/model/,litmus.c litmus_tests.c)

$(HOST_OUT)/tests/model/%.o: HOST_EXTRA_CFLAGS += -Wno-missing-field-initializers
$(MODEL_OUT)/explore: $(call checked,tests/model/main.c $(MODEL_WALK) $(MODEL_WORLD)) $(HOST_LIB)
$(MODEL_OUT)/litmus: $(call checked,tests/model/litmus_main.c $(MODEL_LITMUS) $(MODEL_WORLD)) $(HOST_LIB)
$(MODEL_OUT)/explore $(MODEL_OUT)/litmus:
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) $^ -o $@

# No sanitizers: a bug that breaks an assertion of the engine is to be told apart from a crash.
$(MODEL_OUT)/mutants: tests/model/mutants.c $(MODEL_WALK) $(MODEL_LITMUS) $(MODEL_WORLD) $(MODEL_ENGINE) $(MODEL_HEADS)
	@mkdir -p $(@D)
	$(CC) $(MODEL_CFLAGS) -DDSM_MUTANTS $(filter %.c,$^) -o $@

# Without sanitizers in half the time; with them where there are fewer states, which lead through the same code.
EXPLORE_SHORT := 0 1 2 3 4 5 7 8 9 10 11 12 13 14 16 18 19 21 23 24
$(MODEL_OUT)/explore-fast: tests/model/main.c $(MODEL_WALK) $(MODEL_WORLD) $(MODEL_ENGINE) $(MODEL_HEADS)
	@mkdir -p $(@D)
	$(CC) $(MODEL_CFLAGS) $(filter %.c,$^) -o $@

check-explore: $(MODEL_OUT)/explore-fast ## the coherence engine in small clusters, every interleaving
	$<
check-explore-short: $(MODEL_OUT)/explore ## the smaller of them under ASan and UBSan, in long all
	$< $(if $(TEST_LONG),,$(EXPLORE_SHORT))

check-litmus: $(MODEL_OUT)/litmus ## litmus programs above the engine against x86-TSO
	$< > $(MODEL_OUT)/litmus.log || { cat $(MODEL_OUT)/litmus.log; false; }
	@grep -v 'allowed outcomes$$' $(MODEL_OUT)/litmus.log

# An assertion that fails, or a depth that does not suffice, is an error line of pan.
$(MODEL_OUT)/pan: tests/model/dsm.pml
	@mkdir -p $(@D)
	cd $(@D) && spin -a $(abspath $<) && $(CC) -w -O1 -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 -o pan pan.c

check-spin: $(MODEL_OUT)/pan ## the protocol at message level in Promela
	cd $(MODEL_OUT) && ./pan -m300000 -w22 > pan.log
	@grep -E 'errors: |states, stored' $(MODEL_OUT)/pan.log
	@grep -q 'errors: 0' $(MODEL_OUT)/pan.log && ! grep -q 'depth too small' $(MODEL_OUT)/pan.log

check-mutants: $(MODEL_OUT)/mutants ## deliberate protocol bugs: each has to be caught
	$<

check-model: check-explore check-explore-short check-litmus check-spin ## all of the above that has to hold of the engine

test-programs: $(addprefix $(MODEL_OUT)/,explore explore-fast litmus mutants pan)

.PHONY: check-explore check-explore-short check-litmus check-mutants check-spin check-model
