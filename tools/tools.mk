# Downloads, the lab runner and the checkers.
