#!/usr/bin/env python3
"""Makes the core's symbol table: reads `nm -n` of the first link, writes an assembly file (hv/x86/symbols.c)."""

import sys

BASE = 0xFFFFFFFF80000000


def functions(lines):
    """(offset, name) of every function, ascending, one name per address."""
    seen = {}
    for line in lines:
        parts = line.split()
        if len(parts) == 3 and parts[1] in "tT":
            offset = int(parts[0], 16) - BASE
            if 0 <= offset < 1 << 32 and not parts[2].startswith("."):
                # What the optimizer of all files together has moved keeps its own name.
                seen.setdefault(offset, parts[2].split(".lto_priv")[0])
    return sorted(seen.items())


def main():
    syms = functions(sys.stdin)
    out = ['\t.section .symbols, "a", @progbits', "\t.balign 8"]
    out += ["\t.globl symbols_count, symbols_table, symbols_names"]
    out += ["symbols_count:", f"\t.long {len(syms)}, 0", "symbols_table:"]
    at = 0
    for offset, name in syms:
        out.append(f"\t.long {offset}, {at}")
        at += len(name) + 1
    out.append("symbols_names:")
    out += [f'\t.asciz "{name}"' for _, name in syms]
    out.append('\t.section .note.GNU-stack, "", @progbits')
    print("\n".join(out))


if __name__ == "__main__":
    main()
