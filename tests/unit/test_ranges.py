"""Byte ranges of files: read in parallel or as they stream by, cut at record borders."""

from __future__ import annotations

import gzip
from functools import partial
from typing import TYPE_CHECKING

import pytest
import xxhash

from pipeline.errors import CompressionError, LineTooLongError
from pipeline.plan import SourceFile
from pipeline.source import ranges
from pipeline.source.ranges import CutInsideQuotesError, stored_ranges, streamed_ranges

if TYPE_CHECKING:
    from pathlib import Path

TEXT = b"label,a\n0,1\n1,22\n0,333\n1,4\n"


def source_of(path: Path, *, text_offset: int = 8) -> SourceFile:
    """Return the source file as a plan describes it."""
    stat = path.stat()
    return SourceFile(
        path=path,
        num_bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        compression="gzip" if path.suffix == ".gz" else "none",
        text_offset=text_offset,
    )


@pytest.fixture
def plain(tmp_path: Path) -> SourceFile:
    """A small file as a source."""
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT)
    return source_of(path)


def test_a_record_belongs_to_the_cell_of_its_first_byte(plain: SourceFile) -> None:
    """With cells of 8 bytes, the header's cell is empty and each record lies where it begins."""
    texts = [task.load().text for task in stored_ranges(plain, 0, 8)]
    assert texts == [b"", b"0,1\n1,22\n", b"0,333\n1,4\n", b""]
    assert [task.load().begin for task in stored_ranges(plain, 0, 8)] == [8, 8, 17, 27]


def test_one_cell_holds_everything(plain: SourceFile) -> None:
    """A file smaller than the grid is one range, without its header."""
    (task,) = stored_ranges(plain, 3, 1 << 23)
    loaded = task.load()
    assert (loaded.file_index, loaded.range_index, loaded.begin) == (3, 0, 8)
    assert loaded.text == TEXT[8:]
    assert loaded.load() is loaded


def test_a_range_knows_the_digest_of_its_text(plain: SourceFile) -> None:
    """The digest of a range is the XXH3-128 of its text."""
    (task,) = stored_ranges(plain, 0, 1 << 23)
    assert task.load().digest == xxhash.xxh3_128_digest(TEXT[8:])


def test_a_cut_inside_quotes_is_an_error_of_the_cell_before(tmp_path: Path) -> None:
    """A cell that ends within quotes says so; the file can be streamed instead."""
    path = tmp_path / "a.csv"
    path.write_bytes(b'label,a\n0,"x\n\n\n\n\n\ny"\n1,z\n')
    with pytest.raises(CutInsideQuotesError):
        [task.load() for task in stored_ranges(source_of(path), 0, 12)]
    texts = [task.load().text for task in streamed_ranges(source_of(path), 0, 12, delimiter=",")]
    assert [text for text in texts if text] == [b'0,"x\n\n\n\n\n\ny"\n', b"1,z\n"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_without_end_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, packed: bool
) -> None:
    """A record beyond the limit ends the reading, before memory is filled with it."""
    monkeypatch.setattr(ranges, "MAX_RECORD_BYTES", 200_000)
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    data = b"label,a\n0,1\n1," + b"9" * 3_000_000
    path.write_bytes(gzip.compress(data) if packed else data)
    cut = partial(streamed_ranges, delimiter=",") if packed else stored_ranges
    with pytest.raises(LineTooLongError, match="200000 bytes") as caught:
        [task.load() for task in cut(source_of(path), 0, 1000)]
    assert caught.value.path == str(path)
    # Lines count from the beginning of the range: "0,1" and the endless line, or the header before them.
    assert caught.value.line == 2


@pytest.mark.parametrize("num_members", [1, 3])
def test_gzip_of_several_members_is_one_text(tmp_path: Path, num_members: int) -> None:
    """Concatenated gzip files are read to the last one."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(TEXT) + gzip.compress(TEXT[8:]) * (num_members - 1))
    found = b"".join(task.load().text for task in streamed_ranges(source_of(path), 0, 10, delimiter=","))
    assert found == TEXT[8:] * num_members


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped"])
def test_damaged_gzip_is_an_error(tmp_path: Path, damage: str) -> None:
    """A cut file, garbage behind it, a flipped bit: damage is named, with the file."""
    packed = bytearray(gzip.compress(TEXT * 50, mtime=0))
    if damage == "cut":
        del packed[-20:]
    elif damage == "garbage":
        packed += b"garbage"
    else:
        packed[-6] ^= 1
    path = tmp_path / "a.csv.gz"
    path.write_bytes(packed)
    with pytest.raises(CompressionError, match="damaged gzip data") as caught:
        [task.load() for task in streamed_ranges(source_of(path), 0, 100, delimiter=",")]
    assert caught.value.path == str(path)
