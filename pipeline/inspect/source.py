"""Owns the look at a source: its dialect, columns, first rows, size, what is suspicious, how to convert it.

Reads the first mebibyte of the first file, and the header of every other one. Neighbours: `dialect`,
`columns`, `label`, `findings` and `command` each answer one of the questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import ColumnNotFoundError, PipelineError, nearest
from pipeline.inspect.columns import facts_of
from pipeline.inspect.command import convert_command, suggested_roles
from pipeline.inspect.dialect import sniff_any
from pipeline.inspect.findings import Finding, find
from pipeline.inspect.label import fallback_label, label_candidates
from pipeline.source.cells import is_turned_header
from pipeline.source.columns import held, label_kind
from pipeline.source.files import sizes_known
from pipeline.source.listing import list_sources
from pipeline.source.sniff import expected_text_bytes, sniff_further
from pipeline.storage.paths import system_errors_told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.inspect.columns import ColumnFacts
    from pipeline.plan import Dialect, SourceFile
    from pipeline.schema import LabelKind, Role
    from pipeline.source.sniff import Sniffed

FIRST_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What the beginning of a source shows.

    `first_rows` are as written; `num_rows` were looked at, `num_uneven` of them with another number of fields
    than the header. `label` is the column to predict, one of the `candidates` if there are any; `command` are
    the words of a conversion that would do, None where none can. `expected_records` is None where the size of
    a file is not known.
    """

    files: tuple[SourceFile, ...]
    dialect: Dialect
    columns: tuple[ColumnFacts, ...]
    first_rows: tuple[tuple[str, ...], ...]
    num_rows: int
    num_uneven: int
    expected_records: int | None
    candidates: tuple[str, ...]
    label: str | None
    label_kind: LabelKind | None
    roles: dict[str, Role]
    findings: tuple[Finding, ...]
    command: tuple[str, ...] | None


def inspect_source(
    named: Sequence[str],
    *,
    delimiter: str | None = None,
    has_header: bool | None = None,
    label: str | None = None,
) -> SourceReport:
    """Return what the beginning of the sources `named` shows; what is None is found out.

    Raises:
        InputError: a source cannot be read, or its columns cannot be told.
        ColumnNotFoundError: there is no column called `label`.
    """
    paths = list_sources(named)
    with system_errors_told(paths[0], hint="check the disk"):
        sniffed = sniff_any(paths[0], delimiter=delimiter, has_header=has_header)
    files = [sniffed.file]
    for path in paths[1:]:
        with system_errors_told(path, hint="check the disk"):
            files.append(sniff_further(path, sniffed))
    columns, rows = _facts(sniffed)
    candidates = label_candidates(columns)
    chosen = _checked(label, sniffed.names) or next(iter(candidates), None) or fallback_label(columns)
    roles = suggested_roles(columns, chosen)
    num_uneven = sum(len(row) != len(sniffed.names) for row in sniffed.rows)
    return SourceReport(
        files=tuple(files),
        dialect=sniffed.dialect,
        columns=columns,
        first_rows=sniffed.rows[:FIRST_ROWS],
        num_rows=len(sniffed.rows),
        num_uneven=num_uneven,
        expected_records=_expected_records(files, sniffed),
        candidates=candidates,
        label=chosen,
        label_kind=_kind(chosen, sniffed, rows),
        roles=roles,
        findings=(*_turned_headers(sniffed), *find(columns, rows, chosen)),
        command=convert_command(named, columns, roles, sniffed.dialect, has_uneven_rows=num_uneven > 0),
    )


def _facts(sniffed: Sniffed) -> tuple[tuple[ColumnFacts, ...], list[tuple[str, ...]]]:
    """Return the facts of all columns, and the rows with as many fields as the header."""
    try:
        found = held(sniffed.names, sniffed.rows)
    except PipelineError as error:
        error.path, error.line = str(sniffed.file.path), sniffed.lines[0]
        raise
    width, names = len(sniffed.names), sniffed.names
    rows = [row for row in sniffed.rows if len(row) == width and not is_turned_header(row, names)]
    by_column = zip(sniffed.names, zip(*rows, strict=True), strict=True)
    return tuple(facts_of(name, cells, found[name]) for name, cells in by_column), rows


def _turned_headers(sniffed: Sniffed) -> Iterator[Finding]:
    """Yield that a file was put together from several whose columns stand in different orders."""
    for line, row in zip(sniffed.lines, sniffed.rows, strict=True):
        if is_turned_header(row, sniffed.names):
            text = f"stand again in line {line:,}, in another order: name the files it was put together from"
            yield Finding(kind="turned-header", columns=sniffed.names, text=text)
            return


def _checked(label: str | None, names: Sequence[str]) -> str | None:
    if label is not None and label not in names:
        raise ColumnNotFoundError(f"--label {label}: no such column", hint=nearest(label, names))
    return label


def _kind(label: str | None, sniffed: Sniffed, rows: Sequence[Sequence[str]]) -> LabelKind | None:
    if label is None:
        return None
    at = sniffed.names.index(label)
    return label_kind([row[at] for row in rows], held(sniffed.names, rows)[label].reading)


def _expected_records(files: Sequence[SourceFile], sniffed: Sniffed) -> int | None:
    if not sizes_known(files):
        return None
    text_bytes = sum(expected_text_bytes(file) - file.text_offset for file in files)
    return max(1, round(text_bytes / sniffed.mean_record_bytes))
