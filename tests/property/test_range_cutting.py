"""Law: any grid of byte ranges gives the same records; no cut ever falls inside a record."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.plan import SourceFile
from pipeline.source.quotes import find_cut
from pipeline.source.ranges import (
    CutInsideQuotesError,
    RangeText,
    stored_ranges,
    streamed_ranges,
)
from support.datasets import convert_text, make_options
from support.oracle import csv_columns
from support.texts import text_cells, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TEXTS = {
    "plain": "1,2\n3,4\n55,66\n",
    "no final line end": "1,2\n3,4",
    "CRLF": "1,2\r\n3,4\r\n5,6\r\n",
    "blank lines": "\n1,2\n\n\n3,4\n",
    "quoted line end": '1,"x\n2,y"\n3,z\n',
    "only a quoted line end": '"\n"\n"\n\n"\n',
    "doubled quotes": '"a""b",c\n"""",d\n"""\n""",e\n',
    "doubled quotes at the ends": '"""a\n""",1\n"b\n""\n",2\n""""""\n',
    "quoted delimiter": '"a,b",1\n"c,\n,d",2\n',
    "quoted CRLF": '"a\r\nb",1\r\n"c",2\r\n',
}


def record_starts(text: str) -> list[int]:
    """Return where each row of `text` begins, as the `csv` module sees it, and last where it ends."""
    stream = io.StringIO(text, newline="")
    starts = [0]
    consumed = 0

    def counted() -> Iterator[str]:
        nonlocal consumed
        for line in stream:
            consumed += len(line.encode())
            yield line

    for _ in csv.reader(counted(), strict=True):
        starts.append(consumed)  # noqa: PERF401  # `consumed` moves while the reader runs
    return starts


@pytest.mark.parametrize("name", TEXTS)
def test_cuts_are_where_the_csv_module_ends_its_rows(name: str) -> None:
    """From every position, the cut is the first row at or after it."""
    text = TEXTS[name]
    starts = record_starts(text)
    for at in range(len(text) + 1):
        expected = next(start for start in starts if start >= at)
        found = find_cut(text.encode(), at, ",")
        # Without a final line end there is no cut to find at the end of the text.
        assert (len(text) if found is None else found) == expected


def source_of(path: Path, *, text_offset: int = 0) -> SourceFile:
    """Return the source file as a plan describes it."""
    stat = path.stat()
    return SourceFile(
        path=path,
        num_bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        compression="gzip" if path.suffix == ".gz" else "none",
        text_offset=text_offset,
    )


def loaded(source: SourceFile, range_bytes: int, *, streamed: bool) -> list[RangeText]:
    """Return all ranges that hold text."""
    cut = partial(streamed_ranges, delimiter=",") if streamed else stored_ranges
    ranges = [task.load() for task in cut(source, 0, range_bytes)]
    return [found for found in ranges if found.text]


@given(
    lines=st.lists(st.text("1,x", max_size=12), min_size=1, max_size=12),
    line_end=st.sampled_from(["\n", "\r\n"]),
    header=st.sampled_from(["", "label,a\n", "\ufefflabel,a\r\n", "\n\nlabel,a\n", '"x\ny",a\n']),
    range_bytes=st.integers(1, 80),
    ends_open=st.booleans(),
)
@example(lines=["1", "2"], line_end="\n", header="\n\n\nlabel,a\n", range_bytes=1, ends_open=False)
@example(lines=["1", "2"], line_end="\n", header='"x\n"",y",a\n', range_bytes=2, ends_open=False)
@example(lines=["1" * 100, "2"], line_end="\n", header="a,b\n", range_bytes=3, ends_open=True)
def test_stored_and_streamed_ranges_are_the_same(
    fresh_folder: Callable[[], Path],
    lines: list[str],
    line_end: str,
    header: str,
    range_bytes: int,
    *,
    ends_open: bool,
) -> None:
    """Cutting a file in parallel or as it streams by gives the same ranges, which are all the text."""
    text = line_end.join(lines) + ("" if ends_open else line_end)
    folder = fresh_folder()
    folder.mkdir()
    stored, packed = folder / "a.csv", folder / "a.csv.gz"
    stored.write_bytes((header + text).encode())
    packed.write_bytes(gzip.compress(stored.read_bytes()))
    offset = len(header.encode())
    ranges = loaded(source_of(stored, text_offset=offset), range_bytes, streamed=False)
    assert ranges == loaded(source_of(stored, text_offset=offset), range_bytes, streamed=True)
    assert ranges == loaded(source_of(packed, text_offset=offset), range_bytes, streamed=True)
    assert b"".join(found.text for found in ranges) == text.encode()
    assert all(found.text.endswith(b"\n") for found in ranges[:-1])
    ends = [found.begin + len(found.text) for found in ranges]
    assert [found.begin for found in ranges] == [offset, *ends[:-1]]
    for found in ranges[1:]:
        assert found.begin // range_bytes <= found.range_index + (found.begin % range_bytes > 0)
        assert found.range_index * range_bytes <= found.begin


@given(
    rows=st.lists(st.tuples(st.sampled_from("01"), text_cells(), text_cells()), min_size=1, max_size=8),
    range_bytes=st.integers(1, 60),
)
def test_a_cut_inside_quotes_is_noticed(
    fresh_folder: Callable[[], Path], rows: list[tuple[str, str, str]], range_bytes: int
) -> None:
    """Cut in parallel, either every range holds whole rows, or it is said that they must be streamed."""
    text = written(rows)
    folder = fresh_folder()
    folder.mkdir()
    path = folder / "a.csv"
    path.write_bytes(text.encode())
    streamed = loaded(source_of(path), range_bytes, streamed=True)
    starts = set(record_starts(text))
    assert all(found.begin in starts for found in streamed)
    assert b"".join(found.text for found in streamed) == text.encode()
    try:
        assert loaded(source_of(path), range_bytes, streamed=False) == streamed
    except CutInsideQuotesError:
        assert '"' in text


def hard_text() -> str:
    """Return a text whose kept and dropped cells hold line ends, quotes, and whole rows within quotes."""
    rows = [["label", "a", "kept", "dropped"]]
    cells = ["x\n2,y", "", '"', "\r\n", "0,1,k,d\n0,1,k,d", "é\n", '""\n""', ",\n,", "plain"]
    rows += [[str(index % 2), f"{index}.5", cell, cells[-1 - index]] for index, cell in enumerate(cells)]
    return written(rows)


@pytest.mark.parametrize("keep", ["kept", "dropped"])
def test_every_border_in_a_quoted_text(fresh_folder: Callable[[], Path], keep: str) -> None:
    """With quoted line ends in kept and dropped columns, every grid gives the rows of the csv module."""
    text = hard_text()
    columns = csv_columns(text)
    expected = Counter(zip(columns["label"], columns["a"], columns[keep], strict=True))
    drop = "dropped" if keep == "kept" else "kept"
    for range_bytes in range(1, len(text.encode()) + 2, 3):
        options = make_options(range_bytes=range_bytes, keep=(keep,), drop=(drop,), standardize=False)
        dataset = convert_text(text, fresh_folder(), options, packed=range_bytes % 2 == 0)
        order = ["label", "a", keep]
        found = Counter(
            (str(row["label"]), repr(row["a"]), row[keep])
            for table in map(dataset.tables, ("train", "val", "test"))
            for part in table
            for row in part.select(order).to_pylist()
        )
        assert found == expected, range_bytes


def test_reading_on_the_border_of_the_look_ahead(tmp_path: Path) -> None:
    """A record longer than cell and look-ahead together is found whole by both ways of cutting."""
    long = b"1," + b"9" * 200_000
    path = tmp_path / "long.csv"
    path.write_bytes(b"1,2\n" + long + b"\n3,4\n")
    source = source_of(path)
    for range_bytes in (1000, 65_536, 150_000):
        ranges = loaded(source, range_bytes, streamed=False)
        assert ranges == loaded(source, range_bytes, streamed=True)
        assert b"".join(found.text for found in ranges) == path.read_bytes()
