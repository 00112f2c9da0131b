"""What benchmarks/bench_silent.py says of readers is fair: conventions are no fault, lost records are."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

import pytest

from support.fixtures import Records, all_fixtures
from support.fixtures.fixture import CLEAN
from support.plain_csv import Excused
from support.verdicts import Table, judge, readings

if TYPE_CHECKING:
    from support.fixtures import Fixture

FIXTURES = {name: f for name, f in all_fixtures().items() if f.excused == Excused()}
READABLE = [name for name, fixture in FIXTURES.items() if isinstance(fixture.expected, Records)]
NAMES = ("label", "b", "c")


def table_of(fixture: Fixture) -> Table:
    """Return what a fixture says, as a reader of all columns returns it."""
    rows = []
    for values in fixture.expected.rows or ():
        given = iter(values)
        rows.append(tuple("x" if kind == "dropped" else next(given) for kind in fixture.kinds))
    return Table(names=range(len(fixture.kinds)), rows=rows)


@pytest.mark.parametrize("name", READABLE)
def test_what_a_text_says_is_right_in_any_order(name: str) -> None:
    """The records of a readable fixture are right, and so they are as a multiset; an error refuses them."""
    fixture = FIXTURES[name]
    table = table_of(fixture)
    assert judge(fixture, table) == "right"
    turned = Table(names=table.names, rows=table.rows[::-1], in_order=False)
    assert judge(fixture, turned) == "right"
    assert judge(fixture, None) == "refused"


@pytest.mark.parametrize("name", READABLE)
def test_a_lost_or_changed_record_is_silently_wrong(name: str) -> None:
    """One record less, or another number, under the names of the header and without a null: silent."""
    fixture = FIXTURES[name]
    whole = table_of(fixture)
    fewer = Table(names=header_of(fixture), rows=whole.rows[1:], in_order=False)
    assert judge(fixture, fewer) == "silent"
    at = fixture.kinds.index("feature")
    first = whole.rows[0]
    changed = Table(
        names=fewer.names, rows=[(*first[:at], first[at] * 2 + 1, *first[at + 1 :]), *whole.rows[1:]]
    )
    assert judge(fixture, changed) == "silent"


def header_of(fixture: Fixture) -> list[str]:
    """Return the names in the header of a fixture, as readers give them."""
    text = fixture.text.decode("utf-8-sig").lstrip("\n\r\t ")
    row = next(csv.reader(io.StringIO(text, newline=""), delimiter=fixture.delimiter or ","))
    return row if fixture.has_header else [f"column_{at}" for at in range(len(row))]


def rows_with(at: int, row: tuple[object, ...]) -> list[tuple[object, ...]]:
    """Return the clean table with a row put in."""
    return [*CLEAN[:at], row, *CLEAN[at:]]


@pytest.mark.parametrize(
    ("name", "rows", "verdict"),
    [
        ("missing: 'NA', middle", rows_with(11, (1.0, None, 0.25)), "shown"),
        ("missing: 'NA', middle", rows_with(11, (1.0, math.nan, 0.25)), "shown"),
        ("missing: 'NA', middle", rows_with(11, (1.0, 0.0, 0.25)), "silent"),
        ("too large: '1e400', middle", rows_with(11, (1.0, math.inf, 0.25)), "shown"),
        ("too large: '1e400', middle", rows_with(11, (1.0, 1e308, 0.25)), "silent"),
        ("no number: '1_000', middle", rows_with(11, (1.0, 1000.0, 0.25)), "right"),
        ("no number: 'word', middle", rows_with(11, (1.0, "word", 0.25)), "shown"),
        ("no number: 'word', middle", CLEAN, "silent"),
        ("field count: short, middle", rows_with(11, (1.0, 2.5, None)), "shown"),
        ("field count: long, middle", rows_with(11, (1.0, 2.5, 3.0)), "silent"),
        ("field count: long and empty, middle", rows_with(11, (1.0, 2.5, 3.0)), "right"),
        ("blank lines: empty, middle", rows_with(11, (None, None, None)), "shown"),
        ("blank lines: empty, middle", rows_with(11, (0.0, 0.0, 0.0)), "silent"),
        ("header: none", CLEAN, "right"),
        ("damaged: gzip, cut", CLEAN, "right"),
        ("damaged: gzip, cut in the middle", CLEAN[:12], "silent"),
        ("unclosed quote: with text, dropped, row 5", [(at % 2, at + 0.5, "t") for at in range(6)], "silent"),
    ],
)
def test_conventions_are_no_fault(name: str, rows: list[tuple[object, ...]], verdict: str) -> None:
    """Nulls and infinities are to be seen; another number, or a record less, is not."""
    assert judge(FIXTURES[name], Table(names=NAMES, rows=rows)) == verdict


def test_other_names_are_to_be_seen() -> None:
    """A first record taken for the names shows in them, as does a column too few; a warning tells, too."""
    fixture = FIXTURES["header: none"]
    assert judge(fixture, Table(names=("0", "0.5", "0.0"), rows=CLEAN[1:])) == "shown"
    semicolons = FIXTURES["delimiter: semicolon, not told"]
    whole_lines = [(f"{a:g};{b};{c}",) for a, b, c in CLEAN]
    assert judge(semicolons, Table(names=("label;b;c",), rows=whole_lines)) == "shown"
    assert judge(FIXTURES["clothes: clean"], Table(names=NAMES, rows=CLEAN[1:]), warned=True) == "shown"


def test_an_unclosed_quote_is_never_right_with_fewer_records() -> None:
    """No reading of a text whose quote is never closed lacks the lines behind it."""
    for name, fixture in FIXTURES.items():
        if name.startswith("unclosed quote:") and "header" not in name:
            assert all(len(rows) >= fixture.text.count(b"\n") - 1 for rows in readings(fixture)), name
