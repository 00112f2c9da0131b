"""Turns the reports of the benchmarks into small PNG plots; one function per report that has one."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

    Report = dict[str, Any]
    Style = dict[str, Any]

OURS, OURS_TOO, PEER, PALE = "#1f5fa8", "#d1571b", "#5f5f5f", "#b9b9b9"  # told apart by anyone, and in print
MEBIBYTE = 1 << 20
MILLION = 1_000_000


def convert(report: Report) -> Figure:
    """Return bars of seconds: ours, peers that do the whole job, and peers that do less."""
    results = sorted(report["results"], key=lambda r: -statistics.median(r["seconds"]))
    figure, (axes,) = _figure(1, height=0.4 + 0.34 * len(results))
    for place, result in enumerate(results):
        ours = result["name"].startswith("ours")
        color = OURS if ours else PEER if result["does"] == "whole job" else PALE
        seconds = statistics.median(result["seconds"])
        low, high = seconds - min(result["seconds"]), max(result["seconds"]) - seconds
        axes.barh(place, seconds, color=color, height=0.68)
        axes.errorbar(seconds, place, xerr=[[low], [high]], color="black", linewidth=1, capsize=2)
        axes.annotate(
            f"{seconds:.2f}",
            (seconds + high, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    labels = [f"{r['name']}  ({r['does']})" for r in results]
    axes.set_yticks(range(len(results)), labels, fontsize=8)
    axes.set_xlabel(f"seconds for {report['results'][0]['num_records']:,} records; pale: does less")
    axes.set_xlim(0, 1.12 * max(max(r["seconds"]) for r in results))
    axes.grid(visible=False, axis="y")
    return figure


def memory(report: Report) -> Figure:
    """Return peak memory and seconds over the size of the file."""
    figure, (left, right) = _figure(2, height=3.2)
    names = list(dict.fromkeys(result["name"] for result in report["results"]))
    colors = dict(zip(names, (OURS, OURS_TOO, PEER), strict=False))
    for name in names:
        results = [result for result in report["results"] if result["name"] == name]
        records = [result["num_records"] / MILLION for result in results]
        style: Style = {"color": colors[name], "marker": "o", "markersize": 3.5, "linewidth": 1.6}
        left.plot(records, [max(r["peak_rss_bytes"]) / MEBIBYTE for r in results], label=name, **style)
        right.plot(records, [statistics.median(r["seconds"]) for r in results], label=name, **style)
        if "memory_bytes" in results[0]:
            allowed = results[0]["memory_bytes"] / MEBIBYTE
            left.axhline(allowed, color=colors[name], linestyle=":", linewidth=1.2)
    left.set(xlabel="million records", ylabel="peak RSS, MiB (dotted: --memory)", yscale="log")
    ticks = [2**power for power in range(7, 15) if left.get_ylim()[0] <= 2**power <= left.get_ylim()[1]]
    left.set_yticks(ticks, [str(tick) for tick in ticks])
    left.minorticks_off()
    right.set(xlabel="million records", ylabel="seconds", ylim=(0, None), xlim=(0, None))
    left.set_xlim(0, None)
    right.legend(frameon=False, fontsize=8)
    return figure


def scaling(report: Report) -> Figure:
    """Return seconds over records, and speed-up over workers, each beside the straight line."""
    figure, (left, right) = _figure(2, height=3.0)
    style: Style = {"color": OURS, "marker": "o", "markersize": 3.5, "linewidth": 1.6, "label": "measured"}
    ideal: Style = {"color": PALE, "linestyle": "--", "linewidth": 1.2, "label": "proportional"}
    by_size = [result for result in report["results"] if result["varied"] == "records"]
    records = [result["num_records"] / MILLION for result in by_size]
    seconds = [statistics.median(result["seconds"]) for result in by_size]
    left.plot(records, [seconds[0] * count / records[0] for count in records], **ideal)
    left.plot(records, seconds, **style)
    left.set(xlabel="million records", ylabel="seconds", xlim=(0, None), ylim=(0, None))
    by_workers = [result for result in report["results"] if result["varied"] == "workers"]
    workers = [result["num_workers"] for result in by_workers]
    alone = statistics.median(by_workers[0]["seconds"])
    right.plot(workers, workers, **ideal)
    right.plot(workers, [alone / statistics.median(r["seconds"]) for r in by_workers], **style)
    right.set(xlabel="workers", ylabel="speed-up", xlim=(0, None), ylim=(0, None), xticks=workers)
    left.legend(frameon=False, fontsize=8)
    return figure


def _figure(num_axes: int, *, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(7.2, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, num_axes, index + 1) for index in range(num_axes)]
    for one in axes:
        one.grid(visible=True, color="#e4e4e4", linewidth=0.8)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG; the same figures give the same bytes."""
    figure.savefig(path, dpi=110, metadata={"Software": None})


PLOTS: dict[str, Callable[[Report], Figure]] = {"convert": convert, "memory": memory, "scaling": scaling}
