"""Owns what `pipeline inspect` shows of a source, as a page and as JSON. Neighbour: `page` prints it."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pipeline.cli.display import amount
from pipeline.cli.page import Page, cut
from pipeline.counted import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.inspect import SourceReport
    from pipeline.inspect.columns import ColumnFacts

SHOWN_COLUMNS = 40
SHOWN_VALUES = 3
SHOWN_NAMES = 4
COMMAND_WIDTH = 78
NUMBER_WIDTH = 12
MAX_WHOLE = 1e15
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}


def source_page(report: SourceReport, named: Sequence[str], *, show_all: bool) -> Page:
    """Return what the beginning of a source shows, as a page."""
    page = Page()
    page.heading(" ".join(named))
    page.pairs(
        {
            "size": _size(report),
            "rows": f"{_expected(report)}; the first {report.num_rows:,} were looked at",
            "dialect": f"{DELIMITERS.get(report.dialect.delimiter, repr(report.dialect.delimiter))}, "
            f"{'a header line' if report.dialect.has_header else 'no header line'}",
            "label": _label(report),
        }
    )
    page.heading(counted(len(report.columns), "column"))
    shown = report.columns if show_all else report.columns[:SHOWN_COLUMNS]
    page.table(
        ("column", "holds", "role", "distinct", "missing", "least", "greatest", "first values"),
        [_source_row(column, at, report) for at, column in enumerate(shown)],
        left=["column", "holds", "role", "first values"],
    )
    page.more_columns(len(report.columns) - len(shown))
    page.heading("first rows")
    _first_rows(page, report)
    if report.findings or report.num_uneven:
        page.heading("look at")
    if report.num_uneven:
        page.line(f"{counted(report.num_uneven, 'row')} with more or fewer fields than the header", "yellow")
    for finding in report.findings:
        names = ", ".join(map(cut, finding.columns[:SHOWN_NAMES]))
        more = f" and {len(finding.columns) - SHOWN_NAMES:,} more" * (len(finding.columns) > SHOWN_NAMES)
        page.line(f"{names}{more}: {finding.text}", "yellow")
    page.heading("convert it")
    page.code(*_command(report))
    return page


def _expected(report: SourceReport) -> str:
    return "not known" if report.expected_records is None else f"about {report.expected_records:,}"


def _size(report: SourceReport) -> str:
    from pipeline.source.sniff import expected_text_bytes  # noqa: PLC0415  # loads NumPy

    sizes = [file.num_bytes for file in report.files]
    stored = "of unknown size" if min(sizes) < 0 else amount(sum(sizes), "bytes")
    packed = report.files[0].compression
    if packed != "none" and min(sizes) < 0:
        stored += f", {packed}"
    elif packed != "none":
        stored += f", {packed}: about {amount(sum(map(expected_text_bytes, report.files)), 'bytes')} of text"
    return stored + (f", in {len(sizes):,} files" if len(sizes) > 1 else "")


def _label(report: SourceReport) -> str:
    if report.label is None:
        return "no column could be one"
    others = [name for name in report.candidates if name != report.label]
    text = f"{cut(report.label)} ({report.label_kind})"
    if report.label not in report.candidates:
        text += "; nothing speaks for it: name another with --label"
    return text + (f"; or {', '.join(map(cut, others))}" if others else "")


def _source_row(column: ColumnFacts, at: int, report: SourceReport) -> tuple[str, ...]:
    values = [_value(row[at]) for row in report.first_rows[:SHOWN_VALUES] if at < len(row)]
    lie = column.numbers
    return (
        cut(column.name),
        column.holds,
        report.roles[column.name],
        f"{column.num_distinct:,}",
        f"{column.num_missing:,}" if column.num_missing else "",
        _number(lie.min) if lie else "",
        _number(lie.max) if lie else "",
        "  ".join(values),
    )


def _number(value: float) -> str:
    """Return a number as it is if it is whole, with six digits if it is not."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < MAX_WHOLE else f"{value:.5g}"


def _value(cell: str) -> str:
    """Return a cell as it is written; a number of many digits with six of them, rather than cut."""
    text = cell.strip()
    with suppress(ValueError):
        return text if len(text) <= NUMBER_WIDTH else _number(float(text))
    return cut(text)


def _first_rows(page: Page, report: SourceReport) -> None:
    """Add the first rows, as many columns of them as fit beside each other."""
    width = shutil.get_terminal_size((110, 24)).columns
    names: list[str] = []
    used = 0
    for at, column in enumerate(report.columns):
        cells = [row[at] for row in report.first_rows if at < len(row)]
        used += max(map(len, [cut(column.name), *map(_value, cells)])) + 2
        if used > width - 2 and names:
            break
        names.append(cut(column.name))
    blank = [""] * len(names)
    rows = [[*map(_value, row), *blank][: len(names)] for row in report.first_rows]
    page.table(names, rows)
    if hidden := len(report.columns) - len(names):
        page.line(f"… and {counted(hidden, 'column')} more", "dim")


def _command(report: SourceReport) -> tuple[str, str]:
    from pipeline.inspect.command import as_typed  # noqa: PLC0415

    if report.command is None:
        return "# nothing is left to predict, or to predict it from", "bash"
    return as_typed(report.command, width=COMMAND_WIDTH), "bash"


def source_json(report: SourceReport) -> dict[str, Any]:
    """Return what the beginning of a source shows, as JSON values."""
    from pipeline.inspect.command import as_typed  # noqa: PLC0415

    columns = [dataclasses.asdict(column) | {"role": report.roles[column.name]} for column in report.columns]
    return {
        "source": [
            {"path": str(f.path), "bytes": f.num_bytes, "compression": f.compression} for f in report.files
        ],
        "dialect": dataclasses.asdict(report.dialect),
        "expected_records": report.expected_records,
        "rows_looked_at": report.num_rows,
        "uneven_rows": report.num_uneven,
        "label": {"name": report.label, "kind": report.label_kind, "candidates": list(report.candidates)},
        "columns": columns,
        "first_rows": [list(row) for row in report.first_rows],
        "findings": [dataclasses.asdict(finding) for finding in report.findings],
        "command": as_typed(report.command) if report.command else None,
    }
