"""Which quotes open and close fields, and so where records end, is what the `csv` module says."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.source.quotes import find_cut, last_cut, unclosed

if TYPE_CHECKING:
    from collections.abc import Iterator


def row_starts(text: str) -> tuple[list[int], str]:
    """Return where the rows of `text` begin, as the `csv` module sees it, and what it complains of."""
    starts, consumed = [0], 0

    def counted() -> Iterator[str]:
        nonlocal consumed
        for line in io.StringIO(text, newline=""):
            consumed += len(line)
            yield line

    try:
        for _ in csv.reader(counted(), strict=True):
            starts.append(consumed)  # noqa: PERF401  # `consumed` moves while the reader runs
    except csv.Error as error:
        return starts, str(error)
    return starts, ""


@given(text=st.text('"",\n\ra', max_size=16))
@settings(max_examples=20 * settings().max_examples)
@example(text='5" pipe,1\n"x\ny",2\n')
@example(text='a"b,"c\nd"\n')
@example(text='"a""\n""b"\n,""\n')
@example(text='"a"\r"\n"\n')
def test_cuts_are_where_the_csv_module_ends_its_rows(text: str) -> None:
    """From every position the cut is the next record behind a line feed, stray quotes or not."""
    starts, complaint = row_starts(text)
    borders = [start for start in starts if start == 0 or text[start - 1] == "\n"]
    if complaint:
        return
    assert last_cut(text.encode(), ",") == borders[-1]
    assert unclosed(text.encode(), ",") is None
    for at in range(len(text) + 1):
        expected = next((border for border in borders if border >= at), None)
        assert find_cut(text.encode(), at, ",") == expected


@given(text=st.text('"",\n\ra', max_size=16))
@settings(max_examples=20 * settings().max_examples)
def test_a_quote_that_is_never_closed_is_found(text: str) -> None:
    """Where `csv` comes to the end within quotes, the quote is named; it stands in the last row."""
    starts, complaint = row_starts(text)
    if "unexpected end" in complaint:
        at = unclosed(text.encode(), ",")
        assert at is not None
        assert text[at] == '"'
        assert at >= starts[-1]
        # Without it, the text is whole but for what it hid.
        assert "unexpected end" not in row_starts(text[:at])[1]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", "^", "\\"])
def test_fields_begin_behind_the_delimiter(delimiter: str) -> None:
    """Any delimiter opens a field, also those that mean something in a pattern; others do not."""
    text = f'1{delimiter}"x\n2{delimiter}y"\n3{delimiter}z\n'
    assert find_cut(text.encode(), 3, delimiter) == text.index("3")
    other = text.replace(delimiter, "#")
    assert find_cut(other.encode(), 3, delimiter) == text.index("2")


def test_the_line_feed_just_before_counts() -> None:
    """A border is a cut itself; behind the last line end there is none."""
    text = b'1,"x\n2,y"\n3,z\n'
    assert [find_cut(text, at, ",") for at in (-5, 0, 1, 9, 10, 11, 14, 15)] == [
        0,
        0,
        10,
        10,
        10,
        14,
        14,
        None,
    ]
    assert find_cut(b"1,2\n3,4", 5, ",") is None
    assert find_cut(b"", 1, ",") is None
    assert last_cut(b"", ",") == 0
    assert last_cut(b'1,"x\n', ",") == 0
