# The simulator: many nodes of the engine on one clock.

SIM_OUT   := $(BUILD)/sim
SIM_SRC   := $(wildcard tests/sim/*.c) tests/host/plat.c
SIM_RUNS  ?= $(if $(TEST_LONG),10000,1000)

$(SIM_OUT)/sim: $(call fast,$(SIM_SRC) $(filter dsm/% net/transport/% hv/base/%,$(PORTABLE_SRC)))
	@mkdir -p $(@D)
	$(CC) $(FAST_CFLAGS) $^ -o $@

$(HOST_OUT)/tests/sim/%.o: HOST_EXTRA_CFLAGS += -Wno-missing-field-initializers
$(SIM_OUT)/sim-san: $(call checked,$(SIM_SRC)) $(HOST_LIB)
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) $^ -o $@

check-sim: $(SIM_OUT)/sim-san ## seeded clusters over the real transport, with faults in the network
	$< runs $(SIM_RUNS)

sim-report: $(SIM_OUT)/sim ## cost against nodes and patterns: build/sim/report.csv and report.svg
	$< report > $(SIM_OUT)/report.csv
	$(PYTHON) tests/sim/plot.py < $(SIM_OUT)/report.csv > $(SIM_OUT)/report.svg
	@echo "wrote $(SIM_OUT)/report.csv and $(SIM_OUT)/report.svg"

test-programs: $(SIM_OUT)/sim-san

.PHONY: check-sim sim-report
