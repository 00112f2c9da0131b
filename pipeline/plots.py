"""Owns the plots of a training and of an evaluation, as PNG. The only home of matplotlib.

Knows values and no files but its own. Neighbours: `train` draws epochs, `evaluate` draws everything else.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pipeline.errors import MissingExtraError

Place = Literal["best", "upper left", "lower left", "lower right"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 7.0, 4.2, 120
SQUARE_INCHES = 4.8
COLORS = ("#1f5fa8", "#d1571b")  # told apart by anyone, and in print
FAINT, GRID = "#808080", "#e4e4e4"
MATRIX_COLORS = "Blues"
MAX_NUMBERED = 20  # a matrix of more classes has no room for numbers
MAX_NAME, MAX_LEVEL = 24, 40  # characters: of one name, and of all names side by side
NUM_CELLS = 80  # of a density, in each direction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """Points joined by a line."""

    x: ArrayLike
    y: ArrayLike
    name: str = ""


def save_curves(
    path: Path, title: str, curves: Mapping[str, Sequence[float]], *, best_epoch: int | None = None
) -> None:
    """Write a PNG with each of `curves` over the epochs 1, 2, …; a line marks `best_epoch`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = _figure(WIDTH_INCHES, HEIGHT_INCHES)
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  # 0.3 s, an extra

    axes = figure.add_subplot()
    for (name, values), color in zip(curves.items(), COLORS, strict=False):
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, label=name, color=color, marker="o", markersize=3.5, linewidth=1.6)
    if best_epoch is not None:
        label = f"best: epoch {best_epoch}"
        axes.axvline(best_epoch, color=FAINT, linestyle=":", linewidth=1.2, label=label)
    axes.set(xlabel="epoch", ylabel=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes)
    _save(figure, path)


