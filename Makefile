# Amalgam. `make help` lists what can be asked for; each room's own rules are in its .mk file.

BUILD := build
# Programs that run on this machine: the unit tests, what has to be fast, and the fuzzers.
HOST_OUT := $(BUILD)/host
FAST_OUT := $(BUILD)/fast
FUZZ_OUT := $(BUILD)/fuzz
# The objects of sources: with sanitizers, and without.
checked   = $(patsubst %.c,$(HOST_OUT)/%.o,$1)
fast      = $(patsubst %.c,$(FAST_OUT)/%.o,$1)
# Where downloads are kept; several checkouts may share one.
CACHE ?= $(BUILD)/cache

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

CC      := gcc
CLANG   := clang
OBJCOPY := objcopy
PYTHON  := python3

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef \
            -Wno-unused-parameter -Wno-format-truncation -Werror

include hv/hv.mk
include boot/boot.mk
include net/net.mk
include tests/tests.mk
include tools/tools.mk
include net/ip.mk

##: Build and run
all: hv boot ## the hypervisor and both boot images

clean: ## remove everything that was built (downloads stay; `make distclean` removes them too)
	rm -rf $(filter-out $(BUILD)/cache,$(wildcard $(BUILD)/*))
distclean:
	rm -rf $(BUILD)

help: ## this list
	@awk -F: -v rooms='$(ROOMS)' '/^##: /{section = substr($$0, 5); if (!(section in text)) order[++n] = section} \
	  /^[a-z][a-zA-Z0-9-]*:.*## /{what = $$0; sub(/.*## /, "", what); sub(/@ROOMS@/, rooms, what); \
	    text[section] = text[section] sprintf("  make %-19s %s\n", $$1, what)} \
	  END {for (i = 1; i <= n; i++) printf("%s%s\n%s", (i > 1 ? "\n" : ""), order[i], text[order[i]])}' \
	  $(MAKEFILE_LIST)

.PHONY: all clean distclean help
