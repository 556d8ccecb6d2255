# Amalgam. `make help` lists what can be asked for; each room's own rules are in its .mk file.

BUILD := build
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

##: Build and run
all: hv boot ## the hypervisor and both boot images

clean: ## remove everything that was built (downloads stay; `make distclean` removes them too)
	rm -rf $(filter-out $(BUILD)/cache,$(wildcard $(BUILD)/*))
distclean:
	rm -rf $(BUILD)

help: ## this list
	@awk -F' *## *|:' '/^##: /{printf "\n%s\n", substr($$0,5)} \
	  /^[a-z][a-z0-9-]*:.*## /{n=$$1; sub(/^.*## */,""); printf "  make %-14s %s\n", n, $$0}' \
	  $(MAKEFILE_LIST)

.PHONY: all clean distclean help
