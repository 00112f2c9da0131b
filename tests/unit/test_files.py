"""What a source file is, and its uncompressed text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.convert import convert
from pipeline.errors import CompressionError, NotANumberError
from pipeline.source import files
from pipeline.source.files import open_text, read_exactly, recognise
from support.datasets import Dataset, make_options
from support.packing import PACKERS

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = {"source", "digest"}  # of the file as it is stored, and of the manifest that says so
TEXT = b"label,a,b\n" + b"".join(b"%d,%d.5,%d\n" % (i % 2, i, i * i) for i in range(5000))

LONG_TEXT = b"label,a,b\n" + b"".join(b"%d,%d.5,%d\n" % (i % 2, i, i * 7919 % 104729) for i in range(75_000))


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("cut", [0, len(TEXT) // 3])
def test_contents_decide_and_all_members_are_read(name: str, cut: int, tmp_path: Path) -> None:
    """Whatever it is called, a compressed file is recognised, and its members are one text."""
    path = tmp_path / "raw.csv"
    path.write_bytes((PACKERS[name](TEXT[:cut]) if cut else b"") + PACKERS[name](TEXT[cut:]))
    assert recognise(path) == name
    with open_text(path, recognise(path)) as text:
        assert read_exactly(text, len(TEXT) + 1) == TEXT


@pytest.mark.parametrize("name", PACKERS)
def test_compressed_data_that_end_early_are_damaged(name: str, tmp_path: Path) -> None:
    """A file that was cut anywhere is an error, never a shorter text."""
    packed = PACKERS[name](TEXT)
    path = tmp_path / "raw.csv"
    for size in (len(packed) - 1, len(packed) // 2, 20):
        path.write_bytes(packed[:size])
        with open_text(path, recognise(path)) as text, pytest.raises(CompressionError) as caught:
            read_exactly(text, len(TEXT) + 1)
        assert caught.value.path == str(path)


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_damage_is_told_before_what_it_makes_of_the_text(name: str, tmp_path: Path) -> None:
    """A flipped bit that garbles the text is damage, however small the ranges, and no bad row."""
    packed = PACKERS[name](LONG_TEXT)
    path = tmp_path / "raw.csv"
    options = make_options(range_bytes=20_011, num_workers=2)
    for share in (0.8, 0.85, 0.9, 0.95):  # behind what the plan looks at
        at = int(share * len(packed))
        path.write_bytes(packed[:at] + bytes([packed[at] ^ 16]) + packed[at + 1 :])
        with pytest.raises(CompressionError):
            convert(path, tmp_path / "shards", options)


@pytest.mark.parametrize("check_bytes", [1 << 30, 1024])
def test_a_bad_row_of_a_whole_file_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_bytes: int
) -> None:
    """Where the compressed data are whole, or too large to find out soon, the fault of the text is told."""
    monkeypatch.setattr(files, "CHECK_BYTES", check_bytes)
    path = tmp_path / "raw.csv"
    packed = PACKERS["gzip"](LONG_TEXT + b"0,word,1\n" + LONG_TEXT[10:])
    path.write_bytes(packed if check_bytes > 1024 else packed[:-9])
    with pytest.raises(NotANumberError) as caught:
        convert(path, tmp_path / "shards", make_options(range_bytes=200_003))
    assert caught.value.line == LONG_TEXT.count(b"\n") + 1


def test_shards_do_not_depend_on_the_compression(tmp_path: Path) -> None:
    """Plain, gzip, zstd, bzip2, xz: the same bytes in every shard; manifests differ in `source` alone."""
    found = []
    for name, pack in {"plain": bytes, **PACKERS}.items():
        path = tmp_path / f"{name}.csv"
        path.write_bytes(pack(TEXT))
        convert(path, tmp_path / name, make_options(range_bytes=4096))
        dataset = Dataset(folder=tmp_path / name)
        shards = {shard.name: shard.read_bytes() for shard in sorted((tmp_path / name).glob("*.parquet"))}
        found.append((shards, {key: value for key, value in dataset.manifest.items() if key not in IDENTITY}))
    assert all(other == found[0] for other in found[1:])
