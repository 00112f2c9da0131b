"""Law: memory stays under the number the user gives, whatever the size and shape of the source.

The program runs as a user starts it, in a process of its own; its peak is what the kernel says when it has
ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.fetch import fetch_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1 << 20
POLL_SECONDS = 0.005
PLENTY = "4GiB"
SHOW_IMPORTS = "PYTHONPROFILEIMPORTTIME"
# Linux begins a process's peak with that of its parent, and the tests have TensorFlow loaded: a small parent.
LAUNCHER = """\
import json, os, sys
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10], file)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What one conversion left: status, messages, peak memory, names of run files seen, digests by file."""

    status: int
    stderr: str
    peak_bytes: int
    run_files: frozenset[str]
    digests: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A source of a certain shape, and the options to convert it with."""

    write: Callable[[Path], object]
    options: tuple[str, ...] = ()


def convert(
    source: Path, target: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Converted:
    """Convert in a process of its own, with `environment` on top of the test's, and watch it."""
    report = target.with_name(target.name + ".report")
    program = (sys.executable, "-m", "pipeline", "convert", str(source), str(target), "--quiet", *options)
    command = (sys.executable, "-I", "-S", "-c", LAUNCHER, str(report), *program)
    variables = os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {})
    runs, run_files = target.with_name(target.name + ".incomplete") / "runs", set[str]()
    with (
        target.with_name(target.name + ".stderr").open("w+", encoding="utf-8") as stderr,
        subprocess.Popen(command, stderr=stderr, env=variables) as process,
    ):
        while process.poll() is None:
            # The folder may go away between being found and being listed.
            with suppress(FileNotFoundError):
                run_files |= {path.name for path in runs.glob("run-?????")}
            time.sleep(POLL_SECONDS)
        stderr.seek(0)
        messages = stderr.read()
    status, peak_bytes = json.loads(report.read_text(encoding="ascii"))
    return Converted(
        status=status,
        stderr=messages,
        peak_bytes=peak_bytes,
        run_files=frozenset(run_files),
        digests={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.glob("*")},
    )


def repeated(path: Path, header: str, block: str, times: int) -> None:
    """Write a header line, then `block` so many times."""
    with path.open("w", encoding="ascii") as file:
        file.write(header + "\n")
        for _ in range(times):
            file.write(block)


def write_compact(path: Path) -> None:
    """Write two million records of ten digits: the most numbers that a byte range can hold."""
    digits = np.random.default_rng(1).integers(0, 10, (10_000, 10))
    digits[:, 0] %= 2
    block = "".join(",".join(map(str, row)) + "\n" for row in digits.tolist())
    repeated(path, "label," + ",".join(f"f{index}" for index in range(9)), block, 200)


def write_wide(path: Path) -> None:
    """Write 6,000 records of a thousand doubles that float32 cannot hold."""
    values = np.random.default_rng(2).normal(size=(500, 1000)).tolist()
    block = "".join(f"{index % 2}," + ",".join(map(repr, row)) + "\n" for index, row in enumerate(values))
    repeated(path, "label," + ",".join(f"f{index}" for index in range(1000)), block, 12)


def write_long_texts(path: Path) -> None:
    """Write 600,000 records of one number and a text of 128 characters."""
    block = "".join(f"{index % 2},{index / 7!r},{index:0128x}\n" for index in range(10_000))
    repeated(path, "label,f0,name", block, 60)


KINDS = {
    # 193 MB of text: 20 times what runs may hold at the least.
    "savetxt": Kind(write=lambda path: fetch_simulated(path, num_records=260_000, seed=1)),
    "tfrecord": Kind(
        write=lambda path: fetch_simulated(path, num_records=120_000, seed=2),
        options=("--format", "tfrecord", "--format", "parquet"),
    ),
    "compact": Kind(write=write_compact),
    "wide": Kind(write=write_wide),
    "long texts": Kind(write=write_long_texts, options=("--keep", "name")),
    # By other rules than the rank of the key: cells are gathered for each split, and all looked at before.
    "stratified": Kind(
        write=lambda path: fetch_simulated(path, num_records=120_000, seed=5), options=("--stratify",)
    ),
    "grouped by long texts": Kind(write=write_long_texts, options=("--group-by", "name")),
    "by ten moments": Kind(write=write_compact, options=("--time-split", "f8")),
}


def least_memory(source: Path, folder: Path, *options: str) -> int:
    """Return the memory, in MiB, that suffices for `source`, as the refusal of one MiB names it."""
    refused = convert(source, folder / "refused", "--memory", "1MiB", *options)
    assert refused.status == 5
    assert "error[E503]" in refused.stderr
    assert refused.digests == {}
    found = re.search(r"pass --memory (\d+)MiB or more", refused.stderr)
    assert found, refused.stderr
    return int(found[1])


@pytest.mark.parametrize("name", KINDS)
def test_the_memory_that_a_refusal_names_suffices(name: str, tmp_path: Path) -> None:
    """With it the peak stays below it, the shuffle goes to disk, and every byte is as with plenty."""
    kind, source = KINDS[name], tmp_path / "source.csv"
    kind.write(source)
    least = least_memory(source, tmp_path, *kind.options)
    roomy = convert(source, tmp_path / "roomy", "--memory", PLENTY, *kind.options)
    assert (roomy.status, roomy.run_files) == (0, frozenset()), roomy.stderr
    tight = convert(source, tmp_path / "tight", "--memory", f"{least}MiB", *kind.options)
    assert tight.status == 0, tight.stderr
    assert len(tight.run_files) > 1
    assert "manifest.json" in tight.digests
    assert tight.digests == roomy.digests
    assert tight.peak_bytes <= least * MEBIBYTE


@pytest.mark.parametrize("memory", ["256MiB", "512MiB"])
def test_round_numbers_hold_with_all_workers(tmp_path: Path, memory: str) -> None:
    """A user's round number holds with as many workers as it affords, not only the least with one."""
    source = tmp_path / "source.csv"
    fetch_simulated(source, num_records=150_000, seed=3)
    done = convert(source, tmp_path / "shards", "--memory", memory, "--workers", "4")
    assert done.status == 0, done.stderr
    assert done.peak_bytes <= int(memory.removesuffix("MiB")) * MEBIBYTE


def test_reading_runs_back_does_not_load_pandas(tmp_path: Path) -> None:
    """What pyarrow would import where it is installed costs 25 MB and a third of a second, for nothing."""
    source = tmp_path / "source.csv"
    fetch_simulated(source, num_records=120_000, seed=4)
    least = least_memory(source, tmp_path)
    done = convert(source, tmp_path / "shards", "--memory", f"{least}MiB", environment={SHOW_IMPORTS: "1"})
    assert done.run_files
    imported = re.findall(r"\| +(\S+)$", done.stderr, re.MULTILINE)
    assert "pipeline.convert" in imported
    assert "pandas" not in imported
