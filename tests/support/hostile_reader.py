"""Reads datasets that may be made to do harm, in a process of its own: python -m support.hostile_reader.

Takes the folder of a dataset per line, answers with a line of JSON: what came of every reader, and the most
memory that the process has had by then. Where there is no answer, a reader took the process with it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.convert.memory import peak_memory_bytes
from pipeline.errors import PipelineError
from pipeline.loader import batches, check_dataset
from pipeline.loader.column import read_column
from pipeline.manifest import load
from pipeline.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.plan import ShardFormat

OK = "ok"


def outcome(reader: Callable[[Path], object], shards: Path) -> str:
    """Return what came of a reader: "ok", or the class of the error, ours or not, and what it says."""
    try:
        found = reader(shards)
    except PipelineError as error:
        return f"{type(error).__name__}: {error.message}"
    except Exception as error:  # noqa: BLE001  # told, so that the test fails
        return f"FAULT {type(error).__name__}: {error}"
    return found if isinstance(found, str) else OK


def verified(shards: Path) -> str:
    """Return the first fault that `verify` finds."""
    faults = verify(shards, num_workers=1).faults
    return f"{type(faults[0]).__name__}: {faults[0].message}" if faults else OK


def kept(shards: Path) -> None:
    """Read the kept column of the train split."""
    manifest = load(shards)
    column = next(column for column in manifest.columns if column.role == "keep")
    for _ in read_column(shards, manifest.splits["train"], column, shard_format="parquet"):
        pass


def consumed(shards: Path, form: ShardFormat) -> None:
    """Read the train split as the first epoch does."""
    for _ in batches(shards, "train", 8, seed=1, shard_format=form, verify_checksums=True):
        pass


READERS: dict[str, Callable[[Path], object]] = {
    "check": check_dataset,
    "verify": verified,
    "parquet": lambda shards: consumed(shards, "parquet"),
    "tfrecord": lambda shards: consumed(shards, "tfrecord"),
    "kept": kept,
}


def main() -> None:
    """Answer every line of standard input."""
    for line in sys.stdin:
        shards = Path(line.rstrip("\n"))
        found: dict[str, object] = {name: outcome(reader, shards) for name, reader in READERS.items()}
        print(json.dumps(found | {"peak_bytes": peak_memory_bytes()}), flush=True)  # noqa: T201  # the answer


if __name__ == "__main__":
    main()
