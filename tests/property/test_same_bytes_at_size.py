"""Law: same content, same options → same bytes; here with a million records, as a user runs the program."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from pipeline.fetch import fetch_simulated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUM_RECORDS = 1_000_000
FORMATS = ("--format", "parquet", "--format", "tfrecord")
SPILLING = ("--memory", "256MiB")
PATIENCE_SECONDS = 600
POLL_SECONDS = 0.01
MANIFEST = "manifest.json"  # names the source, whose name and size differ where it is compressed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the source in three forms; removed at once, for it takes gigabytes."""
    folder = tmp_path_factory.mktemp("million")
    plain = folder / "plain.csv"
    fetch_simulated(plain, num_records=NUM_RECORDS, seed=7)
    with plain.open("rb") as text, gzip.open(folder / "packed.csv.gz", "wb", compresslevel=1) as packed:
        shutil.copyfileobj(text, packed)
    with plain.open("rb") as text, pa.CompressedOutputStream(folder / "packed.csv.zst", "zstd") as packed:
        shutil.copyfileobj(text, packed)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, str]:
    """The digests of an undisturbed conversion with all there is."""
    return converted(folder, "plain.csv", "expected")


def command(source: str, target: str, *options: str) -> list[str]:
    """Return the command of one conversion in both formats."""
    return [sys.executable, "-m", "pipeline", "convert", source, target, "--quiet", *FORMATS, *options]


def converted(folder: Path, source: str, target: str, *options: str) -> dict[str, str]:
    """Return the SHA-256 of every file that a conversion leaves, by name; the files are removed."""
    subprocess.run(command(source, target, *options), cwd=folder, check=True, timeout=PATIENCE_SECONDS)
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / target).iterdir()
    }
    shutil.rmtree(folder / target)
    assert len(digests) > 2 * 4
    return digests


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [("--workers", "1"), ("--workers", "4"), SPILLING, (*SPILLING, "--workers", "1")],
    ids=" ".join,
)
def test_workers_and_memory(folder: Path, expected: dict[str, str], options: tuple[str, ...]) -> None:
    """Neither workers nor memory change a byte of shards or manifest."""
    assert converted(folder, "plain.csv", "other", *options) == expected


@pytest.mark.slow
@pytest.mark.parametrize("source", ["packed.csv.gz", "packed.csv.zst"])
def test_compression(folder: Path, expected: dict[str, str], source: str) -> None:
    """A compressed source gives the shards of the plain one; its manifest differs, by the source."""
    digests = converted(folder, source, "unpacked")
    assert digests.pop(MANIFEST) != expected[MANIFEST]
    assert digests == {name: digest for name, digest in expected.items() if name != MANIFEST}


@pytest.mark.slow
@pytest.mark.parametrize("progress", ["runs/run-00001", "dataset/train-00000*"], ids=("reading", "writing"))
def test_interruption(folder: Path, expected: dict[str, str], progress: str) -> None:
    """A conversion that was killed while reading, or while writing, ends with the bytes of any other."""
    with subprocess.Popen(command("plain.csv", "killed", *SPILLING), cwd=folder) as process:
        staging = folder / "killed.incomplete"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not list(staging.glob(progress)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)
        os.kill(process.pid, signal.SIGKILL)
    assert not (folder / "killed").exists()
    journal = (staging / "journal.jsonl").read_text(encoding="utf-8")
    assert journal.count("\n") >= 1
    assert converted(folder, "plain.csv", "killed", *SPILLING) == expected
    assert not staging.exists()
