"""Owns the drawings of a report: SVG, inline, in the colours of the page, which may be light or dark.

Numbers in, markup out. Colours are classes (`s0`, `f1`, …) that the page's style defines. Neighbours: `page`
is the page around, `dataset` and `model` draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 320, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 30
NUM_TICKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points in order; `style` is one of line, step, dots, faint, diagonal; `color` an index."""

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    color: int = 0
    style: str = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The area between `low` and `high` over `x`."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def number(value: float) -> str:
    """Return a number for people, four digits at most.

    >>> number(0.12345), number(1234567.0), number(0.0), number(-3.0)
    ('0.1235', '1.235M', '0', '-3')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if limit <= abs(value) < limit * 1e4:
            return f"{value / (limit if unit != 'k' else 1e3):.4g}{unit}"
    return f"{value:.4g}"


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers between `low` and `high`, about four.

    >>> ticks(0.0, 1.0)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    >>> ticks(-3.2, 7.9)
    [-2.5, 0.0, 2.5, 5.0, 7.5]
    """
    if not low < high:
        return [low]
    rough = (high - low) / NUM_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((factor * power for factor in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def chart(
    series: Sequence[Series],
    *,
    title: str,
    x_name: str = "",
    y_name: str = "",
    bands: Sequence[Band] = (),
    y_from_zero: bool = False,
) -> str:
    """Return a chart of lines, steps or dots, with a legend where more than one of them has a name."""
    xs = [value for one in series for value in one.x] + [value for b in bands for value in b.x] or [0.0]
    ys = [value for one in series for value in one.y] + [v for b in bands for v in (*b.low, *b.high)] or [0.0]
    x_low, x_high = _widened(min(xs), max(xs))
    y_low, y_high = _widened(min([0.0, *ys]) if y_from_zero else min(ys), max(ys))
    box = _Box(x_low=x_low, x_high=x_high, y_low=y_low, y_high=y_high)
    parts = [*_axes(box, x_name, y_name), *(_band(box, band) for band in bands)]
    parts += [_drawn(box, one) for one in series]
    return _figure(title, parts, [(one.name, one.color) for one in series if one.name])


def matrix(values: Sequence[Sequence[float]], names: Sequence[str], *, title: str) -> str:
    """Return a heat map of values between -1 and 1; every cell says its names and value when pointed at."""
    size = max(3.0, min(22.0, 620 / max(len(names), 1)))
    margin = 100
    parts = []
    for row, (name, line) in enumerate(zip(names, values, strict=True)):
        if size >= 9:  # noqa: PLR2004  # smaller letters cannot be read
            y = margin + (row + 0.7) * size
            parts.append(f'<text x="{margin - 4}" y="{y:.1f}" text-anchor="end">{escape(name[:16])}</text>')
            x = margin + (row + 0.7) * size
            turn = f"rotate(-60 {x:.1f} {margin - 4})"
            parts.append(f'<text x="{x:.1f}" y="{margin - 4}" transform="{turn}">{escape(name[:16])}</text>')
        for column, value in enumerate(line):
            said = f"{name} · {names[column]}: {value:.3f}"
            parts.append(
                f'<rect x="{margin + column * size:.1f}" y="{margin + row * size:.1f}" width="{size:.1f}"'
                f' height="{size:.1f}" class="{"warm" if value > 0 else "cold"}"'
                f' fill-opacity="{min(abs(value), 1):.3f}"><title>{escape(said)}</title></rect>'
            )
    side = margin + len(names) * size + 24
    return (
        f'<figure class="wide"><svg viewBox="0 0 {side:.0f} {side:.0f}" style="max-width:{side:.0f}px"'
        f' role="img" aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """The area of a chart, in the units of the data."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - TOP - BOTTOM)


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _axes(box: _Box, x_name: str, y_name: str) -> list[str]:
    floor = HEIGHT - BOTTOM
    parts = [f'<line class="axis" x1="{LEFT}" y1="{floor}" x2="{WIDTH - RIGHT}" y2="{floor}"/>']
    for value in ticks(box.y_low, box.y_high):
        y = box.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{number(value)}</text>')
    parts += [
        f'<text x="{box.x(value):.1f}" y="{floor + 12}" text-anchor="middle">{number(value)}</text>'
        for value in ticks(box.x_low, box.x_high)
    ]
    if x_name:
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_name)}</text>')
    if y_name:
        turn = f"rotate(-90 9 {HEIGHT / 2 - 8})"
        at = f'x="9" y="{HEIGHT / 2 - 8}" transform="{turn}" text-anchor="middle"'
        parts.append(f"<text {at}>{escape(y_name)}</text>")
    return parts


def _band(box: _Box, band: Band) -> str:
    upper = [f"{box.x(x):.1f},{box.y(y):.1f}" for x, y in zip(band.x, band.high, strict=True)]
    lower = [f"{box.x(x):.1f},{box.y(y):.1f}" for x, y in zip(band.x, band.low, strict=True)]
    return f'<polygon class="band" points="{" ".join([*upper, *reversed(lower)])}"/>'


def _drawn(box: _Box, one: Series) -> str:
    points = [(box.x(x), box.y(y)) for x, y in zip(one.x, one.y, strict=True)]
    if one.style == "dots":
        return "".join(f'<circle class="f{one.color}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in points)
    if one.style == "points":
        return "".join(f'<circle class="f{one.color}" cx="{x:.1f}" cy="{y:.1f}" r="0.9"/>' for x, y in points)
    if one.style == "step" and points:
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        path += "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:])
    else:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    faint = " faint" if one.style == "faint" else ""
    return f'<path class="s{one.color}{faint}" d="{path}"/>' if points else ""


def _figure(title: str, parts: Sequence[str], legend: Sequence[tuple[str, int]]) -> str:
    shown = dict(legend)
    keys = "".join(f'<span class="k{color}">{escape(name)}</span>' for name, color in shown.items())
    return (
        f"<figure><figcaption>{escape(title)}{keys if len(shown) > 1 else ''}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )
