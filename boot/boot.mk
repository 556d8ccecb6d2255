# The two boot images; each carries the core inside it.

boot:
.PHONY: boot
