"""What a source file is, and its uncompressed text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.convert import convert
from pipeline.errors import CompressionError
from pipeline.source.files import open_text, read_exactly, recognise
from support.datasets import Dataset, make_options
from support.packing import PACKERS

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = {"source", "digest"}  # of the file as it is stored, and of the manifest that says so
TEXT = b"label,a,b\n" + b"".join(b"%d,%d.5,%d\n" % (i % 2, i, i * i) for i in range(5000))


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
