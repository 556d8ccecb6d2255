#!/usr/bin/python3
"""
plot.py FILE: prints the placement simulation's CSV (stdin) as a table and draws it as SVG: each load's work by machine,
as a ratio to the best node alone, with vCPUs that stay where they began and with vCPUs that are placed.
"""

import csv
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402 pylint: disable=wrong-import-position

WORST = 0.95
MACHINES = ("2 x 1", "4 x 2", "4 x 2 unequal", "32 x 8")


def table(lines):
    print("| " + " | ".join(lines[0]) + " |\n|" + "---|" * len(lines[0]))
    for line in lines[1:]:
        print("| " + " | ".join(line) + " |")


def summary(rows):
    """A line for each load, the worse of both kinds of waiting: work that stays, work that is placed."""
    yield ["load", *MACHINES, "moves of a vCPU a minute"]
    for load in dict.fromkeys(row["load"] for row in rows):
        mine = [row for row in rows if row["load"] == load]
        cells = []
        for machine in MACHINES:
            worst = min((row for row in mine if row["machine"] == machine), key=lambda row: float(row["placed"]))
            cells.append(f"{float(worst['fixed']):.2f} → {float(worst['placed']):.2f}")
        yield [load, *cells, max((row["of a vCPU"] for row in mine), key=float)]


def draw(rows, path):
    # The same text gives the same file.
    plt.rcParams.update({"svg.hashsalt": "placement", "svg.fonttype": "none", "font.size": 8})
    rows = [row for row in rows if row["who waits"] == "keeps"]
    loads = list(dict.fromkeys(row["load"] for row in rows))
    figure, axes = plt.subplots(1, len(MACHINES), sharey=True, figsize=(11, 4.2))
    for axis, machine in zip(axes, MACHINES):
        mine = {row["load"]: row for row in rows if row["machine"] == machine}
        at = range(len(loads))
        axis.scatter([float(mine[load]["fixed"]) for load in loads], at, marker="|", s=70, color="#a2452a",
                     label="each where it began")
        axis.scatter([float(mine[load]["placed"]) for load in loads], at, s=18, color="#2f6496", label="placed")
        axis.axvline(WORST, color="#7d8b98", linewidth=0.8)
        axis.set_xscale("log")
        axis.set_xlim(0.004, 50)
        axis.set_title(machine + " CPUs")
        axis.set_yticks(at)
        axis.set_yticklabels(loads)
        axis.grid(axis="y", linewidth=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower right", ncols=2, fontsize=8)
    axes[0].invert_yaxis()
    figure.supxlabel(f"work, best node alone = 1; the line is {WORST}")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    rows = list(csv.DictReader(sys.stdin))
    table([list(rows[0]), *(list(row.values()) for row in rows)])
    print()
    table(list(summary(rows)))
    draw(rows, sys.argv[1])


if __name__ == "__main__":
    main()
