"""A Hypothesis strategy of CSV texts with all that makes them hard: for the differential tests."""

from __future__ import annotations

import csv
import functools
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from support.plain_csv import Excused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.plain_csv import Kind

# What a file may hold, column by column; names are letters in this order, but for the label.
LAYOUTS: tuple[tuple[Kind, ...], ...] = (
    ("label", "feature"),
    ("feature", "label"),
    ("feature", "text label"),
    ("text label", "feature", "kept text"),
    ("kept text", "label", "feature"),
    ("label", "feature", "dropped"),
    ("dropped", "feature", "label"),
    ("kept integer", "feature", "label", "kept number"),
    ("label", "kept number", "feature", "kept integer", "kept text"),
    ("label", "kept text", "feature", "dropped", "kept text"),
    ("label", "category"),
    ("category", "datetime", "label", "boolean"),
    ("label", "feature", "boolean", "category", "kept text", "datetime"),
    ("dropped", "kept text", "text label", "feature", "kept integer", "dropped"),
)
EXCUSES = (
    Excused(),
    Excused(bad_rows=True),
    Excused(missing=True),
    Excused(fill=True, nonfinite=True),
    Excused(bad_rows=True, missing=True, nonfinite=True),
    Excused(bad_rows=True, fill=True, nonfinite=True),
)
GOOD: dict[Kind, tuple[str, ...]] = {
    "feature": ("1.5", "-2e3", "0", "7", "1.000000000000000000e+00", "+.5", "5.", "1E5", "-0.0", " 2.5 "),
    "boolean": ("true", "false", "True", "FALSE", " true", "fAlSe"),
    "datetime": (
        *(
            "2026-11-28",
            "1970-01-01 00:00",
            "2024-02-29T23:59:59",
            "0001-01-01",
            "9999-12-31T23:59:59.999999Z",
        ),
        *(
            "2026-11-28T18:00:00+05:45",
            "1969-12-31 23:59:59.5-00:30",
            "2026-11-28 18:00:00.123456789",
            " 2000-01-01",
        ),
    ),
    "category": ("a", "none", "b", " a", "x,y", "é", "7", "07", "two\nlines", "true"),
    "label": ("0", "1", "1.000e+00", "2"),
    "text label": ("s", "b", " s", "signal\t"),
    "kept number": ("0.1", "2", "1e-320", "4.9e-324", "123456789012345678901234567890", ""),
    "kept integer": ("7", "-9223372036854775808", "9007199254740993", "+3", "007"),
    "kept text": (
        "t",
        "",
        "a b",
        "é€😀",
        "x,y",
        "x;y",
        "x\ty",
        'say "so"',
        "two\nlines",
        "two\r\nlines",
        "NA",
        "#",
    ),
    "dropped": ("d", "", "x,y", "a\nb", 'a"b', "1", "null"),
}
HOSTILE = (
    *("", " ", "NA", "nan", "NaN", "+nan", "null", "None", "?", "-", "#N/A", "\\N", "-NAN"),
    *("inf", "-Infinity", "1e400", "-1e999", "1e39", "1e308", "1.7976931348623159e308"),
    *("0x1p3", "1_000", "1.0D+02", "1d5", "1e", "e5", ".", "+", "--1", "1.5.2", "1f", "true", "word", "1 2"),
    *("1,5", "1.234,5", "1 000", "\uff11", "\u0661", "\u00a01", "1\u00a0", "\u2028", "\x0b1", "1\x0c"),
    *("9223372036854775808", "9" * 40, "0" * 40 + "1", "2.0", "1.5", "7", "0.1" + "0" * 30),
    *("yes", "t", "tru\u0435", "TRUE ", "2023-02-29", "2026-11-28T24:00", "2026-1-1", "20261128"),
    *("2026-11-28T", "0000-01-01", "2026-11-28T10", "2026-11-28 10:00+24:00", "2026-11-28Z"),
    *("2026-11-28 10:00.5", "2026-11-28 10:60"),
    *('"', '""', 'a"b', '"a', 'a"', '"a"b', '5" pipe', ' "x"', '"x" ', "a\rb", "a\nb", "\ufeff", "\ufeff1"),
    *("\x1c", "\x85", "x" * 70, '"x"y"z"', '""x""', '"x" "y"', '"a""b"', '"1"2"3"', '"a"b"c"d"e"'),
)  # fmt: skip
RAW_LINES = (
    "",
    " ",
    "\t",
    '""',
    '" "',
    ",",
    ",,",
    ";",
    "x",
    "1",
    '"',
    '","',
    '"\n"',
    "\ufeff",
    '"unclosed',
    "#,#",
)
MARKS = ("", "", "\ufeff")
BEFORE = ("", "", "\n", " \r\n\n", "\t\n")
LINE_ENDS = ("\n", "\n", "\r\n", "\r")
INSERTED = (
    b'"',
    b'""',
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"\0",
    b"\xff",
    b"\xc3",
    b"e",
    b"-",
    b"\xef\xbb\xbf",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HardText:
    """A text with its header, what its columns are, and what may be set aside."""

    data: bytes
    kinds: tuple[Kind, ...]
    delimiter: str
    excused: Excused


def names_of(kinds: Sequence[Kind]) -> tuple[str, ...]:
    """Return the names of columns of these kinds."""
    return tuple("label" if "label" in kind else "abcdefgh"[at] for at, kind in enumerate(kinds))


def joined(row: Sequence[str], delimiter: str, style: int) -> str:
    """Return a row as text: quoted where need be, quoted throughout, or not at all."""
    if style == 0:
        return delimiter.join(row)
    line = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if style == 1 else csv.QUOTE_MINIMAL
    csv.writer(line, delimiter=delimiter, lineterminator="", quoting=quoting).writerow(row)
    return line.getvalue()


def hard_texts() -> st.SearchStrategy[HardText]:
    """Return a strategy of texts: most rows are good, some have a hostile cell, are ragged or no row."""
    return st.sampled_from([(kinds, delimiter) for kinds in LAYOUTS for delimiter in ",,,;\t| "]).flatmap(
        lambda shape: _texts(*shape)
    )


@functools.cache  # strategies are slow to make
def _texts(kinds: tuple[Kind, ...], delimiter: str) -> st.SearchStrategy[HardText]:
    names = names_of(kinds)
    padded = ["#" + names[0], *(f" {name}" for name in names[1:])]
    headers = [joined(row, delimiter, style) for row in (names, names, padded) for style in (1, 2)]
    befores = [mark + blank.replace(delimiter, "") for mark in MARKS for blank in BEFORE]
    line_ends = [[end] for end in (*LINE_ENDS, *LINE_ENDS, *LINE_ENDS)] + [list(LINE_ENDS), ["\n", "\r"]]
    return st.builds(
        _put_together,
        kinds=st.just(kinds),
        delimiter=st.just(delimiter),
        header=st.sampled_from([before + header for before in befores for header in headers]),
        lines=st.lists(_lines(kinds, delimiter), max_size=10),
        line_ends=st.sampled_from(line_ends),
        ends_open=st.sampled_from((False, False, True)),
        changes=st.lists(CHANGES, max_size=2),
        excused=st.sampled_from(EXCUSES),
    )


def _lines(kinds: Sequence[Kind], delimiter: str) -> st.SearchStrategy[str]:
    """Return a strategy of single rows as text."""
    good = st.tuples(*(st.sampled_from(GOOD[kind]) for kind in kinds))
    hostile = st.sampled_from(HOSTILE)
    places = st.integers(0, len(kinds) - 1)
    styles = st.integers(0, 2)

    def written(row: Sequence[str], style: int) -> str:
        return joined(row, delimiter, style)

    with_hostile = st.builds(lambda row, at, cell: (*row[:at], cell, *row[at + 1 :]), good, places, hostile)
    longer = st.builds(lambda row, cell: (*row, cell), good, hostile)
    shorter = good.map(lambda row: row[:-1])
    rows = st.one_of(
        good, good, good, good, with_hostile, with_hostile, longer, shorter, st.just(names_of(kinds))
    )
    return st.one_of(
        st.builds(written, rows, styles), st.builds(written, good, styles), st.sampled_from(RAW_LINES)
    )


def _put_together(
    *,
    kinds: tuple[Kind, ...],
    delimiter: str,
    header: str,
    lines: Sequence[str],
    line_ends: Sequence[str],
    ends_open: bool,
    changes: Sequence[tuple[float, int, bytes]],
    excused: Excused,
) -> HardText:
    body = "".join(line + line_ends[at % len(line_ends)] for at, line in enumerate(lines))
    data = (body.rstrip("\r\n") if ends_open else body).encode()
    for place, num_removed, inserted in changes:
        at = round(place * len(data))
        data = data[:at] + inserted + data[at + num_removed :]
    return HardText(
        data=(header + line_ends[0]).encode() + data, kinds=kinds, delimiter=delimiter, excused=excused
    )


# Bytes put in, taken out or cut off: (where, as a share of the text; how many to take out; what to put in).
CHANGES = st.tuples(
    st.integers(0, 64).map(lambda share: share / 64),
    st.sampled_from((0, 0, 0, 1, 3, 9, 1 << 20)),
    st.sampled_from(INSERTED),
)