def save_shares(
    path: Path, behind: Sequence[Line], line: Line, *, across: str, up: str, by_chance: bool
) -> None:
    """Write a PNG of `line` within the unit square, faint ones `behind` it.

    With `by_chance`, the diagonal shows what guessing would give.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = _figure(SQUARE_INCHES, SQUARE_INCHES)
    axes = figure.add_subplot()
    if by_chance:
        axes.plot((0, 1), (0, 1), label="chance", color=FAINT, linestyle=":", linewidth=1.2)
    for other in behind:
        axes.plot(other.x, other.y, color=FAINT, linewidth=0.6, alpha=0.5)
    axes.plot(line.x, line.y, label=line.name, color=COLORS[0], linewidth=1.8)
    axes.set(xlabel=across, ylabel=up, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    # A place is named, since to look for the best among thousands of points takes seconds.
    _finish(axes, legend="lower right" if by_chance else "lower left")
    _save(figure, path)


def save_reliability(
    path: Path, probability: ArrayLike, share: ArrayLike, *, edges: ArrayLike, records: ArrayLike
) -> None:
    """Write a PNG: how often it was so over what was predicted, and below it how many records there are.

    `edges` are those of the bins, one more than `records`; bins without records have no point.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = _figure(SQUARE_INCHES, SQUARE_INCHES * 1.3)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot((0, 1), (0, 1), label="calibrated", color=FAINT, linestyle=":", linewidth=1.2)
    above.plot(probability, share, label="model", color=COLORS[0], marker="o", markersize=4, linewidth=1.6)
    above.set(ylabel="how often it was so", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    below.stairs(records, edges, color=COLORS[0], fill=True, alpha=0.6)
    below.set(xlabel="predicted probability", ylabel="records")
    _finish(above)
    _finish(below)
    _save(figure, path)


def save_confusion(path: Path, confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """Write a PNG of a confusion matrix: each row in shares of its class, with counts where there is room.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    counts = np.asarray(confusion, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(SQUARE_INCHES * 1.15, SQUARE_INCHES)
    axes = figure.add_subplot()
    drawn = axes.imshow(shares, cmap=MATRIX_COLORS, vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="actual")
    if len(classes) <= MAX_NUMBERED:
        places = range(len(classes))
        names = [_shown(name) for name in classes]
        rotation = 0 if max(map(len, names)) * len(names) <= MAX_LEVEL else 45
        axes.set_xticks(places, names, rotation=rotation, parse_math=False)
        axes.set_yticks(places, names, parse_math=False)
        for row in places:
            for column in places:
                color = "white" if shares[row, column] > 0.5 else "black"  # noqa: PLR2004  # on dark cells
                text = f"{confusion[row][column]:,}"
                axes.text(column, row, text, ha="center", va="center", color=color, parse_math=False)
    figure.colorbar(drawn, label="share of the class")
    _save(figure, path)


def save_slices(path: Path, metric: str, overall: float, columns: Mapping[str, Mapping[str, float]]) -> None:
    """Write a PNG with a panel per column: a point for the `metric` of each slice, a line for `overall`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    rows = [max(len(slices), 2) for slices in columns.values()]
    figure = _figure(WIDTH_INCHES, 0.7 * len(rows) + 0.28 * sum(rows))
    panels = figure.subplots(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0]
    for axes, (column, slices) in zip(panels, columns.items(), strict=True):
        places = range(len(slices))
        axes.axvline(overall, color=COLORS[1], linewidth=1.4, label="all records")
        axes.plot(list(slices.values()), places, color=COLORS[0], marker="o", linewidth=1.2)
        axes.set_yticks(places, [_shown(name) for name in slices], parse_math=False)
        axes.invert_yaxis()
        axes.set_ylabel(_shown(column), parse_math=False)
        axes.set_xlim(*_around([*slices.values(), overall]))
        axes.set_xlabel(metric)
        _finish(axes)
    _save(figure, path)


def save_importance(path: Path, metric: str, columns: Mapping[str, tuple[float, float, float]]) -> None:
    """Write a PNG with a bar for each column: by how much `metric` drops without it, and from where to where.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = _figure(WIDTH_INCHES, 0.9 + 0.26 * max(len(columns), 3))
    axes = figure.add_subplot()
    places = range(len(columns))
    drops, lows, highs = (np.array(values) for values in zip(*columns.values(), strict=True))
    axes.barh(places, drops, color=COLORS[0], alpha=0.8, height=0.7)
    axes.hlines(places, lows, highs, color=COLORS[1], linewidth=1.6)
    axes.set_yticks(places, [_shown(name) for name in columns], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(f"drop in {metric} when the column is permuted")
    _finish(axes)
    _save(figure, path)


def save_density(path: Path, actual: NDArray[np.floating], predicted: NDArray[np.floating]) -> None:
    """Write a PNG of how many records have which actual and which predicted value, on a logarithmic scale.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = _figure(SQUARE_INCHES * 1.15, SQUARE_INCHES)
    from matplotlib.colors import LogNorm  # noqa: PLC0415  # 0.3 s, an extra

    # The ends are of both, so that the diagonal is the diagonal; without the last thousandths on either side.
    both = np.quantile([actual, predicted], (0.001, 0.999))
    low, high = _around(both.tolist())
    counts, edges, _ = np.histogram2d(actual, predicted, bins=NUM_CELLS, range=((low, high), (low, high)))
    axes = figure.add_subplot()
    drawn = axes.pcolormesh(
        edges, edges, np.ma.masked_equal(counts.T, 0), cmap=MATRIX_COLORS, norm=LogNorm(vmin=0.5)
    )
    axes.plot((low, high), (low, high), color=COLORS[1], linewidth=1.2, label="predicted = actual")
    axes.set(xlabel="actual", ylabel="predicted", aspect="equal")
    _finish(axes, legend="upper left")
    figure.colorbar(drawn, label="records")
    _save(figure, path)


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Return limits that leave a little room around `values`."""
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _figure(width_inches: float, height_inches: float) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # 0.3 s, an extra
        from matplotlib.figure import Figure  # noqa: PLC0415  # likewise
    except ModuleNotFoundError:
        raise MissingExtraError.of("matplotlib", "train") from None
    # A figure of its own instead of pyplot: no global state, no window, no leak.
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _finish(axes: Axes, *, legend: Place = "best") -> None:
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc=legend)


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # Names come from data, in any script: what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        # Without the name of the program, the same curves give the same bytes.
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def _shown(name: str) -> str:
    """Return a name as far as there is room for it."""
    name = "".join(character if character.isprintable() else "�" for character in name)
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
