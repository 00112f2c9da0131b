"""From the first mebibyte: header, delimiter, first records, and what each column holds."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import (
    DelimiterError,
    EmptySourceError,
    EncodingError,
    FieldCountError,
    HeaderError,
    InputError,
    LineTooLongError,
    QuoteError,
)
from pipeline.source.sniff import SNIFF_BYTES, label_kind, readings, sniff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.source.sniff import Sniffed


@pytest.fixture
def sniffed(tmp_path: Path) -> Callable[..., Sniffed]:
    """A function that writes bytes to a file and sniffs it."""

    def write_and_sniff(data: bytes, *, delimiter: str | None = None, has_header: bool = True) -> Sniffed:
        path = tmp_path / "a.csv"
        path.write_bytes(data)
        return sniff(path, delimiter=delimiter, has_header=has_header)

    return write_and_sniff


@pytest.mark.parametrize(
    ("before", "header"),
    [
        (b"", b"label,a b,c\n"),
        (b"", b"# label, a b ,c\r\n"),
        (b"", b'"label","a b",c\n'),
        (b"\xef\xbb\xbf", b"label,a b,c\n"),
        (b"\n\r\n", b"label,a b,c\n"),
        (b"\xef\xbb\xbf  \n\t\n", b"#label,a b,c\n"),
    ],
)
def test_names_are_clean_and_the_offset_is_that_of_the_first_record(
    sniffed: Callable[..., Sniffed], before: bytes, header: bytes
) -> None:
    """Byte-order mark, blank lines, '#', quotes and padding are taken off; records begin after the header."""
    found = sniffed(before + header + b"0,1,2\n1,2,3\n")
    assert found.names == ("label", "a b", "c")
    assert found.file.text_offset == len(before + header)
    assert found.rows == (("0", "1", "2"), ("1", "2", "3"))
    assert found.mean_record_bytes == 6


def test_the_header_is_kept_as_written(sniffed: Callable[..., Sniffed]) -> None:
    """The manifest can tell what the first line said."""
    assert sniffed(b"# label, a\n0,1\n").header == ("# label", " a")


def test_without_header_columns_are_numbered(sniffed: Callable[..., Sniffed]) -> None:
    """With --no-header names are column_1, column_2, …, and the first line is a record."""
    found = sniffed(b"\xef\xbb\xbf1\t2\t3\n4\t5\t6", delimiter="\t", has_header=False)
    assert found.names == ("column_1", "column_2", "column_3")
    assert found.header == ()
    assert found.file.text_offset == 3
    assert found.rows == (("1", "2", "3"), ("4", "5", "6"))


def test_a_header_may_hold_line_ends(sniffed: Callable[..., Sniffed]) -> None:
    """A quoted name may span lines."""
    found = sniffed(b'label,"a\nb"\n0,1\n')
    assert found.names == ("label", "a\nb")
    assert found.file.text_offset == 12


def test_only_whole_records_of_the_first_mebibyte_are_taken(sniffed: Callable[..., Sniffed]) -> None:
    """The record at the edge, and one whose quoted cell spans the edge, are left out."""
    row = b"0," + b"1" * 997 + b"\n"
    assert len(sniffed(b"label,a\n" + row * 1100).rows) == (SNIFF_BYTES - 8) // 1000
    spanning = b"label,a\n" + row * 1048 + b'0,"' + b"x\n" * 1000 + b'"\n'
    assert len(sniffed(spanning).rows) == 1048


def test_contents_decide_what_a_file_is(tmp_path: Path) -> None:
    """A file that is gzip is read as such, whatever its name."""
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(b"label,a\n0,1\n"))
    found = sniff(path, delimiter=None, has_header=True)
    assert found.file.compression == "gzip"
    assert found.file.num_bytes == path.stat().st_size
    assert found.names == ("label", "a")


@pytest.mark.parametrize(
    ("data", "kind", "wording", "line"),
    [
        (b"", EmptySourceError, "empty", None),
        (b"\xef\xbb\xbf", EmptySourceError, "only blanks", None),
        (b"\n \n\n", EmptySourceError, "only blanks", None),
        (b"label,a\n", EmptySourceError, "0 data rows", None),
        (b"label,a\n\n  \n", EmptySourceError, "0 data rows", None),
        (b"1.0,2e3\n3,4\n", HeaderError, "looks like data", 1),
        (b"\n\n1,nan\n3,4\n", HeaderError, "looks like data", 3),
        (b"label,a,a\n0,1,2\n", HeaderError, "'a' in columns 2, 3", None),
        (b"label,,a,\n0,1,2,3\n", HeaderError, "column 2, 4 of the header has no name", None),
        (b"label;a\n0;1;2\n", DelimiterError, "2 ';'", 2),
        (b"\nlabel|a\n0|1\n", DelimiterError, "1 '|'", 3),
        (b"label\n0\n", DelimiterError, "1 column", None),
        (b'label,"a\n0,1\n', QuoteError, "row that begins here", 1),
        (b'label,a\n0,1\n0,"1\n', QuoteError, "row that begins here", 3),
        (b"label,a\n0,\xff\n", EncodingError, "0xff", 2),
        (b"\xe9t\xe9,label\n0,1\n", EncodingError, "0xe9", 1),
        (b"label,a\r0,1\r1,2\r", EncodingError, "carriage returns alone", None),
        (b"label," + b"a" * SNIFF_BYTES, LineTooLongError, "no end of line", 1),
        (b"label,a\n0," + b"1" * SNIFF_BYTES, LineTooLongError, "no end of line", 2),
        (b"\xff\xfel\0a\0", EncodingError, "UTF-16", None),
        (b"PAR1" + b"\0" * 40, EncodingError, "Parquet", None),
        (b"PK\x03\x04 and more", EncodingError, "spreadsheet", None),
        (b"<!DOCTYPE html>\n<p>", EncodingError, "HTML", None),
        (b"version https://git-lfs.github.com/spec/v1\n", EncodingError, "git-lfs", None),
    ],
)
def test_faults_at_the_beginning_are_named(
    sniffed: Callable[..., Sniffed], data: bytes, kind: type[InputError], wording: str, line: int | None
) -> None:
    """Each fault says what was found, in which file, and on which line of the whole file."""
    with pytest.raises(kind) as caught:
        sniffed(data)
    assert wording in str(caught.value)
    assert caught.value.path.endswith("a.csv")
    assert caught.value.line == line


def test_the_delimiter_to_try_is_named(sniffed: Callable[..., Sniffed]) -> None:
    """Where one column is found, the hint is the option that helps; with it, the file is read."""
    for delimiter, shown in ((";", "';'"), ("\t", r"'\t'"), ("|", "'|'"), (" ", "' '")):
        data = f"label{delimiter}a{delimiter}b\n0{delimiter}1{delimiter}2\n".encode()
        with pytest.raises(DelimiterError) as caught:
            sniffed(data)
        assert caught.value.hint == f"try --delimiter {shown}"
        assert sniffed(data, delimiter=delimiter).names == ("label", "a", "b")


def columns(*cells: str) -> dict[str, str]:
    """Return the reading of one column with these cells, beside a column of texts."""
    found = readings(["a", "t"], [(cell, "x") for cell in cells])
    assert found["t"] == "text"
    return {"a": found["a"]}


@pytest.mark.parametrize(
    ("cells", "reading"),
    [
        (("0", "1", "-7"), "integer"),
        (("9007199254740993",), "integer"),
        (("1", ""), "number"),
        (("1", "2.5"), "number"),
        (("1.000e+00", "0.000e+00"), "number"),
        (("", "NA", "nan"), "number"),
        (("inf", "1"), "number"),
        (("1e400", "x"), "number"),
        (("1", "2", "word"), "number"),
        (("s", "b"), "text"),
        (("1", "b", "c"), "text"),
        (("true", "false"), "text"),
        (("2012-01-02",), "text"),
        (("1_000", "2_000"), "text"),
        ((" 1", "2 "), "integer"),
    ],
)
def test_columns_are_what_most_of_their_cells_are(cells: tuple[str, ...], reading: str) -> None:
    """Integers, numbers or text; one bad cell does not make a column of numbers text."""
    assert columns(*cells) == {"a": reading}


def test_ragged_rows_are_left_out_of_the_reading() -> None:
    """A row of another length says nothing of the columns; where all are so, the header is in doubt."""
    assert readings(["a", "b"], [("1",), ("x", "2"), ("1", "2", "3")]) == {"a": "text", "b": "integer"}
    with pytest.raises(FieldCountError, match="expected 2 fields as in the header, found 3"):
        readings(["a", "b"], [("1", "2", "3")])


@pytest.mark.parametrize(
    ("cells", "reading", "kind"),
    [
        (["s", "b"], "text", "classes"),
        (["0", "1"], "integer", "classes"),
        (["1.000e+00", "0.000e+00"], "number", "classes"),
        (["0", "1", ""], "number", "classes"),
        (["0.5", "1"], "number", "number"),
        ([str(value) for value in range(100)], "integer", "classes"),
        ([str(value) for value in range(101)], "integer", "number"),
        ([" 1", "1 "], "integer", "classes"),
    ],
)
def test_labels_are_classes_or_a_number(cells: list[str], reading: str, kind: str) -> None:
    """Text and few whole numbers are classes; fractions, and more than a hundred values, are a number."""
    assert label_kind(cells, reading) == kind  # type: ignore[arg-type]  # a literal by its parameter
