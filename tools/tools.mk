# Downloads, the lab runner and the checkers.

include tools/deps.mk
include tools/guest.mk
