"""Draws the curves that `npm run bench -- curves` measured: plot.py CURVES.json DIRECTORY."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

# The same file for the same figures.
mpl.rcParams["svg.hashsalt"] = "filprofiler"
mpl.rcParams["font.family"] = "sans-serif"
# Readable on a light page and on a dark one.
mpl.rcParams["savefig.facecolor"] = "white"

TRACKED, PLAIN = "#b03a2e", "#566573"


def cost(points: list[dict[str, float]], label: str, to: Path) -> None:
    """Nanoseconds that tracking adds to an event, over a count that grows tenfold."""
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    counts = [point["count"] for point in points]
    added = [(point["on"] - point["plain"]) * 1e9 for point in points]
    axes.plot(counts, added, marker="o", color=TRACKED, label="added by tracking")
    axes.plot(counts, [point["plain"] * 1e9 for point in points], marker="s", color=PLAIN, label="plain Python")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel("CPU ns an event")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    save(figure, to)


def throughput(curves: dict[str, list[dict[str, float]]], to: Path) -> None:
    """Events a second, plainly and tracked, over the number of threads."""
    figure, both = plt.subplots(1, 2, figsize=(8.4, 3.4))
    titles = {"threads_with_gil": "Python threads", "threads_without_gil": "threads of a C library"}
    for axes, (name, title) in zip(both, titles.items(), strict=True):
        points = curves[name]
        counts = [point["count"] for point in points]
        for mode, colour, label in (("plain", PLAIN, "plain"), ("on", TRACKED, "tracked")):
            axes.plot(counts, [1e-6 / point[mode] for point in points], marker="o", color=colour, label=label)
        axes.set_title(title)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(int(count)) for count in counts])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("threads")
        axes.set_ylabel("million events a second")
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    save(figure, to)


def save(figure: Any, to: Path) -> None:
    figure.tight_layout()
    figure.savefig(to, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    curves = json.loads(Path(sys.argv[1]).read_text())["curves"]
    directory = Path(sys.argv[2])
    cost(curves["events"], "events in the session", directory / "cost-by-events.svg")
    cost(curves["sites"], "call sites that allocate in turn", directory / "cost-by-call-sites.svg")
    throughput(curves, directory / "throughput-by-threads.svg")


if __name__ == "__main__":
    main()
