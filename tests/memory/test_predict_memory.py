"""Law: a prediction stays under the memory that is given, and takes no more of it for a longer source."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from pipeline.fetch import fetch_simulated
from support.peak import run_measured

if TYPE_CHECKING:
    from pathlib import Path

MEBIBYTE = 1 << 20
NUM_RECORDS, MORE_RECORDS = 60_000, 180_000  # 44 MB of text are six byte ranges, 133 MB are 16
NETWORKS = {"default": (), "wide": ("--layers", "2000,2000")}  # 4 million weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sources of both lengths, and a model of each width."""
    folder = tmp_path_factory.mktemp("predict")
    for num_records in (2_000, NUM_RECORDS, MORE_RECORDS):
        fetch_simulated(folder / f"{num_records}.csv", num_records=num_records, seed=1)
    commands = [("convert", "2000.csv", "shards")]
    commands += [("train", "shards", "-o", name, "--epochs", "1", *given) for name, given in NETWORKS.items()]
    for command in commands:
        assert run_measured(*command, folder=folder).status == 0
    return folder


def least_memory(folder: Path, *arguments: str) -> int:
    """Return the least `--memory` that a prediction says it can do with, in MiB."""
    told = run_measured(*arguments, "--memory", "1MiB", folder=folder)
    found = re.search(r"hint: pass --memory (\d+)MiB or more", told.stderr)
    assert found, told.stderr
    return int(found[1])


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_least_memory_suffices(folder: Path, network: str, precision: str) -> None:
    """The least that is said to do, does: for networks of any width, in both precisions."""
    command = (
        "predict",
        network,
        f"{NUM_RECORDS}.csv",
        "out.parquet",
        "--overwrite",
        "--precision",
        precision,
    )
    least = least_memory(folder, *command)
    done = run_measured(*command, "--memory", f"{least}MiB", folder=folder)
    assert done.status == 0, done.stderr
    assert pq.read_metadata(folder / "out.parquet").num_rows == NUM_RECORDS
    assert done.peak_bytes <= least * MEBIBYTE


def test_a_longer_source_takes_no_more(folder: Path) -> None:
    """Three times the records, the same memory, to a twentieth; by default under 1 GiB."""
    peaks = []
    for num_records in (NUM_RECORDS, MORE_RECORDS):
        done = run_measured(
            "predict", "default", f"{num_records}.csv", f"{num_records}.parquet", folder=folder
        )
        assert done.status == 0, done.stderr
        peaks.append(done.peak_bytes)
    assert max(peaks) <= 1024 * MEBIBYTE
    assert peaks[1] <= 1.05 * peaks[0]
