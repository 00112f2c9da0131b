"""Owns how results are shown: headings, tables, notes and code; with colours on a terminal, plain elsewhere.

A page is made without knowing where it goes, and shown at the end, all at once. Whatever comes from data is
escaped here. Neighbour: `display` has the words for amounts.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pipeline.cli.display import escape
from pipeline.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import RenderableType

GAP = 2
CELL_WIDTH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    text: str
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    text: str
    language: str


class Page:
    """Takes the parts of a page in their order."""

    def __init__(self) -> None:
        self._parts: list[_Table | _Line | _Code] = []

    def heading(self, text: str) -> None:
        """Add a heading, with a blank line above it unless it is the first."""
        if self._parts:
            self._parts.append(_Line(text="", style=""))
        self._parts.append(_Line(text=escape(text), style="bold"))

    def line(self, text: str, style: str = "") -> None:
        """Add a line of text; `style` is rich's."""
        self._parts.append(_Line(text=escape(text), style=style))

    def warnings(self, texts: Iterable[str]) -> None:
        """Add a line for each warning."""
        for text in texts:
            self.line(f"warning: {text}", "yellow")

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[str]], *, left: Iterable[str] = ()
    ) -> None:
        """Add a table; its columns stand to the right but those that are named as `left`."""
        escaped = tuple(tuple(map(escape, row)) for row in rows)
        aligned = frozenset(left)
        right = tuple(name not in aligned for name in header)
        self._parts.append(_Table(header=tuple(header), rows=escaped, right=right))

    def pairs(self, pairs: Mapping[str, str]) -> None:
        """Add names and what is to be said of them; those of which there is nothing to say are left out."""
        rows = tuple((name, escape(text)) for name, text in pairs.items() if text)
        self._parts.append(_Table(header=(), rows=rows, right=(False, False)))

    def more_columns(self, num_hidden: int) -> None:
        """Add how many columns a table does not show, if there are any."""
        if num_hidden > 0:
            self.line(f"… and {counted(num_hidden, 'column')} more: --all shows them", "dim")

    def code(self, text: str, language: str) -> None:
        """Add code, as it is to be pasted."""
        self._parts.append(_Code(text=text.rstrip("\n"), language=language))

    def show(self) -> None:
        """Print the page to standard output."""
        if sys.stdout.isatty():
            _show_rich(self._parts)
        else:
            click.echo(self.plain())

    def plain(self) -> str:
        """Return the page as plain text."""
        return "\n".join(line for part in self._parts for line in _plain(part))


def cut(text: str) -> str:
    """Return as much of `text` as a cell of a table shows."""
    return text if len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 1] + "…"


def _plain(part: _Table | _Line | _Code) -> Iterator[str]:
    if not isinstance(part, _Table):
        yield part.text
        return
    rows = [part.header, *part.rows] if part.header else list(part.rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, part.right, strict=True)
        )
        yield (" " * GAP).join(cells).rstrip()


def _show_rich(parts: Iterable[_Table | _Line | _Code]) -> None:
    from rich.console import Console  # noqa: PLC0415  # 50 ms that `--help` need not pay

    console = Console(highlight=False)
    for part in parts:
        console.print(_rich(part, console.width), soft_wrap=isinstance(part, _Code))


def _rest(part: _Table, width: int) -> int:
    """Return the width that is left to the last column: where a line is too long, it is the one to be cut."""
    columns = list(zip(part.header, *part.rows, strict=True))[:-1]
    return width - sum(max(map(len, column)) + GAP for column in columns)


def _rich(part: _Table | _Line | _Code, width: int) -> RenderableType:
    from rich.syntax import Syntax  # noqa: PLC0415  # likewise
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if isinstance(part, _Line):
        return Text(part.text, style=part.style)
    if isinstance(part, _Code):
        return Syntax(part.text, part.language, theme="ansi_dark", background_color="default")
    table = Table(
        box=None, show_header=bool(part.header), header_style="dim", pad_edge=False, padding=(0, 2, 0, 0)
    )
    for index, right in enumerate(part.right):
        name = part.header[index] if part.header else ""
        style = "" if part.header or index else "cyan"
        is_last = bool(part.header) and index == len(part.right) - 1 and not right
        table.add_column(
            name,
            justify="right" if right else "left",
            style=style,
            no_wrap=is_last,
            overflow="ellipsis" if is_last else "fold",
            max_width=max(_rest(part, width), len(name)) if is_last else None,
        )
    for row in part.rows:
        table.add_row(*map(Text, row))
    return table
