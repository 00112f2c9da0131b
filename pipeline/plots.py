"""Owns the plots of a training: curves over epochs as PNG. The only home of matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 7.0, 4.2, 120
COLORS = ("#1f5fa8", "#d1571b")  # told apart by anyone, and in print


def save_curves(
    path: Path, title: str, curves: Mapping[str, Sequence[float]], *, best_epoch: int | None = None
) -> None:
    """Write a PNG with each of `curves` over the epochs 1, 2, …; a line marks `best_epoch`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # 0.3 s, an extra
        from matplotlib.figure import Figure  # noqa: PLC0415  # likewise
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  # likewise
    except ModuleNotFoundError:
        raise MissingExtraError.of("matplotlib", "train") from None
    # A figure of its own instead of pyplot: no global state, no window, no leak.
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (name, values), color in zip(curves.items(), COLORS, strict=False):
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, label=name, color=color, marker="o", markersize=3.5, linewidth=1.6)
    if best_epoch is not None:
        label = f"best: epoch {best_epoch}"
        axes.axvline(best_epoch, color="#808080", linestyle=":", linewidth=1.2, label=label)
    axes.set(xlabel="epoch", ylabel=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    # Without the name of the program, the same curves give the same bytes.
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
