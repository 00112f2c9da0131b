"""Sources too long, too wide, or that expand without end: an error or a dataset, in bounded memory."""

from __future__ import annotations

import gzip
import json
import lzma
from typing import TYPE_CHECKING

import pytest

from support.peak import run_measured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MEBIBYTE = 1 << 20
MEMORY = 512
GOOD = b"label,a\n" + b"0,1.5\n1,2.5\n" * 150_000  # more than the plan looks at
LINE = 300_002
ZEROS = b"0,1\n" * (1 << 20)


def xz_zeros() -> bytes:
    """Return a bomb of xz: 640 MiB of text from 100 kB."""
    return lzma.compress(b"label,a\n" + ZEROS, preset=1) + lzma.compress(ZEROS * 16, preset=1) * 10


def gzip_zeros() -> bytes:
    """Return a bomb of gzip, at what gzip can do at the most: 640 MiB of text from 650 kB."""
    return gzip.compress(b"label,a\n" + ZEROS, 9) + gzip.compress(ZEROS * 16, 9) * 10


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("made", "error"),
    [
        pytest.param(
            lambda: GOOD + b"1," + b"9" * 200_000_000, f"E116] raw.csv:{LINE}: no end of line", id="line"
        ),
        pytest.param(
            lambda: GOOD + b'1,"9' + b"9\n" * 100_000_000,
            f"E111] raw.csv:{LINE}: a quote is opened here and not closed",
            id="quote",
        ),
        pytest.param(
            lambda: GOOD + b"1," * 7_000_000 + b"\n",
            f"E102] raw.csv:{LINE}: expected 2 fields, found 7000001",
            id="fields",
        ),
    ],
)
def test_an_endless_record_is_an_error_in_bounded_memory(
    tmp_path: Path, made: Callable[[], bytes], error: str, *, packed: bool
) -> None:
    """A line of 200 MB, a quote never closed, millions of fields: named with the line, and not held."""
    data = made()
    (tmp_path / "raw.csv").write_bytes(gzip.compress(data, 1) if packed else data)
    done = run_measured(
        "convert", "raw.csv", "shards", "--memory", f"{MEMORY}MiB", "--quiet", folder=tmp_path
    )
    assert done.status == 3
    assert done.stderr.startswith(f"error[{error}")
    assert done.peak_bytes < MEMORY * MEBIBYTE
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("make", [gzip_zeros, xz_zeros])
def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, make: Callable[[], bytes]) -> None:
    """A small file that expands a thousand times is refused before it fills memory or disk."""
    (tmp_path / "raw.csv").write_bytes(make())
    done = run_measured(
        "convert", "raw.csv", "shards", "--memory", f"{MEMORY}MiB", "--quiet", folder=tmp_path
    )
    assert done.status == 3
    assert "E113] raw.csv: " in done.stderr
    assert "expand to more than 1000 times as many" in done.stderr
    assert done.peak_bytes < MEMORY * MEBIBYTE
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]


@pytest.mark.slow
def test_twenty_thousand_columns(tmp_path: Path) -> None:
    """A table of 20,000 columns becomes a dataset with all of them, within the memory of the default."""
    names = ",".join(f"f{at}" for at in range(20_000))
    row = ",".join(f"{at / 7!r}" for at in range(20_000))
    (tmp_path / "raw.csv").write_text(f"label,{names}\n" + "".join(f"{at % 2},{row}\n" for at in range(30)))
    done = run_measured("convert", "raw.csv", "shards", "--quiet", folder=tmp_path)
    assert (done.status, done.stderr) == (0, "")
    manifest = json.loads((tmp_path / "shards/manifest.json").read_text())
    assert len(manifest["columns"]) == 20_001
    assert manifest["records"]["written"] == 30
    assert done.peak_bytes < 1024 * MEBIBYTE


@pytest.mark.slow
def test_text_after_ten_million_rows(tmp_path: Path) -> None:
    """However late the fault: file, line, column and value; and nothing is left."""
    with (tmp_path / "raw.csv").open("wb") as file:
        file.write(b"label,a\n")
        for _ in range(100):
            file.write(b"0,1\n" * 100_000)
        file.write(b"1,word\n")
    done = run_measured("convert", "raw.csv", "shards", "--quiet", folder=tmp_path)
    assert done.status == 3
    assert done.stderr.splitlines()[0] == (
        "error[E103] raw.csv:10000002: column 'a': found 'word', expected a number"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]


@pytest.mark.slow
def test_a_cell_of_ten_megabytes_is_set_aside(tmp_path: Path) -> None:
    """A row with a cell of 10 MB is set aside with its first 1,000 bytes, and its error fits on a line."""
    (tmp_path / "raw.csv").write_bytes(b"label,a\n0,1.5\n1,2.5\n1," + b"x\x1b[2J" * 2_000_000 + b"\n0,3.5\n")
    done = run_measured("convert", "raw.csv", "shards", "--quiet", "--on-bad-row", "skip", folder=tmp_path)
    assert (done.status, done.stderr) == (0, "")
    text = (tmp_path / "shards/rejects.jsonl").read_text(encoding="ascii")
    assert len(text) < 8000
    assert json.loads(text)["text"] == ("1," + "x\x1b[2J" * 200)[:1000]
    done = run_measured("convert", "raw.csv", "other", "--quiet", folder=tmp_path)
    assert done.status == 3
    assert all(len(line) < 250 and line.isprintable() for line in done.stderr.splitlines())
