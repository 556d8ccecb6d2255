#!/usr/bin/env python3
"""Draws the simulator's report (CSV on stdin) as SVG on stdout and checks that cost does not grow with N."""
import csv
import math
import sys

COLOURS = ["#1b6ca8", "#d1495b", "#2e933c", "#edae49", "#7d4e9e", "#555555"]
CHARTS = [("messages per fault", "messages per remote fault", False),
          ("bytes per fault", "bytes per remote fault", False),
          ("write us", "mean time of a write fault, µs (log)", True),
          ("read us", "mean time of a read fault, µs (log)", True),
          ("fairness", "fairness between nodes (Jain's index)", False),
          ("engine bytes per node", "engine memory per node, KiB (log)", True)]
FLAT = ["private", "migratory", "producer-consumer"]
W, H, GAP, LEFT, TOP = 420, 260, 60, 60, 70


def chart(rows, names, column, title, log, x0, y0):
    out = [f'<text x="{x0}" y="{y0 - 10}" font-weight="bold">{title}</text>']
    scale = 1 / 1024 if column == "engine bytes per node" else 1
    points = {n: [(math.log2(int(r["nodes"])), float(r[column]) * scale)
                  for r in rows if r["pattern"] == n and float(r[column]) > 0] for n in names}
    top = max(y for p in points.values() for _, y in p) * 1.05
    low = min(y for p in points.values() for _, y in p) * 0.9 if log else 0

    def at(x, y):
        part = (math.log(y / low) / math.log(top / low)) if log else y / top
        return x0 + (x - 1) / 9 * W, y0 + H - part * H

    out.append(f'<rect x="{x0}" y="{y0}" width="{W}" height="{H}" fill="none" stroke="#999"/>')
    for x in range(1, 11):
        px, _ = at(x, top)
        out.append(f'<text x="{px:.0f}" y="{y0 + H + 16}" text-anchor="middle">{2 ** x}</text>')
    for i in range(5):
        y = low * (top / low) ** (i / 4) if log else top * i / 4
        _, py = at(1, y)
        out.append(f'<text x="{x0 - 6}" y="{py + 4:.0f}" text-anchor="end">{y:.3g}</text>')
        out.append(f'<line x1="{x0}" x2="{x0 + W}" y1="{py:.0f}" y2="{py:.0f}" stroke="#eee"/>')
    for name, colour in zip(names, COLOURS):
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(x, y) for x, y in points[name]))
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return out


def main():
    rows = list(csv.DictReader(sys.stdin))
    names = list(dict.fromkeys(r["pattern"] for r in rows))
    wrong = [r for r in rows if r["result"] != "right"]
    for name in FLAT:
        cost = {int(r["nodes"]): float(r["messages per fault"]) for r in rows if r["pattern"] == name}
        grows = cost[1024] > cost[8] * 1.05
        print(f"{name}: {cost[8]:.2f} messages per fault with 8 nodes, {cost[1024]:.2f} with 1024"
              + (": GROWS" if grows else ""), file=sys.stderr)
        if grows:
            wrong.append(name)
    svg = []
    for i, (column, title, log) in enumerate(CHARTS):
        svg += chart(rows, names, column, title, log, LEFT + i % 2 * (W + GAP + 40),
                     TOP + i // 2 * (H + GAP))
    for i, name in enumerate(names):
        x = LEFT + i * 160
        svg.append(f'<rect x="{x}" y="20" width="14" height="14" fill="{COLOURS[i]}"/>'
                   f'<text x="{x + 20}" y="32">{name}</text>')
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * (W + GAP) + LEFT + 40}" '
          f'height="{3 * (H + GAP) + TOP}" font-family="sans-serif" font-size="12">'
          '<rect width="100%" height="100%" fill="white"/>' + "\n".join(svg) + "</svg>")
    return 1 if wrong else 0


sys.exit(main())
