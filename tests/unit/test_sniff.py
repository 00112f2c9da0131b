"""From the first mebibyte: header, delimiter, first records, and what each column holds."""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import (
    DelimiterError,
    EmptySourceError,
    EncodingError,
    HeaderError,
    InputError,
    LineTooLongError,
    QuoteError,
)
from pipeline.source.sniff import SNIFF_BYTES, expected_text_bytes, sniff
from support.texts import numbered_text

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
    num_blank = before.count(b"\n")
    assert found.file.num_blank == num_blank
    assert found.lines == (num_blank + 2, num_blank + 3)


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
        (b"label,a,a\n0,1,2\n", HeaderError, "'a' in columns 2, 3", 1),
        (b"\n\nlabel,,a,\n0,1,2,3\n", HeaderError, "column 2, 4 of the header has no name", 3),
        (b"label;a\n0;1;2\n", DelimiterError, "2 ';'", 2),
        (b"\nlabel|a\n0|1\n", DelimiterError, "1 '|'", 3),
        (b"label\n0\n", DelimiterError, "1 column", None),
        (b'label,"a\n0,1\n', QuoteError, "a quote is opened here and never closed", 1),
        (b'label,a\n0,"1\n', QuoteError, "a quote is opened here and never closed", 2),
        (b'label,"a"b\n0,1\n', QuoteError, "a closing quote is followed by more text", 1),
        (b"label,a\n0,\xff\n", EncodingError, "0xff", 2),
        (b"\xe9t\xe9,label\n0,1\n", EncodingError, "0xe9", 1),
        (b"label,a\r0,1\r1,2\r", EncodingError, "carriage returns alone", None),
        (b"label,a\r0,1\r1,2", EncodingError, "carriage returns alone", None),
        (b"label," + b"a" * SNIFF_BYTES, LineTooLongError, "no end of line", 1),
        (b"label,a\n0," + b"1" * SNIFF_BYTES, LineTooLongError, "no end of line", 2),
        (b"\xef\xbb\xbf<!DOCTYPE html>\n<p>", EncodingError, "HTML", None),
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


def test_a_header_may_end_in_a_carriage_return_alone(sniffed: Callable[..., Sniffed]) -> None:
    """Line ends may be mixed: the header ends where the `csv` module ends it."""
    found = sniffed(b'label,"a\r\nb"\r0,1\n1,2\r')
    assert (found.names, found.file.text_offset) == (("label", "a\r\nb"), 13)
    assert (found.rows, found.lines) == ((("0", "1"), ("1", "2")), (3, 4))


@pytest.mark.parametrize("fault", [b'1,"2\n', b"1,\xff\n", b"1,\0\n", b'1,"2"3\n'])
def test_faults_behind_the_first_record_are_left_to_the_reading(
    sniffed: Callable[..., Sniffed], fault: bytes
) -> None:
    """What stands before a fault is enough for a plan; the fault is told in its turn, behind earlier ones."""
    assert sniffed(b"label,a\n0,1\n\n" + fault + b"0,3\n").rows == (("0", "1"),)


def test_the_contents_of_compressed_files_are_looked_at_too(tmp_path: Path) -> None:
    """A tar archive in a gzip file is named for what it is, and so is a file compressed twice."""
    path = tmp_path / "a.csv.gz"
    for data, name in (
        (b"a.csv" + bytes(252) + b"ustar\0", "tar"),
        (gzip.compress(b"x"), "compressed twice"),
    ):
        path.write_bytes(gzip.compress(data))
        with pytest.raises(EncodingError, match=name):
            sniff(path, delimiter=None, has_header=True)


@pytest.mark.parametrize(
    ("pack", "accuracy"), [(bytes, 0.0), (gzip.compress, 0.02), (lzma.compress, 0.02), (bz2.compress, 0.5)]
)
def test_the_size_of_compressed_text_is_guessed_from_its_beginning(
    sniffed: Callable[..., Sniffed], pack: Callable[[bytes], bytes], accuracy: float
) -> None:
    """What a file will come to is known within a fiftieth; of bzip2, with its large blocks, within a half."""
    text = numbered_text(20_000, num_features=4).encode()
    expected = expected_text_bytes(sniffed(pack(text)).file)
    assert expected == pytest.approx(len(text), rel=accuracy)
