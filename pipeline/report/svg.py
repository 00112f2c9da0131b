"""Owns the drawings of a report: SVG, inline, in the colours of the page, which may be light or dark.

Numbers in, markup out. Colours are classes (`s0`, `f1`, …) that the page's style defines. Neighbours: `page`
is the page around, `dataset` and `model` draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from pipeline.dates import DAY_SECONDS, date

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 320, 170
LARGE_WIDTH, LARGE_HEIGHT = 400, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 30
NUM_TICKS = 4
DIGIT_WIDTH = 5.6  # at most, of a character of the axes
MAX_NAME = 20  # characters beside a bar

Axis = Literal["numbers", "whole", "dates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points in order; `style` is one of line, step, dots, points, faint; `color` an index."""

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
    x_axis: Axis = "numbers",
    large_to: tuple[float, float] | None = None,
    rules: Sequence[float] = (),
) -> str:
    """Return a chart of lines, steps or dots, with a legend where more than one of them has a name.

    `rules` are heights at which a line goes across. A large chart shows all from (0, 0) to `large_to`. An
    `x_axis` of whole has only whole numbers, one of dates tells seconds since 1970 as dates.
    """
    xs = [value for one in series for value in one.x] + [value for b in bands for value in b.x] or [0.0]
    ys = [value for one in series for value in one.y] + [v for b in bands for v in (*b.low, *b.high)] or [0.0]
    if large_to:
        xs, ys = [0.0, large_to[0]], [0.0, large_to[1]]
    x_low, x_high = _widened(min(xs), max(xs))
    y_low, y_high = _widened(min([0.0, *ys]) if y_from_zero else min(ys), max(ys))
    width, height = (LARGE_WIDTH, LARGE_HEIGHT) if large_to else (WIDTH, HEIGHT)
    box = _Box(x_low=x_low, x_high=x_high, y_low=y_low, y_high=y_high, width=width, height=height)
    x_ticks = [value for value in ticks(x_low, x_high) if x_axis != "whole" or value == round(value)]
    below = [(value, number(value)) for value in x_ticks]
    if x_axis == "dates":  # every other one: they are long
        days = ticks(x_low / DAY_SECONDS, x_high / DAY_SECONDS)[::2]
        below = [(day * DAY_SECONDS, date(day * DAY_SECONDS)) for day in days]
    parts = [*_axes(box, x_name, y_name, below), *(_band(box, band) for band in bands)]
    parts += [_across(box, value, "rule") for value in rules]
    parts += [_drawn(box, one) for one in series]
    return _figure(title, parts, [(one.name, one.color) for one in series if one.name], box)


def bars(rows: Sequence[tuple[str, float, float, float]], *, title: str, large: bool = False) -> str:
    """Return a bar for each name and value, with a line from the least to the most it may be."""
    width = LARGE_WIDTH if large else WIDTH
    step, left, right, top = 16, 122, width - 56, 4
    low = min(0.0, *(least for _, _, least, _ in rows))
    high = max(0.0, *(most for _, _, _, most in rows))
    unit = (right - left) / ((high - low) or 1.0)
    zero, parts = left - low * unit, []
    for index, (name, value, least, most) in enumerate(rows):
        y, begin, length = top + index * step, zero + min(value, 0.0) * unit, abs(value) * unit
        said = f"{name}: {number(value)}, {number(least)} to {number(most)}"
        parts.append(
            f'<text x="{left - 6}" y="{y + 11}" text-anchor="end">{escape(_cut(name))}</text>'
            f'<rect class="f0" x="{begin:.1f}" y="{y + 2}" width="{length:.1f}" height="11">'
            f"<title>{escape(said)}</title></rect>"
            f'<path class="s1" d="M{zero + least * unit:.1f} {y + 7.5}H{zero + most * unit:.1f}"/>'
            f'<text x="{right + 6}" y="{y + 11}">{value:.3g}</text>'
        )
    height = top + len(rows) * step + 4
    parts.append(f'<line class="axis" x1="{zero:.1f}" y1="{top}" x2="{zero:.1f}" y2="{height - 4}"/>')
    return _framed(title, "", parts, width, height)


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


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
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.width - RIGHT

    @property
    def floor(self) -> int:
        return self.height - BOTTOM

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (self.right - LEFT)

    def y(self, value: float) -> float:
        return self.floor - (value - self.y_low) / (self.y_high - self.y_low) * (self.floor - TOP)


def _widened(low: float, high: float) -> tuple[float, float]:
    room = 0.5 * abs(low) or 0.5
    return (low, high) if low < high else (low - room, high + room)


def _axes(box: _Box, x_name: str, y_name: str, x_ticks: Sequence[tuple[float, str]]) -> list[str]:
    parts = [_across(box, box.y_low, "axis")]
    for value in ticks(box.y_low, box.y_high):
        parts.append(_across(box, value, "grid"))
        parts.append(
            f'<text x="{LEFT - 4}" y="{box.y(value) + 3:.1f}" text-anchor="end">{number(value)}</text>'
        )
    for value, text in x_ticks:
        # The last one may lie on the edge of the picture, and would be cut off.
        middle = min(box.x(value), box.width - len(text) * DIGIT_WIDTH / 2)
        parts.append(f'<text x="{middle:.1f}" y="{box.floor + 12}" text-anchor="middle">{text}</text>')
    if x_name:
        middle = (LEFT + box.right) / 2
        parts.append(f'<text x="{middle}" y="{box.height - 4}" text-anchor="middle">{escape(x_name)}</text>')
    if y_name:
        middle = box.height / 2 - 8
        at = f'x="9" y="{middle}" transform="rotate(-90 9 {middle})" text-anchor="middle"'
        parts.append(f"<text {at}>{escape(y_name)}</text>")
    return parts


def _across(box: _Box, value: float, kind: str) -> str:
    y = f"{box.y(value):.1f}"
    return f'<line class="{kind}" x1="{LEFT}" y1="{y}" x2="{box.right}" y2="{y}"/>'


def _band(box: _Box, band: Band) -> str:
    upper = [f"{box.x(x):.1f},{box.y(y):.1f}" for x, y in zip(band.x, band.high, strict=True)]
    lower = [f"{box.x(x):.1f},{box.y(y):.1f}" for x, y in zip(band.x, band.low, strict=True)]
    return f'<polygon class="band" points="{" ".join([*upper, *reversed(lower)])}"/>'


def _drawn(box: _Box, one: Series) -> str:
    points = [(box.x(x), box.y(y)) for x, y in zip(one.x, one.y, strict=True)]
    if one.style == "dots":
        return "".join(f'<circle class="f{one.color}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in points)
    if one.style == "points":
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
        return f'<path class="s{one.color} points" d="{path}"/>'
    if one.style == "step" and points:
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        path += "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:])
    else:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    faint = " faint" if one.style == "faint" else ""
    return f'<path class="s{one.color}{faint}" d="{path}"/>' if points else ""


def _figure(title: str, parts: Sequence[str], legend: Sequence[tuple[str, int]], box: _Box) -> str:
    shown = dict(legend)
    keys = "".join(f'<span class="k{color}">{escape(name)}</span>' for name, color in shown.items())
    return _framed(title, keys if len(shown) > 1 else "", parts, box.width, box.height)


def _framed(title: str, keys: str, parts: Sequence[str], width: int, height: int) -> str:
    large = ' class="large"' if width > WIDTH else ""
    return (
        f"<figure{large}><figcaption>{escape(title)}{keys}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )
